"""``wanstage bench``: one video model on this machine, end to end, with times and memory as JSON.

With ``--random-weights`` networks of the released shapes are made on the card, so nothing is downloaded: speed and
memory do not depend on the numbers, pictures do. A real backend process runs the job unless ``--direct`` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from protocol import connection, specs
from protocol.assets import AssetFolder
from protocol.client import new_id
from protocol.errors import JobFailed
from protocol.events import FrameArrived, JobChanged, RequestFailed
from protocol.messages import JobUpdate
from protocol.refs import encode_array

from . import png
from .commands import connected
from .plan_command import parse_size

if TYPE_CHECKING:
    from wan_models.bench import Clock

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "diffusers", "transformers", "fa3-fwd", "numpy")
PATIENCE_S = 3600.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bench`` to the command line."""
    bench = commands.add_parser("bench", help="measure a video model on this machine; writes JSON")
    bench.add_argument("--model", required=True, help="a name of 'wanstage models list'")
    bench.add_argument("--task", choices=get_args(specs.Task), help="default: the model's first")
    bench.add_argument(
        "--size",
        metavar="WxH[,WxH]",
        help="several: one job after the other, smallest first (default: the model's smallest)",
    )
    bench.add_argument("--frames", type=int, help="default: the model's usual number, of s2v two clips")
    bench.add_argument("--pose", action="store_true", help="s2v follows a pose too")
    bench.add_argument("--steps", type=int, default=4)
    bench.add_argument("--plan", choices=get_args(specs.PlanName), default="auto")
    bench.add_argument("--device", default="cuda:0")
    bench.add_argument("--card-memory", type=float, metavar="GIB", help="give the card no more memory than this")
    bench.add_argument("--host-memory", type=float, metavar="GIB", help="plan as if no more host memory were free")
    bench.add_argument("--random-weights", action="store_true", help="networks of the released shapes, nothing on disk")
    bench.add_argument("--models", type=Path, action="append", default=[], metavar="DIR", help="a folder with models")
    bench.add_argument("--runs", type=int, default=1, help="how often; the weights stay loaded")
    bench.add_argument("--direct", action="store_true", help="the engine alone, without a backend process")
    bench.add_argument("--out", type=Path, metavar="FILE.json", help="default: standard output only")
    bench.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Measure and write; 1 when a job failed (its sentence is in the JSON)."""
    from wan_models.bench import usual_frames
    from wan_models.registry import model_row

    row = model_row(told.model)
    told.task = told.task or row.tasks[0]
    told.frames = told.frames or usual_frames(row)
    told.size = told.size or "{}x{}".format(*row.sizes[0])
    for size in told.size.split(","):
        parse_size(size)  # before a backend is started
    with tempfile.TemporaryDirectory(prefix="wanstage-bench-") as name:
        report = Path(name) / "report.json"
        os.environ["WANSTAGE_REPORT"] = str(report)
        make = _direct if told.direct else _through_backend
        runs = [{**each, "memory": _read(report)} for each in make(told, Path(name))]
    content = {**_circumstances(told), "runs": runs, "last_run_memory": runs[-1]["memory"]}
    text = json.dumps(content, indent=2) + "\n"
    sys.stdout.write(text)
    if told.out:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(text)
    return 1 if any("error" in each for each in runs) else 0


def _read(report: Path) -> dict[str, Any]:
    """What each part took until now, in one process: calls and seconds add up over its runs, peaks are the highest."""
    content: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    return content


def _asked(told: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Any]]:
    """Each run's size and request."""
    from wan_models.bench import request
    from wan_models.registry import model_row

    row, numbers = model_row(told.model), {"frames": told.frames, "steps": told.steps}
    given = {"folder": folder, "plan": told.plan, "pose": told.pose}
    for size in told.size.split(","):
        width, height = parse_size(size)
        asked = request(row, told.task, width=width, height=height, **numbers, **given)
        yield from ((size, asked) for _ in range(told.runs))


def _direct(told: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    from wan_models.bench import Clock
    from wan_models.options import Options
    from wan_models.registry import open_engine

    options = Options(
        device=told.device,
        plan=told.plan,
        card_gib=told.card_memory,
        host_gib=told.host_memory,
        random_weights=told.random_weights,
        folders=tuple(folder.absolute() for folder in told.models),
    )
    engine = open_engine("wan", options)
    for size, asked in _asked(told, folder):
        engine.check(asked)
        clock = Clock()
        try:
            for event in engine.generate(asked, lambda: False):
                clock.hear(event)
        except (RuntimeError, ValueError, MemoryError) as error:
            yield {"size": size, **clock.figures(), "error": f"{type(error).__name__}: {error}"}
            return
        yield {"size": size, **clock.figures()}


def _through_backend(told: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    assets = AssetFolder(folder / "assets")
    with _server(told, folder / "data") as to:
        for size, asked in _asked(told, folder):
            yield {"size": size, **_job(to, spec_of(asked, assets), assets)}


@contextmanager
def _server(told: argparse.Namespace, folder: Path) -> Iterator[connection.Connection]:
    command = [sys.executable, "-m", "backend.cli", "serve", "--data", str(folder), "--min-free", "16"]
    command += ["--workers", told.device if told.device.startswith("cuda") else "cpu:1", "--plan", told.plan]
    for name, value in (("--card-memory", told.card_memory), ("--host-memory", told.host_memory)):
        command += [name, str(value)] if value is not None else []
    command += ["--random-weights"] if told.random_weights else []
    for each in told.models:
        command += ["--models", str(each.absolute())]
    with (folder.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
    try:
        if process.stdout is None or not process.stdout.readline():
            problem = f"the backend did not start: {(folder.parent / 'server.log').read_text()[-400:]}"
            raise JobFailed(problem)
        yield connection.read(folder / "connection.json")
    finally:
        process.terminate()
        process.communicate(timeout=60)
        for path in sorted((folder / "logs").glob("worker-*.log")):
            sys.stderr.write(f"--- {path.name}\n{path.read_text()[-6000:]}\n")


def _job(to: connection.Connection, spec: specs.JobSpec, assets: AssetFolder) -> dict[str, Any]:
    from wan_models.bench import Clock

    with connected(to, 60.0, "bench") as client:
        clock, began = Clock(), time.perf_counter()
        client.submit(job := new_id(), spec, assets)
        client.attach(job)
        last: JobUpdate | None = None
        while time.perf_counter() - began < PATIENCE_S:
            for event in client.wait(1.0):
                if isinstance(event, FrameArrived):
                    clock.frames(event.index, 1)
                    client.consumed(event)
                elif isinstance(event, RequestFailed):
                    return {**clock.figures(), "error": str(event.error)}
                elif isinstance(event, JobChanged):
                    last = event.update
                    clock.progress(last.progress.stage, last.progress.step)
            told = None if last is None else _end_of(last, clock, spec.frames)
            if told is not None:
                return told
    return {**clock.figures(), "error": f"not done within {PATIENCE_S:.0f} seconds"}


def _end_of(update: JobUpdate, clock: Clock, frames: int) -> dict[str, Any] | None:
    """The figures, if the job has ended."""
    if update.state in ("failed", "cancelled"):
        return {**clock.figures(), "error": update.error or update.state}
    if update.state == "finished" and clock.count >= frames:
        return {**clock.figures(), "seconds_by_backend": update.timings, "warnings": list(update.warnings)}
    return None


def spec_of(asked: Any, folder: AssetFolder) -> specs.JobSpec:  # noqa: ANN401 - wan_models.requests.Request
    """The wire form of a synthetic request, its pictures in ``folder``."""
    pack = asked.pack
    return specs.JobSpec(
        asked.task,
        asked.width,
        asked.height,
        asked.frames,
        asked.fps,
        seed=asked.seed,
        engine="wan",
        model=asked.model,
        prompt=asked.prompt,
        image=None if asked.image is None else _image(folder, asked.image),
        last_image=None if asked.last_image is None else _image(folder, asked.last_image),
        pack=None if pack is None else _pack(folder, pack),
        sound=None if asked.sound is None else _sound(folder, asked.sound),
        sampler=specs.Sampler(steps=asked.sampler.steps),
        talk=specs.Talk(asked.talk.start_from_reference, asked.talk.follow_pose),
        plan=asked.plan,
        output=specs.Output("raw", previews=asked.previews),
    )


def _sound(folder: AssetFolder, sound: Any) -> specs.SoundRef:  # noqa: ANN401 - wan_models.requests.Sound
    return specs.SoundRef(folder.add(sound.file.read_bytes()), sound.file.name, sound.start)


def _pack(folder: AssetFolder, pack: Any) -> specs.DrivePack:  # noqa: ANN401
    person = pack.characters[0]
    reference = specs.Reference(
        _image(folder, person.reference.image), person.reference.source, _array(folder, person.reference.body)
    )
    track = specs.CharacterTrack(person.index, person.name, _array(folder, person.pose.body), reference=reference)
    known: dict[int, specs.ArrayRef] = {}

    def maps(arrays: Any) -> tuple[specs.ArrayRef, ...]:  # noqa: ANN401
        for array in arrays:
            if id(array) not in known:
                known[id(array)] = _array(folder, array)
        return tuple(known[id(array)] for array in arrays)

    return specs.DrivePack(
        pack.width,
        pack.height,
        pack.frames,
        pack.fps,
        characters=(track,),
        clay=maps(pack.clay),
        plate=maps(pack.plate),
        mask=maps(pack.mask),
    )


def _array(folder: AssetFolder, data: Any) -> specs.ArrayRef:  # noqa: ANN401 - a numpy array
    kind = f"{data.dtype.kind}{data.dtype.itemsize}"
    return encode_array(folder, data.tobytes(), kind, data.shape, "zlib")  # type: ignore[arg-type]


def _image(folder: AssetFolder, pixels: Any) -> specs.ImageRef:  # noqa: ANN401
    return specs.ImageRef(folder.add(png.encode(pixels)), pixels.shape[1], pixels.shape[0])


def _told_without_folder(arguments: list[str]) -> list[str]:
    """What was asked, to be repeated anywhere: of the result's path its name alone."""
    after_out = [before == "--out" for before in ["", *arguments[:-1]]] if arguments else []
    return [Path(each).name if out else each for each, out in zip(arguments, after_out, strict=True)]


def _circumstances(told: argparse.Namespace) -> dict[str, Any]:
    return {
        "benchmark": "wan",
        "command": " ".join(["wanstage", *_told_without_folder(sys.argv[1:])]),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": told.model,
        "task": told.task,
        "size": told.size,
        "frames": told.frames,
        "steps": told.steps,
        "pose": told.pose,
        "random_weights": told.random_weights,
        "card_memory_gib": told.card_memory,
        "host_memory_gib": told.host_memory,
        "through_backend": not told.direct,
        "machine": {
            "system": platform.system(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
            **_card(told.device),
        },
    }


def _card(device: str) -> dict[str, Any]:
    if not device.startswith("cuda"):
        return {}
    import torch

    cudnn: Any = torch.backends.cudnn  # untyped
    name = torch.cuda.get_device_name(device)
    total = torch.cuda.get_device_properties(device).total_memory
    return {"card": name, "card_bytes": total, "cudnn": cudnn.version(), "cuda": torch.version.cuda}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
