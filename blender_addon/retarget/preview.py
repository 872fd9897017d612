"""The motion on the rig without a single key: the pose of the current frame, put on anew whenever the frame changes.

What the bones, switches and shape keys held before is remembered and comes back when the preview ends; files are saved
without it. The handlers are Blender's own kind that goes when another file is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np

from .. import compat
from . import bones, faces
from .plan import Plan


@dataclass
class Preview:
    """``kept`` and ``keys``: what bones, switches and shape keys held; ``frame`` at which that was."""

    plan: Plan
    scene: str
    frame: tuple[int, float]
    kept: bones.Held
    keys: list[tuple[str, dict[str, int], dict[str, float]]] = field(default_factory=list)


class _State:
    preview: Preview | None = None


def is_on() -> bool:
    """Whether a rig shows a preview now."""
    if _State.preview is not None and wanstage_retarget_frame not in bpy.app.handlers.frame_change_post:
        _State.preview = None  # another file was loaded
    return _State.preview is not None


def current() -> Preview | None:
    """The preview that is shown; None."""
    return _State.preview if is_on() else None


def start(scene: Any, plan: Plan) -> None:
    """Show a plan on its rig; a preview that was on ends first."""
    stop()
    armature = bpy.data.objects[plan.armature]
    kept = bones.Held(armature)
    keys = []
    if plan.face is not None:
        for owner, rows in faces.face_keys(scene, armature, plan.file.blendshapes):
            keys.append((owner.name, rows, {name: owner.key_blocks[name].value for name in rows}))
    frame = (scene.frame_current, scene.frame_subframe)
    _State.preview = Preview(plan, scene.name, frame, kept, keys)
    for kind, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, kind).append(handler)
    show(scene)


def show(scene: Any) -> None:
    """Put the current frame's pose on the rig."""
    preview = current()
    armature = bpy.data.objects.get(preview.plan.armature) if preview is not None else None
    if preview is None or armature is None or scene.name != preview.scene:
        return
    plan = preview.plan
    t = int(np.clip(scene.frame_current - plan.frames[0], 0, len(plan.frames) - 1))
    bones.pose_now(armature, plan.rig, plan.channels, t)
    for name, rows, _ in preview.keys:
        owner = bpy.data.shape_keys.get(name)
        if owner is not None and plan.face is not None:
            faces.show(owner, rows, plan.face, t)


def stop() -> bool:
    """End it; the rig is posed as before. Returns whether there was one."""
    preview = current()
    compat.drop_handlers(_HANDLERS)
    _State.preview = None
    if preview is None:
        return False
    _put_back(preview)
    scene = bpy.data.scenes.get(preview.scene)
    if scene is not None and (scene.frame_current, scene.frame_subframe) != preview.frame:
        scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)  # keys that the rig has say where it is
    return True


def _put_back(preview: Preview) -> None:
    armature = bpy.data.objects.get(preview.plan.armature)
    if armature is not None:
        preview.kept.put_back()
        armature.update_tag(refresh={"OBJECT", "DATA"})
    for name, _, values in preview.keys:
        owner = bpy.data.shape_keys.get(name)
        for block, value in values.items() if owner is not None else ():
            owner.key_blocks[block].value = value


def forget() -> None:
    """After undo: the pose of before is back already."""
    compat.drop_handlers(_HANDLERS)
    _State.preview = None


def wanstage_retarget_frame(scene: Any, *_args: Any) -> None:
    """Another frame."""
    show(scene)


def wanstage_retarget_undo(*_args: Any) -> None:
    """Undo and redo bring another pose."""
    forget()


def wanstage_retarget_save_pre(*_args: Any) -> None:
    """Files are saved without the preview."""
    preview = current()
    if preview is not None:
        _put_back(preview)


def wanstage_retarget_save_post(*_args: Any) -> None:
    """And it goes on."""
    preview = current()
    scene = bpy.data.scenes.get(preview.scene) if preview is not None else None
    if scene is not None:
        show(scene)


_HANDLERS = {
    "frame_change_post": wanstage_retarget_frame,
    "undo_post": wanstage_retarget_undo,
    "redo_post": wanstage_retarget_undo,
    "save_pre": wanstage_retarget_save_pre,
    "save_post": wanstage_retarget_save_post,
}


def register() -> None:
    """A reload leaves no handler of before."""
    compat.drop_handlers(_HANDLERS)


def unregister() -> None:
    """The rig is posed as before."""
    stop()
