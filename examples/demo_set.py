"""The street corner of the demo scene: paving, a brick house front with shop window and door, and things to pass.

Dimensions in metres. Every surface is procedural and bound to object or generated coordinates, so nothing is loaded.
"""

from __future__ import annotations

import math

import bpy

Colour = tuple[float, float, float]
Triple = tuple[float, float, float]
Stops = tuple[tuple[float, Colour], ...]
Paints = dict[str, bpy.types.Material]


def build(scene: bpy.types.Scene) -> None:
    """Puts the whole set into the scene."""
    paints = {name: make() for name, make in PAINTS.items()}
    ground_and_walls(scene, paints)
    shop_window(scene, paints)
    door(scene, paints)
    posters(scene, paints)
    crates(scene, paints)
    planter(scene, paints, (-0.62, -1.75, 0.0))
    street_lamp(scene, paints)


def ground_and_walls(scene: bpy.types.Scene, paints: Paints) -> None:
    """Paving, the house front, the wall round the corner, and plinths."""
    box(scene, "Paving", (16, 14, 0.1), (0, -1, -0.05), paints["paving"])
    box(scene, "House front", (9.4, 0.2, 4.6), (1.3, 2.3, 2.3), paints["brick"])
    box(scene, "Side wall", (0.2, 7, 4.6), (-3.5, -1.1, 2.3), paints["plaster"])
    box(scene, "Plinth", (9.4, 0.06, 0.32), (1.3, 2.17, 0.16), paints["stone"])
    box(scene, "Side plinth", (0.06, 6.8, 0.32), (-3.37, -1.2, 0.16), paints["stone"])
    box(scene, "Cornice", (9.4, 0.16, 0.12), (1.3, 2.14, 2.72), paints["stone"])


def shop_window(scene: bpy.types.Scene, paints: Paints) -> None:
    """A wide window with mullions, a sill and a striped awning."""
    box(scene, "Window glass", (1.9, 0.04, 1.3), (-1.75, 2.18, 1.35), paints["glass"])
    for x in (-2.74, -1.75, -0.76):
        box(scene, "Mullion", (0.08, 0.1, 1.42), (x, 2.15, 1.35), paints["green"])
    for z in (0.66, 1.62, 2.04):
        box(scene, "Transom", (2.06, 0.08, 0.08), (-1.75, 2.15, z), paints["green"])
    box(scene, "Sill", (2.2, 0.24, 0.07), (-1.75, 2.1, 0.6), paints["stone"])
    awning = box(scene, "Awning", (2.3, 0.85, 0.03), (-1.75, 1.78, 2.34), paints["awning"])
    awning.rotation_euler = (math.radians(24), 0, 0)


def door(scene: bpy.types.Scene, paints: Paints) -> None:
    """A panelled door with a frame, a step and a knob."""
    box(scene, "Door", (0.96, 0.06, 2.12), (1.05, 2.14, 1.14), paints["door"])
    for x in (0.53, 1.57):
        box(scene, "Door post", (0.1, 0.2, 2.2), (x, 2.12, 1.1), paints["cream"])
    box(scene, "Lintel", (1.24, 0.22, 0.14), (1.05, 2.12, 2.24), paints["cream"])
    for x in (0.83, 1.27):
        for z, tall in ((0.55, 0.62), (1.42, 0.86)):
            box(scene, "Door panel", (0.32, 0.04, tall), (x, 2.105, z), paints["door panel"])
    box(scene, "Step", (1.4, 0.45, 0.1), (1.05, 1.95, 0.05), paints["stone"])
    ball(scene, "Knob", 0.035, (1.45, 2.08, 1.02), paints["brass"])


def posters(scene: bpy.types.Scene, paints: Paints) -> None:
    """Framed pictures on both walls, each with its own pattern."""
    for x, z, wide, tall, name in ((2.25, 1.65, 0.62, 0.86, "poster rings"), (3.05, 1.5, 0.7, 0.5, "poster cells")):
        box(scene, "Frame", (wide + 0.08, 0.04, tall + 0.08), (x, 2.18, z), paints["iron"])
        box(scene, "Poster", (wide, 0.02, tall), (x, 2.155, z), paints[name])
    for y, name in ((-0.4, "poster cells"), (0.75, "poster rings")):
        box(scene, "Side frame", (0.04, 0.78, 1.0), (-3.38, y, 1.6), paints["iron"])
        box(scene, "Side poster", (0.02, 0.7, 0.92), (-3.355, y, 1.6), paints[name])


def crates(scene: bpy.types.Scene, paints: Paints) -> None:
    """Three wooden crates with battens in front of the house."""
    for side, at, turn in (
        (0.62, (2.25, 1.45, 0.31), 12),
        (0.56, (2.98, 1.35, 0.28), -9),
        (0.46, (2.42, 1.42, 0.85), 31),
    ):
        crate = box(scene, "Crate", (side, side, side), at, paints["planks"])
        crate.rotation_euler = (0, 0, math.radians(turn))
        half = side / 2 - 0.03
        for x in (-half, half):
            for z in (-half, half):
                batten = box(scene, "Batten", (0.07, side + 0.04, 0.07), (x, 0, z), paints["batten"])
                batten.parent = crate
                upright = box(scene, "Batten", (0.07, 0.07, side + 0.02), (x, z, 0), paints["batten"])
                upright.parent = crate
        for z in (-half, half):
            for y in (-half, half):
                across = box(scene, "Batten", (side + 0.04, 0.07, 0.07), (0, y * 1.04, z), paints["batten"])
                across.parent = crate


def planter(scene: bpy.types.Scene, paints: Paints, at: Triple) -> None:
    """A stone trough with a low hedge in the foreground: it hides the man's feet and shins for part of the shot."""
    x, y, _ = at
    box(scene, "Trough", (0.72, 0.3, 0.3), (x, y, 0.15), paints["terracotta"])
    box(scene, "Rim", (0.78, 0.36, 0.05), (x, y, 0.3), paints["terracotta"])
    for number in range(46):  # a golden-angle spiral of leaves: even and never random
        turn, part = number * 2.39996, number / 46
        reach = math.sqrt(part)
        place = (x + 0.33 * reach * math.cos(turn), y + 0.12 * reach * math.sin(turn), 0.34 + 0.16 * (1 - part))
        leaf(scene, place, turn, 0.75 - 0.5 * part, paints["leaf" if number % 3 else "young leaf"])


def leaf(scene: bpy.types.Scene, at: Triple, turn: float, upright: float, paint: bpy.types.Material) -> None:
    """A folded leaf, 22 cm long."""
    half, length = 0.045, 0.2
    points = [(0, 0, 0), (half, 0.09, 0.015), (0, 0.1, -0.01), (-half, 0.09, 0.015), (0, length, -0.03)]
    mesh = bpy.data.meshes.new("Leaf")
    mesh.from_pydata(points, [], [(0, 1, 2), (0, 2, 3), (2, 1, 4), (2, 4, 3)])
    made = _link(scene, "Leaf", mesh, at, paint)
    made.rotation_euler = (upright * 1.5, 0, turn - math.pi / 2)


def street_lamp(scene: bpy.types.Scene, paints: Paints) -> None:
    """A lamp post at the kerb behind the man, for parallax against the wall."""
    tube(scene, "Post", (0.05, 3.4), (-1.05, 1.25, 1.7), paints["iron"])
    tube(scene, "Post foot", (0.1, 0.3), (-1.05, 1.25, 0.15), paints["iron"])
    tube(scene, "Bollard", (0.075, 0.8), (3.1, -0.5, 0.4), paints["iron"])
    ball(scene, "Bollard cap", 0.09, (3.1, -0.5, 0.82), paints["brass"])


def box(scene: bpy.types.Scene, name: str, size: Triple, at: Triple, paint: bpy.types.Material) -> bpy.types.Object:
    """A box of full edge lengths ``size`` around ``at``."""
    x, y, z = (edge / 2 for edge in size)
    corners = [(i * x, j * y, k * z) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], sides)
    return _link(scene, name, mesh, at, paint)


def tube(
    scene: bpy.types.Scene, name: str, size: tuple[float, float], at: Triple, paint: bpy.types.Material
) -> bpy.types.Object:
    """An upright cylinder around ``at``; ``size`` is its radius and height."""
    radius, tall = size
    ring = [(radius * math.cos(a), radius * math.sin(a)) for a in (i * math.tau / 24 for i in range(24))]
    points = [(x, y, z) for z in (-tall / 2, tall / 2) for x, y in ring]
    sides = [(i, (i + 1) % 24, 24 + (i + 1) % 24, 24 + i) for i in range(24)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points, [], [*sides, tuple(range(23, -1, -1)), tuple(range(24, 48))])
    return _link(scene, name, mesh, at, paint)


def ball(scene: bpy.types.Scene, name: str, radius: float, at: Triple, paint: bpy.types.Material) -> bpy.types.Object:
    """A sphere of 16 segments around ``at``."""
    import bmesh

    shape = bmesh.new()
    bmesh.ops.create_uvsphere(shape, u_segments=16, v_segments=8, radius=radius)
    mesh = bpy.data.meshes.new(name)
    shape.to_mesh(mesh)
    shape.free()
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    return _link(scene, name, mesh, at, paint)


def _link(
    scene: bpy.types.Scene, name: str, mesh: bpy.types.Mesh, at: Triple, paint: bpy.types.Material
) -> bpy.types.Object:
    mesh.materials.append(paint)
    made = bpy.data.objects.new(name, mesh)
    made.location = at
    scene.collection.objects.link(made)
    return made


def plain(
    name: str, colour: Colour, roughness: float = 0.7, metallic: float = 0.0, mottle: float = 0.25
) -> bpy.types.Material:
    """One colour, mottled by noise."""
    material, shader = _material(name, colour, roughness)
    shader.inputs["Metallic"].default_value = metallic
    noise = _textured(material, "ShaderNodeTexNoise", 9.0)
    noise.inputs["Detail"].default_value = 3.0
    dark, bright = (tuple(c * (1 + s * mottle) for c in colour) for s in (-1, 1))
    _ramp(material, shader, noise.outputs[0], ((0.3, dark), (0.7, bright)))
    return material


def bricks(
    name: str, colours: tuple[Colour, Colour, Colour], size: tuple[float, float], **more: float
) -> bpy.types.Material:
    """Bricks, tiles or planks: two colours and the joint's, and ``size`` of one in metres."""
    material, shader = _material(name, colours[0], 0.85)
    texture = _textured(material, "ShaderNodeTexBrick", 1.0, upright=bool(more.pop("upright", 0)))
    for socket, colour in zip(("Color1", "Color2", "Mortar"), colours, strict=True):
        texture.inputs[socket].default_value = (*colour, 1.0)
    texture.inputs["Brick Width"].default_value, texture.inputs["Row Height"].default_value = size
    texture.inputs["Mortar Size"].default_value = more.get("joint", 0.012)
    texture.inputs["Bias"].default_value = more.get("bias", 0.0)
    texture.offset = more.get("offset", 0.5)
    noise = _textured(material, "ShaderNodeTexNoise", more.get("grain", 7.0))
    noise.inputs["Detail"].default_value = 4.0
    shade = material.node_tree.nodes.new("ShaderNodeMixRGB")
    shade.blend_type = "OVERLAY"
    shade.inputs[0].default_value = more.get("dirt", 0.5)
    links = material.node_tree.links
    links.new(texture.outputs["Color"], shade.inputs[1])
    links.new(noise.outputs[0], shade.inputs[2])
    links.new(shade.outputs[0], shader.inputs["Base Color"])
    return material


def pattern(name: str, kind: str, scale: float, stops: Stops, upright: bool = True) -> bpy.types.Material:
    """A texture node's value through a colour ramp."""
    material, shader = _material(name, stops[0][1], 0.6)
    texture = _textured(material, kind, scale, upright=upright)
    if kind == "ShaderNodeTexWave":
        texture.wave_type = "RINGS" if "rings" in name else "BANDS"
        texture.inputs["Distortion"].default_value = 2.5 if "rings" in name else 0.0
    output = texture.outputs["Fac" if kind == "ShaderNodeTexWave" else "Distance"]
    _ramp(material, shader, output, stops, sharp=True)
    return material


def _material(name: str, colour: Colour, roughness: float) -> tuple[bpy.types.Material, bpy.types.Node]:
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = roughness
    material.diffuse_color = (*colour, 1.0)
    return material, shader


def _textured(material: bpy.types.Material, kind: str, scale: float, upright: bool = False) -> bpy.types.Node:
    """A texture node in object coordinates; ``upright`` lays its XY onto the wall's plane."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    where = nodes.new("ShaderNodeTexCoord")
    turn = nodes.new("ShaderNodeMapping")
    turn.inputs["Rotation"].default_value = (math.radians(-90) if upright else 0.0, 0.0, 0.0)
    texture = nodes.new(kind)
    texture.inputs["Scale"].default_value = scale
    links.new(where.outputs["Object"], turn.inputs["Vector"])
    links.new(turn.outputs["Vector"], texture.inputs["Vector"])
    return texture


def _ramp(
    material: bpy.types.Material, shader: bpy.types.Node, value: bpy.types.NodeSocket, stops: Stops, sharp: bool = False
) -> None:
    ramp = material.node_tree.nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.interpolation = "CONSTANT" if sharp else "LINEAR"
    elements = ramp.color_ramp.elements
    while len(elements) < len(stops):
        elements.new(0.5)
    for element, (at, colour) in zip(elements, stops, strict=True):
        element.position, element.color = at, (*colour, 1.0)
    material.node_tree.links.new(value, ramp.inputs[0])
    material.node_tree.links.new(ramp.outputs["Color"], shader.inputs["Base Color"])


def glowing() -> bpy.types.Material:
    """The shop window: warm lamps in a dark room behind panes."""
    material, shader = _material("glass", (0.08, 0.1, 0.12), 0.08)
    noise = _textured(material, "ShaderNodeTexVoronoi", 3.2, upright=True)
    stops = ((0.0, (0.6, 0.36, 0.12)), (0.22, (0.16, 0.09, 0.04)), (0.6, (0.02, 0.025, 0.03)))
    _ramp(material, shader, noise.outputs["Distance"], stops)
    return material


PAINTS = {
    "paving": lambda: bricks(
        "paving", ((0.33, 0.31, 0.28), (0.21, 0.2, 0.19), (0.07, 0.065, 0.06)), (0.5, 0.5), offset=0.0, grain=5.0
    ),
    "brick": lambda: bricks(
        "brick", ((0.36, 0.13, 0.08), (0.22, 0.075, 0.05), (0.42, 0.38, 0.33)), (0.26, 0.085), upright=1, joint=0.007
    ),
    "planks": lambda: bricks(
        "planks", ((0.42, 0.27, 0.13), (0.33, 0.2, 0.09), (0.08, 0.05, 0.03)), (2.0, 0.12), upright=1, grain=14.0
    ),
    "plaster": lambda: plain("plaster", (0.55, 0.47, 0.34), mottle=0.3),
    "stone": lambda: plain("stone", (0.4, 0.39, 0.36), mottle=0.3),
    "green": lambda: plain("green", (0.03, 0.13, 0.09), 0.4),
    "cream": lambda: plain("cream", (0.62, 0.57, 0.45), 0.5, mottle=0.1),
    "door": lambda: plain("door", (0.05, 0.16, 0.27), 0.4, mottle=0.15),
    "door panel": lambda: plain("door panel", (0.07, 0.21, 0.34), 0.4, mottle=0.15),
    "batten": lambda: plain("batten", (0.5, 0.34, 0.17), mottle=0.3),
    "terracotta": lambda: plain("terracotta", (0.45, 0.2, 0.11), 0.8, mottle=0.3),
    "leaf": lambda: plain("leaf", (0.06, 0.2, 0.035), 0.6),
    "young leaf": lambda: plain("young leaf", (0.16, 0.34, 0.06), 0.6),
    "iron": lambda: plain("iron", (0.035, 0.037, 0.04), 0.45),
    "brass": lambda: plain("brass", (0.6, 0.42, 0.16), 0.3, metallic=1.0, mottle=0.1),
    "glass": glowing,
    "awning": lambda: pattern(
        "awning bands", "ShaderNodeTexWave", 1.3, ((0.0, (0.5, 0.07, 0.05)), (0.5, (0.7, 0.66, 0.56))), upright=False
    ),
    "poster rings": lambda: pattern(
        "poster rings", "ShaderNodeTexWave", 2.6,
        ((0.0, (0.75, 0.62, 0.3)), (0.35, (0.62, 0.16, 0.08)), (0.7, (0.08, 0.2, 0.32))),
    ),
    "poster cells": lambda: pattern(
        "poster cells", "ShaderNodeTexVoronoi", 6.0,
        ((0.0, (0.06, 0.25, 0.3)), (0.3, (0.7, 0.66, 0.52)), (0.55, (0.72, 0.34, 0.1))),
    ),
}  # fmt: skip
"""Materials by what they are on; made once a scene."""
