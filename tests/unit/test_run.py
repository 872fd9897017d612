"""run.py: interpreters, environments, progress lines, the ledger and its sentences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import environments
import rings
import run


def fake_python(folder: Path, version: str) -> Path:
    path = folder / f"python{version}"
    path.write_text(f"#!/bin/sh\necho {version.replace('.', ' ')}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="the fake interpreter is a shell script")
def test_a_python_without_bpy_wheels_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(environments.Problem, match=r"3\.11 and 3\.13, this is 3\.12: give --python PATH"):
        environments.chosen_interpreter(str(fake_python(tmp_path, "3.12")))


@pytest.mark.skipif(sys.platform == "win32", reason="the fake interpreter is a shell script")
def test_a_python_with_bpy_wheels_is_taken(tmp_path: Path) -> None:
    path = fake_python(tmp_path, "3.13")
    assert environments.chosen_interpreter(str(path)) == environments.Interpreter(path, (3, 13))


def test_a_path_that_is_no_python_is_named(tmp_path: Path) -> None:
    with pytest.raises(environments.Problem, match=r"nothing-here is not a Python that runs here"):
        environments.chosen_interpreter(str(tmp_path / "nothing-here"))


def test_an_environment_is_ready_only_for_the_requirements_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ENVS", tmp_path / "envs")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "constraints.txt").write_text("", encoding="utf-8")
    (tmp_path / "tiny.txt").write_text("six\n", encoding="utf-8")
    environment = environments.Environment("tiny", environments.Interpreter(Path(sys.executable), (3, 11)))
    assert not environment.is_ready()
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    (environment.folder / "wanstage.stamp").write_text(environment.stamp(), encoding="utf-8")
    assert environment.is_ready()
    (tmp_path / "tiny.txt").write_text("six>1\n", encoding="utf-8")
    assert not environment.is_ready()


def test_commands_see_the_checkout_and_not_the_callers_python_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    environment = environments.Environment("test", environments.Interpreter(Path(sys.executable), (3, 11)))
    variables = environment.variables()
    assert "PYTHONHOME" not in variables
    assert variables["PYTHONPATH"] == str(environments.ROOT)
    assert variables["PATH"].startswith(str(environment.scripts))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  Downloading bpy-5.0.1-cp311-cp311-manylinux_2_28_x86_64.whl (372.4 MB)", "bpy 372.4 MB"),
        ("  Using cached numpy-2.4.6-cp311.whl (16 MB)", "numpy 16 MB"),
        ("Collecting scipy", "found scipy"),
        ("Installing collected packages: a, b", "installing packages"),
        ("     |████████| 3 kB", ""),
    ],
)
def test_pips_words_become_short_progress(line: str, shown: str) -> None:
    assert environments._pip_progress(line) == shown


def test_a_failed_install_names_the_reason_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "ENVS", tmp_path)
    environment = environments.Environment("broken", environments.Interpreter(Path(sys.executable), (3, 11)))
    failing = [sys.executable, "-c", "print('ERROR: no space left'); raise SystemExit(1)"]
    with pytest.raises(environments.Problem, match=r"environment broken failed: ERROR: no space left .*broken\.log"):
        environments._install(environment, failing, environments.Status())


def test_the_ledger_counts_and_lists_skips_with_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "r.xml"
    report.write_text(
        "<testsuites><testsuite>"
        "<testcase classname='a' name='one'/>"
        "<testcase classname='a' name='two'><failure message='x'/></testcase>"
        "<testcase classname='b' name='three'><skipped message='no window'/></testcase>"
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    ledger = rings.Ledger(tmp_path)
    ledger.read(report)
    ledger.close()
    assert capsys.readouterr().out.splitlines() == ["skipped  b.three: no window", "1 passed, 1 failed, 1 skipped"]


def test_exec_without_a_command_says_how(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "exec", "--"])
    assert run.main() == 1
    assert "give a command after '--'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setattr(run, "make_environments", lambda _environments: 0.0)
    monkeypatch.setattr(run, "BPY_FOR_PYTHON", {sys.version_info[:2]: "5.0"})
    monkeypatch.setattr(sys, "argv", ["run.py", "demo", "--out", str(in_the_way / "out")])
    assert run.main() == 1
    said = capsys.readouterr().err
    assert str(in_the_way) in said
    assert "choose another folder" in said


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    return rings.Ledger(scratch=tmp_path)


def part(name: str, code: str, *words: object, retries: int = 0) -> Any:
    """What side_by_side runs; Python is given pytest's options as well, behind the code."""
    here = environments.Environment("test", environments.Interpreter(Path(sys.executable), (3, 11)))
    return rings.Part(name, [sys.executable, "-c", code, *words], here, retries)


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals on POSIX")
def test_what_a_signal_ended_is_run_once_more_and_said(
    tmp_path: Path, ledger: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    crash = "import os, pathlib, sys; p = pathlib.Path(sys.argv[1]); n = int(p.read_text()); p.write_text(str(n - 1)); "
    crash += "n and os.kill(os.getpid(), 9)"
    (tmp_path / "left").write_text("1", encoding="utf-8")
    rings.side_by_side([part("crashes once", crash, tmp_path / "left", retries=1)], ledger)
    assert "crashes once: ended by signal 9; once more" in capsys.readouterr().out
    (tmp_path / "left").write_text("2", encoding="utf-8")
    with pytest.raises(environments.Problem, match=r"exit -9"):
        rings.side_by_side([part("crashes twice", crash, tmp_path / "left", retries=1)], ledger)


def test_the_first_failure_stops_what_runs_beside_it(
    tmp_path: Path, ledger: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "lanes", lambda: 2)
    wait = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(600)"
    fail = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\n"
    fail += "print('what it said'); sys.exit(3)"
    begun = tmp_path / "begun"
    parts = [part("waits", wait, begun), part("fails", fail, begun), part("never", "print('never')")]
    with pytest.raises(environments.Problem, match=r"fails failed \(exit 3\)"):
        rings.side_by_side(parts, ledger)
    said = capsys.readouterr().out
    assert "what it said" in said
    assert "never" not in said


def test_results_of_all_parts_are_counted(
    ledger: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "lanes", lambda: 2)
    write = "import sys, pathlib; pathlib.Path(sys.argv[-1].split('=')[1]).write_text("
    write += '\'<testsuite><testcase name="a"/><testcase name="b"><skipped message="why"/></testcase></testsuite>\')'
    rings.side_by_side([part(name, write) for name in ("one", "two", "three")], ledger)
    ledger.close()
    assert "3 passed, 0 failed, 3 skipped" in capsys.readouterr().out
