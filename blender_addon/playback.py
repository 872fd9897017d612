"""A take on its image plane: a quad that fills the camera's view and shows the right frame at every scene frame.

Geometry (Blender's ``BKE_camera_params_compute_viewplane``): a camera sees, at distance d, a length of
``sensor * d / lens`` (or ``ortho_scale``) along the side that ``sensor_fit`` names; shift is in that length too.
Simple driver expressions follow lens, sensor, shift and type; Blender runs them even where scripts may not.

Time: the image sequence is held to a duration of one and a driver on ``frame_offset`` picks the sample, so any
pair of scene and take rates works: sample = floor((frame - first) * take fps / scene fps).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import compat

MARK = "wanstage_plane"  # captures skip objects that have it
DEPTH = "wanstage_depth"
HIDDEN = "wanstage_hidden"  # of planes that have a range: whether another take is shown
COLLECTION = "Wanstage Takes"
NODE = "Wanstage Frame"
MAX_PREVIEW_PIXELS = 480 * 270

_buffers: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}


def plane_name(job_id: str) -> str:
    """The name of a take's plane, its mesh and its material."""
    return f"Wanstage {job_id[:8]}"


def find_plane(job_id: str) -> bpy.types.Object | None:
    """A take's plane by its mark, whatever it is called now."""
    named = bpy.data.objects.get(plane_name(job_id))
    if named is not None and named.get(MARK) == job_id:
        return named
    return next((item for item in bpy.data.objects if item.get(MARK) == job_id), None)


def make_plane(scene: bpy.types.Scene, take: Any, camera: bpy.types.Object, depth: float) -> bpy.types.Object:
    """The plane of a take in front of ``camera``; an existing one is put right again."""
    plane = find_plane(take.job_id)
    if plane is None:
        name = plane_name(take.job_id)
        mesh = _quad(name)
        mesh.materials.append(_material(name))  # before an object has it: bpy 5.0 was once seen to crash after
        plane = bpy.data.objects.new(name, mesh)
        plane[MARK] = take.job_id
        plane[DEPTH] = depth
        plane.id_properties_ui(DEPTH).update(min=0.001, description="Distance from the camera", subtype="DISTANCE")
        _collection(scene).objects.link(plane)
    plane.parent = camera
    plane.matrix_parent_inverse.identity()
    plane.rotation_euler = (0.0, 0.0, 0.0)
    _drive(plane, camera, take.width / take.height)
    _only_for_the_camera(plane)
    take.plane = plane.name
    return plane


def _quad(name: str) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)], [], [(0, 1, 2, 3)])
    layer = mesh.uv_layers.new(name="UVMap")
    for corner, uv in zip(layer.data, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        corner.uv = uv
    return mesh


def _material(name: str) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    compat.enable_nodes(material)
    compat.hide_shadow(material)
    tree = material.node_tree
    tree.nodes.clear()
    picture = tree.nodes.new("ShaderNodeTexImage")
    picture.name = NODE
    picture.extension = "EXTEND"
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    emission.location, output.location, picture.location = (0, 0), (200, 0), (-320, 0)
    tree.links.new(picture.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    tree.nodes.active = picture  # what Workbench shows with "Texture" colours
    return material


def _collection(scene: bpy.types.Scene) -> bpy.types.Collection:
    found = next((item for item in scene.collection.children_recursive if item.name.startswith(COLLECTION)), None)
    if found is None:
        found = bpy.data.collections.new(COLLECTION)
        scene.collection.children.link(found)
    return found


def _only_for_the_camera(plane: bpy.types.Object) -> None:
    """What Wan made must not light the set."""
    for ray in ("diffuse", "glossy", "transmission", "volume_scatter", "shadow"):
        setattr(plane, f"visible_{ray}", False)
    plane.hide_select = False


# The length seen at distance d along the fitted side, per unit of the camera object's own scale.
_SEEN = "((sh if fit == 2 else sw) * d / lens if type == 0 else ortho)"


def _drive(plane: bpy.types.Object, camera: bpy.types.Object, aspect: float) -> None:
    """Drivers for location and scale. ``aspect`` is width / height of the take."""
    wide, tall = ("1", f"{1 / aspect:.9g}") if aspect >= 1 else (f"{aspect:.9g}", "1")
    # sensor_fit AUTO fits the longer side; HORIZONTAL (1) the width; VERTICAL (2) the height
    across = f"({wide} if fit == 0 else 1 if fit == 1 else {aspect:.9g})"
    up = f"({tall} if fit == 0 else {1 / aspect:.9g} if fit == 1 else 1)"
    expressions = (
        ("location", 0, f"{_SEEN} * shift_x / s"),
        ("location", 1, f"{_SEEN} * shift_y / s"),
        ("location", 2, "-d / s"),
        ("scale", 0, f"{_SEEN} * {across} / s"),
        ("scale", 1, f"{_SEEN} * {up} / s"),
    )
    for path, index, expression in expressions:
        plane.driver_remove(path, index)
        driver = plane.driver_add(path, index).driver
        driver.type = "SCRIPTED"
        _variables(driver, plane, camera, expression)
        driver.expression = expression


_CAMERA_PATHS = {
    "sh": "sensor_height",
    "sw": "sensor_width",
    "fit": "sensor_fit",
    "lens": "lens",
    "type": "type",
    "ortho": "ortho_scale",
    "shift_x": "shift_x",
    "shift_y": "shift_y",
}


def _variables(driver: Any, plane: bpy.types.Object, camera: bpy.types.Object, expression: str) -> None:
    for name, path in _CAMERA_PATHS.items():
        if name in expression:
            target = _variable(driver, name, "SINGLE_PROP")
            target.id_type, target.id, target.data_path = "CAMERA", camera.data, path
    target = _variable(driver, "d", "SINGLE_PROP")
    target.id, target.data_path = plane, f'["{DEPTH}"]'
    target = _variable(driver, "s", "TRANSFORMS")
    target.id, target.transform_type, target.transform_space = camera, "SCALE_AVG", "WORLD_SPACE"


def _variable(driver: Any, name: str, kind: str) -> Any:
    variable = driver.variables.new()
    variable.name, variable.type = name, kind
    return variable.targets[0]


def picture_node(plane: bpy.types.Object) -> Any:
    """The image texture node of a plane."""
    return plane.data.materials[0].node_tree.nodes[NODE]


def show_frame(plane: bpy.types.Object, first_file: Path, index: int) -> None:
    """While frames arrive: hold the sequence on sample ``index``, whatever the scene frame is."""
    node = picture_node(plane)
    _use_sequence(node, plane, first_file)
    node.image_user.driver_remove("frame_offset")
    node.image_user.frame_offset = index
    redraw()


def show_sequence(plane: bpy.types.Object, first_file: Path, take: Any, scene_fps: float) -> None:
    """When the take is complete: every scene frame shows its sample."""
    node = picture_node(plane)
    _use_sequence(node, plane, first_file)
    node.image_user.driver_remove("frame_offset")
    driver = node.image_user.driver_add("frame_offset").driver
    # the small term keeps a sample that falls exactly on a frame from being rounded down
    ratio = take.fps / scene_fps
    last = max(take.frames_done - 1, 0)
    driver.expression = f"clamp(floor((frame - {take.frame_start:.9g}) * {ratio:.9g} + 0.001), 0, {last})"
    redraw()


def sample_at(frame: float, take: Any, scene_fps: float) -> int:
    """The sample that ``show_sequence`` shows at a scene frame."""
    sample = math.floor((frame - take.frame_start) * take.fps / scene_fps + 0.001)
    return min(max(sample, 0), max(take.frames_done - 1, 0))


def _use_sequence(node: Any, plane: bpy.types.Object, first_file: Path) -> None:
    if node.image is not None and node.image.source == "SEQUENCE":
        return
    image = bpy.data.images.load(str(first_file))
    image.name = plane.name
    image.source = "SEQUENCE"
    if bpy.data.filepath:
        image.filepath = bpy.path.relpath(str(first_file))
    old = node.image
    node.image = image
    user = node.image_user
    user.frame_start, user.frame_duration, user.use_cyclic, user.use_auto_refresh = 1, 1, False, True
    if old is not None and old.users == 0:
        bpy.data.images.remove(old)


def point_at(plane: bpy.types.Object, first_file: Path) -> None:
    """The frames have moved: look for them beside ``first_file``."""
    image = picture_node(plane).image
    if image is not None and image.source == "SEQUENCE":
        image.filepath = str(first_file)


def show_preview(plane: bpy.types.Object, width: int, height: int, data: Any) -> None:
    """A preview (raw RGB8, rows from the top) onto the plane's live image; large ones are thinned out first."""
    node = picture_node(plane)
    if node.image is not None and node.image.source == "SEQUENCE":
        return  # final frames are better than any preview
    rgb = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    step = 1 + int(((width * height - 1) // MAX_PREVIEW_PIXELS) ** 0.5)
    rgb = rgb[::step, ::step]
    height, width = rgb.shape[:2]
    name = f"{plane.name} live"
    image = node.image
    if image is None or tuple(image.size) != (width, height):
        if image is not None:
            bpy.data.images.remove(image)
        image = bpy.data.images.new(name, width, height, alpha=False)
        node.image = image
    image.pixels.foreach_set(bottom_up(rgb))
    image.update()
    redraw()


def bottom_up(rgb: np.ndarray) -> np.ndarray:
    """uint8 (h,w,3), rows from the top, to Blender's flat float32 RGBA, rows from the bottom (reused buffer).

    Plane by plane into bytes, then one even multiplication: six times as fast as scaling three of four channels.
    """
    height, width = rgb.shape[:2]
    if (height, width) not in _buffers:
        _buffers.clear()
        _buffers[height, width] = (np.full((height, width, 4), 255, np.uint8), np.ones((height, width, 4), np.float32))
    codes, buffer = _buffers[height, width]
    for channel in range(3):
        codes[..., channel] = rgb[::-1, :, channel]
    np.multiply(codes, np.float32(1 / 255), out=buffer)
    return buffer.ravel()


def set_visible(plane: bpy.types.Object, visible: bool) -> None:
    """In the viewport and in renders alike; a plane with a range is seen in that only."""
    if HIDDEN in plane:
        plane[HIDDEN] = int(not visible)
        plane.update_tag()
        return
    plane.hide_viewport = not visible
    plane.hide_render = not visible


def is_shown(plane: bpy.types.Object) -> bool:
    """Whether the plane's take is the one that was chosen, be the present frame in its range or not."""
    return not plane[HIDDEN] if HIDDEN in plane else not plane.hide_viewport


def limit(plane: bpy.types.Object, first: float, last: float) -> None:
    """Show the plane at the scene frames ``first`` to ``last`` only: before and behind them another camera is on."""
    plane[HIDDEN] = int(not is_shown(plane))
    for path in ("hide_viewport", "hide_render"):
        plane.driver_remove(path)
        driver = plane.driver_add(path).driver
        driver.type = "SCRIPTED"
        target = _variable(driver, "hidden", "SINGLE_PROP")
        target.id, target.data_path = plane, f'["{HIDDEN}"]'
        driver.expression = f"hidden or frame < {first:.9g} or frame >= {last + 1:.9g}"


def remove_plane(job_id: str) -> None:
    """The plane with everything that was made for it."""
    plane = find_plane(job_id)
    if plane is None:
        return
    mesh, material = plane.data, plane.data.materials[0]
    image = picture_node(plane).image
    for collection, item in ((bpy.data.objects, plane), (bpy.data.meshes, mesh), (bpy.data.materials, material)):
        collection.remove(item)
    if image is not None and image.users == 0:
        bpy.data.images.remove(image)


def redraw() -> None:
    """Only what can show a plane or the panel."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "IMAGE_EDITOR"}:
                area.tag_redraw()
