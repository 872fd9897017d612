"""A temporary copy of a scene that shares its objects, and leaves their user counts right when it is removed."""

from __future__ import annotations

import bpy

PLAIN = {"INT", "FLOAT", "BOOLEAN", "STRING", "ENUM"}
STRUCTS = ("render", "cycles", "eevee", "display", "display_settings", "view_settings", "unit_settings")
# Scene.copy of 4.2 counts the users of what the scene holds twice and takes back only one of them.
COPY_LEAKS = bpy.app.version < (4, 5)


def copy_scene(scene: bpy.types.Scene) -> bpy.types.Scene:
    """The copy, with all view layers (with one, the first that renders, before Blender 4.5)."""
    if not COPY_LEAKS:
        return scene.copy()
    copy = bpy.data.scenes.new(scene.name)
    _copy_plain(scene, copy)
    for name in STRUCTS:
        if hasattr(scene, name):
            _copy_plain(getattr(scene, name), getattr(copy, name))
    copy.world, copy.camera = scene.world, scene.camera
    layer = next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])
    copy.view_layers[0].name = layer.name
    copy.view_layers[0].material_override = layer.material_override
    for child in scene.collection.children:
        copy.collection.children.link(child)
    for item in scene.collection.objects:
        copy.collection.objects.link(item)
    _copy_flags(layer.layer_collection, copy.view_layers[0].layer_collection)
    return copy


def _copy_plain(source: bpy.types.bpy_struct, target: bpy.types.bpy_struct) -> None:
    """Every plain setting but the name; frames are set later, by evaluating."""
    for prop in source.bl_rna.properties:
        skip = prop.is_readonly or prop.type not in PLAIN or prop.identifier == "name"
        if skip or prop.identifier.startswith("frame_") or getattr(prop, "is_runtime", False):
            continue
        value = getattr(source, prop.identifier)
        if getattr(target, prop.identifier) != value:
            try:
                setattr(target, prop.identifier, value)
            except TypeError:  # an enum value of another machine or add-on, such as a missing engine
                continue


def _copy_flags(source: bpy.types.LayerCollection, target: bpy.types.LayerCollection) -> None:
    for theirs, ours in zip(source.children, target.children, strict=True):
        ours.exclude = theirs.exclude
        ours.holdout, ours.indirect_only = theirs.holdout, theirs.indirect_only
        _copy_flags(theirs, ours)
