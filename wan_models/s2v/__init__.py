"""Wan2.2-S2V: sound drives a person of one picture. diffusers has no such network; this package has it."""
