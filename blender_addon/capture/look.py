"""Real renders: the scene with its materials, lights, world and view transform, at one moment.

Always by Cycles: it gives the same picture on every machine and Blender version, while EEVEE takes seconds a picture
without a graphics card; what the artist set up for Cycles (bounces, caustics, film) is kept, and the sample count and
denoiser are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from ..words import tr
from .evaluate import Scratch, bare_copy, character_objects, left_out_objects, scratch, set_frame
from .params import PLANE, CaptureProblem, ShotParams
from .pictures import read_targa

NOISE = 0.05  # where this little noise is left, Cycles stops early: the denoiser takes the rest out


def set_render(copy: bpy.types.Scene, size: tuple[int, int], samples: int, path: Path, alpha: bool) -> None:
    """Cycles settings and output of a temporary scene."""
    render = copy.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = size
    render.resolution_percentage = 100
    render.use_border = render.use_compositing = render.use_sequencer = False
    render.use_persistent_data = False
    render.film_transparent = alpha
    render.filepath, render.use_file_extension = str(path), False
    for stamp in tuple(render.bl_rna.properties.keys()):
        if stamp.startswith("use_stamp"):  # dates and file paths would go into the PNG, and off this machine
            setattr(render, stamp, False)
    image = _still_output(copy, alpha)
    image.file_format = "PNG"
    image.color_depth, image.compression = "8", 15
    cycles = copy.cycles
    cycles.samples = samples
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, NOISE
    cycles.use_denoising = can_denoise()
    cycles.denoising_prefilter = "FAST"
    if hasattr(cycles, "denoising_quality"):
        cycles.denoising_quality = "BALANCED"
    if "OPENIMAGEDENOISE" in cycles.bl_rna.properties["denoiser"].enum_items:
        cycles.denoiser = "OPENIMAGEDENOISE"


def _still_output(copy: bpy.types.Scene, alpha: bool) -> Any:
    image = copy.render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = "IMAGE"
    image.color_mode = "RGBA" if alpha else "RGB"
    return image


def raw_output(copy: bpy.types.Scene, path: Path, alpha: bool) -> None:
    """Have a temporary scene write pictures that ``read_raw`` reads."""
    copy.render.filepath, copy.render.use_file_extension = str(path), False
    image = _still_output(copy, alpha)
    image.file_format = "TARGA_RAW"
    image.color_mode = "RGBA" if alpha else "RGB"


def read_raw(path: Path) -> Any:
    """uint8 (h,w,3 or 4), straight alpha; the file is removed, so that it is never read twice. CaptureProblem."""
    try:
        data = path.read_bytes()
        path.unlink()
    except OSError as error:
        msg = tr("Blender wrote no picture to {name}: check the free space of its temporary folder.", name=path.name)
        raise CaptureProblem(msg) from error
    return read_targa(data)


def can_denoise() -> bool:
    """Debian's Blender is built without a denoiser, and a render that asks for one fails."""
    import _cycles

    return bool(getattr(_cycles, "with_openimagedenoise", True))


def render_look(
    params: ShotParams, scene: bpy.types.Scene, camera: bpy.types.Object, path: Path, *,
    without: Sequence[Any] = (), frame: float | None = None,
) -> bytes:  # fmt: skip
    """PNG bytes of sample 0, or of a scene frame, without the characters of these armatures (nor their shadows)."""
    gone = {item for armature in without for item in character_objects(scene, armature)}
    gone |= left_out_objects(scene, params)
    with scratch() as made:
        copy = bare_copy(made, scene, [item for item in rendered(scene) if item not in gone])
        if camera.name not in copy.objects:
            copy.collection.objects.link(camera)
        copy.camera = camera
        set_frame(copy, params.frame_start if frame is None else frame)
        set_render(copy, (params.width, params.height), params.look_samples, path, alpha=False)
        return render_png(made, copy, path)


def render_png(made: Scratch, copy: bpy.types.Scene, path: Path) -> bytes:
    """Render a temporary scene to its file; CaptureProblem when nothing was written."""
    made.render(copy)
    if not path.is_file():
        msg = tr(
            "Blender wrote no picture of the scene to {name}: check the free space of its temporary folder.",
            name=path.name,
        )
        raise CaptureProblem(msg)
    return path.read_bytes()


def rendered(scene: bpy.types.Scene) -> list[Any]:
    """The scene's objects that a render shows, by collections and view layer."""
    layer = next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])
    found: dict[Any, None] = {}

    def walk(collection: bpy.types.Collection, inside: bpy.types.LayerCollection) -> None:
        if collection.hide_render or inside.exclude:
            return
        found.update(dict.fromkeys(collection.objects))
        for child in inside.children:
            walk(child.collection, child)

    walk(scene.collection, layer.layer_collection)
    return [item for item in found if not item.hide_render and not item.get(PLANE)]
