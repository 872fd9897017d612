"""Builds small test people: an armature with the names of a rig family, a skinned body, a walk, a set and a camera."""

from __future__ import annotations

import math
from typing import Any

import bpy
from mathutils import Matrix, Vector

# Joint -> (head, tail) of the left side and the middle, metres, facing -Y, arms a little down.
MIDDLE = {
    "hips": ((0, 0, 0.95), (0, 0, 1.10)),
    "spine": ((0, 0, 1.10), (0, 0, 1.28)),
    "chest": ((0, 0, 1.28), (0, 0, 1.45)),
    "neck": ((0, 0.01, 1.45), (0, 0, 1.55)),
    "head": ((0, 0, 1.55), (0, 0, 1.75)),
}
LEFT = {
    "clavicle": ((0.02, 0, 1.42), (0.17, 0, 1.42)),
    "upper_arm": ((0.17, 0, 1.42), (0.40, 0, 1.27)),
    "forearm": ((0.40, 0, 1.27), (0.61, -0.03, 1.12)),
    "hand": ((0.61, -0.03, 1.12), (0.68, -0.04, 1.07)),
    "thigh": ((0.10, 0, 0.93), (0.11, -0.01, 0.50)),
    "shin": ((0.11, -0.01, 0.50), (0.12, 0.02, 0.09)),
    "foot": ((0.12, 0.02, 0.09), (0.13, -0.11, 0.02)),
    "toe": ((0.13, -0.11, 0.02), (0.13, -0.18, 0.015)),
}
PARENT = {
    "spine": "hips", "chest": "spine", "neck": "chest", "head": "neck", "clavicle": "chest", "upper_arm": "clavicle",
    "forearm": "upper_arm", "hand": "forearm", "thigh": "hips", "shin": "thigh", "foot": "shin", "toe": "foot",
}  # fmt: skip
RADIUS = {
    "hips": 0.14, "spine": 0.13, "chest": 0.14, "neck": 0.06, "head": 0.10, "clavicle": 0.07, "upper_arm": 0.055,
    "forearm": 0.045, "hand": 0.04, "thigh": 0.085, "shin": 0.06, "foot": 0.045, "toe": 0.035,
}  # fmt: skip
MIXAMO = {
    "hips": "Hips", "spine": "Spine", "chest": "Spine2", "neck": "Neck", "head": "Head", "clavicle": "{s}Shoulder",
    "upper_arm": "{s}Arm", "forearm": "{s}ForeArm", "hand": "{s}Hand", "thigh": "{s}UpLeg", "shin": "{s}Leg",
    "foot": "{s}Foot", "toe": "{s}ToeBase",
}  # fmt: skip


def rest_bones(with_fingers: bool = True) -> dict[str, tuple[Vector, Vector, str | None]]:
    """Canonical joint (with .L/.R) -> head, tail, parent."""
    bones: dict[str, tuple[Vector, Vector, str | None]] = {}
    for joint, (head, tail) in MIDDLE.items():
        bones[joint] = (Vector(head), Vector(tail), PARENT.get(joint))
    for side, sign in (("L", 1.0), ("R", -1.0)):
        mirror = Matrix.Diagonal((sign, 1.0, 1.0))
        for joint, (head, tail) in LEFT.items():
            parent = PARENT[joint]
            parent = parent if parent in MIDDLE else f"{parent}.{side}"
            bones[f"{joint}.{side}"] = (mirror @ Vector(head), mirror @ Vector(tail), parent)
        if with_fingers:
            bones |= _fingers(side, mirror)
    return bones


def _fingers(side: str, mirror: Matrix) -> dict[str, tuple[Vector, Vector, str | None]]:
    bones: dict[str, tuple[Vector, Vector, str | None]] = {}
    hand, along = Vector((0.68, -0.04, 1.07)), Vector((0.7, -0.1, -0.5)).normalized()
    for number, finger in enumerate(("thumb", "index", "middle", "ring", "pinky")):
        start = hand + Vector((0.0, -0.04 + 0.02 * number, 0.0)) - along * (0.05 if finger == "thumb" else 0.0)
        parent = f"hand.{side}"
        for n in (1, 2, 3):
            end = start + along * 0.028
            bones[f"{finger}.{n}.{side}"] = (mirror @ start, mirror @ end, parent)
            parent, start = f"{finger}.{n}.{side}", end
    return bones


def mixamo_name(joint: str) -> str:
    """The Mixamo name of a canonical joint."""
    parts = joint.split(".")
    side = {"L": "Left", "R": "Right"}.get(parts[-1], "")
    if len(parts) == 3:
        return f"mixamorig:{side}Hand{parts[0].capitalize()}{parts[1]}"
    return "mixamorig:" + MIXAMO[parts[0]].replace("{s}", side)


def make_armature(name: str, naming: Any = mixamo_name, with_fingers: bool = True) -> Any:
    """An armature object in the scene; ``naming`` maps canonical joints to bone names (None = leave the bone out)."""
    data = bpy.data.armatures.new(name)
    rig = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    made: dict[str, Any] = {}
    for joint, (head, tail, parent) in rest_bones(with_fingers).items():
        bone_name = naming(joint)
        if bone_name is None:
            continue
        bone = data.edit_bones.new(bone_name)
        bone.head, bone.tail = head, tail
        if parent in made:
            bone.parent = made[parent]
        made[joint] = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.select_set(False)
    bpy.context.view_layer.objects.active = None
    return rig


def make_body(rig: Any, naming: Any = mixamo_name, rings: int = 12, segments: int = 16) -> Any:
    """A body of spheres stretched along the bones, each bound to its bone."""
    vertices: list[Vector] = []
    faces: list[tuple[int, ...]] = []
    groups: dict[str, list[int]] = {}
    for joint, (head, tail, _) in rest_bones(with_fingers=False).items():
        bone = naming(joint)
        if bone is None:
            continue
        start = len(vertices)
        _capsule(vertices, faces, (head, tail), RADIUS[joint.partition(".")[0]], (rings, segments))
        groups[bone] = list(range(start, len(vertices)))
    mesh = bpy.data.meshes.new(f"{rig.name} body")
    mesh.from_pydata(vertices, [], faces)
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    body = bpy.data.objects.new(f"{rig.name} body", mesh)
    bpy.context.scene.collection.objects.link(body)
    for bone, indices in groups.items():
        body.vertex_groups.new(name=bone).add(indices, 1.0, "REPLACE")
    body.modifiers.new("Armature", "ARMATURE").object = rig
    body.parent = rig
    return body


def _capsule(vertices: Any, faces: Any, ends: tuple[Vector, Vector], radius: float, grid: tuple[int, int]) -> None:
    (head, tail), (rings, segments) = ends, grid
    axis = tail - head
    turn = axis.to_track_quat("Z", "Y").to_matrix()
    base = len(vertices)
    for ring in range(rings + 1):
        angle = math.pi * ring / rings
        shift = axis * (0.0 if ring < rings / 2 else 1.0)
        for segment in range(segments):
            around = 2 * math.pi * segment / segments
            local = Vector((math.sin(angle) * math.cos(around), math.sin(angle) * math.sin(around), -math.cos(angle)))
            vertices.append(head + shift + turn @ (radius * local))
    for ring in range(rings):
        for segment in range(segments):
            a, b = base + ring * segments + segment, base + ring * segments + (segment + 1) % segments
            faces.append((a, b, b + segments, a + segments))


def animate_walk(rig: Any, naming: Any = mixamo_name, first: int = 1, last: int = 49, stride: float = 1.5) -> None:
    """Swinging limbs and a way forward (-Y), keyed."""
    for frame in range(first, last + 1, 6):
        phase = 2 * math.pi * (frame - first) / 24.0
        rig.location.y = -stride * (frame - first) / 24.0
        rig.keyframe_insert("location", frame=frame)
        for side, sign in (("L", 1.0), ("R", -1.0)):
            for joint, size in (("thigh", 0.5), ("shin", 0.35), ("upper_arm", -0.6), ("forearm", -0.3)):
                bone = rig.pose.bones.get(naming(f"{joint}.{side}") or "")
                if bone is None:
                    continue
                bone.rotation_mode = "XYZ"
                bone.rotation_euler.x = sign * size * math.sin(phase)
                bone.keyframe_insert("rotation_euler", frame=frame)


def make_camera(location: tuple[float, float, float], target: tuple[float, float, float], lens: float = 35.0) -> Any:
    """A camera that looks at a point, made the scene's."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(camera)
    camera.data.lens = lens
    camera.location = location
    camera.rotation_euler = (Vector(target) - Vector(location)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.camera = camera
    bpy.context.view_layer.update()
    return camera


def make_box(name: str, size: tuple[float, float, float], location: tuple[float, float, float]) -> Any:
    """A box by its full extents."""
    mesh = bpy.data.meshes.new(name)
    x, y, z = (value / 2 for value in size)
    corners = [(sx * x, sy * y, sz * z) for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1)]
    mesh.from_pydata(corners, [], [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    item = bpy.data.objects.new(name, mesh)
    item.location = location
    bpy.context.scene.collection.objects.link(item)
    return item


def make_light() -> Any:
    """A sun."""
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy = 3.0
    sun.rotation_euler = (0.7, 0.3, 0.4)
    bpy.context.scene.collection.objects.link(sun)
    return sun


def make_stage(width: int = 208, height: int = 120) -> tuple[Any, Any]:
    """A walker on a floor before a box, a moving camera, 24 frames a second. Returns rig and camera."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.fps, scene.frame_start, scene.frame_end = 24, 1, 49
    rig = make_armature("Walker")
    make_body(rig)
    animate_walk(rig)
    make_box("Floor", (12.0, 12.0, 0.2), (0.0, 0.0, -0.1))
    make_box("Crate", (0.8, 0.8, 0.8), (-1.0, 0.6, 0.4))
    make_light()
    camera = make_camera((1.6, -5.0, 1.5), (0.0, -0.5, 0.95))
    camera.keyframe_insert("location", frame=1)
    camera.location.x -= 1.0
    camera.keyframe_insert("location", frame=49)
    return rig, camera


def stand_still(rig: Any, camera: Any) -> None:
    """Takes the motion out: the rig at rest in the middle, seen straight from the front."""
    rig.animation_data_clear()
    camera.animation_data_clear()
    rig.location = (0.0, 0.0, 0.0)
    for bone in rig.pose.bones:
        bone.matrix_basis = Matrix()
    camera.location, camera.rotation_euler = (0.0, -5.0, 1.2), (math.radians(90), 0.0, 0.0)
