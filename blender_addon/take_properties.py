"""What the file keeps of a user's choice between takes, and of a comparison of two."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from . import compare, compat

VERDICTS = [
    ("none", "Undecided", "Neither accepted nor rejected"),
    ("accepted", "Accepted", "This take is the shot's"),
    ("rejected", "Rejected", "Hidden, and kept until it is cleared"),
]


class WANSTAGE_PG_choice(bpy.types.PropertyGroup):
    """What the user thinks of a take, and what has changed under it since it was made."""

    starred: BoolProperty(name="Star", description="Kept by Clear All but Starred")
    verdict: EnumProperty(name="Verdict", items=VERDICTS, default="none", description="Whether the take is the shot's")
    model: StringProperty(name="Model", description="The model that made it")
    seconds: FloatProperty(name="Seconds", min=0.0, description="How long it took, from Generate to the last frame")
    outdated: StringProperty(name="Out of Date", description="What was changed since the take was made; empty: nothing")


class WANSTAGE_PG_compare(bpy.types.PropertyGroup):
    """Which two takes are compared, and how; empty ``first`` when none are."""

    first: StringProperty(name="A", description="The take on whose plane both are shown")
    second: StringProperty(name="B", description="The take that it is compared with")
    mode: EnumProperty(
        name="Compare",
        **compat.OWN_WORDS,
        items=[
            ("wipe", "Wipe", "A on the left of the line, B on the right"),
            ("difference", "Difference", "Black where both are alike"),
        ],
        default="wipe",
        update=compare.changed,
        description="How two takes are shown on one plane",
    )
    wipe: FloatProperty(
        name="Wipe",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=compare.changed,
        description="Where the line is: 0 shows B alone, 1 shows A alone",
    )
    gain: FloatProperty(
        name="Gain",
        default=4.0,
        min=1.0,
        max=64.0,
        update=compare.changed,
        description="How much brighter the difference is shown than it is",
    )


CLASSES = (WANSTAGE_PG_choice, WANSTAGE_PG_compare)
