"""Stand-ins for rigs that cannot be shipped: published bone names, other proportions, A-poses, odd rolls and tails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import bpy
from mathutils import Matrix, Vector

FINGERS = ("Thumb", "Index", "Middle", "Ring", "Little")


@dataclass(frozen=True)
class Names:
    """Bone names of a family; ``{s}`` the side, ``{k}`` the phalanx. Lists are chains from above. ``extra``: loose
    bones with their parents."""

    sides: tuple[str, str]
    spine: list[str]
    neck: list[str]
    head: str
    clavicle: str
    upper_arm: list[str]
    forearm: list[str]
    hand: str
    thigh: list[str]
    shin: list[str]
    foot: list[str]
    toe: str
    fingers: tuple[str, ...]
    root: str = ""
    pelvis: str = ""
    extra: tuple[tuple[str, str], ...] = ()


def _five(pattern: str, *names: str) -> tuple[str, ...]:
    return tuple(pattern.replace("{n}", name) for name in names)


FAMILIES = {
    "unreal": Names(
        ("l", "r"), ["pelvis", "spine_01", "spine_02", "spine_03"], ["neck_01"], "head", "clavicle_{s}",
        ["upperarm_{s}"], ["lowerarm_{s}"], "hand_{s}", ["thigh_{s}"], ["calf_{s}"], ["foot_{s}"], "ball_{s}",
        _five("{n}_0{k}_{s}", "thumb", "index", "middle", "ring", "pinky"), root="root",
        extra=(("lowerarm_twist_01_{s}", "lowerarm_{s}"), ("upperarm_twist_01_{s}", "upperarm_{s}")),
    ),
    "vrm": Names(
        ("L", "R"), ["J_Bip_C_Hips", "J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest"], ["J_Bip_C_Neck"],
        "J_Bip_C_Head", "J_Bip_{s}_Shoulder", ["J_Bip_{s}_UpperArm"], ["J_Bip_{s}_LowerArm"], "J_Bip_{s}_Hand",
        ["J_Bip_{s}_UpperLeg"], ["J_Bip_{s}_LowerLeg"], ["J_Bip_{s}_Foot"], "J_Bip_{s}_ToeBase",
        _five("J_Bip_{s}_{n}{k}", "Thumb", "Index", "Middle", "Ring", "Little"), root="Root",
    ),
    "auto_rig_pro": Names(
        ("l", "r"), ["root.x", "spine_01.x", "spine_02.x", "spine_03.x"], ["neck.x"], "head.x", "shoulder.{s}",
        ["arm_stretch.{s}"], ["forearm_stretch.{s}"], "hand.{s}", ["thigh_stretch.{s}"], ["leg_stretch.{s}"],
        ["foot.{s}"], "toes_01.{s}", _five("{n}{k}.{s}", "thumb", "index", "middle", "ring", "pinky"), root="c_traj",
    ),
    "daz": Names(
        ("l", "r"), ["hip", "abdomenLower", "abdomenUpper", "chestLower", "chestUpper"], ["neckLower", "neckUpper"],
        "head", "{s}Collar", ["{s}ShldrBend", "{s}ShldrTwist"], ["{s}ForearmBend", "{s}ForearmTwist"], "{s}Hand",
        ["{s}ThighBend", "{s}ThighTwist"], ["{s}Shin"], ["{s}Foot", "{s}Metatarsals"], "{s}Toe",
        _five("{s}{n}{k}", "Thumb", "Index", "Mid", "Ring", "Pinky"), pelvis="pelvis",
    ),
    "daz9": Names(
        ("l", "r"), ["hip", "spine1", "spine2", "spine3", "spine4"], ["neck1", "neck2"], "head", "{s}_shoulder",
        ["{s}_upperarm"], ["{s}_forearm"], "{s}_hand", ["{s}_thigh"], ["{s}_shin"], ["{s}_foot", "{s}_metatarsal"],
        "{s}_toes", _five("{s}_{n}{k}", "thumb", "index", "mid", "ring", "pinky"), pelvis="pelvis",
        extra=(("{s}_forearmtwist1", "{s}_forearm"), ("{s}_forearmtwist2", "{s}_forearm")),
    ),
    "character_creator": Names(
        ("L", "R"), ["CC_Base_Hip", "CC_Base_Waist", "CC_Base_Spine01", "CC_Base_Spine02"],
        ["CC_Base_NeckTwist01", "CC_Base_NeckTwist02"], "CC_Base_Head", "CC_Base_{s}_Clavicle",
        ["CC_Base_{s}_Upperarm"], ["CC_Base_{s}_Forearm"], "CC_Base_{s}_Hand", ["CC_Base_{s}_Thigh"],
        ["CC_Base_{s}_Calf"], ["CC_Base_{s}_Foot"], "CC_Base_{s}_ToeBase",
        _five("CC_Base_{s}_{n}{k}", "Thumb", "Index", "Mid", "Ring", "Pinky"), root="CC_Base_BoneRoot",
        pelvis="CC_Base_Pelvis", extra=(("CC_Base_{s}_ForearmTwist01", "CC_Base_{s}_Forearm"),),
    ),
    "makehuman": Names(
        ("L", "R"), ["root", "spine05", "spine04", "spine03", "spine02", "spine01"], ["neck01", "neck02", "neck03"],
        "head", "clavicle.{s}", ["upperarm01.{s}", "upperarm02.{s}"], ["lowerarm01.{s}", "lowerarm02.{s}"],
        "wrist.{s}", ["upperleg01.{s}", "upperleg02.{s}"], ["lowerleg01.{s}", "lowerleg02.{s}"], ["foot.{s}"],
        "toe1-1.{s}", tuple(f"finger{n}-{{k}}.{{s}}" for n in (1, 2, 3, 4, 5)), pelvis="",
    ),
    "unknown": Names(
        ("a", "b"), ["b0", "b1", "b2"], ["n0"], "h0", "c{s}", ["ua{s}"], ["fa{s}"], "w{s}", ["t{s}"], ["k{s}"],
        ["f{s}"], "z{s}", (),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Proportions in metres, and the rest pose: arms below the horizontal, elbows and knees bent, in degrees."""

    leg: float = 0.86
    torso: float = 0.52
    arm: float = 0.56
    drop: float = 45.0
    elbow: float = 12.0
    knee: float = 4.0
    toe_out: float = 8.0
    odd_tails: bool = False
    roll: float = 0.0


def build(family: str, shape: Shape | None = None, name: str = "Rig") -> Any:
    """An armature object of that family in the scene."""
    names, shape = FAMILIES[family], shape or Shape()
    rows = _middle(names, shape)
    top = rows[names.spine[-1]][1]
    for side, sign in zip(names.sides, (1.0, -1.0), strict=True):
        flip = Matrix.Diagonal((sign, 1.0, 1.0))
        for bone, (head, tail, parent) in {**_arm(names, shape, top), **_leg(names, shape)}.items():
            rows[bone.replace("{s}", side)] = (flip @ head, flip @ tail, parent.replace("{s}", side))
        for bone, parent in names.extra:
            above = rows[parent.replace("{s}", side)]
            middle = (above[0] + above[1]) / 2
            rows[bone.replace("{s}", side)] = (middle, above[1], parent.replace("{s}", side))
    return _make(rows, shape, name)


def _middle(names: Names, shape: Shape) -> dict[str, Any]:
    ankle = 0.08
    hips = Vector((0.0, 0.02, ankle + shape.leg + 0.03))
    rows: dict[str, Any] = {}
    above = ""
    if names.root:
        rows[names.root] = (Vector(), Vector((0.0, 0.3, 0.0)), "")
        above = names.root
    points = _line(hips, hips + Vector((0.0, 0.0, shape.torso)), len(names.spine))
    neck = _line(points[-1], points[-1] + Vector((0.0, -0.02, 0.10)), len(names.neck))
    for chain, along in ((names.spine, points), (names.neck, neck)):
        for n, bone in enumerate(chain):
            rows[bone] = (along[n], along[n + 1], above)
            above = bone
    rows[names.head] = (neck[-1], neck[-1] + Vector((0.0, 0.0, 0.2)), above)
    if names.pelvis:
        rows[names.pelvis] = (hips, hips - Vector((0.0, 0.0, 0.08)), names.spine[0])
    return rows


def _line(start: Vector, end: Vector, count: int) -> list[Vector]:
    return [start.lerp(end, n / count) for n in range(count + 1)]


def _chain(rows: dict[str, Any], bones: list[str], start: Vector, end: Vector, parent: str) -> None:
    points = _line(start, end, len(bones))
    for n, bone in enumerate(bones):
        rows[bone] = (points[n], points[n + 1], parent if n == 0 else bones[n - 1])


def _arm(names: Names, shape: Shape, top: Vector) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    a, e = math.radians(shape.drop), math.radians(shape.elbow)
    down = Vector((math.cos(a), 0.0, -math.sin(a)))
    bent = down * math.cos(e) + Vector((0.0, -1.0, 0.0)) * math.sin(e)
    shoulder = top + Vector((0.17, 0.0, -0.05))
    elbow = shoulder + down * shape.arm * 0.54
    wrist = elbow + bent * shape.arm * 0.46
    rows[names.clavicle] = (top + Vector((0.03, -0.02, -0.06)), shoulder, names.spine[-1])
    _chain(rows, names.upper_arm, shoulder, elbow, names.clavicle)
    _chain(rows, names.forearm, elbow, wrist, names.upper_arm[-1])
    rows[names.hand] = (wrist, wrist + bent * 0.08, names.forearm[-1])
    across = Vector((0.0, 1.0, 0.0)) - bent * bent.y
    for n, pattern in enumerate(names.fingers):
        start = wrist + bent * (0.03 if n == 0 else 0.09) + across.normalized() * (-0.045 + 0.022 * n)
        way = (bent + Vector((0.0, -0.8, 0.0))).normalized() if n == 0 else bent
        for k in (1, 2, 3):
            parent = names.hand if k == 1 else pattern.replace("{k}", str(k - 1))
            rows[pattern.replace("{k}", str(k))] = (start, start + way * 0.03, parent)
            start = start + way * 0.03
    return rows


def _leg(names: Names, shape: Shape) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    ankle_height = 0.08
    k, out = math.radians(shape.knee), math.radians(shape.toe_out)
    hip = Vector((0.095, 0.02, ankle_height + shape.leg * math.cos(k / 2)))
    knee = hip + Vector((0.0, -math.sin(k / 2), -math.cos(k / 2))) * shape.leg * 0.5
    ankle = knee + Vector((0.0, math.sin(k / 2), -math.cos(k / 2))) * shape.leg * 0.5
    forward = Vector((math.sin(out), -math.cos(out), 0.0))
    ball = ankle + forward * 0.14 + Vector((0.0, 0.0, 0.025 - ankle_height))
    _chain(rows, names.thigh, hip, knee, names.pelvis or names.spine[0])
    _chain(rows, names.shin, knee, ankle, names.thigh[-1])
    _chain(rows, names.foot, ankle, ball, names.shin[-1])
    rows[names.toe] = (ball, ball + forward * 0.06, names.foot[-1])
    return rows


def _make(rows: dict[str, Any], shape: Shape, name: str) -> Any:
    data = bpy.data.armatures.new(name)
    rig = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for n, (bone_name, (head, tail, parent)) in enumerate(rows.items()):
        bone = data.edit_bones.new(bone_name)
        bone.head, bone.tail = head, tail
        if shape.odd_tails and parent:
            bone.tail = head + (tail - head).orthogonal().normalized() * 0.04
        bone.roll += math.radians(shape.roll) * (n % 5)
        if parent:
            bone.parent = data.edit_bones[parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.select_set(False)
    bpy.context.view_layer.objects.active = None
    return rig
