"""The user's scene at any time, without touching it: a temporary copy of the scene, whose depsgraph is not the active
one, so that nothing it evaluates is written back. (``ViewLayer.update`` would make
it active: never call it here.) Everything made on the way is removed in ``Scratch.close``.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import bpy

from ..words import tr
from .params import CaptureProblem, CharacterParams, ShotParams
from .scene_copy import copy_scene

Block = TypeVar("Block", bound=bpy.types.ID)


class Scratch:
    """Temporary datablocks, removed in reverse order of their making."""

    def __init__(self) -> None:
        self._made: list[tuple[str, Any]] = []
        self._render_result = _render_result()
        self._idle: Any = None
        _open.add(self)

    def add(self, collection: str, block: Block) -> Block:
        """Remember a datablock of ``bpy.data.<collection>``; returns it."""
        self._made.append((collection, block))
        return block

    def render(self, scene: bpy.types.Scene) -> None:
        """Render a temporary scene, at its present frame, to its file.

        After a render Blender evaluates the *context's* scene anew, which would throw away edits without keys; so the
        context's scene is an empty one meanwhile. It is at the same frame, because Blender renders a scene that is
        named to it at the frame of the context's.
        """
        if self._idle is None:
            self._idle = self.add("scenes", bpy.data.scenes.new(".wanstage_idle"))
        self._idle.frame_current, self._idle.frame_subframe = scene.frame_current, scene.frame_subframe
        with bpy.context.temp_override(scene=self._idle, view_layer=self._idle.view_layers[0]):
            try:
                bpy.ops.render.render(write_still=True, scene=scene.name)
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0].removeprefix("Error: ")
                msg = tr(
                    "Blender could not render the shot ({reason}): check the free space of its temporary folder.",
                    reason=reason,
                )
                raise CaptureProblem(msg) from error

    def let_go(self) -> None:
        """Free what Cycles keeps of our scenes between renders.

        Blender (4.2 to 5.2) frees it neither with the scene nor at undo. The dependency graph that is left points to
        freed memory, and the next change of a relation anywhere in the file reads that: a crash, now and then.
        """
        for collection, block in self._made:
            if collection == "scenes":
                with contextlib.suppress(ReferenceError):
                    block.render.use_persistent_data = False  # this is what frees

    def close(self) -> None:
        """Remove everything, and the image that rendering leaves when there was none before."""
        self.let_go()
        _open.discard(self)
        while self._made:
            collection, block = self._made.pop()
            with contextlib.suppress(ReferenceError):  # another file was loaded: it went with the old one
                getattr(bpy.data, collection).remove(block)
        left = _render_result()
        if self._render_result is None and left is not None:
            bpy.data.images.remove(left)


_open: weakref.WeakSet[Scratch] = weakref.WeakSet()


def let_go() -> None:
    """Of all temporary scenes, see ``Scratch.let_go``: before Blender takes them away by itself, as undo does."""
    for made in list(_open):
        made.let_go()


def _render_result() -> bpy.types.Image | None:
    return next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A ``Scratch`` that is closed whatever happens."""
    made = Scratch()
    try:
        yield made
    finally:
        made.close()


def find_scene(name: str) -> bpy.types.Scene:
    """The scene, or CaptureProblem."""
    scene = bpy.data.scenes.get(name)
    if scene is None:
        msg = tr("There is no scene named {name!r}: choose the scene of the shot.", name=name)
        raise CaptureProblem(msg)
    return scene


def find_camera(scene: bpy.types.Scene, name: str) -> bpy.types.Object:
    """The camera object, or CaptureProblem."""
    camera = scene.objects.get(name) if name else None
    if camera is None:
        if name:
            msg = tr(
                "The scene {scene} has no camera named {name!r}: choose the shot's camera.", scene=scene.name, name=name
            )
        else:
            msg = tr("The scene {scene} has no camera: add a camera and make it the shot's.", scene=scene.name)
        raise CaptureProblem(msg)
    if camera.type != "CAMERA":
        msg = tr("{name} is not a camera but a {kind}: choose a camera object.", name=name, kind=camera.type.lower())
        raise CaptureProblem(msg)
    return camera


def find_armature(scene: bpy.types.Scene, character: CharacterParams) -> bpy.types.Object:
    """The armature object, or CaptureProblem."""
    armature = scene.objects.get(character.armature)
    if armature is None or armature.type != "ARMATURE":
        if armature is None:
            msg = tr("{armature!r} of character {name!r} is not in the scene: choose the character's armature object.",
                     armature=character.armature, name=character.name)  # fmt: skip
        else:
            msg = tr(
                "{armature!r} of character {name!r} is not an armature but a {kind}: choose the character's own.",
                armature=character.armature, name=character.name, kind=armature.type.lower(),
            )  # fmt: skip
        raise CaptureProblem(msg)
    return armature


def sample_frames(scene: bpy.types.Scene, params: ShotParams) -> list[float]:
    """Scene frames (with subframe) of the samples: time is preserved."""
    scene_fps = scene.render.fps / scene.render.fps_base
    return [params.frame_start + i * scene_fps / params.fps for i in range(params.frames)]


def set_frame(scene: bpy.types.Scene, frame: float) -> bpy.types.Depsgraph:
    """Evaluate a temporary scene at a frame; returns its depsgraph."""
    whole = math.floor(frame + 1e-6)
    scene.frame_set(whole, subframe=min(max(frame - whole, 0.0), 0.999999))
    return scene.view_layers[0].depsgraph


def full_copy(made: Scratch, scene: bpy.types.Scene, armatures: Iterable[Any]) -> bpy.types.Scene:
    """A copy of the scene that evaluates everything it renders, also what the eye icon hides."""
    view_layer = _first_used_layer(scene)
    copy = made.add("scenes", copy_scene(scene))
    for layer in list(copy.view_layers):
        if layer.name != view_layer and len(copy.view_layers) > 1:
            copy.view_layers.remove(layer)
    layer = copy.view_layers[0]
    for item in copy.objects:
        if item.name in layer.objects and item.hide_get(view_layer=layer):
            item.hide_set(False, view_layer=layer)
    _keep_posed(made, copy, armatures)
    return copy


def _first_used_layer(scene: bpy.types.Scene) -> str:
    """The view layer the user works in when it is this scene's, else the first that renders."""
    window = bpy.context.window
    if window is not None and window.scene == scene:
        return str(window.view_layer.name)
    used = [layer.name for layer in scene.view_layers if layer.use]
    return used[0] if used else str(scene.view_layers[0].name)


def bare_copy(
    made: Scratch, scene: bpy.types.Scene, objects: Iterable[Any], armatures: Iterable[Any] = ()
) -> bpy.types.Scene:
    """A copy of the scene that holds these objects only; what they depend on is evaluated with them."""
    copy = made.add("scenes", copy_scene(scene))
    for layer in list(copy.view_layers)[1:]:
        copy.view_layers.remove(layer)
    root = copy.collection
    for child in list(root.children):
        root.children.unlink(child)
    for item in list(root.objects):
        root.objects.unlink(item)
    for item in dict.fromkeys(objects):
        root.objects.link(item)
    _keep_posed(made, copy, armatures)
    return copy


def _keep_posed(made: Scratch, copy: bpy.types.Scene, armatures: Iterable[Any]) -> None:
    """An invisible one-point mesh bound to each armature: a hidden rig would not be evaluated otherwise."""
    for armature in armatures:
        mesh = made.add("meshes", bpy.data.meshes.new(".wanstage_pull"))
        mesh.vertices.add(1)
        pull = made.add("objects", bpy.data.objects.new(".wanstage_pull", mesh))
        pull.hide_render = True
        for bone in armature.data.bones:  # the modifier asks for the bones that its mesh has groups of
            pull.vertex_groups.new(name=bone.name)
        pull.modifiers.new("Armature", "ARMATURE").object = armature
        copy.collection.objects.link(pull)


def character_objects(scene: bpy.types.Scene, armature: bpy.types.Object) -> list[Any]:
    """The armature and everything that moves with it: bound by an armature modifier, parented or constrained to it."""
    inside = {armature}
    grew = True
    while grew:
        found = {item for item in scene.objects if item not in inside and _belongs(item, inside, armature)}
        grew = bool(found)
        inside |= found
    return [item for item in scene.objects if item in inside]


def left_out_objects(scene: bpy.types.Scene, params: ShotParams) -> set[Any]:
    """What is not to be seen: the armatures that are left out, and everything that moves with them."""
    armatures = [scene.objects[name] for name in params.left_out if name in scene.objects]
    return {item for armature in armatures for item in character_objects(scene, armature)}


def _belongs(item: bpy.types.Object, inside: set[Any], armature: bpy.types.Object) -> bool:
    if item.type in {"CAMERA", "LIGHT"}:
        return False
    if item.parent in inside:
        return True
    if any(modifier.type == "ARMATURE" and modifier.object == armature for modifier in item.modifiers):
        return True
    ties = {"CHILD_OF", "COPY_TRANSFORMS", "ARMATURE"}
    return any(
        constraint.type in ties and not constraint.mute and _targets(constraint, armature)
        for constraint in item.constraints
    )


def _targets(constraint: bpy.types.Constraint, armature: bpy.types.Object) -> bool:
    if constraint.type == "ARMATURE":
        return any(target.target == armature for target in constraint.targets)
    return bool(constraint.target == armature)
