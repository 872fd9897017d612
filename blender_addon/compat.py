"""Where Blender versions differ (3.4, and 4.2 to 5.2), in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import blf
import bpy

VERSION: tuple[int, int, int] = tuple(bpy.app.version)


RELATIVE: set[str] = {"PATH_SUPPORTS_BLEND_RELATIVE"} if VERSION >= (4, 5, 0) else set()
"""Options of a path property that may begin with ``//``: later Blenders warn unless it says so."""


OWN_WORDS: dict[str, str] = {"translation_context": "Wanstage"} if VERSION >= (4, 0, 0) else {}
"""For properties whose names mean something else in Blender, which would be translated as that: see words.py."""


def enable_nodes(material: bpy.types.Material) -> None:
    """A material's node tree; since 5.0 it is always there and asking for it is deprecated."""
    if VERSION < (5, 0, 0):
        material.use_nodes = True


def online_allowed() -> bool:
    """Whether Blender may use the network beyond this machine (no such setting before 4.2)."""
    return bool(getattr(bpy.app, "online_access", True))


def offline_forced() -> bool:
    """Whether Blender was started with ``--offline-mode``, so that the preference cannot be changed."""
    return bool(getattr(bpy.app, "online_access_override", False))


def keep_overrides() -> None:
    """Before a save, and when the panel looks at rigs, since Blender saves by itself without a word.

    Since 5.0 what was chosen on an overridden rig is kept only if the linked rig has a group of ours as well, which
    rigs from elsewhere have not; reading it makes one, in memory alone.
    """
    for item in bpy.data.objects:
        if item.type == "ARMATURE":
            for each in (item, item.data):
                reference = each.override_library.reference if each.override_library else None
                if reference is not None:
                    _ = reference.wanstage.name


def hide_shadow(material: bpy.types.Material) -> None:
    """EEVEE before 4.2 takes shadows from the material, later ones from the object."""
    if hasattr(material, "shadow_method"):
        material.shadow_method = "NONE"


def user_directory(package: str) -> str:
    """A folder of our own that survives updates: the extension's if we are one, else Blender's user data."""
    if package.startswith("bl_ext.") and hasattr(bpy.utils, "extension_path_user"):
        return bpy.utils.extension_path_user(package, path="", create=True)
    return bpy.utils.user_resource("DATAFILES", path="wanstage", create=True)


def draw_progress(layout: Any, factor: float, text: str) -> None:
    """A progress bar where Blender has one (4.0 and later), else words."""
    if hasattr(layout, "progress"):
        layout.progress(factor=factor, text=text)
    else:
        layout.label(text=f"{text} ({factor:.0%})", icon="SORTTIME")


def placeholder(text: str) -> dict[str, str]:
    """What an empty text field shows, as an argument of ``layout.prop``: Blender 4.1 and later."""
    return {"placeholder": text} if text and VERSION >= (4, 1, 0) else {}


def font_size(font: int, points: float) -> None:
    """The size that ``blf`` measures a font in, at 72 dots an inch: before 4.0 it asks for the dots too."""
    if VERSION >= (4, 0, 0):
        blf.size(font, points)
    else:
        blf.size(font, points, 72)


def undo_push(message: str) -> None:
    """One undo step for what a timer did; background mode keeps no undo stack."""
    if not bpy.app.background and bpy.context.window_manager and bpy.context.window_manager.windows:
        bpy.ops.ed.undo_push(message=message)


@dataclass(frozen=True)
class StripTimes:
    """Scene frames: where the content begins, between which handles it is heard, and the hard trim of its beginning."""

    start: float
    left: float
    right: float
    trim: float


def image_media(settings: Any, kind: str = "IMAGE") -> None:
    """What an output is, before its format can be set: Blender 5.0 and later."""
    if hasattr(settings, "media_type"):
        settings.media_type = kind


def strip_times(strip: Any) -> StripTimes:
    """Blender 5.2 renamed them all, and warns of the old names."""
    if hasattr(strip, "content_start"):
        return StripTimes(strip.content_start, strip.left_handle, strip.right_handle, strip.content_trim_start)
    return StripTimes(strip.frame_start, strip.frame_final_start, strip.frame_final_end, strip.animation_offset_start)


def strip_collection(scene: bpy.types.Scene) -> Any:
    """The strips of a scene's sequencer at its top, where new ones are added; the sequencer is made if need be."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def inside(meta: Any) -> Any:
    """The strips of a meta strip."""
    return meta.strips if hasattr(meta, "strips") else meta.sequences


def strips_of(scene: bpy.types.Scene) -> list[Any]:
    """All strips of a scene, those inside meta strips too; none when it has no sequencer."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)


def remove_strip(scene: bpy.types.Scene, strip: Any) -> None:
    """Take a strip out of the sequencer, or of the meta strip that it lies in."""
    outer = strip.parent_meta()
    (strip_collection(scene) if outer is None else inside(outer)).remove(strip)


def channels_taken(scene: bpy.types.Scene, first: int, until: int) -> set[int]:
    """Channels on which something lies from frame ``first`` to before ``until``."""
    taken = set()
    for each in strip_collection(scene):
        times = strip_times(each)
        if times.left < until and times.right > first:
            taken.add(each.channel)
    return taken


LINES = "POLYLINE_SMOOTH_COLOR" if VERSION >= (4, 0, 0) else "3D_POLYLINE_SMOOTH_COLOR"
"""Blender's own shader for lines of any width with a colour at each end."""


def draw_in_views(callback: Callable[[], None]) -> None:
    """Have a function called whenever a 3D view is drawn, over what is in it; one at a time.

    The handle is kept where a reload of this module finds it: Blender lists no such handlers.
    """
    drop_drawing()
    view = bpy.types.SpaceView3D
    bpy.types.WindowManager.wanstage_drawing = (view.draw_handler_add(callback, (), "WINDOW", "POST_VIEW"),)


def is_drawing() -> bool:
    """Whether a function is called then."""
    return hasattr(bpy.types.WindowManager, "wanstage_drawing")


def drop_drawing() -> None:
    """No longer; that of an earlier load too."""
    if is_drawing():
        bpy.types.SpaceView3D.draw_handler_remove(bpy.types.WindowManager.wanstage_drawing[0], "WINDOW")
        del bpy.types.WindowManager.wanstage_drawing


def drop_handlers(handlers: Mapping[str, Callable[..., None]]) -> None:
    """Remove handlers (kind -> function) by name, those of an earlier load too. Some Blenders lack a kind."""
    for kind, handler in handlers.items():
        listed = getattr(bpy.app.handlers, kind, [])
        for item in [item for item in listed if getattr(item, "__name__", "") == handler.__name__]:
            listed.remove(item)
