"""What kind of rig an armature is, and its joints as ``Node``s: which control to key, which bone to measure.

Needs no bpy: an armature object is anything with ``name`` and ``data.bones``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np

from ..capture import bonemap
from ..capture.params import CaptureProblem
from ..problems import UserProblem
from ..words import noted, tr
from . import joints, soles
from .turns import Array, unit

CONTROLS = Path(__file__).resolve().parent / "controls"
TITLES = {
    "rigify_control": noted("Rigify control rig"),
    "auto_rig_pro_control": noted("Auto-Rig Pro control rig"),
    "rigify": noted("Rigify metarig or deform bones"),
    "mixamo": "Mixamo",
    "makehuman": noted("MakeHuman or MPFB"),
    "cmu": noted("CMU motion capture"),
    "bvh": noted("BVH with Poser names"),
    "unreal": noted("Unreal mannequin"),
    "vrm": noted("VRM (VRoid)"),
    "vrm_humanoid": noted("VRM or Unity humanoid"),
    "auto_rig_pro": noted("Auto-Rig Pro deform bones"),
    "daz": noted("Daz Genesis 8"),
    "daz9": noted("Daz Genesis 9"),
    "character_creator": noted("Character Creator"),
    "unknown": noted("Unknown: found by its shape"),
}
STANDING = 0.08  # of the hip height: a rig whose soles are this near its origin stands on it
MIDDLE = ("hips", "spine", "chest", "neck", "head")


@dataclass(frozen=True)
class Node:
    """A joint of the rig. Its turn is that of the file's joint ``first``, ``share`` of the way to that of ``second``.

    ``control`` is the bone that is keyed and ``measure`` the bone that shows the result (the same on plain rigs).
    ``twist`` nodes take ``share`` of the second joint's turn about the first one's bone. ``parent`` -1 for the hips.
    ``mode`` where IK leads limbs: "still" is not keyed, "ik" is keyed with its place, "pole" and what the bone of
    ``first`` carried in rest ("carried") with their places alone.
    """

    name: str
    control: str
    measure: str
    parent: int
    first: str
    second: str
    share: float
    twist: bool = False
    mode: str = ""


@dataclass(frozen=True)
class Switch:
    """A custom property of a bone that chooses between IK and FK, and its value for FK."""

    bone: str
    prop: str
    value: float


@dataclass(frozen=True)
class Rig:
    """Rest pose of the nodes in canonical axes (left +X, up +Z, facing -Y) and the armature's own units.

    ``axes`` (3,3): its columns are the canonical axes in the armature's space. ``head`` and ``tail`` (N,3) of the
    measured bones; ``ground`` height of the soles; ``controls`` (N,3,3) rest rotation of the keyed bones in the
    armature's space. ``standing``: whether the rest pose stands on the ground; else
    the ground is at the armature's origin.
    """

    name: str
    family: str
    nodes: tuple[Node, ...]
    axes: Array
    head: Array
    tail: Array
    ground: float
    standing: bool
    controls: Array
    switches: tuple[Switch, ...]
    confidence: dict[str, float]

    @property
    def title(self) -> str:
        """The kind of rig in words."""
        return tr(TITLES.get(self.family, self.family))

    @property
    def floor(self) -> float:
        """Height of the ground under the moving rig."""
        return self.ground if self.standing else 0.0

    def find(self, name: str) -> int:
        """Row of the node of that name; -1."""
        return next((i for i, node in enumerate(self.nodes) if node.name == name), -1)


@lru_cache(maxsize=1)
def control_families() -> tuple[dict[str, Any], ...]:
    """Every control rig that is known, from ``controls/*.json``."""
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in sorted(CONTROLS.glob("*.json")))


def read_rig(armature: Any, overrides: dict[str, str] | None = None, limbs: str = "FK") -> Rig:
    """The rig of an armature object. ``overrides``: joint of the bone maps -> bone, as the user corrected them;
    ``limbs``: what of a control rig is keyed, "FK", "IK" or its "DEFORM" bones. Raises UserProblem when there is no
    person in it."""
    bones = armature.data.bones
    if not len(bones):
        msg = tr("{name} has no bones: choose a character's armature.", name=armature.name)
        raise UserProblem(msg)
    try:
        found = bonemap.find_bone_map(armature, overrides)
    except CaptureProblem as problem:
        raise UserProblem(str(problem)) from problem
    family = next((each for each in control_families() if all(name in bones for name in each["needs"])), None)
    if family is not None and limbs == "IK" and not any("ik" in line for line in family["nodes"]):
        msg = f"{armature.name} can be keyed by its FK controls or its deform bones, not by IK: choose one of them."
        raise UserProblem(msg)
    if family is not None and limbs != "DEFORM":
        nodes, switches = _control_nodes(family, bones, limbs)
        return _build(armature, family["family"], nodes, switches, found)
    return _build(armature, found.family, _plain_nodes(bones, found.bones), (), found)


def _plain_nodes(bones: Any, found: dict[str, str]) -> list[Node]:
    """Nodes of a rig whose bones are keyed themselves, parents first."""
    drives: dict[str, tuple[str, str, str, float, bool]] = {}  # bone -> name, first, second, share, twist
    for joint, bone in found.items():
        name = joints.FROM_MAP.get(joint)
        if name is not None:
            drives.setdefault(bone, (name, name, name, 0.0, False))
    for name, bone, first, second, share in _spine(bones, found):
        drives.setdefault(bone, (name, first, second, share, False))
    for name, bone, first, second, share in _twists(bones, found):
        drives.setdefault(bone, (name, first, second, share, True))
    order = {bone.name: i for i, bone in enumerate(bones)}
    depth = {name: len(_above(bones, name)) for name in drives}
    rows: dict[str, int] = {}
    nodes: list[Node] = []
    hips = found.get("hips", "")
    for bone in sorted(drives, key=lambda each: (each != hips, depth[each], order[each])):
        above = next((each for each in _above(bones, bone) if each in rows), None)
        parent = -1 if bone == hips else rows[above] if above else 0
        name, first, second, share, twist = drives[bone]
        rows[bone] = len(nodes)
        nodes.append(Node(name, bone, bone, parent, first, second, share, twist))
    return nodes


def _above(bones: Any, name: str) -> list[str]:
    """Ancestors of a bone, nearest first."""
    found, bone = [], bones[name].parent
    while bone is not None:
        found.append(bone.name)
        bone = bone.parent
    return found


def _path(bones: Any, top: str, bottom: str) -> list[str]:
    """Bones between an ancestor and a descendant, from above, neither included; empty when they are not in line."""
    line = _above(bones, bottom)
    return line[: line.index(top)][::-1] if top in line else []


def _spine(bones: Any, found: dict[str, str]) -> list[tuple[str, str, str, str, float]]:
    """Bones between hips and chest, and neck and head, share the bend: name, bone, first, second joint, share."""
    made = []
    if "hips" in found and "chest" in found:
        line = _path(bones, found["hips"], found["chest"])
        for n, bone in enumerate(line):
            at = 2.0 * (n + 1) / (len(line) + 1)
            name = "spine" if 2 * n + 1 == len(line) else f"spine#{n + 1}"
            ends = ("hips", "spine", at) if at <= 1.0 else ("spine", "chest", at - 1.0)
            made.append((name, bone, *ends))
    if "neck" in found and "head" in found:
        line = _path(bones, found["neck"], found["head"])
        made += [(f"neck#{n + 1}", bone, "neck", "head", (n + 1) / (len(line) + 1)) for n, bone in enumerate(line)]
    return made


def _twists(bones: Any, found: dict[str, str]) -> list[tuple[str, str, str, str, float]]:
    """Forearm bones that share the hand's twist: those between elbow and wrist, and loose ones named so."""
    made = []
    for side, word in (("L", "left"), ("R", "right")):
        arm, hand = found.get(f"forearm.{side}"), found.get(f"hand.{side}")
        if arm is None or hand is None:
            continue
        line = _path(bones, arm, hand)
        shares = {bone: (n + 1) / (len(line) + 1) for n, bone in enumerate(line)}
        for child in bones[arm].children:
            if child.name not in shares and not child.children and "twist" in child.name.lower():
                shares[child.name] = 0.5
        for n, (bone, share) in enumerate(shares.items()):
            made.append((f"{word}LowerArm#{n + 1}", bone, f"{word}LowerArm", f"{word}Hand", share))
    return made


def _control_nodes(family: dict[str, Any], bones: Any, limbs: str) -> tuple[list[Node], tuple[Switch, ...]]:
    """Nodes of a control rig, in the order of its file; ``{s}`` stands for the side."""
    rows: dict[str, int] = {}
    nodes: list[Node] = []
    for line in family["nodes"]:
        if "beside" in line and line["beside"] not in bones:
            continue  # this one takes the other's part
        names, mode, seen = line["control"], "", line.get("measure", ())
        if limbs == "IK" and "ik" in line:
            names, mode, seen = [line["ik"][0]], line["ik"][1], [*line.get("measure_ik", ()), *seen]
        for word, side in family["sides"].items() if "{S}" in line["joint"] else (("", ""),):
            joint = line["joint"].replace("{S}", word)
            control = _first(bones, [name.replace("{s}", side) for name in names])
            if control is None:
                continue
            measure = _first(bones, [name.replace("{s}", side) for name in seen]) or control
            first = line.get("first", joint).replace("{S}", word)
            second = line.get("second", first).replace("{S}", word)
            parent = -1 if not nodes else rows.get(line.get("parent", ""), _canonical_parent(joint, rows))
            rows[joint] = len(nodes)
            share = float(line.get("share", 0.0))
            nodes.append(Node(joint, control, measure, parent, first, second, share, mode=mode))
    switches = [
        Switch(each["bone"].replace("{s}", side), each["property"], float(each[limbs.lower()]))
        for each in family["switches"]
        if limbs.lower() in each
        for side in family["sides"].values()
    ]
    return nodes, tuple(each for each in switches if each.bone in bones)


def _first(bones: Any, names: list[str]) -> str | None:
    return next((name for name in names if name in bones), None)


def _canonical_parent(joint: str, rows: dict[str, int]) -> int:
    """The nearest joint above that the rig has; of several bones of the spine the last."""
    name = joint
    while name:
        name = joints.PARENT_NAMES[joints.INDEX[name]] if name in joints.INDEX else name.partition("#")[0]
        if name in rows:
            return rows[name]
    return 0


def _build(armature: Any, family: str, nodes: list[Node], switches: tuple[Switch, ...], found: bonemap.BoneMap) -> Rig:
    bones = armature.data.bones
    measured = [bones[node.measure] for node in nodes]
    head = np.array([bone.head_local for bone in measured], float)
    tail = np.array([bone.tail_local for bone in measured], float)
    axes = rest_axes({node.name: head[i] for i, node in enumerate(nodes)})
    feet = [i for i, node in enumerate(nodes) if node.name.endswith(("Foot", "Toes", "LowerLeg"))]
    low = np.concatenate([head[feet], tail[feet]]) @ axes
    ground = soles.lowest(armature, axes, low) if feet else 0.0
    rest = np.array([np.array(bones[node.control].matrix_local, float)[:3, :3] for node in nodes])
    hips = next((i for i, node in enumerate(nodes) if node.name == "hips"), None)
    if hips is None or not any(node.name.endswith("UpperLeg") for node in nodes):
        msg = tr("{name} has no hips or legs that can be keyed: choose them in the bone map.", name=armature.name)
        raise UserProblem(msg)
    height = float((head[hips] @ axes)[2]) - ground
    standing = abs(ground) <= STANDING * max(height, 1e-6) or _lifted(armature, axes, ground, height)
    return Rig(
        armature.name, family, tuple(nodes), axes, head @ axes, tail @ axes, ground, standing,
        rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-9), switches, dict(found.confidence),
    )  # fmt: skip


def _lifted(armature: Any, axes: Array, ground: float, height: float) -> bool:
    """Whether the object is moved so that the soles of its rest pose are on the scene's floor."""
    matrix = getattr(armature, "matrix_world", None)
    if matrix is None:
        return False
    world = np.array(matrix, float)
    sole = world[:3, :3] @ axes @ np.array([0.0, 0.0, ground]) + world[:3, 3]
    size = float(np.linalg.norm(world[:3, :3] @ axes[:, 2])) * height
    return bool(np.linalg.norm(world[:3, 3]) > 1e-6 and abs(sole[2]) <= STANDING * size)


def rest_axes(head: dict[str, Array]) -> Array:
    """Left, back and up of a rest pose in the armature's axes: the nearest of the 24 upright ways to stand."""
    pairs = [(head[f"left{x}"], head[f"right{x}"]) for x in ("UpperLeg", "UpperArm") if f"left{x}" in head]
    left = unit(np.sum([a - b for a, b in pairs if b is not None], axis=0))
    knees = [head[name] for name in ("leftLowerLeg", "rightLowerLeg") if name in head]
    up = unit(head["hips"] - np.mean(knees, axis=0)) if knees else np.array([0.0, 0.0, 1.0])
    best, best_score = np.eye(3), -np.inf
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            axes = np.zeros((3, 3))
            for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
                axes[row, column] = sign
            score = float(axes[:, 0] @ left + axes[:, 2] @ up)
            if np.linalg.det(axes) > 0 and score > best_score + 1e-9:
                best, best_score = axes, score
    return best
