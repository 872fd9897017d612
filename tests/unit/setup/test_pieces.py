"""The setup's parts: folders, disk, Pythons, progress, failed commands, records, removal. No network."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from blender_addon.setup import __main__ as command
from blender_addon.setup import installer, machine, packages, payload, process, pythons, record, removal, trial
from blender_addon.setup.problems import Cancelled, SetupProblem
from blender_addon.setup.report import Meter, Reporter

GIB = 1 << 30


def said(call: Any, *words: Any, **named: Any) -> str:
    """The sentence of a call that must end in a SetupProblem."""
    with pytest.raises(SetupProblem) as caught:
        call(*words, **named)
    return str(caught.value)


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(out: io.StringIO) -> Reporter:
    return Reporter(out)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_platforms_folders(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert machine.default_root("win32", {"LOCALAPPDATA": str(tmp_path)}, home) == tmp_path / "wanstage" / "setup"
    assert machine.default_root("darwin", {}, home) == home / "Library" / "Application Support" / "wanstage" / "setup"
    assert machine.default_root("linux", {}, home) == home / ".local" / "share" / "wanstage" / "setup"
    assert machine.default_root("linux", {"XDG_DATA_HOME": str(tmp_path)}, home) == tmp_path / "wanstage" / "setup"
    assert machine.default_root("linux", {"WANSTAGE_SETUP": str(tmp_path / "own")}, home) == tmp_path / "own"


def test_a_full_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 2 * GIB})
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    machine.check_disk(tmp_path / "not" / "yet", 2048)
    sentence = said(machine.check_disk, tmp_path / "not", 9000)
    assert sentence == f"8.8 GB are needed in {tmp_path / 'not'}, 2.0 GB are free: make room, or set another folder"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    sentence = said(machine.check_folder, tmp_path / "file" / "root")
    assert sentence.startswith(f"The folder {tmp_path / 'file' / 'root'} cannot be written (Not a directory)")
    machine.check_folder(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def fake_python(folder: Path, answer: str) -> str:
    path = folder / f"python{len(list(folder.iterdir()))}"
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("[3, 10, 64, true]", "is Python 3.10, the backend needs 3.11 to 3.13"),
        ("[3, 14, 64, true]", "is Python 3.14, the backend needs 3.11 to 3.13"),
        ("[3, 11, 32, true]", "is a 32-bit Python, the backend needs 64 bits"),
        ("[3, 12, 64, false]", "has no venv or no ensurepip (Debian's package python3-venv)"),
        ("hello", "is not a Python that runs here (JSONDecodeError)"),
    ],
)
def test_wrong_pythons(tmp_path: Path, answer: str, sentence: str) -> None:
    path = fake_python(tmp_path, answer)
    assert said(pythons.find, path) == f"{path} {sentence}: {pythons.ADVICE}"


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
def test_the_first_python_that_will_do(tmp_path: Path) -> None:
    old, good = fake_python(tmp_path, "[3, 9, 64, true]"), fake_python(tmp_path, "[3, 13, 64, true]")
    assert pythons.first([old, good]) == pythons.Maker(python=good, version="3.13")
    assert "3.9" in said(pythons.first, [old])
    assert said(pythons.first, []).startswith("No Python was found")


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
def test_uv_that_fails_is_followed_by_venv(
    tmp_path: Path, reporter: Reporter, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'error: Request failed'\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setattr(pythons, "find_uv", lambda: str(uv))
    monkeypatch.setattr(packages.Pip, "renew", lambda _self: None)
    root = tmp_path / "root"
    plan = installer.make_plan(root, "draft")
    assert plan.maker.label == "uv"
    machine.check_folder(root)
    setup = installer.Installer(plan, reporter)
    setup._environment()
    assert setup.record.maker.startswith("Python 3.1")
    assert process.python_of(root / "env").exists()
    assert "uv could not" in lines(out)[-2]["text"]


def test_rate_and_time_left() -> None:
    meter = Meter(1000)
    assert (meter.rate, meter.eta) == (0.0, None)
    for second in range(20):
        meter.add(second * 10, float(second))
    assert meter.rate == 10.0
    assert meter.eta == pytest.approx(81.0)
    assert Meter(0).eta is None


def test_progress_lines(reporter: Reporter, out: io.StringIO) -> None:
    reporter.stages(("one", 1.0), ("two", 3.0))
    meter = Meter(100)
    watch = packages._Watch(reporter, "two", "Loading a thing", meter)
    for line in ("Progress 0 of 60", "noise", "Progress 60 of 60", "Progress 0 of 40", "Progress 40 of 40"):
        watch.line(line)
    assert meter.done == 100
    told = lines(out)[0]
    assert (told["type"], told["stage"], told["text"], told["total"]) == ("progress", "two", "Loading a thing", 100)
    reporter.progress("two", "Installing", 0.5, force=True)
    assert lines(out)[-1]["fraction"] == 0.625


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "Loading failed, the disk is full"),
        ("Failed to establish a new connection: [Errno 111]", "Loading failed, the package index cannot be reached"),
        ("ERROR: No matching distribution found for x", "Loading failed (ERROR: No matching distribution found for x)"),
    ],
)
def test_failed_commands_are_explained(line: str, sentence: str) -> None:
    assert process.explain("Loading", 1, ["first", line, ""]).startswith(sentence)


def test_a_command_is_cancelled_by_a_file(tmp_path: Path, out: io.StringIO) -> None:
    asked = tmp_path / "cancel"
    reporter = Reporter(out, asked)
    script = "import sys, threading; print('up', flush=True); threading.Event().wait(60)"
    with pytest.raises(Cancelled):
        process.run([sys.executable, "-c", script], reporter, "Waiting", on_line=lambda _line: asked.touch())
    assert "cannot be run" in said(process.run, [str(tmp_path / "none")], Reporter(out), "Trying")


def test_a_record_survives_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    made = record.Record(choice="wan", steps={"environment": "done", "torch": "begun"}, plans={"torch": [{"a": 1}]})
    made.save(tmp_path)
    found = record.load(tmp_path)
    assert found == made
    assert found is not None
    assert found.is_done("environment")
    assert found.was_interrupted("torch")
    for text in ("", "{", '{"other": 1}', "[]"):
        (tmp_path / record.NAME).write_text(text)
        assert record.load(tmp_path) is None


def test_only_one_works_in_a_folder(tmp_path: Path) -> None:
    with record.lock(tmp_path):
        assert said(record.lock, tmp_path).startswith(f"Another setup works in {tmp_path}")
    record.lock(tmp_path).close()


def test_pips_report_is_read() -> None:
    info = {"url": "https://files.example/a%2Bb/numpy-2.4.6%2Bcu.whl", "archive_info": {"hashes": {"sha256": "ab"}}}
    entry = {"metadata": {"name": "numpy", "version": "2.4.6"}, "download_info": info}
    own = {"metadata": {"name": "wanstage", "version": "0.1.0"}, "download_info": {"url": "file:///x", "dir_info": {}}}
    found = packages.items({"install": [entry, own]})
    assert [(item.name, item.version, item.file, item.sha256) for item in found] == [
        ("numpy", "2.4.6", "numpy-2.4.6+cu.whl", "ab")
    ]


def test_a_file_is_whole_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"wheel")
    digest = "4e" * 32
    assert not packages.is_whole(tmp_path / "a", digest)
    assert not packages.is_whole(tmp_path / "a", "")
    assert not packages.is_whole(tmp_path / "b", digest)
    assert packages.is_whole(tmp_path / "a", record.digest(tmp_path / "a"))


def test_removal_deletes_what_is_ours_alone(tmp_path: Path, reporter: Reporter) -> None:
    assert "nothing was removed" in said(removal.remove, tmp_path, reporter)
    record.Record(choice="draft").save(tmp_path)
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").write_bytes(b"x" * 5000)
    (tmp_path / "mine.txt").write_text("a note")
    result = removal.remove(tmp_path, reporter)
    assert result["freed"] > 5000
    assert removal.finish(tmp_path) == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_payload_is_the_zips_wheel_or_the_checkout(tmp_path: Path) -> None:
    here = payload.find()
    assert here.version == "checkout"
    assert here.requirement("wan").endswith("[wan]")
    folder = tmp_path / "addon" / "setup"
    (folder / "payload").mkdir(parents=True)
    assert "install the add-on's zip again" in said(payload.find, folder)
    (folder / "payload" / "wanstage-0.1.0-py3-none-any.whl").write_bytes(b"")
    (folder / "payload" / "constraints.txt").write_text("")
    assert payload.find(folder).version == "0.1.0"


def test_a_plan_says_what_will_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = machine.Card("NVIDIA GeForce RTX 4090", 581, 8.9, 24564)
    monkeypatch.setattr(machine, "here", lambda: machine.Machine("Windows", "AMD64", (card,)))
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 99 * GIB}))
    plan = installer.make_plan(tmp_path / "root", "wan", sys.executable)
    text = " ".join(plan.sentences())
    assert "CUDA 13.0 for NVIDIA GeForce RTX 4090 from https://download.pytorch.org/whl/cu130" in text
    assert plan.need_mib > plan.disk_mib > plan.load_mib > 2000
    assert not (tmp_path / "root").exists()
    json.dumps(plan.told())


@pytest.mark.parametrize(
    ("found", "choice", "sentence"),
    [
        ({"cards": [{"name": "A"}], "torch": {"version": "2", "cards": []}}, "wan", "PyTorch cannot use A"),
        ({"cards": [{"name": "A"}], "torch": {"version": "2", "cards": [{"name": "A"}]}}, "wan", ""),
        ({"cards": [], "torch": {"error": "no such file"}}, "wan", "PyTorch does not work here (no such file)"),
        ({"cards": [{"name": "A"}], "torch": {}}, "draft", ""),
    ],
)
def test_a_card_that_torch_cannot_use_is_said(found: dict[str, Any], choice: str, sentence: str) -> None:
    told = trial.card_problem(found, choice)
    assert told.startswith(sentence)
    assert bool(told) == bool(sentence)


def test_the_trial_picture_is_a_picture() -> None:
    import cv2
    import numpy as np

    read = cv2.imdecode(np.frombuffer(trial.picture(64, 36), np.uint8), cv2.IMREAD_COLOR)
    assert read.shape == (36, 64, 3)
    assert read.std() > 20


def test_the_command_line_ends_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda _number, _handler: None)
    (tmp_path / "file").write_bytes(b"")
    assert command.main(["install", "--root", str(tmp_path / "file" / "x"), "--python", sys.executable]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["type"] == "problem"
    assert "cannot be written" in last["sentence"]
