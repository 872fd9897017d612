"""Writes a plan into one new action; everything else of the rig stays as it is."""

from __future__ import annotations

import json
import logging
from pathlib import PurePath
from typing import Any

import bpy

from ..problems import UserProblem
from ..words import tr
from . import actions, bones, faces, report
from .plan import Plan

logger = logging.getLogger(__name__)


def bake(scene: Any, plan: Plan, name: str = "") -> Any:
    """The new action, assigned to the rig; the action it had before is stashed in a muted NLA track.

    Raises UserProblem when nothing could be keyed: an empty action is never left behind.
    """
    armature = bpy.data.objects[plan.armature]
    action = bpy.data.actions.new(name or _name(plan))
    try:
        curves = actions.curves_of(action, armature)
        bones.write(curves, armature, plan.rig, plan.channels, plan.frames)
        if not len(curves) or not plan.channels.values:
            raise UserProblem(tr("Nothing could be keyed on {name}: drivers move all its bones.", name=armature.name))
        stashed = actions.stash(armature)
        actions.assign(armature, action)
    except Exception:
        bpy.data.actions.remove(action)
        raise
    keys = _face(scene, plan, armature, action)
    found = {**plan.report, "notes": list(plan.notes), "stashed": stashed, "shape_keys": keys}
    action[report.KEY] = json.dumps(found)
    plan.report.update(found)
    logger.info("Keyed %d bones of %s over %d frames", found["keyed_bones"], armature.name, len(plan.frames))
    return action


def _name(plan: Plan) -> str:
    source = PurePath(plan.file.source).stem if plan.file.source else ""
    return f"{plan.armature} {source or plan.file.person.name}".strip()[:60]


def _face(scene: Any, plan: Plan, armature: Any, action: Any) -> int:
    """How many shape keys were keyed."""
    if plan.face is None:
        return 0
    count = 0
    for keys, rows in faces.face_keys(scene, armature, plan.file.blendshapes):
        faces.bake(keys, rows, action, plan.frames, plan.face)
        count += len(rows)
    return count


def read_report(action: Any) -> dict[str, Any] | None:
    """The report that a bake left on an action; None."""
    text = action.get(report.KEY) if action is not None else None
    if not isinstance(text, str):
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and found.get("version") == report.VERSION else None
