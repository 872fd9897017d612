"""The command line as a person or a script uses it: real processes on both sides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np

from protocol.assets import AssetFolder
from protocol.bundle import write_bundle
from protocol.specs import ImageRef, Output
from tests.e2e.conftest import ROOT, Served, job_spec, until
from wan_models.models import MODELS

Serve = Callable[..., Served]


def wanstage(*arguments: str | Path, served: Served | None = None) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, JSON lines, standard error."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if served:
        environment["WANSTAGE_CONNECTION"] = served.ready["connection_file"]
    command = [sys.executable, "-m", "backend.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()] if "--json" in command else []
    return done.returncode, lines, done.stderr + done.stdout


def test_submit_follow_fetch_list(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    folder = AssetFolder(tmp_path / "assets")
    _, picture = cv2.imencode(".png", cv2.UMat(64, 64, cv2.CV_8UC3))
    image = ImageRef(folder.add(picture.tobytes()), 64, 64)
    spec = job_spec(5, image=image, task="i2v", label="[/x] door", note_at=1)
    write_bundle(tmp_path / "shot.zip", spec, folder)

    out = tmp_path / "out"
    status, lines, text = wanstage("submit", tmp_path / "shot.zip", "--out", out, "--movie", "--json", served=served)
    assert status == 0, text
    result = lines[-1]
    assert (result["event"], result["state"], result["frames"]) == ("result", "finished", 5)
    assert [line["index"] for line in lines if line["event"] == "frame"] == [0, 1, 2, 3, 4]
    assert cv2.imread(str(out / "frame_0004.png")).shape == (64, 64, 3)
    with av.open(str(out / "take.mp4")) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == 5

    status, lines, _ = wanstage("jobs", "--json", served=served)
    assert status == 0
    assert [line["label"] for line in lines] == ["[/x] door"]

    again = tmp_path / "again"
    status, _, text = wanstage("fetch", result["job_id"][:8], "--out", again, served=served)
    assert status == 0, text
    assert (again / "frame_0003.png").read_bytes() == (out / "frame_0003.png").read_bytes()
    status, _, text = wanstage("jobs", served=served)
    assert status == 0, text
    assert "[/x]" in text
    status, _, text = wanstage("watch", result["job_id"], served=served)
    assert status == 0, text
    assert "finished: 5 of 5 frames" in text
    status, lines, text = wanstage("remove", result["job_id"], "--json", served=served)
    assert (status, lines[-1]["state"]) == (0, "removed"), text
    assert not (served.data / "frames" / result["job_id"]).exists()


def test_a_spec_is_changed_and_gets_its_picture(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    spec, picture, out = tmp_path / "i2v.json", tmp_path / "first.jpg", tmp_path / "out"
    spec.write_text(
        '{"task": "i2v", "engine": "test", "model": "test", "width": 64, "height": 64, "frames": 9, "fps": 16}'
    )
    cv2.imwrite(str(picture), np.zeros((64, 96, 3), np.uint8))
    changes = ("--set", "frames=3", "--set", "output.previews=false", "--set", "label=a = b", "--image", picture)
    status, lines, text = wanstage("submit", spec, *changes, "--out", out, "--json", served=served)
    assert (status, lines[-1]["frames"]) == (0, 3), text
    assert "a = b" in {line.get("label") for line in lines}
    for wrong, part in (
        (("--set", "frames"), "KEY=VALUE"),
        (("--set", "task.x=1"), "set task itself"),
        (("--set", "frames=many"), "the job's frames is wrong"),
        (("--image", spec), "save it as PNG or JPEG"),
        (("--image", tmp_path / "none.png"), "cannot be read"),
    ):
        status, _, text = wanstage("submit", spec, *wrong, served=served)
        assert status == 4
        assert part in " ".join(text.split())


def test_cancel_and_failures_have_exit_codes(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    slow = tmp_path / "slow.json"
    slow.write_bytes(msgspec.json.encode(job_spec(100, delay_s=0.2)))
    status, lines, _ = wanstage("submit", slow, "--json", served=served)
    assert status == 0
    job = lines[-1]["job_id"]
    status, lines, text = wanstage("cancel", job, "--json", served=served)
    assert status == 0, text
    assert lines[-1]["state"] in {"cancelling", "cancelled"}
    status, _, _ = wanstage("watch", job, "--json", served=served)
    assert status == 1

    bad = tmp_path / "bad.json"
    bad.write_bytes(msgspec.json.encode(job_spec(2, fail_at=1, output=Output("raw"))))
    status, _, text = wanstage("submit", bad, "--out", tmp_path / "bad", served=served)
    assert status == 1
    assert "told to fail at frame 1" in " ".join(text.split())
    bad.write_text('{"task": "t2v", "width": 3}')
    status, _, text = wanstage("submit", bad, served=served)
    assert status == 4
    assert "width" in text or "missing" in text


def test_following_survives_a_backend_that_moves(serve: Serve, tmp_path: Path) -> None:
    """Killed and started again on another port: the connection file is read again."""
    served = serve()
    spec, out = tmp_path / "spec.json", tmp_path / "out"
    spec.write_bytes(msgspec.json.encode(job_spec(30, delay_s=0.03, output=Output("png"))))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANSTAGE_CONNECTION": served.ready["connection_file"]}
    command = [sys.executable, "-m", "backend.cli", "submit", str(spec), "--out", str(out), "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as follower:
        until((out / "frame_0003.png").exists, "the fourth frame")
        served.kill()
        again = serve()
        assert again.port != served.port
        said, _ = follower.communicate(timeout=40)
    assert follower.returncode == 0, said
    assert len(list(out.glob("frame_*.png"))) == 30


def test_no_backend_is_one_sentence(tmp_path: Path) -> None:
    status, _, text = wanstage("jobs", "--connection", tmp_path / "none.json")
    assert status == 3
    assert "wanstage serve" in text
    assert "Traceback" not in text


def test_doctor_makes_a_round_trip(tmp_path: Path) -> None:
    status, lines, text = wanstage("doctor", "--json", "--data", tmp_path)
    assert status == 0, text
    assert lines[0]["curve"] is True
    assert lines[0]["round_trip"]["ok"] is True
    assert lines[0]["torch"]["version"] == version("torch")
    assert set(lines[0]["models"]) == {row.name for row in MODELS}
