"""A take on its image plane: a quad that fills the camera's view and shows the right frame at every scene frame.

Geometry (Blender's ``BKE_camera_params_compute_viewplane``): a camera sees, at distance d, a length of
``sensor * d / lens`` (or ``ortho_scale``) along the side that ``sensor_fit`` names; shift is in that length too.
Simple driver expressions follow lens, sensor, shift and type; Blender runs them even where scripts may not.

Time: the image sequence is held to a duration of one and a driver on ``frame_offset`` picks the sample, so any
pair of scene and take rates works: sample = floor((frame - first) * take fps / scene fps). The driver reads the
scene's rate, so time is kept when that is changed. Before its first and after its last frame a take is held, or the
plane has no size.

Colour: see ``colors``. All of it is drivers, properties and colour spaces of the file: it plays without the add-on.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import colors, compat, objects, paths

MARK = "wanstage_plane"  # captures skip objects that have it
DEPTH = "wanstage_depth"
HIDDEN = "wanstage_hidden"  # of planes that have a range: whether another take is shown
COLLECTION = "Wanstage Takes"
NODE = "Wanstage Frame"
SOLID = "Wanstage Solid"  # what Solid shading shows where the view needs another colour space
MAX_PREVIEW_PIXELS = 480 * 270

_buffers: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}


def plane_name(job_id: str) -> str:
    """The name of a take's plane, its mesh and its material."""
    return f"Wanstage {job_id[:8]}"


def find_plane(job_id: str) -> bpy.types.Object | None:
    """A take's plane by its mark, whatever it is called now."""
    return objects.marked(MARK, job_id, plane_name(job_id))


def camera_of(take: Any) -> bpy.types.Object | None:
    """A take's camera, whatever it is called now; takes of the first release know its name alone."""
    return take.seen_by or bpy.data.objects.get(take.camera)


def make_plane(scene: bpy.types.Scene, take: Any, camera: bpy.types.Object, depth: float) -> bpy.types.Object:
    """The plane of a take in front of ``camera``; an existing one is put right again."""
    plane = find_plane(take.job_id)
    if plane is None:
        name = plane_name(take.job_id)
        mesh = _quad(name)
        mesh.materials.append(_material(name))
        plane = bpy.data.objects.new(name, mesh)
        plane[MARK] = take.job_id
        plane[DEPTH] = depth
        plane.id_properties_ui(DEPTH).update(min=0.001, description="Distance from the camera", subtype="DISTANCE")
        _collection(scene).objects.link(plane)
    plane.parent = camera
    plane.matrix_parent_inverse.identity()
    plane.rotation_euler = (0.0, 0.0, 0.0)
    _drive(plane, camera, aspect(take), _window(take) if take.outside == "HIDE" else "")
    _expose(plane, scene)
    _only_for_the_camera(plane)
    dress(plane)
    take.plane = plane.name
    return plane


def aspect(take: Any) -> float:
    """Width / height of a take's picture in the world: the capture sees through the scene's pixel aspect."""
    return take.width / take.height * take.pixel_aspect


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


def _drive(plane: bpy.types.Object, camera: bpy.types.Object, aspect: float, window: str) -> None:
    """Drivers for location and scale. ``aspect`` is width / height of the take, ``window`` true while it is seen."""
    seen = f" * (1 if {window} else 0)" if window else ""
    wide, tall = ("1", f"{1 / aspect:.9g}") if aspect >= 1 else (f"{aspect:.9g}", "1")
    # sensor_fit AUTO fits the longer side; HORIZONTAL (1) the width; VERTICAL (2) the height
    across = f"({wide} if fit == 0 else 1 if fit == 1 else {aspect:.9g})"
    up = f"({tall} if fit == 0 else {1 / aspect:.9g} if fit == 1 else 1)"
    expressions = (
        ("location", 0, f"{_SEEN} * shift_x / s"),
        ("location", 1, f"{_SEEN} * shift_y / s"),
        ("location", 2, "-d / s"),
        ("scale", 0, f"{_SEEN} * {across} / s{seen}"),
        ("scale", 1, f"{_SEEN} * {up} / s{seen}"),
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
    if "fps" in expression:
        _rate(driver, scene_of(plane))


def _variable(driver: Any, name: str, kind: str) -> Any:
    variable = driver.variables.new()
    variable.name, variable.type = name, kind
    return variable.targets[0]


def _rate(driver: Any, scene: bpy.types.Scene) -> None:
    """The scene's frames a second, as the variables ``fps`` and ``base``."""
    for name, path in (("fps", "render.fps"), ("base", "render.fps_base")):
        target = _variable(driver, name, "SINGLE_PROP")
        target.id_type, target.id, target.data_path = "SCENE", scene, path


def _sample(take: Any) -> str:
    """The take's own time in samples, in the words of a driver."""
    return f"(frame - {take.frame_start + take.slip:.9g}) * {take.fps:.9g} * base / fps"


def _window(take: Any) -> str:
    # the small term keeps a sample that falls exactly on a frame from being rounded down
    count = take.frames_done if take.state in {"finished", "failed", "cancelled", "lost"} else take.frames
    return f"{_sample(take)} > -0.001 and {_sample(take)} < {count - 0.001:.9g}"


def _expose(plane: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """The plane is as much darker as the view's exposure makes it brighter."""
    node = next(item for item in plane.data.materials[0].node_tree.nodes if item.type == "EMISSION")
    strength = node.inputs["Strength"]
    strength.driver_remove("default_value")
    driver = strength.driver_add("default_value").driver
    target = _variable(driver, "exposure", "SINGLE_PROP")
    target.id_type, target.id, target.data_path = "SCENE", scene, "view_settings.exposure"
    driver.expression = "pow(2, -exposure)"


def scene_of(plane: bpy.types.Object) -> bpy.types.Scene:
    """The scene whose view and rate a plane follows."""
    return plane.users_scene[0] if plane.users_scene else bpy.context.scene


def picture_node(plane: bpy.types.Object) -> Any:
    """The image texture node of a plane."""
    return plane.data.materials[0].node_tree.nodes[NODE]


def picture_nodes(plane: bpy.types.Object) -> list[Any]:
    """All nodes that show the take's pictures, that of renders first."""
    nodes = plane.data.materials[0].node_tree.nodes
    return [nodes[NODE], *([nodes[SOLID]] if SOLID in nodes else [])]


def dress(plane: bpy.types.Object) -> None:
    """The colour spaces that the scene's view asks for; harmless when nothing has changed.

    Nothing is removed: handlers of Blender call it, and some versions crash when datablocks go meanwhile.
    """
    scene, tree = scene_of(plane), plane.data.materials[0].node_tree
    node, solid = tree.nodes[NODE], tree.nodes.get(SOLID)
    if colors.needs_solid(scene) and solid is None:
        solid = tree.nodes.new("ShaderNodeTexImage")
        solid.name, solid.extension, solid.location = SOLID, "EXTEND", (-320, 300)
        _twin(node, solid)
    for each, space in ((node, colors.view_space(scene)), (solid, colors.SRGB)):
        if each is not None and each.image is not None and each.image.source == "SEQUENCE":
            colors.set_space(each.image, space)
    if colors.seen.get(scene.name) != colors.key(scene):
        colors.seen.pop(scene.name, None)  # other planes are behind: the next edit brings them along
    active = solid if solid is not None and colors.needs_solid(scene) else node
    if tree.nodes.active != active:
        tree.nodes.active = active


def _twin(node: Any, solid: Any) -> None:
    """The same pictures at the same time, by an image of its own."""
    if node.image is None or node.image.source != "SEQUENCE":
        return  # a preview: the next one brings its own
    _sequence(solid, f"{node.image.name} solid", node.image.filepath)
    solid.image_user.frame_offset = node.image_user.frame_offset
    animation = node.id_data.animation_data
    found = animation.drivers.find(f'nodes["{NODE}"].image_user.frame_offset') if animation else None
    if found is not None:
        driver = solid.image_user.driver_add("frame_offset").driver
        if "fps" in found.driver.variables:  # files of the first release have the rate as a number
            _rate(driver, found.driver.variables["fps"].targets[0].id)
        driver.expression = found.driver.expression


def _forget(image: bpy.types.Image | None) -> None:
    if image is not None and image.users == 0:
        bpy.data.images.remove(image)


def show_frame(plane: bpy.types.Object, first_file: Path, index: int) -> None:
    """While frames arrive: hold the sequence on sample ``index``, whatever the scene frame is."""
    _use_sequence(plane, first_file)
    for node in picture_nodes(plane):
        node.image_user.driver_remove("frame_offset")
        node.image_user.frame_offset = index
    redraw()


def show_sequence(plane: bpy.types.Object, first_file: Path, take: Any) -> None:
    """When the take is complete: every scene frame shows its sample."""
    _use_sequence(plane, first_file)
    for node in picture_nodes(plane):
        set_time(node.image_user, take, scene_of(plane))
    redraw()


def set_time(user: bpy.types.ImageUser, take: Any, scene: bpy.types.Scene) -> None:
    """The driver that picks a take's sample, on any image user."""
    user.driver_remove("frame_offset")
    driver = user.driver_add("frame_offset").driver
    _rate(driver, scene)
    driver.expression = f"clamp(floor({_sample(take)} + 0.001), 0, {max(take.frames_done - 1, 0)})"


def sample_at(frame: float, take: Any, scene_fps: float) -> int:
    """The sample that ``show_sequence`` shows at a scene frame."""
    sample = math.floor((frame - take.frame_start - take.slip) * take.fps / scene_fps + 0.001)
    return min(max(sample, 0), max(take.frames_done - 1, 0))


def _use_sequence(plane: bpy.types.Object, first_file: Path) -> None:
    path = paths.relative(first_file)
    for node in picture_nodes(plane):
        if node.image is None or node.image.source != "SEQUENCE":
            _sequence(node, plane.name if node.name == NODE else f"{plane.name} solid", path)
        elif paths.absolute(node.image.filepath) != first_file:
            node.image.filepath = path
    dress(plane)


def _sequence(node: Any, name: str, path: str) -> None:
    """Numbered files on a node, held on one of them; a preview that it showed before is removed."""
    image = bpy.data.images.load(path)
    image.name, image.source = name, "SEQUENCE"
    old, node.image = node.image, image
    hold_one(node.image_user)
    _forget(old)


def hold_one(user: bpy.types.ImageUser) -> None:
    """A sequence of one frame, so that ``frame_offset`` alone says which."""
    user.frame_start, user.frame_duration, user.use_cyclic = 1, 1, False
    if hasattr(user, "use_auto_refresh"):
        user.use_auto_refresh = True


def point_at(plane: bpy.types.Object, first_file: Path) -> None:
    """The frames have moved: look for them beside ``first_file``."""
    for node in picture_nodes(plane):
        if node.image is not None and node.image.source == "SEQUENCE":
            node.image.filepath = paths.relative(first_file)


def show_preview(plane: bpy.types.Object, width: int, height: int, data: Any) -> None:
    """A preview (raw RGB8, rows from the top) onto the plane's live image; large ones are thinned out first."""
    node = picture_node(plane)
    if node.image is not None and node.image.source == "SEQUENCE":
        return  # final frames are better than any preview
    rgb = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    step = 1 + int(((width * height - 1) // MAX_PREVIEW_PIXELS) ** 0.5)
    rgb = rgb[::step, ::step]
    height, width = rgb.shape[:2]
    pixels = bottom_up(rgb)
    dress(plane)
    for each in picture_nodes(plane):
        space = colors.SRGB if each.name == SOLID else colors.view_space(scene_of(plane))
        image = _live(each, f"{plane.name} live", (width, height), space)
        image.pixels.foreach_set(pixels)
        image.update()
    redraw()


def _live(node: Any, name: str, size: tuple[int, int], space: str) -> bpy.types.Image:
    """The node's image for previews: made anew for another size or colour space, which would lose its pixels."""
    image = node.image
    if image is None or tuple(image.size) != size or image.colorspace_settings.name != space:
        if image is not None:
            bpy.data.images.remove(image)
        image = bpy.data.images.new(name, *size, alpha=False)
        colors.set_space(image, space)
        node.image = image
    return image


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
    else:
        plane.hide_viewport = not visible
        plane.hide_render = not visible
    if not visible:
        unload(plane)


def unload(plane: bpy.types.Object) -> None:
    """Give back the memory of a take's pictures; they are read again from disk when they are seen."""
    for node in picture_nodes(plane):
        if node.image is not None and node.image.source == "SEQUENCE":
            node.image.buffers_free()


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
    images = [node.image for node in picture_nodes(plane)]
    for collection, item in ((bpy.data.objects, plane), (bpy.data.meshes, mesh), (bpy.data.materials, material)):
        collection.remove(item)
    for image in images:
        _forget(image)


def redraw() -> None:
    """Only what can show a plane or the panel."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "IMAGE_EDITOR"}:
                area.tag_redraw()
