"""The main job, as a script anyone can read: a rigged character becomes two shots on image planes.

Runs in an environment that has bpy (``python3 run.py demo`` makes it). Uses the operators that the panel's
buttons call; only the waiting differs, because a script has no timer.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import bpy  # noqa: E402 (the checkout must be importable first)
import demo_scene  # noqa: E402

import blender_addon  # noqa: E402
import protocol  # noqa: E402
from blender_addon import launch, pump, state, takes  # noqa: E402

REFERENCE = ROOT / "examples" / "assets" / "reference_man.png"
JOB_TIMEOUT_S = 300.0


class Demo:
    """The stages in order; ``seconds`` and ``report`` fill as they pass."""

    def __init__(self, out: Path, backend_python: str, data: Path, screen: TextIO) -> None:
        self.out = out
        self.backend_python = backend_python
        self.data = data
        self.screen = screen
        self.seconds: dict[str, float] = {}
        self.takes: dict[str, dict[str, Any]] = {}
        self.began = time.monotonic()

    def run(self) -> None:
        """All of it. Raises RuntimeError with the operator's sentence when a step refuses."""
        self.scene()
        try:
            self.connect()
            self.capture()
            for task in ("animate", "i2v"):
                self.shot(task)
            bpy.ops.wm.save_mainfile(compress=True)
            self.report()
        finally:
            self.stop_backend()

    def say(self, text: str) -> None:
        """Progress for a person."""
        print(f"  {text:<40}", file=self.screen, flush=True)

    def passed(self) -> float:
        """Seconds since the last call."""
        now = time.monotonic()
        took, self.began = now - self.began, now
        return round(took, 2)

    def scene(self) -> None:
        """A scene like any user's: a rig with motion, a set, light, a moving camera; saved for relative paths."""
        self.say("building the scene")
        scene = demo_scene.build()
        blender_addon.register()
        shot = scene.wanstage
        shot.size, shot.fps, shot.engine = "832x480", 16.0, "draft"
        shot.frames_folder = "//{task}"
        hero = bpy.data.objects["Hero"]
        for file in REFERENCE.parent.glob(f"{REFERENCE.name}*"):
            shutil.copy(file, self.out / "reference" / file.name)
        bpy.context.preferences.filepaths.save_version = 0
        bpy.ops.wm.save_as_mainfile(filepath=str(self.out / "shot.blend"), compress=True)
        hero.wanstage.reference = f"//reference/{REFERENCE.name}"
        self.seconds["scene"] = self.passed()

    def connect(self) -> None:
        """Start the backend and wait for its welcome."""
        self.say("starting the backend")
        done = bpy.ops.wanstage.connect(python=self.backend_python, backend_folder=str(ROOT), wait=60.0)
        require(done, state.now.sentence)
        self.seconds["connect"] = self.passed()

    def capture(self) -> None:
        """The drive pack that both shots share, also written as a bundle that the command line can run."""
        self.say("capturing the shot")
        bpy.app.handlers.render_complete.append(self.captured)
        bundle = self.out / "drive_pack" / "bundle.zip"
        require(bpy.ops.wanstage.capture(filepath=str(bundle), task="animate"), state.now.sentence)
        bpy.app.handlers.render_complete.remove(self.captured)
        self.seconds["capture"] = self.passed()
        self.say(f"captured in {self.seconds['capture']:.0f} s")

    def captured(self, *_unused: object) -> None:
        """Blender's word that a render is done: say how far the capture is, on one line where that is possible."""
        now = state.now.capture
        if now is None:
            return
        text = f"  captured {now.step} of {now.steps} ({now.stage})"
        if self.screen.isatty():
            print(f"{text:<40}", end="\r", file=self.screen, flush=True)
        elif now.step % 20 == 0:
            print(text, file=self.screen, flush=True)

    def stop_backend(self) -> None:
        """A demo leaves nothing running; a user's backend would stay for the next shot."""
        connection = state.now.connection
        if connection is not None:
            bpy.ops.wanstage.disconnect()
            launch.stop(connection.pid, 10.0)
        log = self.data / "backend.log"
        if log.exists():
            shutil.copy(log, self.out / "log")

    def shot(self, task: str) -> None:
        """Submit, stream, place on a plane."""
        self.say(f"{task}: submitting")
        before = set(state.now.runs)
        require(bpy.ops.wanstage.generate(task=task), state.now.sentence)
        (job_id,) = set(state.now.runs) - before
        ended = pump.run_until([job_id], JOB_TIMEOUT_S)
        run = state.now.runs[job_id]
        _, take = takes.find(job_id) or (None, None)
        if not ended or take is None or take.state != "finished":
            sentence = f"{task} did not finish: {run.problem or (take.problem if take else 'its take is gone')}"
            raise RuntimeError(sentence)
        self.seconds[f"{task}_upload"] = round(run.uploaded_s, 2)
        self.seconds[f"{task}_first_frame"] = round(run.first_frame_s, 2)
        self.seconds[f"{task}_done"] = round(run.done_s, 2)
        self.takes[task] = {
            "state": take.state,
            "job_id": job_id,
            "frames": take.frames_done,
            "plane": take.plane,
            "captured": run.captured,
            "uploaded_bytes": run.upload[1],
            "marked_frames": sorted(run.notes),
        }
        self.say(
            f"{task}: first frame after {run.first_frame_s:.2f} s, {take.frames_done} frames in {run.done_s:.1f} s"
        )
        self.passed()

    def report(self) -> None:
        """What happened, in numbers."""
        link = state.now.client
        seconds = {
            **self.seconds,
            "upload": self.seconds["animate_upload"],
            "first_frame": max(self.seconds["animate_first_frame"], self.seconds["i2v_first_frame"]),
            "done": round(self.seconds["animate_done"] + self.seconds["i2v_done"], 2),
        }
        report = {
            "versions": {
                "wanstage": blender_addon.VERSION,
                "blender": bpy.app.version_string,
                "python": platform.python_version(),
                "protocol": ".".join(map(str, protocol.VERSION)),
                "backend": state.now.welcome.backend,
            },
            "frames": 81,
            "size": [832, 480],
            "fps": 16,
            "seconds": seconds,
            "wire_bytes": {"uploaded": link.bytes_sent, "received": link.bytes_received},
            "takes": self.takes,
            "file_bytes": {name: folder_bytes(self.out / name) for name in ("animate", "i2v", "drive_pack")},
        }
        (self.out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def folder_bytes(folder: Path) -> int:
    """Of all files directly in it."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def require(result: set[str], sentence: str) -> None:
    """An operator that did not finish ends the demo with its sentence."""
    if result != {"FINISHED"}:
        raise RuntimeError(sentence or "a step was cancelled")


def main() -> int:
    """Exit code 0, or 1 after one sentence."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--backend-python", required=True)
    given = words.parse_args()
    out = given.out.resolve()
    (out / "drive_pack").mkdir(parents=True, exist_ok=True)
    for name in ("log", "reference"):
        (out / name).mkdir(exist_ok=True)
    logging.basicConfig(filename=out / "log" / "demo.log", level=logging.INFO)
    data = Path(tempfile.mkdtemp(prefix="wanstage-demo-"))
    os.environ["WANSTAGE_DATA"] = str(data)
    try:
        with quiet(out / "log" / "blender.log") as screen:
            Demo(out, given.backend_python, data, screen).run()
    except RuntimeError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return 0


@contextmanager
def quiet(log: Path) -> Iterator[TextIO]:
    """What Blender prints goes into ``log``; yields the screen."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as screen, log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield screen
        finally:
            sys.stdout.flush()
            os.dup2(screen.fileno(), 1)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # some Blender modules hang or crash while they unload
