"""The video models through a real backend: tiny checkpoints on the CPU, one server for all tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file

from backend.outbox import encode_frame
from backend.supervisor import threads_each
from backend.translate import load_array, to_request
from protocol.assets import AssetFolder
from protocol.client import Client
from protocol.errors import InvalidJob
from protocol.events import Connected, FrameArrived, JobChanged, JobsListed, PreviewArrived
from protocol.messages import TERMINAL
from protocol.specs import Animate, ArrayRef, DrivePack, JobSpec, Lora, Output, Sampler
from tests.e2e.conftest import Seen, Served, connected
from tests.e2e.drive import array, picture, scene_pack
from tests.e2e.test_draft import libraries
from wan_models.control.masks import augment_mask
from wan_models.events import FramesDecoded
from wan_models.options import Options
from wan_models.pipelines.engine import WanEngine
from wan_models.weights.tiny import make_tiny

MODELS = {
    "t2v": "wan2.2-t2v-a14b",
    "i2v": "wan2.2-i2v-a14b",
    "flf2v": "wan2.2-i2v-a14b",
    "ti2v": "wan2.2-ti2v-5b",
    "animate": "wan2.2-animate-14b",
    "replace": "wan2.2-animate-14b",
}
ANIMATE2, ABSENT = "wan2.2-animate-2-14b", "wan2.2-animate-2-14b-distilled"
HERE = (*dict.fromkeys(MODELS.values()), ANIMATE2)
RATES = {"ti2v": 24.0}
COMPARED = {("flf2v", "wan2.2-i2v-a14b"), ("ti2v", "wan2.2-ti2v-5b")}
SIDE, FRAMES = 64, 9


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, all but one, and a LoRA that fits none of them."""
    folder = tmp_path_factory.mktemp("models")
    make_tiny(folder, HERE)
    (folder / "loras").mkdir()
    other = {f"unet.up.{name}.weight": torch.zeros(2, 2) for name in ("lora_A", "lora_B")}
    save_file(other, str(folder / "loras" / "of-another-model.safetensors"))
    return folder


def start(folder: Path, models: Path) -> Served:
    """A backend that has these models only."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HOME", "MODELSCOPE_CACHE", "XDG_DATA_HOME"):
            patch.setenv(name, str(folder / "empty"))
        patch.delenv("WANSTAGE_MODELS", raising=False)
        served = Served(folder / "data", "--models", str(models), "--offline")
    assert served.ready, (folder / "data.stderr").read_text()
    return served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Served]:
    served = start(tmp_path_factory.mktemp("wan"), models)
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[Seen]:
    with connected(served, tmp_path_factory.mktemp("mine")) as client:
        yield client


@pytest.fixture(scope="module")
def pack(seen: Seen) -> DrivePack:
    return scene_pack(seen.folder, SIDE, SIDE, FRAMES)


@pytest.fixture(autouse=True)
def forget(seen: Seen) -> None:
    """Each test looks at its own events."""
    seen.events.clear()


def job(seen: Seen, shot: DrivePack | None, task: Any, **fields: Any) -> JobSpec:
    """A small job of the task's model, with all that it needs; ``shot`` for animate and replace."""
    first, last = (
        picture(seen.folder, np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)) for seed in (1, 2)
    )
    told: dict[str, Any] = {
        "model": MODELS[task],
        "width": SIDE,
        "height": SIDE,
        "frames": FRAMES,
        "fps": RATES.get(task, 16.0),
        "seed": 5,
        "prompt": "a street",
        "image": first if task in {"i2v", "flf2v", "ti2v"} else None,
        "last_image": last if task == "flf2v" else None,
        "sampler": Sampler(steps=2),
        "output": Output("raw"),
    }
    if task in {"animate", "replace"}:
        assert shot is not None
        told |= {"pack": shot, "fps": shot.fps}
    return JobSpec(task, engine="wan", **{**told, **fields})


def engine_alone(models: Path, folder: AssetFolder, spec: JobSpec) -> list[bytes]:
    """The job's frames without any backend, from a process that did nothing before."""
    torch.set_num_threads(threads_each(1))
    engine = WanEngine(Options(folders=(models,)))
    events = list(engine.generate(to_request(folder, spec), lambda: False))
    engine.close()
    made = [event for event in events if isinstance(event, FramesDecoded)]
    return [encode_frame(frame, spec) for event in made for frame in event.frames]


def log_of(served: Served) -> str:
    return (served.data / "logs" / "worker-cpu0.log").read_text()


def loaded(served: Served) -> int:
    """How many networks the worker has read so far."""
    return len(re.findall("loading .* of wan2", log_of(served)))


def made(seen: Seen, mine: str, deadline_s: float = 90.0) -> list[bytes]:
    """The frames of a job that finishes."""
    update = seen.until(lambda: (now := seen.state(mine)) and now.state in TERMINAL and now, deadline_s)
    assert update.state == "finished", update.error
    return seen.wait_frames(mine, update.frames)


def stages(seen: Seen, job_id: str) -> list[str]:
    found = [e.update.progress.stage for e in seen.events if isinstance(e, JobChanged) and e.update.job_id == job_id]
    return [stage for i, stage in enumerate(found) if stage and (i == 0 or found[i - 1] != stage)]


# ---- refused before anything is read ----------------------------------------------------------------


def with_track(seen: Seen, pack: DrivePack, change: Callable[[np.ndarray], None]) -> DrivePack:
    body = np.zeros((FRAMES, 20, 5), np.float32)
    body[..., :3] = 30.0, 30.0, 1.0
    change(body)
    track = msgspec.structs.replace(pack.characters[0], body=array(seen.folder, body))
    return msgspec.structs.replace(pack, characters=(track,))


def bad_jobs(seen: Seen, pack: DrivePack) -> list[tuple[JobSpec, str]]:
    nothing: tuple[ArrayRef, ...] = (array(seen.folder, np.zeros((SIDE, SIDE), np.uint8), "zlib"),) * FRAMES
    whole = seen.folder.read(picture(seen.folder, np.zeros((SIDE, SIDE, 3), np.uint8) + 7).asset.id)
    cut = msgspec.structs.replace(
        picture(seen.folder, np.zeros((SIDE, SIDE, 3), np.uint8)), asset=seen.folder.add(bytes(whole[:60]))
    )

    def not_a_number(body: np.ndarray) -> None:
        body[3, 4, 0] = np.nan

    return [
        (job(seen, None, "i2v", frames=80), "makes 4n + 1 frames, not 80: ask for 77 or 81"),
        (job(seen, None, "i2v", frames=0), "the job's frames is wrong: expected int >= 1, got 0"),
        (job(seen, None, "t2v", width=72), "makes multiples of 16 pixels"),
        (job(seen, None, "t2v", width=1920, height=1088), "at most 921600 in all"),
        (job(seen, None, "i2v", fps=24.0), "makes 16 frames a second, not 24"),
        (job(seen, None, "i2v", image=cut), "first image cannot be decoded"),
        (job(seen, with_track(seen, pack, not_a_number), "animate"), "is not a number at frame 3, wrist.R"),
        (job(seen, msgspec.structs.replace(pack, mask=nothing), "replace"), "is empty in all 9 frames"),
        (job(seen, None, "t2v", model="wan9"), "no model wan9"),
        (job(seen, None, "t2v", model="wan2.2-animate-14b"), "does animate and replace, not t2v"),
        (job(seen, pack, "animate", model=ABSENT), f"no weights of {ABSENT}"),
        (job(seen, None, "t2v", loras=(Lora("unknown"),)), "no LoRA unknown"),
        (job(seen, None, "t2v", loras=(Lora("of-another-model"),)), "of-another-model.safetensors"),
        (job(seen, None, "t2v", sampler=Sampler(preset="fast")), "models pull wan2.2-t2v-lightx2v-4step-high"),
        (job(seen, pack, "replace", animate=Animate(relight=True)), "models pull wan2.2-animate-relighting"),
    ]


def test_bad_jobs_get_their_sentence_before_any_weight_is_read(seen: Seen, served: Served, pack: DrivePack) -> None:
    """First of all tests: the server refuses most, the worker what only the assets or LoRA files tell."""
    for spec, part in bad_jobs(seen, pack):
        seen.events.clear()
        told = refusal(seen, spec)
        assert part in told
        assert "\n" not in told
        assert "Traceback" not in told
    assert loaded(served) == 0


def refusal(seen: Seen, spec: JobSpec) -> str:
    """What is said of a job that the client, the server or the worker refuses."""
    try:
        mine = seen.submit(spec)
    except InvalidJob as error:
        return str(error)
    failed = seen.until(lambda: _ended(seen, mine), 60.0)
    assert isinstance(failed, str), "it was not refused"
    return failed


def _ended(seen: Seen, mine: str) -> Any:
    update = seen.state(mine)
    if update is not None:
        return update.error if update.state == "failed" else update.state == "finished"
    errors = [event.error for event in seen.events if hasattr(event, "error")]
    return str(errors[0]) if errors else None


# ---- clips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "model"), [*MODELS.items(), ("animate", ANIMATE2)])
def test_clips_reach_the_client(  # noqa: PLR0917 - fixtures
    seen: Seen, served: Served, models: Path, pack: DrivePack, task: str, model: str
) -> None:
    """Byte for byte what the engine makes; a preview comes before the first frame; the server reads no pixel."""
    spec = job(seen, pack, task, model=model)
    mine = seen.submit(spec)
    frames = made(seen, mine)
    update = seen.state(mine)
    assert update is not None
    assert {"load", "encode", "denoise", "decode", "first_frame", "total"} <= set(update.timings)
    assert stages(seen, mine)[-1] == "decode"
    order = [type(e) for e in seen.events if isinstance(e, FrameArrived | PreviewArrived)]
    assert order[0] is PreviewArrived
    if (task, model) in COMPARED:
        assert frames == engine_alone(models, seen.folder, spec)
    if task == "replace":
        assert_plate_kept(seen.folder, pack, frames)
    assert len(set(frames)) == FRAMES
    server = libraries(psutil.Process(served.process.pid))
    assert not [name for name in ("torch", "cv2", "numpy") if name in server]


def assert_plate_kept(folder: AssetFolder, pack: DrivePack, frames: list[bytes]) -> None:
    """Every pixel outside the (officially widened) mask has the plate's bytes."""
    kept = 0
    for raw, plate, mask in zip(frames, pack.plate, pack.mask, strict=True):
        outside = augment_mask((load_array(folder, mask, "mask") == 1)[None])[0] == 0
        frame = np.frombuffer(raw, np.uint8).reshape(SIDE, SIDE, 3)
        assert (frame == load_array(folder, plate, "plate"))[outside].all()
        kept += int(outside.sum())
    assert kept > 0


def test_text_alone_for_the_5b(seen: Seen) -> None:
    mine = seen.submit(job(seen, None, "ti2v", image=None, frames=5))
    assert len(made(seen, mine)) == 5


def test_the_pack_s_look_is_the_first_picture(seen: Seen, pack: DrivePack) -> None:
    mine = seen.submit(job(seen, None, "i2v", image=None, pack=pack, fps=pack.fps))
    assert len(made(seen, mine)) == FRAMES


# ---- one worker, many jobs --------------------------------------------------------------------------


def test_a_cancel_in_the_middle_leaves_the_model_loaded(seen: Seen, served: Served) -> None:
    worker = served.worker().pid
    warm = seen.submit(job(seen, None, "i2v"))
    frames = made(seen, warm)
    networks = loaded(served)
    mine = seen.submit(job(seen, None, "i2v", sampler=Sampler(steps=1000)))
    seen.until(lambda: (now := seen.state(mine)) and now.progress.stage == "denoise" and now.progress.step >= 1)
    seen.client.cancel(mine)
    update = seen.wait_state(mine, "cancelled")
    assert update.progress.frames_done == 0
    assert "decode" not in update.timings
    after = seen.submit(job(seen, None, "i2v"))
    assert made(seen, after) == frames
    assert served.worker().pid == worker
    assert loaded(served) == networks, "nothing was read again"


def test_a_new_seed_is_another_clip(seen: Seen) -> None:
    one, two = (seen.submit(job(seen, None, "t2v", seed=seed, frames=5)) for seed in (1, 2))
    assert made(seen, one) != made(seen, two)


def test_welcome_says_what_each_model_takes(served: Served) -> None:
    client = Client(served.connection, client_name="e2e welcome")
    client.open()
    other = Seen(client, AssetFolder(served.data.parent / "none"))
    welcome = other.until(lambda: next((e for e in other.events if isinstance(e, Connected)), None)).welcome
    client.close()
    wan = next(engine for engine in welcome.engines if engine.name == "wan")
    missing = {each.name: bool(each.missing) for each in wan.details}
    assert {name for name, lacking in missing.items() if not lacking} == set(HERE)
    assert missing[ABSENT]
    assert next(each for each in wan.details if each.name == "wan2.2-ti2v-5b").size_step == 32


def test_refused_jobs_are_not_listed(seen: Seen) -> None:
    """Only what the server took is there: it refused the rest before a row was written."""
    seen.client.list_jobs()
    jobs = seen.until(lambda: next((e for e in seen.events if isinstance(e, JobsListed)), None)).jobs
    assert not [each for each in jobs if "4n + 1" in each.error or "no model" in each.error]
