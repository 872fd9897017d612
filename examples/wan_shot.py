"""The demo's scene through the video models: animate, replace, image to video, text and image to video, as an artist
would from the panel, with a real backend.

``python examples/wan_shot.py --out DIR --backend-python PYTHON --models DIR`` in an environment that has bpy. Without
weights: ``wanstage models make-tiny DIR`` writes tiny ones whose frames are noise, which is enough to see every step
work; then ``--size 128x96 --frames 5 --steps 1`` keeps it short on a processor.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import bpy  # noqa: E402 (the checkout must be importable first)
import demo_scene  # noqa: E402

import blender_addon  # noqa: E402
from blender_addon import catalog, launch, pump, state, takes  # noqa: E402
from blender_addon.capture import CaptureProblem  # noqa: E402

TASKS = ("animate", "replace", "i2v", "ti2v")
JOB_TIMEOUT_S = 24 * 3600.0


class Wish:
    """What the command line says."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.tasks: tuple[str, ...] = tuple(told.tasks.split(","))
        self.model: str = told.model
        self.size: tuple[int, int] | None = tuple(map(int, told.size.split("x"))) if told.size else None
        self.frames: int = told.frames
        self.steps: int = told.steps
        self.plan: str = told.plan
        self.plate_samples: int = told.plate_samples


def prepare(out: Path, wish: Wish) -> bpy.types.Scene:
    """The demo's scene, saved in ``out``, its hero with a reference picture."""
    scene = demo_scene.build()
    bpy.context.preferences.filepaths.save_version = 0
    reference = Path(demo_scene.describe()["reference"])
    for file in reference.parent.glob(f"{reference.name}*"):
        shutil.copy(file, out / file.name)
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "shot.blend"), compress=True)
    bpy.data.objects[demo_scene.HERO].wanstage.reference = f"//{reference.name}"
    own = scene.wanstage
    own.frames_folder, own.prompt = "//{task}", demo_scene.describe()["prompt"]
    own.steps, own.plan, own.plate_samples = wish.steps, wish.plan, wish.plate_samples
    return scene


def choose(scene: bpy.types.Scene, task: str, wish: Wish) -> None:
    """Task and model as in the panel: the task proposes a model, the model its rate and size."""
    own = scene.wanstage
    own.task = task
    found = ("wan", wish.model) if wish.model else catalog.first_for(task, "wan")
    if found is None or found[0] != "wan":
        message = f"the backend has no video model for {task}"
        raise RuntimeError(message)
    catalog.choose(own, *found)
    if wish.size:
        catalog.set_size(own, wish.size)
    if wish.frames:
        rate = scene.render.fps / scene.render.fps_base
        own.use_scene_range, own.frame_start = False, scene.frame_start
        own.frame_end = scene.frame_start + int(-(-(wish.frames - 1) * rate // own.fps))


def make(scene: bpy.types.Scene, task: str, wish: Wish) -> dict[str, Any]:
    """One take: submit, follow, wait. Raises RuntimeError with the sentence when something refuses."""
    choose(scene, task, wish)
    return submit(scene, task)


def submit(scene: bpy.types.Scene, task: str) -> dict[str, Any]:
    """As ``make``, of the shot as it is set up."""
    began = time.monotonic()
    done = bpy.ops.wanstage.generate(task=task)
    if done != {"FINISHED"}:
        raise RuntimeError(state.now.sentence or f"{task} was not submitted")
    job_id = scene.wanstage.takes[-1].job_id
    captured = time.monotonic() - began
    ended = pump.run_until([job_id], JOB_TIMEOUT_S)
    _, take = takes.find(job_id) or (None, None)
    run = state.now.runs.get(job_id)
    if not ended or take is None or take.state != "finished":
        message = f"{task}: {(take and take.problem) or state.now.sentence or 'the job did not end'}"
        raise RuntimeError(message)
    return {
        "model": scene.wanstage.model, "frames": take.frames_done, "size": [take.width, take.height], "fps": take.fps,
        "plane": take.plane, "folder": str(takes.folder(take)), "job_id": job_id, "capture_s": round(captured, 2),
        "first_frame_s": round(run.first_frame_s, 2), "done_s": round(run.done_s, 2),
        "warnings": list(run.update.warnings) + takes.meta(take)["capture_warnings"],
    }  # fmt: skip


def run(out: Path, backend_python: str, wish: Wish) -> dict[str, Any]:
    """Every task; writes ``report.json`` and saves the file. The add-on must be registered."""
    scene = prepare(out, wish)
    done = bpy.ops.wanstage.connect(python=backend_python, backend_folder=str(ROOT), wait=60.0)
    if done != {"FINISHED"}:
        raise RuntimeError(state.now.sentence)
    report = {}
    try:
        for task in wish.tasks:
            report[task] = make(scene, task, wish)
            print(f"{task}: {report[task]['frames']} frames by {report[task]['model']}", flush=True)
        bpy.ops.wm.save_mainfile(compress=True)
    finally:
        stop_backend()
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def stop_backend() -> None:
    """An example leaves nothing running."""
    connection = state.now.connection
    if connection is None:
        return
    bpy.ops.wanstage.disconnect()
    launch.stop(connection.pid, 20.0)


def words() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the file and its frames")
    parser.add_argument("--backend-python", default=sys.executable, help="a Python that has the backend and torch")
    parser.add_argument("--models", type=Path, help="folder with models, searched before the usual places")
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"separated by commas (default: {','.join(TASKS)})")
    parser.add_argument("--model", default="", help="default: the first that does the task and has weights")
    parser.add_argument("--size", default="", metavar="WxH", help="default: the model's own")
    parser.add_argument("--frames", type=int, default=0, help="about so many, from the beginning (default: all)")
    parser.add_argument("--steps", type=int, default=0, help="0 = the model's own")
    parser.add_argument("--plan", default="auto", help="where the backend keeps weights, see wanstage serve --help")
    parser.add_argument("--plate-samples", type=int, default=16, help="Cycles samples of pictures with materials")
    return parser


def carry_out(name: str, told: argparse.Namespace, make_it: Callable[[Path], int]) -> int:
    """The add-on registered with data of its own, and a log of both sides left in the target folder.

    Returns what ``make_it`` does with that folder, or 1 after one sentence.
    """
    out = told.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=out / f"{name}.log", level=logging.INFO)
    data = Path(tempfile.mkdtemp(prefix="wanstage-shot-"))
    os.environ["WANSTAGE_DATA"] = str(data)
    if told.models:
        os.environ["WANSTAGE_MODELS"] = str(told.models.resolve())
    blender_addon.register()
    try:
        return make_it(out)
    except (RuntimeError, CaptureProblem) as problem:
        print(f"{problem}", file=sys.stderr)
        return 1
    finally:
        log = data / "backend.log"
        if log.is_file():
            shutil.copy(log, out / "backend.log")
        shutil.rmtree(data, ignore_errors=True)


def leave(code: int) -> NoReturn:
    """End at once: some Blender modules hang or crash while they unload."""
    sys.stdout.flush()
    os._exit(code)


def main() -> int:
    """Exit code 0, or 1 after one sentence."""
    told = words().parse_args()

    def make_it(out: Path) -> int:
        run(out, told.backend_python, Wish(told))
        return 0

    return carry_out("wan_shot", told, make_it)


if __name__ == "__main__":
    leave(main())
