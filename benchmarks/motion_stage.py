"""What benchmarks/motion.py does in Blender: films an actor whose every joint is known, and puts poses on rigs.

    python benchmarks/motion_stage.py film FOLDER        frames/*.png, camera.npz, truth.npz
    python benchmarks/motion_stage.py record FOLDER      actor.npz
    python benchmarks/motion_stage.py bake FOLDER POSE   prints one JSON line with the joints' paths' file and reports

Needs bpy 5.0 (Rigify of other versions hangs at exit).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import demo_scene  # noqa: E402

import blender_addon  # noqa: E402
from blender_addon.capture import bonemap  # noqa: E402
from tests.bpy.retarget import measure  # noqa: E402

SIZE, SAMPLES = (640, 384), 2
EYE, TARGET = (0.6, -4.7, 1.4), (0.04, 0.0, 1.0)
RIGS = ("same", "mixamo", "rigify", "rigify_ik")


def joint_paths(rig: Any, frames: range) -> dict[str, NDArray[np.float64]]:  # noqa: ANN401
    """World positions (T,3) of every joint of the bone map."""
    bones = bonemap.find_bone_map(rig).bones
    if "ORG-thigh.L" in rig.data.bones:  # a generated rig: what the skin hangs on, and its spine
        names = ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
        bones = {f"{name}.{side}": f"DEF-{name}.{side}" for side in "LR" for name in names}
        bones |= {"hips": "ORG-spine", "chest": "ORG-spine.003", "neck": "ORG-spine.004", "head": "ORG-spine.006"}
        bones |= {f"{joint}.{side}": f"ORG-{bone}.{side}" for side in "LR" for joint, bone in
                  (("clavicle", "shoulder"), ("toe", "toe"))}  # fmt: skip
    return measure.joint_paths(rig, frames, bones)


def film(folder: Path) -> None:
    """The demo's street and man, seen by a camera that stands."""
    scene = demo_scene.build()
    camera = scene.camera
    camera.animation_data_clear()
    camera.location = EYE
    camera.rotation_euler = (Vector(TARGET) - Vector(EYE)).to_track_quat("-Z", "Y").to_euler()
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.cycles.samples = SAMPLES
    scene.render.use_persistent_data = True
    scene.render.image_settings.file_format = "PNG"
    hero, frames = bpy.data.objects[demo_scene.HERO], range(1, demo_scene.FRAMES + 1)
    np.savez(folder / "truth.npz", **joint_paths(hero, frames))
    bpy.context.view_layer.update()
    focal = SIZE[0] * camera.data.lens / camera.data.sensor_width
    world = np.repeat(np.array(camera.matrix_world)[None], len(frames), 0)
    inner = np.repeat(np.array([[focal, focal, SIZE[0] / 2, SIZE[1] / 2]]), len(frames), 0)
    np.savez(folder / "camera.npz", world_from_camera=world, intrinsics=inner)
    (folder / "frames").mkdir(exist_ok=True)
    scene.render.filepath = f"{folder / 'frames'}/"
    bpy.ops.render.render(animation=True)


def record(folder: Path) -> None:
    """The actor's own joints as a pose file."""
    demo_scene.build()
    bpy.ops.wanstage.record_pose(armature=demo_scene.HERO, filepath=str(folder / "actor.npz"))


def open_rig(name: str) -> Any:  # noqa: ANN401
    """The rig alone in a file of the film's rate."""
    if name.startswith("rigify"):
        import addon_utils  # is there only once bpy is

        bpy.ops.wm.read_factory_settings(use_empty=True)
        addon_utils.enable("rigify", default_set=True)
        bpy.ops.object.armature_human_metarig_add()
        bpy.ops.pose.rigify_generate()
        rig = next(item for item in bpy.data.objects if item.type == "ARMATURE" and "rig_id" in item.data)
    else:
        file = {"same": "previz_human", "mixamo": "previz_mixamo"}[name]
        bpy.ops.wm.open_mainfile(filepath=str(demo_scene.ASSETS / f"{file}.blend"), load_ui=False)
        rig = bpy.data.objects["Hero"]
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = demo_scene.FPS, 1.0
    return rig


def height_of(rig: Any) -> float:  # noqa: ANN401
    """Metres from the lowest joint to the top of the head bone, in rest."""
    bones = [bone for bone in rig.data.bones if bone.use_deform or bone.name.startswith("ORG-")]
    tops = [float((rig.matrix_world @ end).z) for bone in bones for end in (bone.head_local, bone.tail_local)]
    return max(tops) - min([0.0, *tops])


def save_paths(rig: Any, path: Path) -> dict[str, NDArray[np.float64]]:  # noqa: ANN401
    """The joints' paths while the rig's action lasts, and its first frame."""
    start, end = (round(each) for each in rig.animation_data.action.frame_range)
    paths = joint_paths(rig, range(start, end + 1))
    np.savez(path, first=start, **paths)
    return paths


def retarget(rig: Any, pose: str, path: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """The report of a bake; the joints' paths go to ``path``."""
    # The actor was recorded from where he stands, turned; the films' poses are the world's.
    rig.rotation_euler = (0.0, 0.0, demo_scene.HERO_HEADING if pose == "actor" else 0.0)
    began = time.perf_counter()
    given = {"pose_file": str(path.parent / f"{pose}.npz"), "armature": rig.name, "place": "FILE", **options}
    bpy.ops.wanstage.retarget(**given)
    took = time.perf_counter() - began
    report = json.loads(rig.animation_data.action["wanstage_retarget"])
    kept = ("direction", "held", "slide_before", "slide_after", "jitter")
    found = {"bake_s": round(took, 2), **{k: report[k] for k in kept}}
    paths = save_paths(rig, path)
    if pose == "actor":
        with np.load(path.parent / "truth.npz") as arrays:
            truth = {name: arrays[name] for name in arrays.files}
        found["limbs_worst_deg"] = round(measure.worst_angle(measure.directions(paths), measure.directions(truth)), 3)
        found["standing_balls_slide_cm"] = round(100.0 * measure.worst_slide(paths, truth), 3)
    return found


def bake(folder: Path, poses: list[str]) -> dict[str, Any]:
    """Each pose file on each rig; the joints' paths in FOLDER/baked-RIG-POSE.npz."""
    made: dict[str, Any] = {}
    for name in RIGS:
        rig, limbs = open_rig(name), "IK" if name.endswith("_ik") else "FK"
        made[name] = {"height": height_of(rig), "poses": {}}
        free = retarget(rig, "actor", folder / f"baked-{name}-free.npz", limbs=limbs, lock_feet=False)
        made[name]["free"] = {k: free[k] for k in ("limbs_worst_deg", "standing_balls_slide_cm")}
        for pose in poses:
            made[name]["poses"][pose] = retarget(rig, pose, folder / f"baked-{name}-{pose}.npz", limbs=limbs)
    return made


def main() -> None:
    """See the module."""
    task, folder, *poses = sys.argv[1:]
    os.environ.setdefault("WANSTAGE_DATA", str(Path(folder) / "data"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    blender_addon.register()
    if task == "film":
        film(Path(folder))
    elif task == "record":
        record(Path(folder))
    else:
        (Path(folder) / "baked.json").write_text(json.dumps(bake(Path(folder), poses)))


if __name__ == "__main__":
    code = 1
    try:
        main()
        code = 0
    except Exception:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
