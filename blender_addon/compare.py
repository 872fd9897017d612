"""Two takes on one plane: a wipe or their difference, in the plane's own material.

The second take's pictures come in by an image texture of their own, with a copy of the driver that picks their sample,
so both play in time. What the nodes of the comparison replaced is one link, which ``stop`` puts back.

Solid view with texture colours shows the first take alone: Workbench draws one image and no nodes.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import playback
from .problems import UserProblem
from .words import tr

SECOND, UV, SPLIT, EDGE, MIX, GAIN = (
    f"Wanstage Compare {each}" for each in ("B", "UV", "Split", "Edge", "Mix", "Gain")
)
NODES = (SECOND, UV, SPLIT, EDGE, MIX, GAIN)
FACTOR, FIRST_COLOR, SECOND_COLOR, RESULT = 0, 6, 7, 2  # sockets of a Mix node of colours


def start(scene: bpy.types.Scene, first: Any, second: Any) -> None:
    """Show ``second`` over ``first`` on the plane of ``first``. Raises UserProblem when one has no frames."""
    planes = [playback.find_plane(take.job_id) for take in (first, second)]
    for take, plane in zip((first, second), planes, strict=True):
        if plane is None or not is_complete(plane):
            problem = tr("{take} has no frames on a plane: show it once, or compare two finished takes", take=take.name)
            raise UserProblem(problem)
    stop()
    _build(planes[0].data.materials[0].node_tree, planes[1].data.materials[0].node_tree)
    asked = scene.wanstage.compare
    asked.first, asked.second = first.job_id, second.job_id
    changed(asked)


def is_complete(plane: bpy.types.Object) -> bool:
    """Whether the plane shows the files of its take rather than a preview."""
    image = playback.picture_node(plane).image
    return image is not None and image.source == "SEQUENCE"


def stop() -> None:
    """Back to one take; nothing of a comparison is left in any material of the file."""
    asked = [scene.wanstage.compare for scene in bpy.data.scenes if scene.wanstage.compare.first]
    for material in bpy.data.materials if asked else ():
        if material.node_tree is not None and SECOND in material.node_tree.nodes:
            _restore(material.node_tree)
    for each in asked:
        each.first = each.second = ""


def forget(scene: bpy.types.Scene, job_id: str) -> None:
    """A take is shown, hidden or removed: a comparison that has it ends."""
    asked = scene.wanstage.compare
    if asked.first and job_id in {asked.first, asked.second}:
        stop()


def _build(tree: bpy.types.NodeTree, other: bpy.types.NodeTree) -> None:
    shown = tree.nodes.active  # what Workbench draws stays what it is
    picture, theirs = tree.nodes[playback.NODE], other.nodes[playback.NODE]
    fed = [link.to_socket for link in picture.outputs["Color"].links]
    shown = tree.nodes.active  # what Solid shading draws
    second = _node(tree, "ShaderNodeTexImage", SECOND, (-320, -300))
    second.extension, second.image = picture.extension, theirs.image
    second.interpolation = theirs.interpolation
    for name in ("frame_start", "frame_duration", "use_cyclic", "use_auto_refresh", "frame_offset"):
        setattr(second.image_user, name, getattr(theirs.image_user, name))
    _copy_driver(other, second)
    uv, split = (
        _node(tree, "ShaderNodeTexCoord", UV, (-680, 200)),
        _node(tree, "ShaderNodeSeparateXYZ", SPLIT, (-500, 200)),
    )
    edge = _node(tree, "ShaderNodeMath", EDGE, (-320, 260))
    edge.operation = "GREATER_THAN"
    mix, gain = _node(tree, "ShaderNodeMix", MIX, (-60, 0)), _node(tree, "ShaderNodeVectorMath", GAIN, (-60, -260))
    mix.data_type, gain.operation = "RGBA", "SCALE"
    links = tree.links
    links.new(uv.outputs["UV"], split.inputs[0])
    links.new(split.outputs[0], edge.inputs[0])
    links.new(picture.outputs["Color"], mix.inputs[FIRST_COLOR])
    links.new(second.outputs["Color"], mix.inputs[SECOND_COLOR])
    links.new(mix.outputs[RESULT], gain.inputs[0])
    for socket in fed:
        links.new(gain.outputs[0], socket)
    tree.nodes.active = shown


def _node(tree: bpy.types.NodeTree, kind: str, name: str, place: tuple[float, float]) -> Any:
    node = tree.nodes.new(kind)
    node.name, node.location = name, place
    return node


def _driver_path(name: str) -> str:
    return f'nodes["{name}"].image_user.frame_offset'


def _copy_driver(source: bpy.types.NodeTree, node: Any) -> None:
    """The driver that picks the sample, as it is on the other plane."""
    animation = source.animation_data
    found = animation.drivers.find(_driver_path(playback.NODE)) if animation else None
    if found is None:
        return
    made = node.image_user.driver_add("frame_offset").driver
    made.type = found.driver.type
    for variable in found.driver.variables:
        copy = made.variables.new()
        copy.name, copy.type = variable.name, variable.type
        for target, other in zip(copy.targets, variable.targets, strict=True):
            if copy.type == "SINGLE_PROP":
                target.id_type = other.id_type
            target.id, target.data_path = other.id, other.data_path
    made.expression = found.driver.expression


def _restore(tree: bpy.types.NodeTree) -> None:
    shown = tree.nodes.active
    if shown is None or shown.name in NODES:
        shown = tree.nodes[playback.NODE]
    fed = [link.to_socket for link in tree.nodes[GAIN].outputs[0].links]
    tree.nodes[SECOND].image_user.driver_remove("frame_offset")
    for name in NODES:
        tree.nodes.remove(tree.nodes[name])
    for socket in fed:
        tree.links.new(tree.nodes[playback.NODE].outputs["Color"], socket)
    tree.nodes.active = shown


def changed(asked: Any, _context: Any = None) -> None:
    """Mode, line or gain were set: into the nodes."""
    plane = playback.find_plane(asked.first) if asked.first else None
    tree = plane.data.materials[0].node_tree if plane is not None else None
    if tree is None or MIX not in tree.nodes:
        return
    mix, gain, wiped = tree.nodes[MIX], tree.nodes[GAIN], asked.mode == "wipe"
    mix.blend_type = "MIX" if wiped else "DIFFERENCE"
    for link in list(mix.inputs[FACTOR].links):
        tree.links.remove(link)
    if wiped:
        tree.links.new(tree.nodes[EDGE].outputs[0], mix.inputs[FACTOR])
    mix.inputs[FACTOR].default_value = 1.0
    tree.nodes[EDGE].inputs[1].default_value = asked.wipe
    gain.inputs["Scale"].default_value = 1.0 if wiped else asked.gain
    playback.redraw()
