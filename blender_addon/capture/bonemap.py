"""Which bone of a rig is which joint: by the names of known rig families, else by hierarchy and geometry.

Canonical joints: hips, chest, neck, head, and with ``.L``/``.R`` clavicle, upper_arm, forearm, hand, thigh, shin,
foot, toe, eye, thumb.1 to pinky.3; a joint is where its bone starts. Left and right are the character's own.
The families are data: ``retarget/maps/*.json``. Needs no bpy: an armature object is anything with ``data.bones``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..words import tr
from .hierarchy import guess_bones
from .params import CaptureProblem

if TYPE_CHECKING:
    import bpy

MAPS = Path(__file__).resolve().parent.parent / "retarget" / "maps"
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
CORE = (
    "hips",
    "head",
    *(f"{bone}.{side}" for bone in ("upper_arm", "forearm", "hand", "thigh", "shin", "foot") for side in "LR"),
)
NEEDED = tuple(f"{bone}.{side}" for bone in ("upper_arm", "forearm", "thigh", "shin") for side in "LR")
BY_NAME, BY_ALTERNATIVE, BY_GEOMETRY = 1.0, 0.9, 0.6
"""Confidence by how a bone was found."""
OPTIONAL = (
    "chest",
    "neck",
    *(f"{bone}.{side}" for bone in ("clavicle", "toe", "eye") for side in "LR"),
    *(f"{finger}.{n}.{side}" for side in "LR" for finger in FINGERS for n in (1, 2, 3)),
)
JOINTS = (*CORE, *OPTIONAL)
"""Every canonical joint."""


@dataclass(frozen=True)
class BoneMap:
    """``bones`` canonical joint -> bone name; ``confidence`` canonical joint -> 0..1 (1 = the family's own name,
    0.9 = an alternative name, 0.6 = found by geometry). ``derived`` lists pose points computed from other bones
    by the offset table (``offsets.py``), ``missing`` canonical joints the rig does not have. ``yours`` are the joints
    that were not found but told (with no bone, they are ``missing`` too), ``stale`` those told to be a bone that the
    rig does not have.
    """

    family: str
    bones: dict[str, str]
    confidence: dict[str, float]
    derived: tuple[str, ...] = field(default=())
    missing: tuple[str, ...] = field(default=())
    yours: frozenset[str] = field(default=frozenset())
    stale: dict[str, str] = field(default_factory=dict)

    def how(self, joint: str) -> str:
        """How a joint's bone was found: "yours", "name", "alternative", "geometry", or "none"."""
        if joint in self.yours:
            return "yours"
        if joint not in self.bones:
            return "none"
        confidence = self.confidence[joint]
        return "name" if confidence >= BY_NAME else "alternative" if confidence >= BY_ALTERNATIVE else "geometry"

    def absent(self) -> list[str]:
        """The joints that are needed and have no bone: without them nothing can be captured."""
        return [joint for joint in NEEDED if joint not in self.bones]


@dataclass(frozen=True)
class Family:
    """One file of ``retarget/maps``: joint -> bone names to try, each prefix in order; a rig with a bone
    named in ``never`` is of another family."""

    name: str
    prefixes: tuple[str, ...]
    never: frozenset[str]
    bones: dict[str, tuple[str, ...]]


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """Every known rig family, in the order of their file names."""
    return tuple(read_family(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(MAPS.glob("*.json")))


def read_family(data: Mapping[str, Any]) -> Family:
    """A family from what its file says. KeyError, TypeError or AttributeError where that is no such file."""
    bones: dict[str, tuple[str, ...]] = {}
    for joint, names in data["bones"].items():
        if not joint.endswith(".S"):
            bones[joint] = tuple(names)
            continue
        for side, word in data["sides"].items():
            bones[joint[:-1] + side] = tuple(name.replace("{s}", word) for name in names)
    return Family(data["family"], tuple(data["prefixes"]), frozenset(data["never"]), bones)


def match_family(family: Family, names: Mapping[str, str]) -> tuple[dict[str, str], dict[str, float]]:
    """The family's joints found among ``names`` (namespace-stripped name -> bone name), with confidences."""
    bones: dict[str, str] = {}
    confidence: dict[str, float] = {}
    for joint, candidates in family.bones.items():
        tries = ((prefix + name, rank) for rank, name in enumerate(candidates) for prefix in family.prefixes)
        for name, rank in tries:
            if name in names:
                bones[joint], confidence[joint] = names[name], BY_NAME if rank == 0 else BY_ALTERNATIVE
                break
    return bones, confidence


def strip_namespaces(names: list[str]) -> dict[str, str]:
    """Full names first, then without a ``namespace:`` or ``Armature|`` in front; the first bone of a name wins."""
    stripped = {name: name for name in names}
    for name in names:
        bare = name.replace("|", ":").rsplit(":", 1)[-1]
        stripped.setdefault(bare, name)
    return stripped


def _by_names(names: list[str]) -> tuple[str, dict[str, str], dict[str, float]]:
    lookup = strip_namespaces(names)
    best: tuple[str, dict[str, str], dict[str, float]] = ("unknown", {}, {})
    best_score = (0, 0)
    for family in families():
        if not family.never.isdisjoint(lookup):
            continue
        bones, confidence = match_family(family, lookup)
        score = (sum(joint in bones for joint in CORE), len(bones))
        if score > best_score:
            best, best_score = (family.name, bones, confidence), score
    return best


def find_bone_map(armature_object: bpy.types.Object, overrides: Mapping[str, str] | None = None) -> BoneMap:
    """The bone map of an armature object. ``overrides`` (canonical joint -> bone name, "" = none) win.

    Raises CaptureProblem when arms and legs cannot be recognised, or an override names no bone of the rig.
    """
    found = look_for_bones(armature_object, overrides)
    for joint, name in found.stale.items():
        msg = tr(
            "The bone map of {rig} names {name!r} for {joint}: the rig has no such bone.",
            rig=armature_object.name,
            name=name,
            joint=joint,
        )
        raise CaptureProblem(msg)
    absent = found.absent()
    if absent:
        msg = tr(
            "{rig} has no bones that Wanstage recognises as a person's ({names} and "
            "others are missing): use a humanoid rig, choose its bones in Bone Map, or set its "
            "role to Kept under Characters.",
            rig=armature_object.name,
            names=", ".join(absent[:3]),
        )
        raise CaptureProblem(msg)
    return found


def look_for_bones(armature_object: bpy.types.Object, overrides: Mapping[str, str] | None = None) -> BoneMap:
    """As ``find_bone_map``, with as much as there is: for showing and mending a map. Raises nothing."""
    bones_of_rig = armature_object.data.bones
    family, bones, confidence = _by_names([bone.name for bone in bones_of_rig])
    if sum(joint in bones for joint in CORE) < len(CORE):
        guessed = guess_bones(bones_of_rig)
        if sum(joint in bones for joint in NEEDED) < len(NEEDED):
            family, bones, confidence = "unknown", {}, {}
        for joint, name in guessed.items():
            if joint not in bones:
                bones[joint], confidence[joint] = name, BY_GEOMETRY
    stale = {}
    for joint, name in (overrides or {}).items():
        bones.pop(joint, None)
        confidence.pop(joint, None)
        if name in bones_of_rig:
            bones[joint], confidence[joint] = name, BY_NAME
        elif name:
            stale[joint] = name
    missing = tuple(joint for joint in JOINTS if joint not in bones)
    yours = frozenset(overrides or ())
    return BoneMap(family, bones, confidence, derived_points(bones), missing, yours, stale)


def derived_points(bones: Mapping[str, str]) -> tuple[str, ...]:
    """The pose points that a rig with these joints lacks and the offset table supplies."""
    points = ["neck", "nose", "ear.R", "ear.L"]
    for side in "RL":
        for point, joint in (("eye", "eye"), ("toe", "toe"), ("wrist", "hand"), ("ankle", "foot")):
            if f"{joint}.{side}" not in bones:
                points.append(f"{point}.{side}")
        points += [
            f"{finger}.4.{side}" for finger in FINGERS if f"{finger}.3.{side}" in bones or f"{finger}.2.{side}" in bones
        ]
    return tuple(points)
