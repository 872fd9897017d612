"""What the model made is what is seen: a take's pictures are read as if the scene's view had already made them.

Blender names a colour space after each of its view transforms. A picture of that space is taken back through the
view when it is read, and comes out of it again as it was. How near, on a plane of 256 colours over the whole cube and
on a photograph (largest error of a channel, of 255; tests/bpy/addon/test_colors.py renders it):

    Standard, Raw, ACES 2.0   0 and 0
    Filmic                    2 and 0; 18 in the purest blues, which the view does not have
    AgX                       0 and 4; far more in pure colours, which the view turns into paler ones
    ACES 1.3                  0 and 2; more in pure colours
    Khronos PBR Neutral       72 and 82, in dark and in pure colours: Blender's way back through it is coarse

That is Cycles and Workbench. EEVEE drops negative light, which some views need for pure colours: there Standard, Raw
and Filmic are as above, and AgX and both ACES make all colours paler that are far from grey.
The way back costs processor time for each picture that is drawn, shared by all cores: at 1280x720 about 60 ms of one
core for Filmic, 100 for Khronos PBR Neutral, 140 for AgX, 450 for ACES 2.0, nothing for Standard and Raw.

The exposure is undone by the strength of the plane's light. Looks, gamma, curves and white balance cannot be undone.
The viewport's Solid shading knows no view transform, so there the pictures are shown by a node of their own.
"""

from __future__ import annotations

import functools
from typing import Any

import bpy

from .words import noted, tr

SRGB = "sRGB"
EPSILON = 1e-4  # settings that differ less than this do nothing that can be seen
SPACES = {
    "Standard": SRGB,
    "Raw": "Non-Color",
    "ACES 2.0": "ACES 2.0 sRGB",
    "ACES 1.3": "ACES 1.3 sRGB",
    "Filmic": "Filmic sRGB",
    "Filmic Log": "Filmic Log",
    "AgX": "AgX Base sRGB",
    "Khronos PBR Neutral": "Khronos PBR Neutral sRGB",
}
seen: dict[str, tuple[Any, ...]] = {}  # scene -> ``key`` that all its planes were dressed for
_PALER = {
    "Filmic": noted("Filmic shows the purest colours of takes a little paler than they were made"),
    "Filmic Log": noted("Filmic Log shows the purest colours of takes paler than they were made"),
    "AgX": noted("AgX shows pure colours of takes paler than they were made"),
    "ACES 1.3": noted("ACES 1.3 shows pure colours of takes paler than they were made"),
    "Khronos PBR Neutral": noted("Khronos PBR Neutral changes dark and pure colours of takes"),
}


@functools.cache
def _known() -> frozenset[str]:
    """The colour spaces of this Blender and its OCIO configuration."""
    names = bpy.types.ColorManagedInputColorspaceSettings.bl_rna.properties["name"].enum_items
    return frozenset(item.identifier for item in names)


def view_space(scene: bpy.types.Scene) -> str:
    """The colour space that a take's pictures are to be read in, sRGB where Blender has none for the view."""
    space = SPACES.get(scene.view_settings.view_transform, SRGB)
    return space if space in _known() else SRGB


def set_space(image: bpy.types.Image, space: str) -> None:
    """Read an image in a colour space; its pixels are read again from disk."""
    if image.colorspace_settings.name != space:
        image.colorspace_settings.name = space


def by_workbench(scene: bpy.types.Scene) -> bool:
    """Whether renders draw one image and no nodes."""
    return scene.render.engine == "BLENDER_WORKBENCH"


def needs_solid(scene: bpy.types.Scene) -> bool:
    """Whether Solid shading needs pictures of another colour space than the rest."""
    return view_space(scene) != SRGB and not by_workbench(scene)


def key(scene: bpy.types.Scene) -> tuple[Any, ...]:
    """Changes when the pictures must be read in another way."""
    return view_space(scene), needs_solid(scene)


def note(scene: bpy.types.Scene) -> str:
    """Why takes are not seen as they were made under the scene's view, in a sentence; empty when they are."""
    view = scene.view_settings
    changing = _changing(scene)
    if changing:
        return tr("{what} changes the colours of takes", what=changing)
    if SPACES.get(view.view_transform) not in _known():
        return tr("The {view} view changes the colours of takes", view=view.view_transform)
    if view.view_transform == "ACES 2.0" and scene.render.engine.startswith("BLENDER_EEVEE"):
        return tr("ACES 2.0 in EEVEE shows pure colours of takes paler than they were made")
    said = _PALER.get(view.view_transform)
    return tr(said) if said else ""


def _changing(scene: bpy.types.Scene) -> str:
    """What of the view, beside its transform, cannot be undone."""
    view, film = scene.view_settings, getattr(getattr(scene, "cycles", None), "film_exposure", 1.0)
    found = (
        (
            view.look not in {"None", "AgX - Base Contrast"},
            tr("The look {look}", look=view.look),
        ),  # that look is AgX as it is
        (abs(view.gamma - 1.0) > EPSILON, tr("Gamma {gamma:.2f}", gamma=view.gamma)),
        (view.use_curve_mapping, tr("The view's curve")),
        (getattr(view, "use_white_balance", False), tr("The view's white balance")),
        (
            by_workbench(scene) and abs(view.exposure) > EPSILON,
            tr("Exposure {exposure:.2f}, in Workbench,", exposure=view.exposure),
        ),
        (
            scene.render.engine == "CYCLES" and abs(film - 1.0) > EPSILON,
            tr("The film exposure {exposure:.2f} of Cycles", exposure=film),
        ),
    )
    return next((what for is_so, what in found if is_so), "")


def make_standard(scene: bpy.types.Scene) -> None:
    """The view that shows every take exactly as it was made."""
    view = scene.view_settings
    view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0.0, 1.0
    view.use_curve_mapping = False
    if hasattr(view, "use_white_balance"):
        view.use_white_balance = False
    if scene.render.engine == "CYCLES":
        scene.cycles.film_exposure = 1.0
