"""All shots of the timeline, captured and submitted one after another."""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy

from . import generation, preflight, state, takes, timeline
from .problems import UserProblem
from .words import tr


@dataclass
class Sent:
    """The jobs that are on their way, and why the other shots are not: a sentence by name."""

    jobs: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def wanted(scene: bpy.types.Scene) -> list[timeline.Cut]:
    """The shots that are switched on; those that were never listed are."""
    return [cut for cut in timeline.cuts(scene) if (own := timeline.row(scene, cut)) is None or own.use]


def problems(scene: bpy.types.Scene) -> list[str]:
    """What keeps all shots from being submitted. Cheap."""
    if not timeline.bound(scene):
        return timeline.sentences(scene)
    if not wanted(scene):
        return [tr("No shot of the timeline is switched on: switch some on in the list")]
    shot = scene.wanstage
    return preflight.backend_problems(shot.engine, shot.task, shot.model)


def submit_all(scene: bpy.types.Scene, *, force: bool = False) -> generation.Steps:
    """Capture and submit each shot that is switched on; one that cannot be does not keep the others. Returns Sent."""
    sent, cuts, name = Sent(), wanted(scene), scene.name
    try:
        for number, cut in enumerate(cuts, start=1):
            state.now.batch = tr("Shot {number} of {count}: {name}", number=number, count=len(cuts), name=cut.name)
            try:
                sent.jobs.append((yield from submit(bpy.data.scenes[name], cut, force=force)))
            except UserProblem as problem:
                sent.problems[cut.name] = str(problem)
    finally:
        state.now.batch = ""
    return sent


def submit(scene: bpy.types.Scene, cut: timeline.Cut, *, force: bool = False) -> generation.Steps:
    """Capture and submit one shot of the timeline; returns the job id."""
    with timeline.settings(scene, cut):
        job_id = yield from generation.generate(scene, generation.Wish(scene.wanstage.task, force=force))
        found = takes.find(job_id)
        if found is not None:
            before = sum(take.shot == cut.name for take in scene.wanstage.takes)
            take = found[1]
            take.shot, take.frame_end, take.name = cut.name, cut.last, f"{cut.name} {before + 1}"
            takes.tell(scene, take)
    return job_id


def chosen(scene: bpy.types.Scene, cut: timeline.Cut) -> str:
    """The job of the take that a shot shows: accepted, else shown, else the newest with frames; may be empty."""
    made = [take for take in scene.wanstage.takes if take.shot == cut.name and take.frames_done]
    accepted = [take for take in made if take.choice.verdict == "accepted"]
    shown = [take for take in made if _is_shown(take.job_id)]
    return next((take.job_id for take in reversed(accepted or shown or made)), "")


def _is_shown(job_id: str) -> bool:
    plane = takes.playback.find_plane(job_id)
    return plane is not None and takes.playback.is_shown(plane)


def running(scene: bpy.types.Scene) -> list[str]:
    """Jobs of the timeline's shots that have not ended."""
    own = {take.job_id for take in scene.wanstage.takes if take.shot}
    return [run.job_id for run in state.now.active() if run.job_id in own]
