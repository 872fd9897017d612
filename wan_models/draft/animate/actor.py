"""One character with a reference, frame by frame: pose the puppet, order its pieces, paint them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.requests import CameraTrack, Character

from .composite import Scene, paint, paint_shadow
from .depth_order import paint_order, unit_depths
from .head import HeadView
from .joints import Person
from .motion import Motion, motion_of
from .puppet import Posed, Puppet, Unit
from .raster import bounds, draw, triangle_map
from .skeleton import BONES, HEAD, SHOULDER_L, SHOULDER_R, TORSO, Floats
from .skin import Pose


@dataclass(frozen=True)
class _Piece:
    """One unit in one frame: its texture, and its triangles' corners (T,3,2) on screen."""

    unit: Unit
    texture: NDArray[np.uint8]
    corners: Floats


class Actor:
    """``person`` is the reference found, ``character`` the track to follow."""

    def __init__(self, character: Character, person: Person, camera: CameraTrack | None) -> None:
        self.character = character
        motion = motion_of(character.pose, person.joints, camera)
        # shrink the picture once to its size on screen, so that sampling it never aliases
        factor = float(np.clip(np.percentile(motion.scale, 90), 0.05, 1.0))
        factor = 1.0 if factor > 0.9 else factor
        image, alpha = _resized(person.image, factor), _resized(person.alpha, factor)
        exact = np.array([alpha.shape[1] / person.alpha.shape[1], alpha.shape[0] / person.alpha.shape[0]])
        self.motion: Motion = motion
        self._factor = float(exact.mean())
        self.puppet_image, self.puppet_alpha = image, alpha
        self.puppet = Puppet(image, alpha, person.joints * exact)
        self._units = {unit.name: unit for unit in self.puppet.units}
        self._head = self._head_view()
        self.gains: Floats = np.ones(3)
        self._depth_weights = _depth_weights(self.puppet)
        self._last: Posed | None = None
        self._order: tuple[str, ...] | None = None

    @property
    def color(self) -> Floats:
        """The mean colour (3,) of the person in the picture, 0 to 255."""
        opaque = self.puppet_alpha >= 128
        return np.asarray(self.puppet_image[opaque][:, :3].mean(axis=0) if opaque.any() else np.full(3, 128.0))

    def relight(self, gains: Floats) -> None:
        """Multiply all colours of the person by ``gains`` (3,)."""
        self.gains = self.gains * gains
        factor = np.append(gains, 1.0).astype(np.float32)
        for name, unit in self._units.items():
            views = [np.rint(np.minimum(v * factor, 255)).astype(np.uint8) for v in (unit.front, unit.side, unit.back)]
            self._units[name] = Unit(name, unit.triangles, *views)
        self._head = self._head_view()

    def show_face(self, image: NDArray[np.uint8]) -> None:
        """Draw the head from ``image`` (h,w,3), the whole ``puppet_image`` with another expression and ``gains`` in it,
        from now on."""
        unit = self._units["head"]
        alpha = unit.front[..., 3]
        front = np.dstack([cv2.multiply(image, cv2.merge([alpha] * 3), scale=1.0 / 255.0), alpha])
        self._units["head"] = Unit(unit.name, unit.triangles, front, unit.side, unit.back)
        self._head = self._head_view()

    def _head_view(self) -> HeadView:
        rest = self.puppet.skin.rest
        return HeadView(self._units["head"], rest, 1.0 if rest[SHOULDER_L, 0] >= rest[SHOULDER_R, 0] else -1.0)

    def distance(self, t: int) -> float:
        """Depth of the trunk in frame ``t``, metres."""
        return float(self.motion.depth[t, [2, 5, 8, 11]].mean())

    def pose(self, t: int) -> Posed:
        """The puppet in frame ``t``; frames must be asked in order."""
        motion = self.motion
        pose = Pose(motion.joints[t], float(motion.scale[t]) / self._factor, float(motion.mirror[t]), motion.face_known)
        self._last = self.puppet.pose(pose, self._last)
        return self._last

    def follow(self, t: int) -> None:
        """Frame ``t`` without drawing it: what later frames need of it."""
        if self.motion.drawn[t]:
            self.pose(t)
            self.order(t)

    def order(self, t: int) -> tuple[str, ...]:
        """Names of the pieces far to near in frame ``t``."""
        self._order = paint_order(unit_depths(self.motion.depth[t]), list(self._units), self._order)
        return self._order

    def paint(self, picture: NDArray[np.uint8], t: int, scene: Scene) -> None:
        """Draw frame ``t`` over ``picture`` in place."""
        if not self.motion.drawn[t]:
            return
        posed = self.pose(t)
        motion = self.motion
        joints, depth = motion.joints[t], motion.depth[t]
        shin = float(self.motion.scale[t] / self._factor * self.puppet.skin.lengths[[7, 10]].mean())
        paint_shadow(picture, joints, depth, shin, scene)
        surface = self._depth_weights @ depth
        for name in self.order(t):
            unit = self._units[name]
            texture = self._head.texture(motion.head_yaw[t], posed.mirror) if name == "head" else unit.texture(posed)
            piece = _Piece(unit, texture, posed.points[self.puppet.triangles[unit.triangles]])
            self._paint_piece(picture, piece, surface, scene)

    def _paint_piece(self, picture: NDArray[np.uint8], shape: _Piece, surface: Floats, scene: Scene) -> None:
        triangles, corners = self.puppet.triangles[shape.unit.triangles], shape.corners
        box = bounds(corners, picture.shape[1], picture.shape[0])
        if box[2] <= box[0] or box[3] <= box[1]:
            return
        seen = triangle_map(corners, box)
        piece = draw(shape.texture, self.puppet.rest[triangles], corners, box, seen)
        shown = None
        if scene.depth is not None:
            each = surface[triangles].mean(axis=1)
            depths = np.append(each, each.mean()).astype(np.float32)  # the last is for pixels beside the piece
            shown = scene.hidden(box, depths[seen])
        paint(picture, box, piece, shown)


def _resized(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    if factor >= 1.0:
        return image
    size = (max(round(image.shape[1] * factor), 8), max(round(image.shape[0] * factor), 8))
    if image.ndim == 3:
        # colours weigh by their alpha, or the (often black) surroundings bleed into the edge
        alpha = image[..., 3:].astype(np.float32)
        weighted = cv2.resize(image[..., :3] * alpha, size, interpolation=cv2.INTER_AREA)
        weight = cv2.resize(alpha[..., 0], size, interpolation=cv2.INTER_AREA)
        colour = np.clip(np.rint(weighted / np.maximum(weight, 1.0)[..., None]), 0, 255)
        return np.dstack([colour, weight]).astype(np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _depth_weights(puppet: Puppet) -> Floats:
    """(V,22): the share of each joint's depth in each point's, by the bones that move it."""
    shares = np.zeros((14, 22))
    for bone, (a, b) in enumerate(BONES):
        shares[bone, [a, b]] = 0.5
    shares[TORSO, [2, 5, 8, 11]] = 0.25
    shares[HEAD, [16, 17]] = 0.5
    return np.asarray(puppet.weights @ shares)
