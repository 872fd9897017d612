"""What a take was made from, as three hashes: motion, camera and look. After an edit they tell what is out of date.

The scene is only read: no frame is set, so a pose that is not keyed yet is never lost and nothing flickers. Animation
is hashed as what its curves give at the take's own samples: an edit outside the shot changes nothing, one inside does,
however it was made. What moves by drivers and constraints is hashed by them and by what they refer to.

``signature`` is a generator that yields often, so that it can be spread over ticks; see ``watch``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import bonemap_store, playback, shots
from .words import noted, tr

VERSION = 1
PARTS = ("motion", "camera", "look")
PART_WORDS = {"motion": noted("the motion"), "camera": noted("the camera"), "look": noted("the look")}
DIGITS = 4  # of values: a tenth of a millimetre, and less than a hundredth of a degree
WHOLE_MESH = 60_000  # vertices; of larger meshes the size of each side and the counts are looked at
TRANSFORM = ("location", "rotation_mode", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale")
DELTAS = ("delta_location", "delta_rotation_euler", "delta_rotation_quaternion", "delta_scale")
PLAIN = frozenset({"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"})
UNSEEN = frozenset({"name", "select", "show_expanded", "is_active", "active", "location", "width", "height",
                    "hide", "label", "mute_ui", "show_options", "show_preview", "show_texture", "parent_index", "tag",
                    "use_fake_user", "is_runtime_data", "width_hidden", "use_custom_color",
                    "location_absolute", "warning_propagation", "is_evaluated", "session_uid", "show_in_editmode",
                    "show_viewport", "show_on_cage", "use_pin_to_last", "use_extra_user"})  # fmt: skip

_contents: dict[tuple[str, int, int], bytes] = {}
_known: dict[str, list[str]] = {}

Steps = Generator[None, None, Any]


@dataclass(frozen=True)
class Span:
    """Where a take samples the scene: its camera's name, first scene frame, how many samples, their rate."""

    camera: str
    first: float
    frames: int
    fps: float
    parts: tuple[str, ...] = PARTS

    def times(self, scene: bpy.types.Scene) -> list[float]:
        """Scene frames of the samples."""
        step = scene.render.fps / scene.render.fps_base / self.fps
        return [self.first + index * step for index in range(self.frames)]


@dataclass
class _Digest:
    """One hash; ``done`` are the datablocks that are in it already."""

    times: list[float]
    hash: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    done: set[str] = field(default_factory=set)

    def add(self, *values: object) -> None:
        for value in values:
            self.hash.update(repr(_plain(value)).encode())
            self.hash.update(b";")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0
    if isinstance(value, str | int | bool | bytes | type(None)):
        return value
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, bpy.types.ID):
        return value.name
    try:
        return [_plain(each) for each in value]
    except TypeError:
        return type(value).__name__


def span_of(scene: bpy.types.Scene, task: str, camera: str, frames: int, fps: float) -> Span:
    """What a task looks at: some see the first frame alone, Text to Video sees nothing of the scene."""
    first = float(shots.frame_range(scene)[0])
    if task in shots.STILLS and scene.wanstage.first_image:
        return Span(camera, first, 1, fps, ("picture",))
    if shots.needs_samples(scene.wanstage, task) or task == "flf2v":
        return Span(camera, first, frames, fps)
    seen = bool(shots.stills(scene.wanstage, task))
    own = PARTS if seen else ("look",) if task == shots.TALKING else ()
    return Span(camera, first, 1, fps, own)


def signature(scene: bpy.types.Scene, span: Span) -> Steps:
    """Part -> hash, for the parts that the span has. Yields between pieces of well under a millisecond."""
    times = span.times(scene)
    camera = scene.objects.get(span.camera)
    people = shots.characters(scene)
    roots = {"motion": people, "camera": [camera] if camera else [], "look": list(_set_of(scene, people, camera))}
    found = {}
    for part in span.parts:
        digest = _Digest(times)
        if part == "picture":
            digest.add(content(bpy.path.abspath(scene.wanstage.first_image)))
        for item in roots.get(part, ()):
            yield from _object(digest, item, follow=part != "look")
            if part == "motion" and bonemap_store.overrides_of(item):
                digest.add(bonemap_store.overrides_of(item))
        if part == "look":
            yield from _look(digest, scene, people)
        found[part] = digest.hash.hexdigest()
    return found


def kept(span: Span, hashes: dict[str, str]) -> dict[str, Any]:
    """As a take's metadata keeps it."""
    return {"version": VERSION, "camera_name": span.camera, "first": span.first, "frames": span.frames,
            "fps": span.fps, "parts": hashes}  # fmt: skip


def span_from(told: Any) -> Span | None:
    """The span of kept hashes; None for takes of other versions, of which nothing can be said."""
    if not isinstance(told, dict) or told.get("version") != VERSION or not told.get("parts"):
        return None
    return Span(told["camera_name"], told["first"], told["frames"], told["fps"], tuple(told["parts"]))


def sentence(told: dict[str, Any], now: dict[str, str]) -> str:
    """What has changed, such as "the motion and the camera have changed"; empty when nothing."""
    changed = [tr(PART_WORDS.get(part, part)) for part, value in told["parts"].items() if now.get(part) != value]
    if not changed:
        return ""
    if len(changed) == 1:
        return tr("{part} has changed since", part=changed[0])
    return tr("{parts} and {last} have changed since", parts=", ".join(changed[:-1]), last=changed[-1])


# ---- objects ----------------------------------------------------------------------------------------


def _set_of(scene: bpy.types.Scene, people: list[Any], camera: Any) -> Iterator[Any]:
    """All that is rendered besides the characters' bones and the camera, by name."""
    for item in sorted(scene.objects, key=lambda item: item.name):
        if item.get(playback.MARK) or item == camera or item in people or item.hide_render:
            continue
        if item.type not in {"CAMERA", "SPEAKER", "EMPTY"}:
            yield item


def _object(digest: _Digest, item: Any, *, follow: bool) -> Steps:
    """An object with all that places it; ``follow``: with what it is bound to as well."""
    if item.name in digest.done:
        return
    digest.done.add(item.name)
    moving = yield from _animation(digest, item)
    digest.add(item.name, item.type, item.parent, item.parent_type, item.parent_bone, item.matrix_parent_inverse)
    _values(digest, item, (*TRANSFORM, *DELTAS), "", moving)
    _custom(digest, item, "", moving)
    bound = [*_constraints(digest, item, "", moving), item.parent]
    yield
    if item.type == "ARMATURE":
        bound += yield from _armature(digest, item, moving)
    elif item.type == "CAMERA":
        yield from _block(digest, item.data)
    for other in bound + _driven_by(item) if follow else []:
        if isinstance(other, bpy.types.Object) and not other.get(playback.MARK):
            yield from _object(digest, other, follow=True)


def _armature(digest: _Digest, item: Any, moving: set[tuple[str, int]]) -> Steps:
    """Rest bones, what poses them beside curves, and their constraints. Returns what those refer to."""
    bound: list[Any] = []
    yield from _animation(digest, item.data)
    for bone in item.pose.bones:
        path = f'pose.bones["{bpy.utils.escape_identifier(bone.name)}"]'
        digest.add(bone.name, bone.parent.name if bone.parent else "", bone.bone.matrix_local, bone.bone.length)
        _values(digest, bone, TRANSFORM, f"{path}.", moving)
        _custom(digest, bone, path, moving)
        bound += _constraints(digest, bone, f"{path}.", moving)
        yield
    return bound


def _constraints(digest: _Digest, owner: Any, path: str, moving: set[tuple[str, int]]) -> list[Any]:
    found = []
    for each in owner.constraints:
        place = f'{path}constraints["{bpy.utils.escape_identifier(each.name)}"].'
        digest.add(each.type)
        _values(digest, each, _names(each), place, moving)
        found += [getattr(each, "target", None), getattr(each, "pole_target", None)]
        found += [target.target for target in getattr(each, "targets", ())]
        digest.add(found)
    return found


def _driven_by(item: Any) -> list[Any]:
    """What the drivers of an object refer to."""
    drivers = item.animation_data.drivers if item.animation_data else ()
    return [target.id for curve in drivers for variable in curve.driver.variables for target in variable.targets]


# ---- animation --------------------------------------------------------------------------------------


def curves_of(owner: Any, action: Any, slot: Any) -> Iterator[Any]:
    """The F-curves that an action has for a datablock, in layered actions (Blender 4.4) and older ones."""
    if not hasattr(action, "layers"):
        yield from action.fcurves
        return
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot) if slot is not None else None
            yield from bag.fcurves if bag is not None else ()


def _animation(digest: _Digest, owner: Any) -> Steps:
    """Curves at the samples, strips and drivers. Returns (path, index) of all that is animated."""
    moving: set[tuple[str, int]] = set()
    animation = getattr(owner, "animation_data", None)
    if animation is None:
        return moving
    if animation.action is not None:
        found = curves_of(owner, animation.action, getattr(animation, "action_slot", None))
        for curve in sorted(found, key=lambda curve: (curve.data_path, curve.array_index)):
            moving.add((curve.data_path, curve.array_index))
            if not curve.mute:
                values = np.fromiter((curve.evaluate(at) for at in digest.times), np.float64, len(digest.times))
                digest.add(curve.data_path, curve.array_index, (np.round(values, DIGITS) + 0.0).tobytes())
            yield
    for track in animation.nla_tracks if animation.use_nla else ():
        yield from _track(digest, owner, track, moving)
    for curve in animation.drivers:
        moving.add((curve.data_path, curve.array_index))
        _driver(digest, curve)
        yield
    return moving


def _track(digest: _Digest, owner: Any, track: Any, moving: set[tuple[str, int]]) -> Steps:
    """A track of the NLA: its strips by their settings, the curves of their actions by their keys."""
    digest.add(track.mute, track.is_solo)
    for strip in track.strips if not track.mute else ():
        _values(digest, strip, _names(strip), "", set())
        for curve in curves_of(owner, strip.action, getattr(strip, "action_slot", None)) if strip.action else ():
            moving.add((curve.data_path, curve.array_index))
            keys = np.empty(2 * len(curve.keyframe_points), np.float32)
            curve.keyframe_points.foreach_get("co", keys)
            digest.add(curve.data_path, curve.array_index, np.round(keys, DIGITS).tobytes())
            yield


def _driver(digest: _Digest, curve: Any) -> None:
    driver = curve.driver
    digest.add(curve.data_path, curve.array_index, curve.mute, driver.type, driver.expression)
    for variable in driver.variables:
        digest.add(variable.name, variable.type)
        for target in variable.targets:
            digest.add(target.id, target.data_path, target.bone_target, target.transform_type, target.transform_space)


# ---- values -----------------------------------------------------------------------------------------


def _names(struct: Any) -> list[str]:
    """The plain properties that a user can set, found once for each type, since that takes long."""
    kind = struct.bl_rna.identifier
    if kind not in _known:
        _known[kind] = [
            prop.identifier
            for prop in struct.bl_rna.properties
            if prop.type in PLAIN
            and not prop.is_readonly
            and prop.identifier not in UNSEEN
            and not getattr(prop, "is_deprecated", False)  # reading one warns, Blender 5.0 and later
        ]
    return _known[kind]


def _values(digest: _Digest, struct: Any, names: Any, path: str, moving: set[tuple[str, int]]) -> None:
    """Properties that nothing animates; of arrays the places that nothing animates."""
    for name in names:
        value = getattr(struct, name, None)
        if isinstance(value, str | int | float | bool | set | type(None)):
            digest.add(name, None if (path + name, 0) in moving else value)
        else:
            digest.add(name, [None if (path + name, at) in moving else each for at, each in enumerate(value)])


def _custom(digest: _Digest, owner: Any, path: str, moving: set[tuple[str, int]]) -> None:
    """Custom properties: rigs are steered by them."""
    for key in sorted(owner.keys()):
        value = owner[key]
        if isinstance(value, str | int | float) and (f'{path}["{bpy.utils.escape_identifier(key)}"]', 0) not in moving:
            digest.add(key, value)


def _block(digest: _Digest, block: Any) -> Steps:
    """A datablock by its plain properties, such as a lens, a light or a world."""
    if block is None or not isinstance(block, bpy.types.ID):
        return
    moving = yield from _animation(digest, block)
    digest.add(block.bl_rna.identifier)
    _values(digest, block, _names(block), "", moving)
    yield


# ---- look -------------------------------------------------------------------------------------------


def _look(digest: _Digest, scene: bpy.types.Scene, people: list[Any]) -> Steps:
    """Shapes, materials, lights, world, and the characters' pictures."""
    blocks = {item.data for item in _set_of(scene, people, None) if item.data is not None}
    for block in sorted(blocks, key=lambda block: (block.bl_rna.identifier, block.name)):
        if isinstance(block, bpy.types.Mesh):
            yield from _mesh(digest, block)
        elif isinstance(block, bpy.types.Light):
            yield from _block(digest, block)
    for item in _set_of(scene, people, None):
        for modifier in item.modifiers:
            digest.add(item.name, modifier.type)
            _values(digest, modifier, _names(modifier), "", set())
        yield
    owners = {slot.material for item in _set_of(scene, people, None) for slot in item.material_slots} - {None}
    for owner in (*sorted(owners, key=lambda owner: owner.name), *([scene.world] if scene.world else [])):
        yield from _nodes(digest, owner)
    if shots.left_out(scene):
        digest.add(shots.left_out(scene))
    for item in people:
        own = item.wanstage
        digest.add(item.name, own.face, own.joints, own.reference_image)
        if own.framing != "auto":
            digest.add(own.framing, own.box_left, own.box_right, own.box_top, own.box_bottom)
        for name in (own.reference, own.face_film):
            digest.add(content(bpy.path.abspath(name, library=item.library)) if name else b"")
        yield


def _mesh(digest: _Digest, mesh: Any) -> Steps:
    digest.add(len(mesh.vertices), len(mesh.polygons))
    if len(mesh.vertices) <= WHOLE_MESH:
        places = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", places)
        digest.add((np.round(places, DIGITS) + 0.0).tobytes())
    yield


def _nodes(digest: _Digest, owner: Any) -> Steps:
    """A material or the world by its nodes: settings, free inputs, images and links."""
    yield from _block(digest, owner)
    if owner.node_tree is not None:
        yield from _tree(digest, owner.node_tree)


def _tree(digest: _Digest, tree: Any) -> Steps:
    """The nodes of a material, of the world or of a group."""
    moving = yield from _animation(digest, tree)
    for node in tree.nodes:
        path = f'nodes["{bpy.utils.escape_identifier(node.name)}"].'
        digest.add(node.bl_idname, getattr(node, "image", None))
        _values(digest, node, [name for name in _names(node) if name != "color"], path, moving)
        for kind in ("inputs", "outputs"):  # Value and Color nodes keep theirs in an output
            for index, socket in enumerate(getattr(node, kind)):
                own = not socket.is_linked if kind == "inputs" else not node.inputs
                if own and hasattr(socket, "default_value"):
                    _values(digest, socket, ("default_value",), f"{path}{kind}[{index}].", moving)
        _curves(digest, node)
        yield
        group = getattr(node, "node_tree", None)
        if group is not None and group.name_full not in digest.done:
            digest.done.add(group.name_full)
            yield from _tree(digest, group)
    for link in tree.links:
        digest.add(link.from_node.name, link.from_socket.identifier, link.to_node.name, link.to_socket.identifier)


def _curves(digest: _Digest, node: Any) -> None:
    """Colour ramps and curve mappings."""
    if getattr(node, "color_ramp", None) is not None:
        digest.add([(each.position, each.color) for each in node.color_ramp.elements])
    if getattr(node, "mapping", None) is not None and hasattr(node.mapping, "curves"):
        digest.add([[point.location for point in curve.points] for curve in node.mapping.curves])


def content(path: str) -> bytes:
    """The hash of a file's bytes, read again when its size or time changed: a copied project is the same project."""
    file = Path(path)
    try:
        told = file.stat()
        key = (str(file), told.st_size, told.st_mtime_ns)
        if key not in _contents:
            with file.open("rb") as opened:
                _contents[key] = hashlib.file_digest(opened, "blake2b").digest()[:16]
        return _contents[key]
    except OSError:
        return b"missing"


def is_playing() -> bool:
    """Whether a window plays the animation: nothing is checked meanwhile."""
    manager = bpy.context.window_manager
    return any(window.screen.is_animation_playing for window in manager.windows) if manager else False
