"""The clay look and the temporary scene that renders it: Cycles, one camera ray a pixel, no light bounces.

One render gives everything. Characters are transparent to the eye but write their clay colour into an AOV at the
first hit (``pass_alpha_threshold`` 0 makes the first surface count, transparent or not), so the beauty pass is the
background plate and the AOVs, depth and object index see the characters. The pixel filter is a point: masks, depth and
motion belong to pixel centres exactly; the clay's edges are smoothed afterwards (``smooth.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .camera import CameraSample
from .evaluate import Scratch
from .exr import read_exr
from .eye import aim, make_eye

Array = NDArray[Any]

SET_COLOUR = (0.42, 0.41, 0.40)
SET_PAINT, PERSON_PAINT = 0.5, 0.85  # how much of a material's own colour shows on the set and on characters
TINTS = ((0.62, 0.42, 0.30), (0.30, 0.46, 0.62), (0.40, 0.56, 0.34), (0.60, 0.52, 0.28), (0.52, 0.36, 0.56))
"""Linear colours of characters whose materials say none, by their order."""
BACKDROP = (0.30, 0.315, 0.33)
REST = "wanstage_rest"
PAINT = "wanstage_paint"
CLAY = "wanstage_clay"


def _node(tree: bpy.types.NodeTree, kind: str, **settings: object) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    for name, value in settings.items():
        setattr(node, name, value)
    return node


def _math(tree: bpy.types.NodeTree, operation: str, *inputs: bpy.types.NodeSocket | float) -> bpy.types.NodeSocket:
    """A math node; inputs are sockets or numbers. Returns its output."""
    node = _node(tree, "ShaderNodeMath", operation=operation)
    for socket, value in zip(node.inputs, inputs, strict=False):
        if isinstance(value, (int, float)):
            socket.default_value = value
        else:
            tree.links.new(value, socket)
    return node.outputs[0]


def _dot(
    tree: bpy.types.NodeTree, vector: bpy.types.NodeSocket, direction: tuple[float, float, float]
) -> bpy.types.NodeSocket:
    node = _node(tree, "ShaderNodeVectorMath", operation="DOT_PRODUCT")
    tree.links.new(vector, node.inputs[0])
    node.inputs[1].default_value = direction
    return node.outputs["Value"]


def _half(tree: bpy.types.NodeTree, value: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    return _math(tree, "MULTIPLY_ADD", value, 0.5, 0.5)


def clay_material(made: Scratch, name: str, key: tuple[float, float, float], person: bool) -> bpy.types.Material:
    """Half-lambert key light + sky + rim, as emission (set) or only as AOV (person); colours come from the palette."""
    material = made.add("materials", bpy.data.materials.new(name))
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    geometry = _node(tree, "ShaderNodeNewGeometry")
    normal = geometry.outputs["Normal"]
    key_light = _math(tree, "POWER", _half(tree, _dot(tree, normal, key)), 1.6)
    sky = _half(tree, _dot(tree, normal, (0.0, 0.0, 1.0)))
    light = _math(tree, "ADD", 0.10, _math(tree, "MULTIPLY_ADD", key_light, 0.95, _math(tree, "MULTIPLY", sky, 0.30)))
    rim = _rim(tree) if person else None
    shade = light if person else _math(tree, "MULTIPLY", light, _ground_grid(tree, geometry))
    paint = _node(tree, "ShaderNodeAttribute", attribute_type="GEOMETRY", attribute_name=PAINT).outputs["Fac"]
    clay = _code(tree, shade, paint, 0.0 if rim is None else rim)
    _outputs(tree, clay, _plate_code(tree, shade, paint), person)
    _no_sampling(material)
    return material


def _rim(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    facing = _node(tree, "ShaderNodeLayerWeight").outputs["Facing"]
    return _math(tree, "MULTIPLY", _math(tree, "POWER", facing, 4.0), 0.16)


def _code(tree: bpy.types.NodeTree, *channels: bpy.types.NodeSocket | float) -> bpy.types.NodeSocket:
    """Three numbers as one colour."""
    code = _node(tree, "ShaderNodeCombineXYZ")
    for socket, value in zip(code.inputs, channels, strict=True):
        if isinstance(value, (int, float)):
            socket.default_value = value
        else:
            tree.links.new(value, socket)
    return code.outputs[0]


def _ground_grid(tree: bpy.types.NodeTree, geometry: bpy.types.Node) -> bpy.types.NodeSocket:
    """A faint 1 m checker on level ground, fading with distance: it shows how fast camera and feet move."""
    checker = _node(tree, "ShaderNodeTexChecker")
    checker.inputs["Scale"].default_value = 1.0
    # The checker is offset in height so that a floor at exactly 0 does not flicker between its two cells.
    lift = _node(tree, "ShaderNodeVectorMath", operation="MULTIPLY")
    tree.links.new(geometry.outputs["Position"], lift.inputs[0])
    lift.inputs[1].default_value = (1.0, 1.0, 0.0)
    add = _node(tree, "ShaderNodeVectorMath", operation="ADD")
    tree.links.new(lift.outputs[0], add.inputs[0])
    add.inputs[1].default_value = (0.0, 0.0, 0.5)
    tree.links.new(add.outputs[0], checker.inputs["Vector"])
    level = _math(tree, "GREATER_THAN", _dot(tree, geometry.outputs["Normal"], (0.0, 0.0, 1.0)), 0.97)
    distance = _node(tree, "ShaderNodeCameraData").outputs["View Distance"]
    fade = _math(
        tree, "DIVIDE", 1.0, _math(tree, "ADD", 1.0, _math(tree, "POWER", _math(tree, "DIVIDE", distance, 14.0), 2.0))
    )
    amount = _math(tree, "MULTIPLY", _math(tree, "MULTIPLY", level, fade), 0.14)
    return _math(tree, "SUBTRACT", 1.0, _math(tree, "MULTIPLY", checker.outputs["Fac"], amount))


def _plate_code(
    tree: bpy.types.NodeTree, shade: bpy.types.NodeSocket, paint: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """What the beauty pass carries: shade, inverse depth for contact shadows, row of the palette."""
    depth = _node(tree, "ShaderNodeCameraData").outputs["View Z Depth"]
    return _code(tree, shade, _math(tree, "DIVIDE", 1.0, depth), paint)


def _aov(tree: bpy.types.NodeTree, name: str, colour: bpy.types.NodeSocket) -> None:
    node = _node(tree, "ShaderNodeOutputAOV")
    if hasattr(node, "aov_name"):
        node.aov_name = name
    else:
        node.name = name  # Blender before 4.2 takes the node's name
    tree.links.new(colour, node.inputs["Color"])


def _outputs(
    tree: bpy.types.NodeTree, colour: bpy.types.NodeSocket, plate_code: bpy.types.NodeSocket, person: bool
) -> None:
    output = _node(tree, "ShaderNodeOutputMaterial")
    surface = _node(tree, "ShaderNodeBsdfTransparent" if person else "ShaderNodeEmission")
    if not person:
        tree.links.new(plate_code, surface.inputs["Color"])
    tree.links.new(surface.outputs[0], output.inputs["Surface"])
    _aov(tree, CLAY, colour)
    rest = _node(tree, "ShaderNodeAttribute", attribute_type="GEOMETRY", attribute_name=REST)
    _aov(tree, REST, rest.outputs["Vector"])


def _no_sampling(material: bpy.types.Material) -> None:
    """Glowing clay lights nothing: keep Cycles from building a light tree of it."""
    if hasattr(material.cycles, "emission_sampling"):
        material.cycles.emission_sampling = "NONE"
    else:
        material.cycles.sample_as_light = False


class ClayScene:
    """The temporary scene: its camera, materials, render settings; ``render`` gives a sample's passes."""

    def __init__(self, made: Scratch, folder: Path, size: tuple[int, int], camera: CameraSample, samples: int) -> None:
        self._made = made
        self.scene = made.add("scenes", bpy.data.scenes.new(".wanstage_clay"))
        self.size = size
        self._path = folder / "passes.exr"
        self._camera = make_eye(made, self.scene)
        key = _key_direction(camera)
        self.person = clay_material(made, ".wanstage_person", key, person=True)
        self.surroundings = clay_material(made, ".wanstage_set", key, person=False)
        self._set_passes()
        self._set_output()
        self._set_cycles(samples)

    def _set_passes(self) -> None:
        layer = self.scene.view_layers[0]
        layer.use_pass_z = layer.use_pass_object_index = True
        layer.pass_alpha_threshold = 0.0
        for name in (CLAY, REST):
            aov = layer.aovs.add()
            aov.name, aov.type = name, "COLOR"

    def _set_output(self) -> None:
        render = self.scene.render
        render.engine = "CYCLES"
        render.resolution_x, render.resolution_y = self.size
        render.resolution_percentage = 100
        render.film_transparent = True
        render.use_persistent_data = True
        render.use_compositing = render.use_sequencer = False
        render.filepath, render.use_file_extension = str(self._path), False
        image = render.image_settings
        if hasattr(image, "media_type"):
            image.media_type = "MULTI_LAYER_IMAGE"
        image.file_format = "OPEN_EXR_MULTILAYER"
        image.color_depth, image.exr_codec = "32", "NONE"
        if hasattr(image, "use_exr_interleave"):
            image.use_exr_interleave = True  # the parts of a multi-part file disagree about odd pixel aspects

    def _set_cycles(self, samples: int) -> None:
        cycles = self.scene.cycles
        cycles.samples = samples
        cycles.use_denoising = cycles.use_adaptive_sampling = False
        cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 0.01
        cycles.max_bounces = 0
        cycles.transparent_max_bounces = 64
        cycles.use_light_tree = False

    def aim(self, camera: CameraSample, clip: tuple[float, float]) -> None:
        """Put the camera where the sample's camera is."""
        aim(self.scene, self._camera, self.size, camera, clip)

    def render(self) -> dict[str, Any]:
        """The passes of this moment, lists of (h,w): "plate" (shade, 1 / depth, palette row, alpha), "clay" (shade,
        palette row, rim), "rest" x, y, z; and "depth" and "index" (h,w)."""
        self._made.render(self.scene)
        channels = read_exr(self._path.read_bytes())
        by_name = {tuple(name.split(".")[1:]): values for name, values in channels.items()}
        index = by_name.get(("IndexOB", "X"), by_name.get(("Object Index", "X")))
        return {
            "plate": _stack(by_name, "Combined", "RGBA"),
            "clay": _stack(by_name, CLAY, "RGB"),
            "rest": _stack(by_name, REST, "RGB"),
            "depth": by_name["Depth", "Z"],
            "index": index,
        }


def _stack(channels: dict[tuple[str, ...], Any], name: str, letters: str) -> list[Any]:
    return [channels[name, letter] for letter in letters]


def _key_direction(camera: CameraSample) -> tuple[float, float, float]:
    """From over the camera's left shoulder at sample 0, in world space: it stays put while the camera moves."""
    direction = camera.world[:3, :3] @ np.array([-0.55, 0.65, 0.6])
    direction /= np.linalg.norm(direction)
    return (float(direction[0]), float(direction[1]), float(direction[2]))
