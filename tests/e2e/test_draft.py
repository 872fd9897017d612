"""The draft engine through a real server: its frames, its notes, cancels, killed workers, and no torch anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import psutil
import pytest
from msgspec import structs

from backend.outbox import encode_frame
from backend.translate import to_request
from protocol.assets import AssetFolder
from protocol.events import FrameArrived
from protocol.specs import DrivePack, JobSpec, Output, SoundRef
from tests.e2e.conftest import ROOT, Seen, Served
from tests.e2e.drive import job, picture, repeated, scene_pack
from tests.e2e.speech import SENTENCE, lengths
from tests.e2e.test_cli import wanstage
from tests.unit.draft_s2v.people import draw_person
from wan_models.draft import DraftEngine
from wan_models.events import FramesDecoded

Serve = Callable[..., Served]
Join = Callable[..., Seen]
WIDTH, HEIGHT, FRAMES = 160, 96, 12
TASKS = ("i2v", "animate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> AssetFolder:
    return AssetFolder(tmp_path_factory.mktemp("draft"))


@pytest.fixture(scope="module")
def pack(folder: AssetFolder) -> DrivePack:
    return scene_pack(folder, WIDTH, HEIGHT, FRAMES)


def engine_alone(folder: AssetFolder, spec: JobSpec) -> tuple[list[bytes], dict[int, str]]:
    """What the job's frames and notes are without any backend."""
    events = DraftEngine().generate(to_request(folder, spec), lambda: False)
    made = [event for event in events if isinstance(event, FramesDecoded)]
    notes = {index: sentence for event in made for index, sentence in event.notes}
    return [encode_frame(frame, spec) for event in made for frame in event.frames], notes


def notes_of(seen: Seen, mine: str) -> dict[int, str]:
    frames = [event for event in seen.events if isinstance(event, FrameArrived) and event.job_id == mine]
    return {event.index: event.header.note for event in frames if event.header.note}


def libraries(process: psutil.Process) -> str:
    """Paths of all that a process has loaded; nothing where the system does not tell."""
    if not hasattr(process, "memory_maps"):
        return ""
    return " ".join(each.path for each in process.memory_maps())


@pytest.mark.parametrize(("task", "encoding"), [("i2v", "png"), ("animate", "raw")])
def test_frames_and_notes_are_the_engines_own(  # noqa: PLR0917 - fixtures
    serve: Serve, join: Join, folder: AssetFolder, pack: DrivePack, task: str, encoding: str
) -> None:
    """Through delta maps read ahead, the outbox, the store and the wire: byte for byte what the engine makes."""
    served = serve()
    seen = join(served.connection)
    seen.folder = folder
    spec = job(pack, task, encoding)
    mine = seen.submit(spec)
    frames, notes = engine_alone(folder, spec)
    assert seen.wait_frames(mine, FRAMES) == frames
    update = seen.wait_state(mine, "finished")
    assert update.progress.frames_done == FRAMES
    assert notes_of(seen, mine) == notes
    assert bool(notes) is (task == "animate"), "the wrist that is behind the camera is noted"
    assert "torch" not in libraries(served.worker())
    server = libraries(psutil.Process(served.process.pid))
    assert not [name for name in ("torch", "cv2", "numpy") if name in server], "it only moves bytes"


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_worker_changes_no_byte(
    serve: Serve, join: Join, folder: AssetFolder, pack: DrivePack, task: str
) -> None:
    served = serve()
    seen = join(served.connection)
    seen.folder = folder
    spec = job(repeated(folder, pack, 60), task)
    mine = seen.submit(spec)
    seen.wait_frames(mine, 4)
    served.worker().kill()
    assert seen.wait_state(mine, "queued").progress.frames_done < 60
    frames, notes = engine_alone(folder, spec)
    assert seen.wait_frames(mine, 60) == frames
    assert seen.wait_state(mine, "finished").attempt == 2
    assert notes_of(seen, mine) == notes


@pytest.mark.parametrize("task", TASKS)
def test_cancel_stops_the_engine(serve: Serve, join: Join, folder: AssetFolder, pack: DrivePack, task: str) -> None:
    """Soon, by itself: the process stays and does the next job. test_worker.py has it to the frame."""
    served = serve()
    seen = join(served.connection)
    seen.folder = folder
    worker = served.worker().pid
    mine = seen.submit(job(repeated(folder, pack, 400), task))
    seen.wait_frames(mine, 3)
    seen.client.cancel(mine)
    assert 3 <= seen.wait_state(mine, "cancelled").progress.frames_done < 200
    after = seen.submit(job(pack, task))
    assert len(seen.wait_frames(after, FRAMES)) == FRAMES
    assert served.worker().pid == worker


def test_drafts_import_no_torch(tmp_path: Path) -> None:
    """Though it is installed: the server's modules, and what a worker without a card imports ahead."""
    code = """
import sys
import backend.cli, backend.serve, backend.server
assert not {"torch", "cv2", "scipy", "numpy"} & set(sys.modules), "the server"
import backend.worker
from backend.translate import to_request
from pathlib import Path
from protocol.assets import AssetFolder
from wan_models.registry import engine_infos, open_engine, preload
for row in (row for row in engine_infos(testing=True) if not row.on_card):
    engine = open_engine(row.name)
    preload(row.name)
ready = set(sys.modules)
from tests.e2e.drive import job, scene_pack
folder = AssetFolder(Path(sys.argv[1]))
pack = scene_pack(folder, 96, 64, 2)
engine = open_engine("draft")
for task in ("i2v", "animate"):
    assert list(engine.generate(to_request(folder, job(pack, task)), lambda: False))
assert "torch" not in sys.modules, "the worker"
late = {name for name in set(sys.modules) - ready if name.startswith(("cv2", "scipy", "wan_models", "backend"))}
assert not late, f"imported only at the first job: {sorted(late)}"
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


# ---- talking shots ----------------------------------------------------------------------------------


def test_a_draft_talks_and_its_movie_is_as_long_as_the_sentence(serve: Serve, tmp_path: Path) -> None:
    """From the command line, in seconds; no torch in the worker."""
    served = serve()
    spec, person, movie = tmp_path / "talk.json", tmp_path / "person.png", tmp_path / "talk.mp4"
    spec.write_text('{"task": "s2v", "width": 192, "height": 160, "fps": 16, "talk": {"start_from_reference": true}}')
    cv2.imwrite(str(person), cv2.cvtColor(draw_person(), cv2.COLOR_RGB2BGR))
    told = ("--image", person, "--sound", SENTENCE, "--movie", movie, "--json")
    status, lines, text = wanstage("submit", spec, *told, served=served)
    assert status == 0, text
    assert lines[-1]["frames"] == 85
    count, pictures, sounds = lengths(movie)
    assert count == 85
    assert abs(pictures - sounds) <= 1 / 16
    assert abs(pictures - 5.3) <= 1 / 16
    assert "torch" not in libraries(served.worker())


def test_a_talking_draft_is_the_engine_s_own(serve: Serve, join: Join, folder: AssetFolder) -> None:
    served = serve()
    seen = join(served.connection)
    seen.folder = folder
    sound = SoundRef(folder.add_file(SENTENCE), "sentence.flac", 0.5)
    spec = JobSpec("s2v", 192, 160, 20, 16.0, image=picture(folder, draw_person()), sound=sound, output=Output("raw"))
    mine = seen.submit(spec)
    frames, _ = engine_alone(folder, spec)
    assert seen.wait_frames(mine, 20) == frames
    assert len(set(frames)) > 10
    late = seen.submit(structs.replace(spec, sound=structs.replace(sound, start=8.0)))
    assert "5.30 s long, so it cannot start at 8 s" in seen.wait_state(late, "failed").error
