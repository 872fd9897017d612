"""What a .blend keeps of the timeline's shots: what each has of its own, by name."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

from . import properties

INHERIT = ("scene", "As the Scene", "What the Generate panel says")


class WANSTAGE_PG_timeline_row(bpy.types.PropertyGroup):
    """A shot of the timeline. Camera and range are the markers'; what is empty here is the scene's."""

    name: StringProperty(name="Shot", description="As its marker is named")
    first: IntProperty(name="First", description="Where it began when it was last listed, to know it by")
    use: BoolProperty(name="Submit", default=True, description="Generate this shot when all are submitted")
    task: EnumProperty(
        name="Task", items=[INHERIT, *properties.TASKS], default="scene", description="What to make of this shot"
    )
    quality: EnumProperty(
        name="Quality",
        items=[
            INHERIT,
            ("default", "Default", "All steps, as the model was made for"),
            ("fast", "Fast", "Few steps, by the model's own step-saving LoRAs"),
        ],
        default="scene",
        description="How much time a take of this shot may take",
    )
    prompt: StringProperty(name="Prompt", maxlen=8000, description="What is seen in this shot; empty: the scene's")
    negative_prompt: StringProperty(
        name="Negative", maxlen=8000, description="What must not be seen in this shot; empty: the scene's"
    )
    own_seed: BoolProperty(name="Own Seed", description="Not the scene's seed")
    seed: IntProperty(name="Seed", default=0, min=0, description="Another seed gives another take")


class WANSTAGE_PG_timeline(bpy.types.PropertyGroup):
    """The shots of a scene's timeline."""

    rows: CollectionProperty(type=WANSTAGE_PG_timeline_row)
    index: IntProperty(name="Shot")
    use_sequencer: BoolProperty(
        name="To Sequencer",
        default=True,
        description="Lay takes of these shots out in the Video Sequencer. Renders then show the sequencer; switch off "
        "Sequencer under Output, Post Processing to render the scene",
    )


_register, _unregister = bpy.utils.register_classes_factory((WANSTAGE_PG_timeline_row, WANSTAGE_PG_timeline))


def register() -> None:
    """Classes, then the pointer."""
    _register()
    bpy.types.Scene.wanstage_timeline = PointerProperty(type=WANSTAGE_PG_timeline)


def unregister() -> None:
    """The pointer, then the classes."""
    del bpy.types.Scene.wanstage_timeline
    _unregister()
