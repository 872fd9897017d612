"""What was set by hand in the bone map of a rig, where it is kept, and the map that follows, known while drawing.

    overrides_of(item)   canonical joint -> bone ("" = none): what ``capture.find_bone_map`` takes
    read(item)           the rig's map as it is now
    known(item)          the same for drawing: what was read last; asks for another reading when something changed

It is kept with the armature's data, so that all that use the rig share it, linked files too. A rig that is linked
cannot be written: then it is kept with the object, when that is of this file or a library override. What an object
keeps wins over what its rig does.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from . import compat, state
from .capture.bonemap import JOINTS, BoneMap, Family, look_for_bones, match_family, read_family, strip_namespaces
from .problems import UserProblem
from .words import tr

logger = logging.getLogger(__name__)

FORMAT = "wanstage-bone-map"
LOOK_S = 0.05


@dataclass
class _Kept:
    """A map, and what it was read from."""

    revision: int
    text: tuple[str, str]
    signature: bytes
    map: BoneMap


_kept: dict[str, _Kept] = {}
_wanted: set[str] = set()


# ---- where it is kept ----------------------------------------------------------------------------------------


def overrides_of(item: bpy.types.Object) -> dict[str, str]:
    """Canonical joint -> bone name, "" for none, of all that was set by hand; empty when nothing was."""
    return {**_read(item.data), **_read(item)}


def _read(owner: Any) -> dict[str, str]:
    """What an armature or its object keeps; nothing when a script wrote something else there."""
    own = getattr(owner, "wanstage", None)
    if own is None or not own.bone_map:
        return {}
    try:
        kept = json.loads(own.bone_map)
        return {joint: kept[joint] for joint in JOINTS if isinstance(kept.get(joint), str)}
    except (ValueError, AttributeError):
        logger.warning("the bone map kept with %s is not readable", owner.name)
        return {}


def keeper(item: bpy.types.Object) -> tuple[Any, str]:
    """Whose ``bone_map`` is written for a rig, and a sentence about it: why it is not the rig's, or why there is none.

    The sentence is empty when it is the rig's own.
    """
    data = item.data
    if data.library is None and data.override_library is None:
        return data, ""
    if item.library is not None:
        text = tr(
            "{name} is linked and cannot be written: make a library override of it, or set its bones in its own file",
            name=item.name,
        )
        return None, text
    text = tr("The rig {rig} is linked: its bones are kept with {name}, in this file", rig=data.name, name=item.name)
    return item, text


def save(item: bpy.types.Object, overrides: Mapping[str, str]) -> None:
    """Keep these for the rig, and no others. Raises UserProblem where they cannot be kept."""
    owner, problem = keeper(item)
    if owner is None:
        raise UserProblem(problem)
    inherited = {} if owner == item.data else _read(item.data)
    own = {
        joint: overrides[joint] for joint in JOINTS if overrides.get(joint, None) not in (None, inherited.get(joint))
    }
    owner.wanstage.bone_map = json.dumps(own, ensure_ascii=False) if own else ""
    if owner == item.data and item.library is None and item.wanstage.bone_map:
        item.wanstage.bone_map = ""  # of a time when the rig was linked
    read(item)


def set_one(item: bpy.types.Object, joint: str, bone: str) -> None:
    """Say which bone is a joint; "" = none. Raises UserProblem."""
    if bone and bone not in item.data.bones:
        raise UserProblem(tr("{rig} has no bone named {bone}: choose one of its bones", rig=item.name, bone=bone))
    save(item, {**overrides_of(item), joint: bone})


def reset(item: bpy.types.Object, joints: tuple[str, ...] = JOINTS) -> int:
    """Forget what was set by hand for these joints; returns how many were. Raises UserProblem."""
    before = overrides_of(item)
    left = {joint: bone for joint, bone in before.items() if joint not in joints}
    if len(left) != len(before):
        save(item, left)
    if overrides_of(item) != left:
        raise UserProblem(
            tr("The bones are set in the file that {name} is linked from: reset them there", name=item.name)
        )
    return len(before) - len(left)


# ---- for the panel's property --------------------------------------------------------------------------------


def current_joint() -> str:
    """The joint whose row is selected."""
    return JOINTS[min(max(bpy.context.window_manager.wanstage_joint, 0), len(JOINTS) - 1)]


def get_bone(own: Any) -> str:
    """The bone of the selected joint."""
    found = known(own.id_data)
    return "" if found is None else found.bones.get(current_joint(), found.stale.get(current_joint(), ""))


def set_bone(own: Any, bone: str) -> None:
    """Set by hand in the panel."""
    try:
        set_one(own.id_data, current_joint(), bone)
    except UserProblem as problem:  # a property has no other way to say it; the panel shows it as well
        logger.warning("%s", problem)


# ---- the map that follows ------------------------------------------------------------------------------------


def known(item: bpy.types.Object) -> BoneMap | None:
    """The rig's map as it was read last; None while nobody has. For drawing: another reading is done after it."""
    found = _kept.get(item.name_full)
    if bpy.app.background:
        return read(item)
    if found is None or (found.revision, found.text) != (state.now.revision, texts(item)):
        _wanted.add(item.name_full)
        want_rows()
    return found.map if found is not None else None


def look() -> None:
    """Read the maps that drawing asked for, and the rows of the table."""
    from . import cast  # which needs shots, and those this

    compat.keep_overrides()  # an autosave, which asks nobody, keeps what is chosen on these rigs then
    fill_rows()
    for window in bpy.context.window_manager.windows:
        cast.fill_rows(window.scene)
    for item in bpy.data.objects if _wanted else ():
        if item.name_full in _wanted and item.type == "ARMATURE":
            read(item)
    _wanted.clear()
    from . import playback

    playback.redraw()


def read(item: bpy.types.Object) -> BoneMap:
    """The rig's map as it is now: looked for anew when bones or what was set by hand changed."""
    text, signature = texts(item), _signature(item.data)
    found = _kept.get(item.name_full)
    if found is None or (found.text, found.signature) != (text, signature):
        found = _kept[item.name_full] = _Kept(0, text, signature, look_for_bones(item, overrides_of(item)))
    found.revision = state.now.revision
    return found.map


def fill_rows() -> None:
    """The table's rows: one a joint, the same for every rig."""
    rows = bpy.context.window_manager.wanstage_joints
    if len(rows) != len(JOINTS):
        rows.clear()
        for joint in JOINTS:
            rows.add().name = joint


def want_rows() -> None:
    """From drawing, which may not write: have ``look`` do its work after it."""
    if not bpy.app.background and not bpy.app.timers.is_registered(look):
        bpy.app.timers.register(look, first_interval=LOOK_S)


def texts(item: bpy.types.Object) -> tuple[str, str]:
    """What is kept for a rig as it is written down: equal as long as nobody sets anything. Cheap, for drawing."""
    return item.data.wanstage.bone_map, item.wanstage.bone_map


def _signature(data: bpy.types.Armature) -> bytes:
    """Equal as long as the bones are called, placed and tied together as they were."""
    bones = data.bones
    places = np.empty(3 * len(bones), np.float32)
    bones.foreach_get("head_local", places)
    digest = hashlib.blake2b(places.tobytes(), digest_size=16)
    digest.update("\n".join(f"{bone.name}\t{bone.parent.name if bone.parent else ''}" for bone in bones).encode())
    return digest.digest()


def forget() -> None:
    """As after a file load."""
    _kept.clear()
    _wanted.clear()


# ---- mirrored names ------------------------------------------------------------------------------------------


def flipped(name: str) -> str:
    """The name of the bone on the other side: by Blender's rule, else by the word Left or Right inside the name."""
    other: str = bpy.utils.flip_name(name)
    if other != name:
        return other
    for left, right in (("Left", "Right"), ("left", "right"), ("_L_", "_R_"), ("_l_", "_r_")):
        if left in name:
            return name.replace(left, right, 1)
        if right in name:
            return name.replace(right, left, 1)
    return name


def mirror(item: bpy.types.Object, side: str) -> int:
    """Give the joints of the other side the bones named like those of ``side`` ("L" or "R"); returns how many changed.

    Raises UserProblem when no bone of that side has a partner.
    """
    found, bones = read(item), item.data.bones
    other = "R" if side == "L" else "L"
    pairs = {joint[:-1] + other: flipped(name) for joint, name in found.bones.items() if joint.endswith(f".{side}")}
    pairs = {joint: name for joint, name in pairs.items() if name in bones and name != found.bones[joint[:-1] + side]}
    if not pairs:
        problem = tr(
            "No bone of this side has a partner in {rig} with a mirrored name, as hand.L and hand.R", rig=item.name
        )
        raise UserProblem(problem)
    changed = {joint: name for joint, name in pairs.items() if found.bones.get(joint) != name}
    if changed:
        save(item, {**overrides_of(item), **changed})
    return len(changed)


# ---- files ---------------------------------------------------------------------------------------------------


def to_json(item: bpy.types.Object) -> str:
    """The whole map as a file of ``retarget/maps``, for this rig and those that are named like it.

    ``{"format": "wanstage-bone-map", "version": 1, "family": NAME, "note": "", "prefixes": [""], "never": [],
    "sides": {}, "bones": {joint: [bone]}}``; a joint that was set to none has an empty list.
    """
    found = read(item)
    bones = {joint: [found.bones[joint]] for joint in JOINTS if joint in found.bones}
    bones |= {joint: [] for joint in JOINTS if joint in found.yours and joint not in bones}
    said = {
        "format": FORMAT, "version": 1, "family": item.data.name, "note": "", "prefixes": [""], "never": [],
        "sides": {}, "bones": {joint: bones[joint] for joint in JOINTS if joint in bones},
    }  # fmt: skip
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def from_json(item: bpy.types.Object, text: str, name: str) -> tuple[int, list[str]]:
    """Take a map of a file: what differs from what is found by itself is set by hand.

    Returns how many joints have their bone from it, and the joints whose bones this rig does not have. Raises
    UserProblem for what is no such file, and when the rig has none of its bones.
    """
    family, nothing = _family(text, name)
    bones, _ = match_family(family, strip_namespaces([bone.name for bone in item.data.bones]))
    if not bones:
        raise UserProblem(
            tr("{rig} has none of the bones that {file} names: it is of another rig", rig=item.name, file=name)
        )
    lacking = [joint for joint, tries in family.bones.items() if tries and joint in JOINTS and joint not in bones]
    by_itself = look_for_bones(item).bones
    told = {joint: bone for joint, bone in bones.items() if joint in JOINTS and by_itself.get(joint) != bone}
    told |= {joint: "" for joint in nothing if joint in by_itself}
    save(item, told)
    return len(bones), lacking


def _family(text: str, name: str) -> tuple[Family, list[str]]:
    """The family of a file, and the joints that it says there are none of."""
    try:
        data = json.loads(text)
        if data.get("format", FORMAT) != FORMAT or data.get("version", 1) != 1:
            raise ValueError
        family = read_family(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = tr("{file} is no bone map of this version: choose a file that Export Bone Map wrote", file=name)
        raise UserProblem(problem) from error
    return family, [joint for joint, tries in family.bones.items() if not tries]


def register() -> None:
    """Nothing to do: the timer starts when a panel asks."""


def unregister() -> None:
    """A timer that is left registered makes some Blenders hang at exit."""
    if bpy.app.timers.is_registered(look):
        bpy.app.timers.unregister(look)
    forget()
