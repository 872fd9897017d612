"""What preflight says of the characters: several of them on a model that takes one, their bones, and how the build of
the reference person differs from the rig's; with what puts it right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from . import bonemap_store, capture, cast, framing, motion, preferences, preflight, shots
from .capture import body as bodies
from .capture import framing as frames
from .capture import proportions
from .capture.bonemap import NEEDED
from .capture.reference import read_joints
from .finding import Finding, Fix
from .problems import UserProblem
from .words import noted, tr

MOST_NAMED = 3
MOST_PARTS = 2
PARTS = {
    "upper arms": noted("upper arms"), "forearms": noted("forearms"), "thighs": noted("thighs"),
    "shins": noted("shins"), "torso": noted("torso"), "shoulders": noted("shoulders"), "head": noted("head"),
    "legs": noted("legs"), "arms": noted("arms"),
}  # fmt: skip


def of_settings(scene: bpy.types.Scene) -> Iterator[Finding]:
    """Characters by their roles and bones."""
    problem = cast.too_many(scene)
    if problem:
        people = cast.with_people(scene)[:MOST_NAMED]
        fixes = tuple(Fix(tr("Drive {name}", name=item.name), item.name) for item in people)
        yield Finding("people", "warning", problem, fixes)
    if shots.needs_samples(scene.wanstage, scene.wanstage.task):
        for item in shots.characters(scene):
            yield from _bones(item)


def _bones(item: bpy.types.Object) -> Iterator[Finding]:
    found = bonemap_store.read(item)
    for joint, bone in found.stale.items():
        text = tr("{name}: {joint} is set to the bone {bone}, which the rig does not have", name=item.name,
                  joint=joint, bone=bone)  # fmt: skip
        fixes = (Fix(tr("Find It"), item.name),) if bonemap_store.keeper(item)[0] is not None else ()
        yield Finding("bones", "error", text, fixes)
        return
    if found.absent():
        text = tr(
            "{name} has no bones that are recognised as a person's: choose its bones in Bone Map, or keep it as it is",
            name=item.name,
        )
        yield Finding("no_bones", "error", text, (Fix(tr("Keep {name}", name=item.name), item.name),))
    guessed = [joint for joint in NEEDED if found.how(joint) == "geometry"]
    if guessed and not found.absent():
        text = tr("The bones of {name} were found by the rig's shape: look through its Bone Map", name=item.name)
        yield Finding("guessed", "info", text)


def fix_people(scene: bpy.types.Scene, how: str) -> str:
    """Drive the named character, or the first; keep the others as they are."""
    people = cast.with_people(scene)
    chosen = next((item for item in people if item.name == how), people[0] if people else None)
    if chosen is None:
        raise UserProblem(tr("No character has a reference picture: choose one under Characters"))
    kept = cast.drive_only(scene, chosen)
    return tr("{name} is driven, kept as they are: {others}", name=chosen.name, others=", ".join(kept) or "-")


def fix_bones(scene: bpy.types.Scene, how: str) -> str:
    """Find the joints anew whose bones went away."""
    for item in shots.characters(scene):
        stale = tuple(bonemap_store.read(item).stale)
        if stale and how in {"", item.name}:
            count = bonemap_store.reset(item, stale)
            return tr("{count} bones of {rig} are found by themselves again", count=count, rig=item.name)
    raise UserProblem(tr("Every bone that was set by hand is there"))


def fix_no_bones(scene: bpy.types.Scene, how: str) -> str:
    """Keep as they are who have no bones of a person: a part of the scene."""
    wanted = [item for item in shots.characters(scene) if how in {"", item.name} and bonemap_store.read(item).absent()]
    for item in wanted:
        item.wanstage.role = "KEEP"
    if not wanted:
        raise UserProblem(tr("Every character has the bones of a person"))
    return tr("Kept as they are: {names}", names=", ".join(item.name for item in wanted))


# ---- proportions ---------------------------------------------------------------------------------------------


def of_proportions(scene: bpy.types.Scene, taken: Any) -> Iterator[Finding]:
    """Each driven character beside the person of its picture, where the joints of both are known."""
    if scene.wanstage.task not in preflight.WITH_PEOPLE:
        return
    for character in taken.characters:
        item = scene.objects.get(character.params.armature)
        if item is None or not shots.has_reference(item):
            continue
        yield from _likeness(scene, item, character, taken)
        if item.wanstage.joints == "find":
            continue
        try:
            path = shots.reference_path(item, preferences.settings().cache)
            joints = read_joints(path) if path is not None else None
        except (capture.CaptureProblem, UserProblem) as problem:
            yield Finding("joints", "error", str(problem))
            continue
        rig = _rig(character, taken)
        if joints is not None and rig is not None:
            yield from _compared(character.params.name, proportions.compare(rig, bodies.of_picture(joints["body"])))


def _likeness(scene: bpy.types.Scene, item: bpy.types.Object, character: Any, taken: Any) -> Iterator[Finding]:
    """Whether the framed person's face has room for likeness."""
    first = bodies.of_rig(character.body[0], taken.intrinsics[0], orthographic=taken.orthographic)
    stance = frames.standing(first) if first is not None else None
    if stance is None or not framing.is_wanted(scene, item):
        return
    face = stance.height * framing.FACE_SHARE
    if face < motion.FACE_PX:
        text = tr(
            "As large as {name} is in the first frame, the reference's face is {pixels} pixels high; likeness needs "
            "{least}",
            name=item.name,
            pixels=round(face),
            least=round(motion.FACE_PX),
        )
        yield Finding("likeness", "warning", text, (Fix(tr("Send It As It Is"), item.name),))


def fix_likeness(scene: bpy.types.Scene, how: str) -> str:
    """Send the reference as it is."""
    item = next((each for each in cast.with_people(scene) if how in {"", each.name}), None)
    if item is None:
        raise UserProblem(tr("No character has a reference picture: choose one under Characters"))
    item.wanstage.framing = "none"
    return tr("The reference of {name} is sent as it is", name=item.name)


def _rig(character: Any, taken: Any) -> bodies.Body | None:
    """The sample that shows the most: bones are of one length in all of them."""
    best = int((character.body[:, :, 4] < bodies.BEHIND).sum(axis=1).argmax())
    return bodies.of_rig(character.body[best], taken.intrinsics[best], orthographic=taken.orthographic)


def _compared(name: str, found: proportions.Compared) -> Iterator[Finding]:
    differences = proportions.joined(found.differences)[:MOST_PARTS]
    if differences:
        listed = tr(" and ").join(difference_text(each) for each in differences)
        text = tr(
            "By height, the reference's {parts} than {name}'s: choose a picture of somebody of that build, or expect "
            "the model to bend one to the other",
            parts=listed,
            name=name,
        )
        yield Finding("proportions", "warning", text)
    if len(found.unknown) == len(proportions.PARTS):
        text = tr(
            "Whether the reference is built as {name} cannot be told: too little of the person is seen, or bent, or "
            "turned away",
            name=name,
        )
        yield Finding("unknown_build", "info", text)
    elif found.unknown:
        parts = ", ".join(tr(PARTS[part]) for part in found.unknown)
        text = tr("Not seen stretched in the reference, so not compared with {name}: {parts}", name=name, parts=parts)
        yield Finding("unknown_build", "info", text)


def difference_text(each: proportions.Difference) -> str:
    """Such as "legs are 18 % longer"."""
    part, percent, one = tr(PARTS[each.part]), round(abs(each.ratio - 1.0) * 100), each.part in proportions.SINGLE
    if each.part == "shoulders":
        return (
            tr("shoulders are {percent} % wider", percent=percent)
            if each.ratio > 1.0
            else tr("shoulders are {percent} % narrower", percent=percent)
        )
    if each.ratio > 1.0:
        longer = tr("{part} is {percent} % longer", part=part, percent=percent)
        return longer if one else tr("{part} are {percent} % longer", part=part, percent=percent)
    shorter = tr("{part} is {percent} % shorter", part=part, percent=percent)
    return shorter if one else tr("{part} are {percent} % shorter", part=part, percent=percent)
