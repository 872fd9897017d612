"""How near a rig comes to the actor whose film it was made from, to benchmarks/results/motion.json.

    python benchmarks/motion.py --blender PYTHON [--models DIR] [--folder DIR] [--film FILM]

A real rigged human with a real recording (CMU 01_01) is filmed by a known camera in a Blender of its own
(``--blender``: a Python that has bpy 5.0). The film goes through 'wanstage pose', with the camera and without, and the
pose files onto the same rig, a Mixamo rig of other proportions and a generated Rigify rig, by FK and by IK. What each
rig does is compared, hips over hips, with what it does when the true joints of the actor are retargeted (the same rig:
with the actor himself), as a part of the rig's height. Without a camera nobody knows which way is north: one turn
about the vertical is taken out. ``--film`` adds the trembling of a film of your own; ``--folder`` keeps what was made,
and uses a film in it again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from _report import write  # noqa: E402

from wan_models.pose.build import PoseOptions  # noqa: E402
from wan_models.pose.clip import estimate_clip  # noqa: E402
from wan_models.pose.filters import Smoothing  # noqa: E402
from wan_models.pose.posefile import CameraPath, PoseFile  # noqa: E402
from wan_models.pose.posefile import write as write_pose  # noqa: E402

F64 = NDArray[np.float64]
FPS = 16.0
STAGE = ROOT / "benchmarks" / "motion_stage.py"
GROUPS = {
    "trunk": ("chest", "neck", "clavicle.L", "clavicle.R"),
    "head": ("head",),
    "elbows": ("forearm.L", "forearm.R"),
    "wrists": ("hand.L", "hand.R"),
    "knees": ("shin.L", "shin.R"),
    "ankles": ("foot.L", "foot.R"),
    "balls of the feet": ("toe.L", "toe.R"),
}
BODY = {each for members in GROUPS.values() for each in members} | {"upper_arm.L", "upper_arm.R", "thigh.L", "thigh.R"}
POSES = {"camera known": "known", "camera guessed": "guessed"}


def stage(blender: str, task: str, folder: Path, *poses: str) -> None:
    """Run motion_stage.py; its words end here."""
    with (folder / f"{task}.log").open("w") as log:
        subprocess.run([blender, str(STAGE), task, str(folder), *poses], check=True, stdout=log, stderr=log, cwd=ROOT)


def estimate(folder: Path, models: Path | None) -> dict[str, PoseFile]:
    """The film's pose files, as 'wanstage pose frames --fps 16 [--camera camera.npz]' writes them."""
    made = {}
    with np.load(folder / "camera.npz") as arrays:
        camera = CameraPath(arrays["world_from_camera"], arrays["intrinsics"])
    for name, path in (("known", camera), ("guessed", None)):
        options = PoseOptions(models=models, fps=FPS, people=1, camera=path)
        made[name] = estimate_clip(folder / "frames", options)
        write_pose(made[name], folder / f"{name}.npz")
    return made


def baked(folder: Path, rig: str, pose: str) -> tuple[int, dict[str, F64]]:
    """First frame of the action, and the paths of the joints."""
    with np.load(folder / f"baked-{rig}-{pose}.npz") as arrays:
        return int(arrays["first"]), {name: arrays[name] for name in arrays.files if name != "first"}


def aligned(paths: dict[str, F64], truth: dict[str, F64], turn: bool) -> tuple[F64, F64, list[str]]:
    """(T,N,3) of both from the hips; the first turned about the vertical as one, if it shall be."""
    names = [name for name in truth if name in BODY and name in paths]
    one = np.stack([paths[name] - paths["hips"] for name in names], 1)
    other = np.stack([truth[name] - truth["hips"] for name in names], 1)
    if turn:
        flat, aim = one[..., 0] + 1j * one[..., 1], other[..., 0] + 1j * other[..., 1]
        by = (np.conj(flat) * aim).sum()
        flat = flat * by / abs(by)
        one = np.stack([flat.real, flat.imag, one[..., 2]], -1)
    return one, other, names


def compared(folder: Path, rig: str, pose: str, height: float) -> dict[str, Any]:
    """Mean errors as percent of the rig's height, by groups of joints."""
    first, paths = baked(folder, rig, pose)
    begin, truth = baked(folder, rig, "actor")
    if rig == "same":
        begin = 1
        with np.load(folder / "truth.npz") as arrays:
            truth = {name: arrays[name] for name in arrays.files}
    count = min(first + len(paths["hips"]), begin + len(truth["hips"])) - max(first, begin)
    start = max(first, begin)
    paths = {name: path[start - first :][:count] for name, path in paths.items()}
    truth = {name: path[start - begin :][:count] for name, path in truth.items()}
    one, other, names = aligned(paths, truth, pose == "guessed")
    error = 100 * np.linalg.norm(one - other, axis=-1) / height
    groups = {
        group: round(float(error[:, [names.index(each) for each in members if each in names]].mean()), 2)
        for group, members in GROUPS.items()
    }
    found = {"frames": count, "mean_percent": round(float(error.mean()), 2), "worst_frame_percent":
             round(float(error.mean(axis=1).max()), 2), "groups": groups}  # fmt: skip
    return found


def trembling(pose: PoseFile) -> list[float]:
    """Root mean square of the joints' acceleration, m/s^2, without fingers, of each person while they are seen."""
    found = []
    for person in pose.people:
        path = np.asarray(person.position, np.float64)[person.first : person.last + 1, :21]
        second = (path[2:] - 2 * path[1:-1] + path[:-2]) * pose.fps**2
        found.append(round(float(np.sqrt((second**2).sum(-1).mean())), 1) if len(second) else 0.0)
    return found


def real(film: Path, models: Path | None) -> dict[str, Any]:
    """Trembling of a real film, smoothed and as it was seen."""
    return {
        name: trembling(estimate_clip(film, PoseOptions(models=models, smoothing=smoothing)))
        for name, smoothing in (("as seen", None), ("smoothed", Smoothing()))
    }


def main() -> None:
    """Film, estimate, bake, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blender", required=True, help="a Python that has bpy 5.0")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--film", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = told.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "frames").is_dir():
            stage(told.blender, "film", folder)
        stage(told.blender, "record", folder)
        poses = estimate(folder, told.models)
        stage(told.blender, "bake", folder, "actor", *POSES.values())
        made = json.loads((folder / "baked.json").read_text())
        rigs = {
            rig: {
                "height_m": round(each["height"], 3),
                "true joints": each["poses"]["actor"],
                "true joints, feet not held": each["free"],
                **{
                    name: {**compared(folder, rig, pose, each["height"]), **each["poses"][pose]}
                    for name, pose in POSES.items()
                },
            }
            for rig, each in made.items()
        }
        figures = {"goal_percent": 6.0, "rigs": rigs, "warnings": {k: v.warnings for k, v in poses.items()}}
        figures["trembling_m_s2"] = {name: trembling(pose) for name, pose in poses.items()}
        if told.film:
            figures["film"] = {"name": told.film.name, "trembling_m_s2": real(told.film, told.models)}
        write("motion", figures)


if __name__ == "__main__":
    main()
