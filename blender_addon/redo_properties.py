"""What Redo Part is set to. First and last frame follow the playhead of the selected take until they are set."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from . import catalog, choices, playback, shots, takes

AROUND = 8  # frames on each side of the playhead that are proposed
SAME, NOBODY = "SAME", "NOBODY"


def playhead(scene: bpy.types.Scene, take: Any) -> int:
    """The take's frame, from 1, that is seen at the scene's present frame."""
    return playback.sample_at(scene.frame_current, take, takes.scene_fps(scene)) + 1


def _proposed(own: Any) -> tuple[int, int]:
    """First and last frame, as set, else round about the playhead."""
    scene = own.id_data
    take = choices.selected(scene)
    if take is None:
        return 1, 1
    at, last = playhead(scene, take), max(take.frames, 1)
    mine = own.of == take.job_id
    first = own.first_set if mine and own.first_set else max(at - AROUND, 1)
    until = own.last_set if mine and own.last_set else min(at + AROUND, last)
    return first, until


def _own(own: Any) -> None:
    """What was set for another take means nothing for this one."""
    take = choices.selected(own.id_data)
    job_id = take.job_id if take is not None else ""
    if own.of != job_id:
        own.of, own.first_set, own.last_set = job_id, 0, 0


def _get_first(own: Any) -> int:
    return _proposed(own)[0]


def _get_last(own: Any) -> int:
    return _proposed(own)[1]


def _set_first(own: Any, value: int) -> None:
    _own(own)
    own.first_set = max(value, 1)


def _set_last(own: Any, value: int) -> None:
    _own(own)
    own.last_set = max(value, 1)


def character_items(own: Any, _context: Any = None) -> list[catalog.Item]:
    """The characters of the shot, by name."""
    people = shots.characters(own.id_data)
    names = [(item.wanstage.name or item.name, item.name) for item in people]
    rows = [(name, name, f"Only what shows {name} changes", "ARMATURE_DATA") for name, _ in names]
    rows = rows or [(NOBODY, "Nobody", "The shot has no characters", "NONE")]
    return catalog._keep("redo_character", [(*row, number) for number, row in enumerate(rows)])


def model_items(own: Any, _context: Any = None) -> list[catalog.Item]:
    """The take's model, and those that go on from a frame or do the take's task."""
    take = choices.selected(own.id_data)
    task, now = (take.task, take.choice.model) if take is not None else ("", "")
    rows = [(SAME, "As the Take", "The model that made the take", "NONE")]
    rows += [
        (each.name, each.title or each.name, f"{each.fps:g} frames a second", "NONE")
        for each in catalog.models("wan")
        if each.name != now and not each.missing and ({"i2v", task} & set(each.tasks))
    ]
    return catalog._keep("redo_model", [(*row, number) for number, row in enumerate(rows)])


class WANSTAGE_PG_redo(bpy.types.PropertyGroup):
    """Which part of the selected take is made again, and how."""

    of: StringProperty(name="Of", description="The take that first and last frame were set for")
    first_set: IntProperty(name="First Set", description="First frame as set; 0 follows the playhead")
    last_set: IntProperty(name="Last Set", description="Last frame as set; 0 follows the playhead")
    first: IntProperty(
        name="First",
        get=_get_first,
        set=_set_first,
        options={"SKIP_SAVE"},
        description="First frame of the take that is made again, counted from 1",
    )
    last: IntProperty(
        name="Last",
        get=_get_last,
        set=_set_last,
        options={"SKIP_SAVE"},
        description="Last frame of the take that is made again",
    )
    what: EnumProperty(
        name="What",
        items=[
            ("FRAMES", "Frames", "Whole frames are made again"),
            ("CHARACTER", "Character", "One character is made again, every other pixel stays"),
        ],
        default="FRAMES",
        description="What is made again within the frames",
    )
    character: EnumProperty(name="Character", items=character_items, description="Who is made again")
    overlap: IntProperty(
        name="Overlap",
        default=4,
        min=0,
        max=64,
        description="Frames at each end of the part over which the new ones are blended with the take's",
    )
    seed: IntProperty(name="Seed", default=-1, min=-1, description="Of the new frames; -1 takes the next free seed")
    match_color: BoolProperty(
        name="Match Colors",
        default=False,
        description="Match the new frames' colors to the take's at the first of them",
    )
    model: EnumProperty(
        name="Model", items=model_items, description="What makes the part; some models cannot go on from a frame"
    )


CLASSES = (WANSTAGE_PG_redo,)
