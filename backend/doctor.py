"""``wanstage doctor``: what is installed, what is missing, and a round trip through a private backend."""

from __future__ import annotations

import contextlib
import logging
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from protocol import VERSION, connection
from protocol.client import Client, new_id
from protocol.errors import JobFailed, WanstageError
from protocol.events import FrameArrived, JobChanged, RequestFailed
from protocol.limits import MIB
from protocol.specs import JobSpec, Output
from wan_models import store
from wan_models.models import MODELS
from wan_models.options import Options
from wan_models.registry import engine_infos

from .commands import connected
from .devices import cards
from .supervisor import ROOT

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

WAN_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "gguf", "huggingface_hub")
PACKAGES = ("wanstage", "pyzmq", "msgspec", "numpy", "opencv-contrib-python", "scipy", "av", "mediapipe", *WAN_PACKAGES)
START_WITHIN_S, TRIP_WITHIN_S, TORCH_WITHIN_S = 20.0, 30.0, 120.0
_ASK_TORCH = """
import json, torch
cards = []
for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
    free, total = torch.cuda.mem_get_info(index)
    name = torch.cuda.get_device_name(index)
    cards.append({"device": f"cuda:{index}", "name": name, "total_mib": total >> 20, "free_mib": free >> 20})
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda or "", "cards": cards}))
"""


def doctor(as_json: bool, data: Path) -> int:
    """Print the findings; 0 when the round trip works."""
    found = facts(data)
    try:
        found["round_trip"] = round_trip()
    except (WanstageError, OSError) as error:
        found["round_trip"] = {"ok": False, "error": str(error)}
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        _show(found)
    return 0 if found["round_trip"]["ok"] else 1


def facts(data: Path) -> dict[str, Any]:
    """Versions, transports, disk and engines."""
    place = next(folder for folder in (data, *data.parents) if folder.exists())
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "protocol": ".".join(map(str, VERSION)),
        "libzmq": zmq.zmq_version(),
        "curve": bool(zmq.has("curve")),
        "ipc": bool(zmq.has("ipc")),
        "data": str(data),
        "disk_free_mib": shutil.disk_usage(place).free // MIB,
        "packages": {name: _version(name) for name in PACKAGES},
        "engines": {row.name: list(row.missing) for row in engine_infos()},
        "cards": [asdict(card) for card in cards()],
        "torch": torch_facts(),
        "models": {row.name: store.installed(row, Options()) for row in MODELS},
    }


def torch_facts() -> dict[str, Any]:
    """What torch finds, asked in a process of its own: ``version``, ``cuda``, ``cards``; empty when not installed."""
    if find_spec("torch") is None:
        return {}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=TORCH_WITHIN_S, check=True
        )
        found: dict[str, Any] = msgspec.json.decode(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()
        return {"error": said[-1] if said else f"torch ended its process with status {error.returncode}"}
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError, IndexError) as error:
        return {"error": f"torch did not answer: {error}"}
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def round_trip(frames: int = 5) -> dict[str, Any]:
    """Milliseconds of a start, a connection and a job of the test engine, all private and thrown away."""
    with tempfile.TemporaryDirectory(prefix="wanstage-doctor-") as folder:
        began = time.perf_counter()
        with private_server(Path(folder)) as content:
            started = time.perf_counter()
            with connected(content, START_WITHIN_S, "wanstage doctor") as client:
                reached = time.perf_counter()
                first, done = _job(client, frames)
    marks = {"start": started - began, "connect": reached - started, "first_frame": first, "job": done}
    return {"ok": True, "frames": frames, **{f"{name}_ms": round(value * 1000, 1) for name, value in marks.items()}}


@contextlib.contextmanager
def private_server(folder: Path) -> Iterator[connection.Connection]:
    """A real backend process with the test engine, of which nothing is left. Raises JobFailed when it won't start."""
    command = [sys.executable, "-m", "backend.cli", "serve", "--data", str(folder), "--test-engine", "--min-free", "16"]
    command += ["--workers", "cpu:1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None  # noqa: S101 - asked for just above
        if not process.stdout.readline():
            said = process.communicate()[1].decode(errors="replace").strip().splitlines()
            problem = f"a private backend did not start: {said[-1] if said else 'it said nothing'}"
            raise JobFailed(problem)
        yield connection.read(folder / "connection.json")
    finally:
        process.terminate()
        process.communicate(timeout=10)
        if process.returncode:
            log.warning("the private backend ended with status %d", process.returncode)


def _job(client: Client, frames: int) -> tuple[float, float]:
    """Seconds from submit to the first frame and to the last."""
    spec = JobSpec("t2v", 256, 144, frames, 16.0, engine="test", model="test", output=Output("raw", previews=False))
    began = time.perf_counter()
    client.submit(job_id := new_id(), spec, _NoAssets())
    client.attach(job_id)
    seen: list[float] = []
    while len(seen) < frames and time.perf_counter() - began < TRIP_WITHIN_S:
        for event in client.wait(1.0):
            if isinstance(event, FrameArrived):
                seen.append(time.perf_counter() - began)
                client.consumed(event)
            elif isinstance(event, RequestFailed):
                raise event.error
            elif isinstance(event, JobChanged) and event.update.state == "failed":
                raise JobFailed(event.update.error)
    if len(seen) < frames:
        problem = f"{len(seen)} of {frames} frames came within {TRIP_WITHIN_S:.0f} seconds"
        raise JobFailed(problem)
    return seen[0], seen[-1]


class _NoAssets:
    """The source of a job that has none."""

    def read(self, asset_id: str, offset: int = 0, nbytes: int = -1) -> bytes:
        """Never asked."""
        raise LookupError(asset_id)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for name in ("python", "platform", "protocol", "libzmq", "data", "disk_free_mib"):
        console.print(f"{name:14} {found[name]}")
    for name in ("curve", "ipc"):
        console.print(f"{name:14} {'[green]yes[/]' if found[name] else '[red]no[/]'}")
    for name, release in found["packages"].items():
        console.print(f"  {name:24} {release or '[dim]not installed[/]'}")
    for name, missing in found["engines"].items():
        console.print(f"engine {name:7} {'; '.join(missing) if missing else '[green]ready[/]'}")
    _show_models(console, found)
    trip = found["round_trip"]
    if trip["ok"]:
        console.print(
            f"round trip     [green]ok[/]: start {trip['start_ms']} ms, connect {trip['connect_ms']} ms, "
            f"first frame {trip['first_frame_ms']} ms, {trip['frames']} frames {trip['job_ms']} ms"
        )
    else:
        console.print(f"round trip     [red]failed[/]: {trip['error']}")


def _show_models(console: Console, found: dict[str, Any]) -> None:
    torch = found["torch"]
    if torch.get("error"):
        console.print(f"torch          [red]broken[/]: {torch['error']}", markup=True)
    elif torch:
        console.print(f"torch          {torch['version']}, CUDA {torch['cuda'] or 'none'}")
    seen = torch.get("cards", [])
    for card in seen:
        memory = f"{card['free_mib'] / 1024:.1f} of {card['total_mib'] / 1024:.1f} GiB free"
        console.print(f"card {card['device']:9} {card['name']}, {memory}")
    if found["cards"] and not seen:
        names = ", ".join(card["name"] for card in found["cards"])
        console.print(
            f"card           [red]not usable[/]: {names}; this torch is not built for it, or is not installed"
        )
    for name, missing in found["models"].items():
        absent = missing.startswith("there are no weights")
        text = f"not installed (wanstage models pull {name})" if absent else missing or "installed"
        line = f"model {name:32}{text}"
        console.print(line, style="dim" if missing else None, markup=False, soft_wrap=True)
