"""What Blender tells us: files loaded and saved, renders, undo, edits.

Handlers are found by name when the module is loaded anew, so that a reload never leaves two of them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import (
    bonemap_store,
    cast,
    choices,
    compat,
    export,
    findings,
    follow,
    framing,
    generation,
    objects,
    paths,
    placing,
    playback,
    pump,
    room,
    state,
    takes,
    watch,
)
from .capture import evaluate
from .film import job
from .problems import UserProblem

logger = logging.getLogger(__name__)

# Edits of these do not change what a capture sees, or are looked at by ``shots.pack_key`` itself.
_UNSEEN = (
    bpy.types.Scene,
    bpy.types.Collection,
    bpy.types.Image,
    bpy.types.Sound,
    bpy.types.Screen,
    bpy.types.WindowManager,
)


@persistent
def wanstage_undo_pre(*_args: Any) -> None:
    """Other objects come into the places of those that are remembered, and scenes of a capture go."""
    evaluate.let_go()
    objects.forget()


@persistent
def wanstage_redo_pre(*_args: Any) -> None:
    """As undo."""
    wanstage_undo_pre()


@persistent
def wanstage_load_pre(*_args: Any) -> None:
    """As undo."""
    wanstage_undo_pre()


@persistent
def wanstage_load_post(*_args: Any) -> None:
    """Another file: its unfinished takes are followed if a backend is connected."""
    now = state.now
    now.packs.clear()
    findings.forget()
    job.forget()
    bonemap_store.forget()
    cast.forget()
    framing.forget()
    now.runs.clear()
    now.paused.clear()
    now.capture = None
    now.revision += 1
    now.removed.clear()
    now.drop_due()
    watch.stop()
    watch.edited()
    placing.load_post()
    room.forget()
    if now.client is not None:
        attach_unfinished()
        pump.start_timer()


def attach_unfinished() -> int:
    """Follow every take whose job may still run; returns how many."""
    count = job.attach_unfinished()
    for take in takes.unfinished():
        if take.job_id in state.now.runs:
            continue
        try:
            generation.attach(take)
            count += 1
        except UserProblem as problem:
            take.problem = str(problem)
    return count


@persistent
def wanstage_save_pre(*args: Any) -> None:
    """Saving brings takes along from the cache, so that paths can be relative; into another folder it leaves them."""
    room.before_save()
    compat.keep_overrides()
    target = _target(args)
    if target is None:
        return
    paths.before_save(target)
    if (
        bpy.data.filepath and Path(bpy.data.filepath) != target
    ):  # perhaps a copy: the open file needs them where they are
        return
    try:
        takes.move_beside_file(target)
        job.move_beside_file(target)
    except UserProblem as problem:
        logger.warning("%s", problem)


@persistent
def wanstage_save_post(*args: Any) -> None:
    """After a copy was saved the open file's own paths are put back."""
    room.after_save()
    target = _target(args)
    if target is not None:
        paths.after_save(target)


@persistent
def wanstage_save_post_fail(*args: Any) -> None:
    """As after a copy."""
    wanstage_save_post(*args)


def _target(args: tuple[Any, ...]) -> Path | None:
    """The file that is written; Blenders before 4.0 do not always say."""
    return Path(args[0]) if args and isinstance(args[0], str) and args[0] else None


@persistent
def wanstage_render_init(*_args: Any) -> None:
    """A render reads scene data from another thread: nothing is written meanwhile."""
    if _args and isinstance(_args[0], bpy.types.Scene):
        placing.watch(_args[0])
    state.now.paused.add("render")


@persistent
def wanstage_render_complete(*_args: Any) -> None:
    """Go on."""
    state.now.paused.discard("render")


@persistent
def wanstage_render_cancel(*_args: Any) -> None:
    """Go on."""
    state.now.paused.discard("render")


@persistent
def wanstage_render_write(*args: Any) -> None:
    """A frame of a film that is exported."""
    if args and isinstance(args[0], bpy.types.Scene):
        export.frame_written(args[0].name)


@persistent
def wanstage_undo_post(*_args: Any) -> None:
    """Undo brings old rows back: write into them what is known now."""
    state.now.revision += 1
    for run in state.now.runs.values():
        follow.restore_row(run)
    job.after_undo()
    choices.after_undo()
    watch.edited()


@persistent
def wanstage_redo_post(*_args: Any) -> None:
    """As undo."""
    wanstage_undo_post()


@persistent
def wanstage_depsgraph_update_post(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Count edits that a capture could see; planes follow the scene's view."""
    if depsgraph is None or state.now.capture is not None:
        return
    for update in depsgraph.updates:
        if isinstance(update.id, _UNSEEN) or _is_ours(update.id) or _is_shallow(update):
            continue
        state.now.revision += 1
        watch.edited()
        break
    if not state.now.paused:  # last: what it writes would change the list of updates
        placing.watch(scene)


def _is_ours(item: bpy.types.ID) -> bool:
    """Planes, their meshes, materials and node trees, all named alike."""
    return bool(item.get(playback.MARK)) or item.name.startswith("Wanstage ") or item.name == "Shader Nodetree"


def _is_shallow(update: bpy.types.DepsgraphUpdate) -> bool:
    """An object's flags (hidden or not) are in the key itself; they reach every object of a collection."""
    moved = update.is_updated_transform or update.is_updated_geometry
    return isinstance(update.id, bpy.types.Object) and not moved


_HANDLERS = {
    "load_pre": wanstage_load_pre,
    "undo_pre": wanstage_undo_pre,
    "redo_pre": wanstage_redo_pre,
    "load_post": wanstage_load_post,
    "save_pre": wanstage_save_pre,
    "save_post": wanstage_save_post,
    "save_post_fail": wanstage_save_post_fail,
    "render_init": wanstage_render_init,
    "render_complete": wanstage_render_complete,
    "render_cancel": wanstage_render_cancel,
    "render_write": wanstage_render_write,
    "undo_post": wanstage_undo_post,
    "redo_post": wanstage_redo_post,
    "depsgraph_update_post": wanstage_depsgraph_update_post,
}


def purge() -> None:
    """Remove our handlers by name, those of an earlier load of this module too."""
    compat.drop_handlers(_HANDLERS)


def register() -> None:
    """Handlers; the timer starts with the first connection."""
    purge()
    for kind, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, kind, []).append(handler)  # save_post_fail: Blender 4.0 and later


def unregister() -> None:
    """Handlers, timer and client."""
    purge()
    pump.stop_timer()
    watch.stop()
    room.restore()
    export.stop()
    objects.forget()
    state.reset()
