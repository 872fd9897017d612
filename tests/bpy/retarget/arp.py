"""A stand-in for Auto-Rig Pro's control rig, which cannot be shipped: its published bone names, its FK and IK chains,
and the properties that blend them (``ik_fk_switch`` of c_hand_ik and c_foot_ik: 0 is IK, 1 is FK), by constraints and
drivers as there. What it leaves out: bending and stretching, secondary controls, the face.
"""

from __future__ import annotations

import math
from typing import Any

import bpy
import standins
from mathutils import Matrix, Vector

SIDES = ("l", "r")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
SWITCHED = ("ik_fk_switch",)


def build(shape: standins.Shape | None = None, name: str = "Rig") -> Any:
    """The control rig as an armature object; Shape as for the deform bones."""
    plain = standins.build("auto_rig_pro", shape, "plain")
    ends = {bone.name: (bone.head_local.copy(), bone.tail_local.copy()) for bone in plain.data.bones}
    data = plain.data
    bpy.data.objects.remove(plain)
    bpy.data.armatures.remove(data)
    made = bpy.data.armatures.new(name)
    rig = bpy.data.objects.new(name, made)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rolls: dict[tuple[float, ...], float] = {}  # bones that lie in each other have one roll, as copies need
    for bone, (head, tail, parent, deform) in _rows(ends).items():
        new = made.edit_bones.new(bone)
        new.head, new.tail, new.use_deform = head, tail, deform
        new.roll += rolls.setdefault(_way(head, tail), math.radians(7.0) * (len(rolls) % 5))
        if parent:
            new.parent = made.edit_bones[parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    _machinery(rig)
    rig.select_set(False)
    bpy.context.view_layer.objects.active = None
    bpy.context.view_layer.update()
    return rig


def _way(head: Vector, tail: Vector) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in (*head, *(tail - head).normalized()))


def _rows(ends: dict[str, tuple[Vector, Vector]]) -> dict[str, tuple[Vector, Vector, str, bool]]:
    """Name to head, tail, parent, deforms; parents first."""
    rows: dict[str, tuple[Vector, Vector, str, bool]] = {}

    def add(bone: str, place: str | tuple[Vector, Vector], parent: str, deform: bool = False) -> None:
        head, tail = ends[place] if isinstance(place, str) else place
        rows[bone] = (head, tail, parent, deform)

    back = Vector((0.0, 0.2, 0.0))
    add("c_pos", (Vector(), back), "")
    add("c_traj", (Vector(), back), "c_pos")
    hips = ends["root.x"][0]
    add("c_root_master.x", (hips, hips + back), "c_traj")  # lies flat, unlike the bone that it moves
    add("c_root.x", "root.x", "c_root_master.x")
    add("root.x", "root.x", "c_root.x", deform=True)
    above = "c_root_master.x"
    for bone in ("spine_01.x", "spine_02.x", "spine_03.x"):
        add(f"c_{bone}", bone, above)
        add(bone, bone, f"c_{bone}", deform=True)
        above = f"c_{bone}"
    for bone in ("neck.x", "head.x"):
        add(f"c_{bone}", bone, above)
        add(bone, bone, f"c_{bone}", deform=True)
        above = f"c_{bone}"
    for side in SIDES:
        _arm(add, ends, side)
        _leg(add, ends, side)
    return rows


def _arm(add: Any, ends: dict[str, tuple[Vector, Vector]], side: str) -> None:
    upper, lower = ends[f"arm_stretch.{side}"], ends[f"forearm_stretch.{side}"]
    hand = ends[f"hand.{side}"]
    add(f"c_shoulder.{side}", f"shoulder.{side}", "c_spine_03.x")
    add(f"shoulder.{side}", f"shoulder.{side}", f"c_shoulder.{side}", deform=True)
    add(f"c_hand_ik.{side}", hand, "c_traj")
    behind = lower[0] + Vector((0.0, 0.5, 0.0))
    add(f"c_arms_pole.{side}", (behind, behind + Vector((0.0, 0.05, 0.0))), "c_traj")
    for chain in ("c_{}_fk", "{}_ik_nostr", "{}_ik", "{}"):
        above = "c_spine_03.x" if "_fk" in chain else f"shoulder.{side}"  # FK arms do not turn with the shoulder
        for bone, place in (("arm", upper), ("forearm", lower)):
            new = f"{chain.format(bone)}.{side}"
            add(new, place, above)
            above = new
    add(f"c_hand_fk.{side}", hand, f"c_forearm_fk.{side}")
    add(f"hand.{side}", hand, f"forearm.{side}", deform=True)
    _halves(add, side, ("arm", upper), ("forearm", lower))
    for finger in FINGERS:
        above = f"hand.{side}"
        if finger != "thumb":
            first = ends[f"{finger}1.{side}"][0]
            add(f"c_{finger}1_base.{side}", (hand[0].lerp(first, 0.3), first), above)
            above = f"c_{finger}1_base.{side}"
        for k in (1, 2, 3):
            bone = f"{finger}{k}.{side}"
            add(f"c_{bone}", bone, above)
            add(bone, bone, f"c_{bone}", deform=True)
            above = f"c_{bone}"


def _leg(add: Any, ends: dict[str, tuple[Vector, Vector]], side: str) -> None:
    upper, lower = ends[f"thigh_stretch.{side}"], ends[f"leg_stretch.{side}"]
    foot, toes = ends[f"foot.{side}"], ends[f"toes_01.{side}"]
    add(f"c_thigh_b.{side}", (upper[0] + Vector((0.0, 0.0, 0.08)), upper[0]), "c_root.x")
    flat = Vector((foot[1].x - foot[0].x, foot[1].y - foot[0].y, 0.0))
    add(f"c_foot_ik.{side}", (foot[0], foot[0] + flat), "c_traj")  # level, unlike the foot
    heel = Vector((foot[0].x, foot[0].y, 0.0)) - 0.3 * flat
    add(f"c_foot_heel.{side}", (heel, heel - 0.3 * flat), f"c_foot_ik.{side}")
    add(f"c_foot_01.{side}", (foot[1], foot[1] - 0.5 * flat), f"c_foot_heel.{side}")
    add(f"foot_ik_target.{side}", (foot[0], foot[0] + 0.3 * flat), f"c_foot_01.{side}")
    add(f"c_foot_roll_cursor.{side}", (heel - 0.5 * flat, heel - 0.7 * flat), f"c_foot_ik.{side}")
    add(f"foot_ik.{side}", foot, f"c_foot_01.{side}")
    add(f"c_toes_ik.{side}", toes, f"c_foot_heel.{side}")
    before = lower[0] - Vector((0.0, 0.5, 0.0))
    add(f"c_leg_pole.{side}", (before, before - Vector((0.0, 0.05, 0.0))), "c_traj")
    for chain in ("c_{}_fk", "{}_ik_nostr", "{}_ik", "{}"):
        above = f"c_thigh_b.{side}"
        for bone, place in (("thigh", upper), ("leg", lower)):
            new = f"{chain.format(bone)}.{side}"
            add(new, place, above)
            above = new
    add(f"c_foot_fk.{side}", foot, f"c_leg_fk.{side}")
    add(f"c_toes_fk.{side}", toes, f"c_foot_fk.{side}")
    add(f"foot.{side}", foot, f"leg.{side}", deform=True)
    add(f"toes_01.{side}", toes, f"foot.{side}", deform=True)
    _halves(add, side, ("thigh", upper), ("leg", lower))


def _halves(add: Any, side: str, *limbs: tuple[str, tuple[Vector, Vector]]) -> None:
    """What deforms a limb: the halves by the elbow or knee stretch, those at the ends twist."""
    for (bone, (head, tail)), names in zip(limbs, (("twist", "stretch"), ("stretch", "twist")), strict=True):
        middle = head.lerp(tail, 0.5)
        for name, place in zip(names, ((head, middle), (middle, tail)), strict=True):
            add(f"{bone}_{name}.{side}", place, f"{bone}.{side}", deform=True)


def _machinery(rig: Any) -> None:
    """Properties, constraints and drivers; controls have Euler angles, as there."""
    for bone in rig.pose.bones:
        if bone.name.startswith("c_"):
            bone.rotation_mode = "XYZ"
    for side in SIDES:
        _limb(rig, side, ("arm", "forearm", "hand"), "c_hand_ik", "c_arms_pole")
        _limb(rig, side, ("thigh", "leg", "foot"), "foot_ik_target", "c_leg_pole")
        _constraint(rig, f"c_arm_fk.{side}", "COPY_LOCATION", f"shoulder.{side}").head_tail = 1.0
        toes = _blend(rig, f"toes_01.{side}", f"c_toes_ik.{side}", f"c_toes_fk.{side}")
        _drive(rig, toes, f'pose.bones["c_foot_ik.{side}"]["ik_fk_switch"]')
        held = rig.pose.bones[f"c_leg_pole.{side}"]
        held["pole_parent"] = 1.0
        parent = _constraint(rig, held.name, "CHILD_OF", f"c_foot_ik.{side}")
        parent.inverse_matrix = rig.data.bones[f"c_foot_ik.{side}"].matrix_local.inverted()
        _drive(rig, parent, f'pose.bones["{held.name}"]["pole_parent"]')
        heel = rig.pose.bones[f"c_foot_heel.{side}"].driver_add("rotation_euler", 0).driver
        heel.type = "AVERAGE"
        _variable(rig, heel, f'pose.bones["c_foot_roll_cursor.{side}"].location[0]')


def _limb(rig: Any, side: str, names: tuple[str, str, str], target: str, pole: str) -> None:
    upper, lower, end = names
    control = rig.pose.bones[f"c_{end}_ik.{side}"]
    control["ik_fk_switch"], control["auto_stretch"], control["stretch_length"] = 0.0, 0.0, 1.0
    switch = f'pose.bones["{control.name}"]["ik_fk_switch"]'
    solver = _constraint(rig, f"{lower}_ik_nostr.{side}", "IK", f"{target}.{side}")
    solver.chain_count, solver.use_stretch = 2, False
    solver.pole_target, solver.pole_subtarget = rig, f"{pole}.{side}"
    solver.pole_angle = _pole_angle(rig, f"{upper}_ik_nostr.{side}", f"{lower}_ik_nostr.{side}", f"{pole}.{side}")
    for bone in (upper, lower):
        _constraint(rig, f"{bone}_ik.{side}", "COPY_ROTATION", f"{bone}_ik_nostr.{side}")
        _drive(rig, _blend(rig, f"{bone}.{side}", f"{bone}_ik.{side}", f"c_{bone}_fk.{side}"), switch)
    leader = control.name if end == "hand" else f"foot_ik.{side}"
    _drive(rig, _blend(rig, f"{end}.{side}", leader, f"c_{end}_fk.{side}"), switch)


def _blend(rig: Any, bone: str, ik: str, fk: str) -> Any:
    """As the IK bone, over it as the FK control; the latter's constraint."""
    _constraint(rig, bone, "COPY_ROTATION", ik)
    return _constraint(rig, bone, "COPY_ROTATION", fk)


def _constraint(rig: Any, bone: str, kind: str, target: str) -> Any:
    made = rig.pose.bones[bone].constraints.new(kind)
    made.target, made.subtarget = rig, target
    return made


def _drive(rig: Any, constraint: Any, path: str) -> None:
    """The influence is what a property says."""
    driver = constraint.driver_add("influence").driver
    driver.type = "AVERAGE"
    _variable(rig, driver, path)


def _variable(rig: Any, driver: Any, path: str) -> None:
    variable = driver.variables.new()
    variable.targets[0].id, variable.targets[0].data_path = rig, path


def _pole_angle(rig: Any, upper: str, lower: str, pole: str) -> float:
    """With which the solver leaves the rest pose as it is."""
    first, second = rig.data.bones[upper], rig.data.bones[lower]
    along = second.tail_local - first.head_local
    normal = along.cross(rig.data.bones[pole].head_local - first.head_local)
    across = normal.cross(first.tail_local - first.head_local)
    sideways = first.matrix_local.to_3x3() @ Vector((1.0, 0.0, 0.0))
    angle = sideways.angle(across)
    return -angle if sideways.cross(across).angle(first.tail_local - first.head_local) < 1.0 else angle


def rest_error(rig: Any) -> float:
    """How far any bone is from its rest pose while nothing is posed; the rig's units."""
    bpy.context.view_layer.update()
    seen = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    apart = [_distance(bone.matrix, rig.data.bones[bone.name].matrix_local) for bone in seen.pose.bones]
    return max(apart)


def _distance(one: Matrix, other: Matrix) -> float:
    return max((a - b).length for a, b in zip(one.transposed(), other.transposed(), strict=True))
