"""The joints of a reference person: given with it, or estimated; checked against the cut-out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.engine import RequestRefused
from wan_models.pose import Found, estimate_image, unavailable
from wan_models.requests import BODY_POINTS, Reference

from .cutout import MIN_SIDE, cut_out, has_alpha
from .skeleton import EAR_L, EAR_R, EYE_L, EYE_R, HAND_L, HAND_MIDDLE, HAND_R, NECK, NOSE, TOE_L, TOE_R, Floats

NEEDED = tuple(range(1, 14))  # neck, arms and legs; face and toes can be guessed
MIN_SCORE = 0.05


@dataclass(frozen=True)
class Person:
    """``image`` (h,w,4), its cleaned ``alpha`` (h,w), ``joints`` (22,2) in its pixels."""

    image: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    joints: Floats


def check_reference(name: str, reference: Reference) -> None:
    """Raise RequestRefused for a reference that cannot be used, without looking for joints."""
    image = reference.image
    if image.ndim != 3 or image.shape[2] != 4:
        msg = f"the reference of {name} has shape {image.shape}; a picture with four channels (h, w, 4) is needed"
        raise RequestRefused(msg)
    if min(image.shape[:2]) < MIN_SIDE:
        size = f"{image.shape[1]}x{image.shape[0]}"
        msg = f"the reference of {name} is {size} pixels; each side must be at least {MIN_SIDE}, give a larger picture"
        raise RequestRefused(msg)
    if not (image[..., 3] >= 128).any():
        msg = f"the reference of {name} is fully transparent; export it with the person opaque"
        raise RequestRefused(msg)
    if reference.body is not None:
        _check_given(name, reference.body)
    elif (reason := unavailable()) is not None:
        msg = f"the reference of {name} has no joints and they cannot be estimated: {reason}"
        raise RequestRefused(msg)


def _check_given(name: str, body: NDArray[np.float32]) -> None:
    if body.shape != (20, 3):
        msg = f"the reference joints of {name} have shape {body.shape}; (20, 3) is needed: x, y, score"
        raise RequestRefused(msg)
    bad = [BODY_POINTS[i] for i in NEEDED if not np.isfinite(body[i, :2]).all() or not body[i, 2] > MIN_SCORE]
    if bad:
        msg = f"the reference of {name} lacks these joints: {', '.join(bad)}; place them by hand or use another picture"
        raise RequestRefused(msg)


def find_person(name: str, reference: Reference) -> Person:
    """The cut-out and joints of a reference. Raises RequestRefused with what is missing."""
    check_reference(name, reference)
    found = None
    if reference.body is None or not has_alpha(reference.image):
        found = _estimated(reference, needed=reference.body is None)
    body, left, right = reference.body, reference.left_hand, reference.right_hand
    if body is None:
        if found is None:
            msg = (
                f"no person was found in the reference of {name}; use a picture of one whole person, or give the joints"
            )
            raise RequestRefused(msg)
        body, left, right = found.body, found.left_hand, found.right_hand
        _check_given(name, body)
    joints = complete(body, left, right)
    alpha = cut_out(reference.image, joints, found.mask if found is not None else None)
    _check_inside(name, alpha, joints)
    image, alpha, joints = _cropped(reference.image, alpha, joints)
    return Person(_bled(image, alpha), alpha, joints)


def _estimated(reference: Reference, *, needed: bool) -> Found | None:
    if not needed and unavailable() is not None:
        return None
    alpha = reference.image[..., 3:].astype(np.float32) / 255.0
    flat = np.rint(reference.image[..., :3] * alpha + 128.0 * (1.0 - alpha)).astype(np.uint8)
    return estimate_image(flat)


def complete(
    body: NDArray[np.float32], left: NDArray[np.float32] | None = None, right: NDArray[np.float32] | None = None
) -> Floats:
    """(22,2): body and the middle of each hand; face, toes and hands that are not known are guessed."""
    joints = np.zeros((22, 2))
    joints[:20] = body[:, :2]
    known = np.isfinite(body[:, :2]).all(axis=1) & (body[:, 2] > MIN_SCORE)
    shoulders = joints[[2, 5]].mean(axis=0)
    spine = shoulders - joints[[8, 11]].mean(axis=0)
    side = joints[5] - joints[2]
    head = joints[NECK] + 0.42 * spine
    guesses = {NOSE: -0.02, EYE_R: -0.09, EYE_L: 0.09, EAR_R: -0.2, EAR_L: 0.2}
    for point, aside in guesses.items():
        if not known[point]:
            joints[point] = head + (0.0 if point == NOSE else aside) * side
    for toe, ankle in ((TOE_R, 10), (TOE_L, 13)):
        if not known[toe]:
            joints[toe] = joints[ankle] - 0.12 * spine
    for hand, points, wrist, elbow in ((HAND_R, right, 4, 3), (HAND_L, left, 7, 6)):
        joints[hand] = joints[wrist] + 0.35 * (joints[wrist] - joints[elbow])
        if points is not None and np.isfinite(points[HAND_MIDDLE, :2]).all() and points[HAND_MIDDLE, 2] > MIN_SCORE:
            joints[hand] = points[HAND_MIDDLE, :2]
    return joints


def _check_inside(name: str, alpha: NDArray[np.uint8], joints: Floats) -> None:
    """Joints of trunk and limbs must lie on the person, or near: half a head off means another picture."""
    outside = cv2.distanceTransform((alpha < 128).astype(np.uint8), cv2.DIST_L2, 5)
    height, width = alpha.shape
    reach = 0.12 * float(np.ptp(np.flatnonzero((alpha >= 128).any(axis=1))))
    bad = []
    for joint in NEEDED:
        x, y = joints[joint]
        inside = 0 <= x < width and 0 <= y < height
        if not inside or outside[int(y), int(x)] > reach:
            bad.append(BODY_POINTS[joint])
    if bad:
        msg = (
            f"the joints {', '.join(bad)} of {name}'s reference lie outside the person; "
            "they must be pixels of this very picture: place them again or let them be estimated"
        )
        raise RequestRefused(msg)


def _cropped(
    image: NDArray[np.uint8], alpha: NDArray[np.uint8], joints: Floats
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]:
    """Cut to the person with a rim of 8 px."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    rim = 8
    padded = cv2.copyMakeBorder(image, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
    clear = cv2.copyMakeBorder(alpha, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=0)
    box = slice(rows[0], rows[-1] + 1 + 2 * rim), slice(columns[0], columns[-1] + 1 + 2 * rim)
    moved = joints - (columns[0] - rim, rows[0] - rim)
    return np.ascontiguousarray(padded[box]), np.ascontiguousarray(clear[box]), moved


def _bled(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with ``alpha``, and its opaque colours spread outwards over the soft edge."""
    solid = (alpha >= 250).astype(np.uint8)
    spread = image.copy()
    spread[..., 3] = alpha
    if not solid.any():
        return spread
    _, labels = cv2.distanceTransformWithLabels(1 - solid, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    table[labels[solid > 0]] = image[solid > 0][:, :3]
    edge = (solid == 0) & (alpha < 250)
    spread[edge, :3] = table[labels[edge]]
    return spread
