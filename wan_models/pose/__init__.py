"""Finds the joints of people in pictures: MediaPipe behind one function. Imports nothing heavy until asked."""

from .estimate import Found, PoseUnavailable, estimate_image, unavailable

__all__ = ["Found", "PoseUnavailable", "estimate_image", "unavailable"]
