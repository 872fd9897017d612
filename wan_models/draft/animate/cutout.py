"""Finds the person in a reference image: its alpha, or a segmentation, cleaned to one piece."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.engine import RequestRefused

from .skeleton import BONES, EAR_L, EAR_R, EYE_L, EYE_R, HIP_L, HIP_R, NECK, SHOULDER_L, SHOULDER_R, Floats, unit

MIN_PERSON_PIXELS = 400
MIN_SIDE = 32


def has_alpha(image: NDArray[np.uint8]) -> bool:
    """Whether a picture (h,w,4) carries a cut-out: some of it transparent, some not."""
    return bool((image[..., 3] < 128).any())


def cut_out(image: NDArray[np.uint8], joints: Floats | None, mask: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The person's alpha (h,w) uint8: the picture's own, else ``mask`` (0..255), else GrabCut from the joints.

    ``image`` (h,w,4), ``joints`` (22,2) px. Only the largest piece stays and its pinholes are filled.
    Raises RequestRefused when there is nobody in it.
    """
    if has_alpha(image):
        alpha: NDArray[np.uint8] = image[..., 3]
    elif mask is not None:
        alpha = mask
    elif joints is not None:
        alpha = _grab_cut(image, joints)
    else:
        msg = "the reference image has no alpha and no joints: cut the person out, or give the joints"
        raise RequestRefused(msg)
    return _largest_piece(alpha)


def _largest_piece(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    solid = (alpha >= 128).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    if count < 2 or stats[1:, cv2.CC_STAT_AREA].max() < MIN_PERSON_PIXELS:
        msg = (
            f"the reference shows no person: its cut-out has {int(solid.sum())} pixels, at least "
            f"{MIN_PERSON_PIXELS} in one piece are needed; give a larger picture or a better alpha"
        )
        raise RequestRefused(msg)
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    near = cv2.dilate((labels == best).astype(np.uint8), np.ones((5, 5), np.uint8))
    kept = np.where(near > 0, alpha, 0).astype(np.uint8)
    return _fill_pinholes(kept, int(stats[best, cv2.CC_STAT_AREA]))


def _fill_pinholes(alpha: NDArray[np.uint8], area: int) -> NDArray[np.uint8]:
    """Holes under 0.1 % of the person are faults; larger ones are the gap between an arm and the body."""
    holes = (alpha < 128).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(holes, connectivity=4)
    filled = alpha.copy()
    for index in range(1, count):
        if stats[index, cv2.CC_STAT_AREA] <= max(area // 1000, 4):
            filled[labels == index] = 255
    return filled


def _grab_cut(image: NDArray[np.uint8], joints: Floats) -> NDArray[np.uint8]:
    """GrabCut (Rother 2004): surely person along the bones, perhaps near them, surely not far away."""
    height, width = image.shape[:2]
    scale = min(1.0, 640.0 / max(height, width))
    small = cv2.resize(image[..., :3], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    points = joints * scale
    reach = float(np.ptp(points[:, 1])) or 10.0
    labels: NDArray[Any] = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    _draw_bones(labels, points, int(cv2.GC_PR_BGD), round(reach * 0.22))
    _draw_bones(labels, points, int(cv2.GC_PR_FGD), round(reach * 0.11))
    _draw_bones(labels, points, int(cv2.GC_FGD), max(round(reach * 0.015), 2))
    _draw_head_and_trunk(labels, points)
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, (0, 0, 1, 1), *models, 4, cv2.GC_INIT_WITH_MASK)
    person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    large = cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 0.8), np.uint8)


def _draw_bones(labels: NDArray[Any], points: Floats, value: int, thickness: int) -> None:
    pairs = [*BONES, (1, 0), (SHOULDER_R, SHOULDER_L), (HIP_R, HIP_L), (SHOULDER_R, HIP_L), (SHOULDER_L, HIP_R)]
    pairs += [(SHOULDER_R, HIP_R), (SHOULDER_L, HIP_L), (16, 17)]
    for a, b in pairs:
        start, end = (tuple(int(v) for v in points[i]) for i in (a, b))
        cv2.line(labels, start, end, value, thickness)


def _draw_head_and_trunk(labels: NDArray[Any], points: Floats) -> None:
    """What is surely person besides the bones: most of the head with its hair, and the middle of the trunk."""
    ears = points[[EAR_R, EAR_L]]
    width = max(float(np.linalg.norm(ears[1] - ears[0])), 4.0)
    centre = points[[EYE_R, EYE_L, EAR_R, EAR_L]].mean(axis=0)
    up = unit(centre - points[NECK])
    middle = centre + 0.12 * width * up
    angle = float(np.degrees(np.arctan2(up[1], up[0])))
    box = (float(middle[0]), float(middle[1])), (1.25 * width, 0.8 * width), angle
    cv2.ellipse(labels, box, int(cv2.GC_FGD), -1)
    trunk = points[[SHOULDER_R, SHOULDER_L, HIP_L, HIP_R]]
    inner = trunk.mean(axis=0) + 0.85 * (trunk - trunk.mean(axis=0))
    cv2.fillConvexPoly(labels, np.rint(inner).astype(np.int32), int(cv2.GC_FGD))
