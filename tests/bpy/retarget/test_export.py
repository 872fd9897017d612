"""Out again: what Blender's exporters write of a result is read back, and the joints are where they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import addon_utils
import bpy
import measure
import numpy as np
import pytest
import standins
from measure import Truth

FRAMES = range(1, 82, 16)


def load(path: Path) -> Any:
    """The armature that comes back."""
    before = set(bpy.data.objects)
    if path.suffix == ".bvh":
        bpy.ops.import_anim.bvh(filepath=str(path), axis_forward="Y", axis_up="Z", update_scene_fps=False)
    elif path.suffix == ".fbx":
        if hasattr(bpy.ops.wm, "fbx_import") and bpy.app.version >= (4, 5, 0):
            bpy.ops.wm.fbx_import(filepath=str(path))
        else:
            bpy.ops.import_scene.fbx(filepath=str(path))
    else:
        bpy.ops.import_scene.gltf(filepath=str(path))
    return next(item for item in bpy.data.objects if item not in before and item.type == "ARMATURE")


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")  # Blender's
@pytest.mark.parametrize("ending", [".bvh", ".fbx", ".glb"])
def test_read_back(addon: Any, truth: Truth, tmp_path: Path, ending: str) -> None:
    for name in ("io_anim_bvh", "io_scene_fbx", "io_scene_gltf2"):
        addon_utils.enable(name)
    rig = standins.build("unreal")
    assert bpy.ops.wanstage.retarget(pose_file=str(truth.path), armature="Rig", place="FILE") == {"FINISHED"}
    scene = bpy.context.scene
    scene.frame_set(5)
    path = tmp_path / f"motion{ending}"
    selected = list(bpy.context.selected_objects)
    assert bpy.ops.wanstage.export_motion(filepath=str(path), armature="Rig") == {"FINISHED"}
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (1, 250, 5)
    assert list(bpy.context.selected_objects) == selected
    bones = {name: name for name in ("pelvis", "head", "hand_l", "hand_r", "foot_l", "foot_r", "lowerarm_l", "calf_r")}
    wanted = measure.joint_paths(rig, FRAMES, bones)
    again = load(path)
    shift = again.animation_data.action.frame_range[0] - 1
    found = measure.joint_paths(again, range(1 + round(shift), 82 + round(shift), 16), bones)
    error = max(float(np.linalg.norm(found[name] - wanted[name], axis=1).max()) for name in bones)
    assert error < 0.002, error


def test_what_cannot_be_exported_says_why(addon: Any, tmp_path: Path) -> None:
    standins.build("unreal")

    def refused(**given: Any) -> str:
        with pytest.raises(RuntimeError) as caught:
            bpy.ops.wanstage.export_motion(armature="Rig", **given)
        return str(caught.value)

    assert "ends in none of" in refused(filepath=str(tmp_path / "a.obj"))
    assert "has no motion" in refused(filepath=str(tmp_path / "a.fbx"))
