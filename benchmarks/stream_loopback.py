"""Raw 832x480 RGB8 frames from a real backend process to the real client, over loopback with CURVE.

    python benchmarks/stream_loopback.py [--frames N] [--repeats N]

Each repeat attaches to a finished job, so that the figures are of reading, encrypting, sending and receiving, not of
an engine. Targets: 200 frames a second, ticks within their budget.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.commands import connected
from backend.doctor import private_server
from benchmarks import _report
from protocol.assets import AssetFolder
from protocol.client import POLL_BUDGET_S, Client, new_id
from protocol.connection import Connection
from protocol.events import FrameArrived, JobChanged
from protocol.specs import JobSpec, Output

WIDTH, HEIGHT = 832, 480
FRAME_BYTES = WIDTH * HEIGHT * 3
TARGET_FPS = 200.0


def make_job(client: Client, frames: int, folder: Path) -> tuple[str, dict[str, float]]:
    """A finished job of the test engine: its id, and its live figures, engine included."""
    spec = JobSpec(
        "t2v", WIDTH, HEIGHT, frames, 16.0, engine="test", model="test", output=Output("raw", previews=False)
    )
    began = time.perf_counter()
    client.submit(job := new_id(), spec, AssetFolder(folder))
    client.attach(job)
    count, first = 0, 0.0
    while count < frames:
        for event in client.wait(5.0):
            if isinstance(event, FrameArrived):
                first = first or time.perf_counter() - began
                count += 1
                client.consumed(event)
            elif isinstance(event, JobChanged) and event.update.state == "failed":
                raise SystemExit(event.update.error)
    took = time.perf_counter() - began
    return job, {"first_frame_ms": round(first * 1000, 1), "frames_per_s": round((frames - 1) / (took - first), 1)}


def stream(to: Connection, job: str, frames: int) -> float:
    """Seconds from attach to the last frame, blocking in between."""
    with connected(to, 10.0, "benchmark") as client:
        began = time.perf_counter()
        client.attach(job)
        count = 0
        while count < frames:
            for event in client.wait(5.0):
                if isinstance(event, FrameArrived):
                    count += 1
                    client.consumed(event)
        return time.perf_counter() - began


def ticks(to: Connection, job: str, frames: int) -> list[float]:
    """Milliseconds of each ``poll`` that brought frames, polled 60 times a second as a panel does; sorted."""
    with connected(to, 10.0, "benchmark") as client:
        client.attach(job)
        count, found = 0, []
        while count < frames:
            began = time.perf_counter()
            events = client.poll()
            took = (time.perf_counter() - began) * 1000
            arrived = [event for event in events if isinstance(event, FrameArrived)]
            for event in arrived:
                client.consumed(event)
            count += len(arrived)
            if arrived:
                found.append(took)
            time.sleep(1 / 60)
        return sorted(found)


def main() -> None:
    """Measure and write results/stream_loopback.json."""
    parser = argparse.ArgumentParser(description="frames a second over loopback with CURVE")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wanstage-bench-") as name, private_server(Path(name) / "data") as to:
        with connected(to, 10.0, "benchmark") as client:
            job, live = make_job(client, told.frames, Path(name) / "assets")
        seconds = [stream(to, job, told.frames) for _ in range(told.repeats)]
        polls = ticks(to, job, told.frames)
    rates = sorted(round(told.frames / each, 1) for each in seconds)
    figures: dict[str, Any] = {
        "frame": f"{WIDTH}x{HEIGHT} RGB8, {FRAME_BYTES} bytes",
        "frames": told.frames,
        "repeats": told.repeats,
        "frames_per_s": {"best": rates[-1], "median": rates[len(rates) // 2], "worst": rates[0]},
        "mb_per_s_best": round(rates[-1] * FRAME_BYTES / 1e6, 1),
        "live_with_test_engine": live,
        "poll_tick_ms": {
            "budget": POLL_BUDGET_S * 1000,
            "ticks": len(polls),
            "median": round(polls[len(polls) // 2], 2),
            "p95": round(polls[int(len(polls) * 0.95)], 2),
            "max": round(polls[-1], 2),
            "mean_frames": round(told.frames / len(polls), 1),
        },
        "target_frames_per_s": TARGET_FPS,
        "target_met": rates[-1] >= TARGET_FPS,
    }
    _report.write("stream_loopback", figures)


if __name__ == "__main__":
    main()
