"""From tracks of people to a pose file: gaps bridged, smoothed, solved, placed, feet held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_models.engine import RequestRefused

from . import filters, place, turns
from . import fit as fitting
from .contacts import ContactSettings, Ground, feet, find_contacts, lock, settle, speeds
from .estimator import every_frame
from .filters import Smoothing
from .joints import EARS, HAND_LANDMARKS, INDEX, JOINTS, MP, SIDES, Lengths, soles
from .posefile import CameraPath, Person, PoseFile
from .sight import LEAST_SEEN, Clip, Sight, between, confidence, gather, prepare
from .solve import Solved, measure, middle, solve
from .tracks import Track

F64 = NDArray[np.float64]
HEIGHTS = (0.3, 3.0)
_FEET_SEEN = 0.5
_DEPTHS_HZ = 3.0  # of what the picture says about depths, which it hardly knows where a bone lies across the view
_FITS = 2  # the bones' lengths follow from the first


@dataclass(frozen=True)
class PoseOptions:
    """How a clip becomes a pose file. ``person`` as in ``tracks.choose``; ``height`` metres, None = by the feet or the
    estimator. ``gap_s``: gaps up to so many seconds are bridged. ``smoothing`` None = as it was seen.
    ``field_of_view``: degrees along the longer side, for a camera that nobody knows. ``models``: a folder with the
    model files. ``people``: at most so many at once.
    """

    estimator: str = "mediapipe"
    models: Path | None = None
    fps: float | None = None
    frames: int | None = None
    person: str = "all"
    people: int = 2
    height: float | None = None
    hands: bool = True
    face: bool = True
    camera: CameraPath | None = None
    field_of_view: float = place.FIELD_OF_VIEW
    smoothing: Smoothing | None = field(default_factory=Smoothing)
    gap_s: float = 0.5
    limits: bool = True
    hold_feet: bool = True
    contacts: ContactSettings = field(default_factory=ContactSettings)

    def check(self) -> None:
        """Raise RequestRefused for numbers that cannot be."""
        if self.height is not None and not HEIGHTS[0] <= self.height <= HEIGHTS[1]:
            problem = f"a height of {self.height:g} m was given: {HEIGHTS[0]:g} to {HEIGHTS[1]:g} are possible"
            raise RequestRefused(problem)
        if not 1 <= self.field_of_view <= 170:
            problem = f"a field of view of {self.field_of_view:g} degrees was given: 1 to 170 are possible"
            raise RequestRefused(problem)
        if not 1 <= self.people <= 10:
            problem = f"{self.people} people at once were asked for: 1 to 10 are possible"
            raise RequestRefused(problem)


def build(clip: Clip, tracks: Sequence[Track], options: PoseOptions) -> PoseFile:
    """The pose file of the chosen tracks. Raises RequestRefused for a camera of another length."""
    camera = options.camera or place.guessed(clip.width, clip.height, clip.frames, options.field_of_view)
    if len(camera.intrinsics) != clip.frames:
        if len(camera.intrinsics) < clip.frames:
            problem = (
                f"the camera has {len(camera.intrinsics)} frames and the clip {clip.frames}: they must be the same"
            )
            raise RequestRefused(problem)
        camera = place.part_of(camera, 0, clip.frames - 1)
    warnings = list(clip.warnings)
    sights = [gather(track, clip, camera, options.gap_s, warnings) for track in tracks]
    solved = [_solve(sight, clip, options, warnings) for sight in sights]
    if camera.guessed:
        camera, solved = _level(sights, solved, camera, clip.fps, options)
    people = [
        _finish(sight, body, clip, camera, options=options, warnings=warnings)
        for sight, body in zip(sights, solved, strict=True)
    ]
    return PoseFile(
        fps=clip.fps,
        frames=clip.frames,
        source=clip.source,
        estimator=clip.estimator,
        space="camera" if camera.guessed else "world",
        people=people,
        camera=camera,
        blendshapes=clip.blendshapes,
        filters=_settings(options),
        warnings=warnings,
        cuts=list(clip.cuts),
    )


def _settings(options: PoseOptions) -> dict[str, Any]:
    return {
        "smoothing": {"kind": "weighted", **asdict(options.smoothing)} if options.smoothing else None,
        "gap_s": options.gap_s,
        "joint_limits": options.limits,
        "feet": asdict(options.contacts) if options.hold_feet else None,
        "field_of_view": options.field_of_view if options.camera is None else None,
        "height": options.height,
    }


def _solve(sight: Sight, clip: Clip, options: PoseOptions, warnings: list[str]) -> Solved:
    prepare(sight, clip, options.smoothing)
    lengths = measure(sight.points, sight.world[..., 3], sight.turned)
    factor = options.height / lengths.height if options.height else 1.0
    body = _placed(sight, lengths, factor, clip.fps, options)
    if not sight.camera.guessed and options.height is None:
        body = _by_ground(body, sight, clip.fps, options, warnings)
    _tell(sight, body, warnings)
    return body


def _placed(sight: Sight, lengths: Lengths, factor: float, fps: float, options: PoseOptions) -> Solved:
    lengths, points = lengths.scaled(factor), sight.points * factor
    for _ in range(_FITS):
        root = _root(solve(points, lengths, sight.turned, options.limits, sight.heads), sight, fps, options)
        points = points - middle(points, "Hip")[:, None] + root[:, None]
        points = _fitted(points, lengths, sight, fps, options.smoothing)
        seen = measure(points, sight.marks[..., 3], sight.turned)
        lengths = seen.scaled(options.height / seen.height) if options.height else seen
    body = solve(points, lengths, sight.turned, options.limits, sight.heads)
    body.root = _root(body, sight, fps, options)
    return body


def _root(body: Solved, sight: Sight, fps: float, options: PoseOptions) -> F64:
    offsets = body.points() - body.root[:, None]
    return place.place_root(offsets, sight.marks, sight.camera, fps, options.smoothing)


def _fitted(points: F64, lengths: Lengths, sight: Sight, fps: float, smoothing: Smoothing | None) -> F64:
    """World points (T,33,3) where the picture shows them."""
    camera = sight.camera
    eye = camera.world_from_camera[:, None, :3, 3]
    local = place.from_world(points - eye, camera)
    rays = place.rays(sight.marks[..., :2], camera)
    sure = np.maximum(sight.marks[..., 3], LEAST_SEEN) ** 2
    before = fitting.gathered(local)
    moved = fitting.fit(
        before,
        fitting.gathered(rays),
        fitting.gathered(sure),
        lengths,
        perspective=camera.kind == "perspective",
        trust=fitting.Trust(),
    )
    moves = moved - before
    if smoothing is not None:
        away = filters.weighted(moves[..., 2:], np.ones(moves.shape[:2]), fps, min(_DEPTHS_HZ, smoothing.cutoff))
        moves[..., 2:] = away
    return place.to_world(fitting.spread(local, moves), camera) + eye


def _by_ground(body: Solved, sight: Sight, fps: float, options: PoseOptions, warnings: list[str]) -> Solved:
    """The body as large as it must be to stand on z = 0 of the known scene, if that can be told and is plausible."""
    index, standing = _standing(body, sight, fps)
    factor = place.ground_scale(standing, _frames_of(sight.camera, index)) if len(index) else None
    if factor is None or not 0.6 <= factor <= 1.6:
        warnings.append(
            f"The height of person {sight.track.id} cannot be told from the camera and the ground at z = 0: "
            f"{body.lengths.height:.2f} m is the estimator's guess; give the height if it matters."
        )
        return body
    return _placed(sight, body.lengths, factor, fps, options)


def _frames_of(camera: CameraPath, index: NDArray[np.intp]) -> CameraPath:
    return CameraPath(camera.world_from_camera[index], camera.intrinsics[index], camera.kind, camera.guessed)


def _standing(body: Solved, sight: Sight, fps: float) -> tuple[NDArray[np.intp], F64]:
    """Frames in which a foot seems to stand, and where (N,3): the lower of the two feet, while it is slow."""
    points = feet(body)
    view = turns.unit(body.root - sight.camera.world_from_camera[:, :3, 3])
    slow = speeds(points, fps, view)
    lowest = points[..., 2].argmin(axis=1)
    frames = np.arange(len(points))
    slow = np.where(sight.known, slow[frames, lowest], np.inf)
    quiet = slow <= max(0.5, float(np.quantile(slow[sight.known], 0.25)))
    return frames[quiet], points[frames[quiet], lowest[quiet]]


def _tell(sight: Sight, body: Solved, warnings: list[str]) -> None:
    name = f"Person {sight.track.id}"
    up = body.turns[:, INDEX["chest"]][:, :, 2]
    if float(np.median(up[:, 2])) < -0.3 and sight.camera.guessed:
        warnings.append(
            f"{name} is upside down in most frames: if the film is, turn it the right way up and try again."
        )
    ankles = sight.landmarks[:, [MP["leftAnkle"], MP["rightAnkle"]], 3]
    if float(np.median(ankles)) < _FEET_SEEN:
        warnings.append(f"The feet of {name.lower()} are seldom seen: the legs and the distance are a guess.")


def _level(
    sights: Sequence[Sight], bodies: Sequence[Solved], camera: CameraPath, fps: float, options: PoseOptions
) -> tuple[CameraPath, list[Solved]]:
    """Turn and lift the guessed world so that feet stand level and the first person's at z = 0."""
    stands = [_standing(body, sight, fps) for body, sight in zip(bodies, sights, strict=True)]
    axes = [_axes(body)[index] for body, (index, _) in zip(bodies, stands, strict=True)]
    first = place.upright(np.concatenate(axes))
    turn = place.level([_steps(index, points) @ first.T for index, points in stands]) @ first
    groups = [points for _, points in stands]
    bodies = [replace(body, turns=turn @ body.turns, root=body.root @ turn.T) for body in bodies]
    eye = camera.world_from_camera[0, :3, 3] @ turn.T  # a guessed camera does not move
    floors = [
        _floor(body, turns.unit(body.root - eye), fps, options, float(start))
        for body, sight, start in zip(bodies, sights, (np.median(each @ turn[2]) for each in groups), strict=True)
    ]
    lift = np.array([0.0, 0.0, -floors[0]])
    for sight, floor in zip(sights, floors, strict=True):
        sight.floor = floor - floors[0]
    world = camera.world_from_camera.copy()
    world[:, :3, :3] = turn @ world[:, :3, :3]
    world[:, :3, 3] = world[:, :3, 3] @ turn.T + lift
    for sight in sights:
        sight.turned = {side: hand @ turn.T for side, hand in sight.turned.items()}
    moved = [replace(body, root=body.root + lift) for body in bodies]
    return CameraPath(world, camera.intrinsics, camera.kind, camera.guessed), moved


def _axes(body: Solved) -> F64:
    """(n,3) from the ankles to the ears."""
    points = body.points()
    return np.asarray(points[:, list(EARS)].mean(axis=1) - middle(points, "Ankle"))


def _steps(index: NDArray[np.intp], points: F64) -> F64:
    """One point for each stretch of frames: what is wrong about the distance is wrong in all of them alike."""
    parts = np.split(points, np.flatnonzero(np.diff(index) > 1) + 1)
    return np.array([np.median(each, axis=0) for each in parts if len(each)]).reshape(-1, 3)


def _finish(
    sight: Sight, body: Solved, clip: Clip, camera: CameraPath, *, options: PoseOptions, warnings: list[str]
) -> Person:
    contact = np.zeros((len(body.root), 4), bool)
    if options.hold_feet:
        view = _view(body, camera, sight)
        floor = sight.floor if options.camera is None else _own_floor(body, sight, view, clip.fps, options)
        ground = Ground(floor, body.lengths.height, clip.fps, view if options.smoothing else None)
        contact = find_contacts(feet(body), ground, options.contacts)
        contact &= (sight.known | sight.filled)[:, None]
        body = replace(body, root=body.root + settle(feet(body), contact, ground))
        body = lock(body, contact, ground, options.contacts)
        if clip.frames > 1 and not contact.any():
            warnings.append(
                f"No foot of person {sight.track.id} stands still anywhere: nothing holds the feet in place."
            )
    return _person(sight, body, contact, clip)


def _view(body: Solved, camera: CameraPath, sight: Sight) -> F64:
    """(n,3) from the camera to the person."""
    return turns.unit(body.root - camera.world_from_camera[sight.first : sight.last + 1, :3, 3])


def _floor(body: Solved, view: F64, fps: float, options: PoseOptions, start: float) -> float:
    """The height of the points that stand, which the lower foot's, ``start``, is a little under."""
    points, floor = feet(body), start
    for _ in range(2):
        contact = find_contacts(points, Ground(floor, body.lengths.height, fps, view), options.contacts)
        if contact.any():
            floor = float(np.median(points[..., 2][contact]))
    return floor


def _own_floor(body: Solved, sight: Sight, view: F64, fps: float, options: PoseOptions) -> float:
    """The height on which the person stands; z = 0 where that is nearly it."""
    _, standing = _standing(body, sight, fps)
    start = float(np.median(standing[:, 2])) if len(standing) else 0.0
    height = _floor(body, view, fps, options, start)
    return 0.0 if abs(height) < 0.15 else height


def _person(sight: Sight, body: Solved, contact: NDArray[np.bool_], clip: Clip) -> Person:
    before, after = sight.first, clip.frames - 1 - sight.last

    def padded(array: NDArray[Any], kind: type[Any] = np.float32, fill: Any = "edge") -> NDArray[Any]:  # noqa: ANN401
        widths = [(before, after)] + [(0, 0)] * (array.ndim - 1)
        if fill == "edge":
            return np.pad(array, widths, mode="edge").astype(kind)
        return np.pad(array.astype(kind), widths, constant_values=fill)

    track, lengths = sight.track, body.lengths
    raw = np.where(sight.known[:, None, None], sight.landmarks, np.nan)
    raw_world = np.where(sight.known[:, None, None], sight.world, np.nan)
    hands = {
        side: np.stack([_or_nan(getattr(track.seen.get(frame), f"{side}_hand", None), (HAND_LANDMARKS, 3))
                        for frame in range(sight.first, sight.last + 1)])
        for side in SIDES
    }  # fmt: skip
    shapes = len(clip.blendshapes)
    face = between(
        np.stack(
            [
                _or_nan(getattr(track.seen.get(frame), "face", None), (shapes,))
                for frame in range(sight.first, sight.last + 1)
            ]
        ).astype(np.float64),
        every_frame(clip.fps) - 1,
    )
    return Person(
        id=track.id, name=f"person {track.id}", height=round(float(lengths.height), 4), first=sight.first,
        last=sight.last, rest=body.rest.astype(np.float32),
        rotation=padded(turns.quaternions(body.turns)), root=padded(body.root), position=padded(body.positions()),
        confidence=padded(confidence(sight), fill=0.0),
        filled=padded(np.repeat(sight.filled[:, None], len(JOINTS), 1), bool, False),
        contact=padded(contact, bool, False), landmarks=padded(raw, fill=np.nan), world=padded(raw_world, fill=np.nan),
        left_hand=padded(hands["left"], fill=np.nan), right_hand=padded(hands["right"], fill=np.nan),
        face=padded(face, fill=np.nan),
        soles={name: (float(at[0]), float(at[1]), float(at[2])) for name, at in soles(lengths).items()},
    )  # fmt: skip


def _or_nan(array: NDArray[np.float32] | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.full(shape, np.nan, np.float32) if array is None or array.shape != shape else array
