"""Times capture: pose tracks with and without occlusion tests, and frames of clay + mask + depth + origin + plate.

    python benchmarks/capture.py [--frames 48]     (in a bpy Python)

The scene is the tests' stage with a body of about 15,000 vertices. Every figure is the best of three runs: the
machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "bpy" / "capture"), str(ROOT / "benchmarks")]

import _report  # noqa: E402 (the checkout must be importable first)


def best_of(runs: int, work: Callable[[], Any]) -> float:
    """The shortest of several runs, seconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def build_stage() -> int:
    """The stage with a dense body; its vertices."""
    import bpy
    import people

    bpy.ops.wm.read_factory_settings(use_empty=True)
    rig, _ = people.make_stage(832, 480)
    bpy.data.objects.remove(bpy.data.objects["Walker body"])
    body = people.make_body(rig, rings=22, segments=31)
    return len(body.data.vertices)


def measure(frames: int) -> dict[str, Any]:
    """All figures."""
    import bpy

    from blender_addon import capture
    from protocol.assets import AssetFolder

    vertices = build_stage()
    people = (capture.CharacterParams("Walker", "Walker", 1),)
    parts = frozenset({"clay", "mask", "depth", "origin", "plate"})
    shot = capture.ShotParams("Scene", "Camera", 1.0, frames, 16.0, 832, 480, people, parts)
    bare = dataclasses.replace(shot, occlusion=False)

    def render() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for _ in capture.capture_shot(dataclasses.replace(shot, frames=12), AssetFolder(folder)):
                pass

    return {
        "blender": bpy.app.version_string,
        "vertices": vertices,
        "frames": frames,
        "pose_fps": round(frames / best_of(3, lambda: capture.capture_pose(bare)), 1),
        "pose_occlusion_fps": round(frames / best_of(3, lambda: capture.capture_pose(shot)), 1),
        "render_s_per_frame_832x480": round(best_of(3, render) / 12, 3),
    }


def main() -> None:
    """Measure and write results/capture.json."""
    parser = argparse.ArgumentParser(description="pose and render captures a second")
    parser.add_argument("--frames", type=int, default=48)
    _report.write("capture", measure(parser.parse_args().frames))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # bpy 4.2 and 4.5 may crash at exit
