"""The draft engine through a real backend process: first frame and frames a second as a client sees them.

    python benchmarks/draft_pipeline.py [BUNDLE.zip] [--frames N] [--repeats N]

Without a bundle (any job with a drive pack, exported from the add-on or ``wanstage``) it makes a pack of its own:
832x480, a camera that passes a rolling sphere, a person with a reference. Each repeat is a new job; the assets are
uploaded once. "cold" is the first job, submitted the moment the ready line is read, while the worker still starts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import psutil

from backend.commands import connected
from backend.doctor import private_server
from benchmarks import _report
from protocol.assets import AssetFolder
from protocol.bundle import read_bundle
from protocol.client import Client, new_id
from protocol.events import FrameArrived, JobChanged, RequestFailed
from protocol.specs import JobSpec
from tests.e2e.drive import job, scene_pack

TARGET_FPS, TARGET_FIRST_MS = 20.0, 600.0
TASKS = ("i2v", "animate")


def spec_of(bundle: Path | None, frames: int, folder: AssetFolder) -> JobSpec:
    """The job of the bundle, or one for the pack made here."""
    if bundle is not None:
        return read_bundle(bundle, folder)
    return job(scene_pack(folder, 832, 480, frames), "animate")


def one_job(client: Client, spec: JobSpec, folder: AssetFolder) -> dict[str, float]:
    """Seconds from submit to the first frame and to the last, and the bytes of all frames."""
    began = time.perf_counter()
    client.submit(mine := new_id(), spec, folder)
    client.attach(mine)
    first, count, nbytes = 0.0, 0, 0
    while count < spec.frames:
        for event in client.wait(5.0):
            if isinstance(event, FrameArrived) and event.job_id == mine:
                first = first or time.perf_counter() - began
                count, nbytes = count + 1, nbytes + len(event.data)
                client.consumed(event)
            elif isinstance(event, RequestFailed):
                raise SystemExit(str(event.error))
            elif isinstance(event, JobChanged) and event.update.state == "failed":
                raise SystemExit(event.update.error)
    return {"first": first, "last": time.perf_counter() - began, "bytes": nbytes}


class Meter:
    """Processor milliseconds of server, worker and this process, which other work on the machine does not change."""

    def __init__(self, server: int) -> None:
        self._parts = {"server": psutil.Process(server), "client": psutil.Process()}
        self._parts["worker"] = self._parts["server"].children()[0]
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        times = {name: process.cpu_times() for name, process in self._parts.items()}
        return {name: (each.user + each.system) * 1000 for name, each in times.items()}

    def lap(self, frames: int) -> dict[str, float]:
        """Milliseconds a frame since the last lap."""
        before, self._before = self._before, self._now()
        return {name: round((self._before[name] - before[name]) / frames, 1) for name in before}


def figures_of(runs: list[dict[str, float]], frames: int) -> dict[str, Any]:
    """Best and median, as other work on the machine only ever slows a run down."""
    firsts = sorted(round(run["first"] * 1000) for run in runs)
    rates = sorted(round(frames / run["last"], 1) for run in runs)
    flows = sorted(round((frames - 1) / (run["last"] - run["first"]), 1) for run in runs)
    middle = len(runs) // 2
    return {
        "first_frame_ms": {"best": firsts[0], "median": firsts[middle]},
        "frames_per_s_submit_to_last": {"best": rates[-1], "median": rates[middle]},
        "frames_per_s_after_the_first": {"best": flows[-1], "median": flows[middle]},
        "kib_a_frame": round(runs[0]["bytes"] / frames / 1024),
        "target_met": rates[-1] >= TARGET_FPS and firsts[0] < TARGET_FIRST_MS,
    }


def main() -> None:
    """Measure and write results/draft_pipeline.json."""
    parser = argparse.ArgumentParser(description="the draft engine through a real backend")
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=33, help="of the pack made here")
    parser.add_argument("--repeats", type=int, default=3)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wanstage-bench-") as name:
        folder = AssetFolder(Path(name) / "assets")
        spec = spec_of(told.bundle, told.frames, folder)
        found: dict[str, Any] = {}
        with private_server(Path(name) / "data") as to, connected(to, 10.0, "benchmark") as client:
            cold = one_job(client, msgspec.structs.replace(spec, task="i2v"), folder)
            meter = Meter(to.pid)
            for task in TASKS:
                wanted = msgspec.structs.replace(spec, task=task)
                runs = [one_job(client, wanted, folder) for _ in range(told.repeats)]
                found[task] = figures_of(runs, spec.frames)
                found[task]["cpu_ms_a_frame"] = meter.lap(spec.frames * told.repeats)
    _report.write(
        "draft_pipeline",
        {
            "shot": f"{spec.frames} frames {spec.width}x{spec.height}, {spec.output.encoding}, "
            + ("a bundle" if told.bundle else "the pack made here"),
            "repeats": told.repeats,
            "cold_first_frame_ms_with_start_and_upload": round(cold["first"] * 1000),
            **found,
            "targets": {"frames_per_s_submit_to_last": TARGET_FPS, "first_frame_ms": TARGET_FIRST_MS},
        },
    )


if __name__ == "__main__":
    main()
