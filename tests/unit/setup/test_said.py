"""Sentences of the setup and their values apart: to the panel and back, in the record, in the log."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from blender_addon.setup import __main__ as command
from blender_addon.setup import installer, machine, record
from blender_addon.setup.problems import SetupProblem
from blender_addon.setup.report import Reporter
from blender_addon.setup.said import Said, apart, whole

SETUP = Path(installer.__file__).parent
ROW_OF_WORDS = re.compile(r"[A-Za-z]+ [a-z]+ [a-z]+")
CARD = machine.Card("NVIDIA GeForce RTX 4090", 581, 8.9, 24564)


def test_it_is_its_english_text() -> None:
    said = Said(
        "{what} failed ({reason}): {count:.1f}", what=Said("Updating {name}", name="pip"), reason="{x}", count=2
    )
    assert said == "Updating pip failed ({x}): 2.0"
    assert f"{said}!" == "Updating pip failed ({x}): 2.0!"
    assert json.loads(json.dumps([said])) == ["Updating pip failed ({x}): 2.0"]
    assert Said("50 {percent}") == "50 {percent}", "as it is without values"
    assert Said("{folder}", folder=Path("a")).values == {"folder": "a"}


def test_there_and_back() -> None:
    inner = Said("install uv")
    told = {"sentences": [Said("No Python: {advice}", advice=inner), "plain"], "torch": None, "values": {"a": 1.5}}
    sent = json.loads(json.dumps(apart(told)))
    assert sent["sentences"][0]["values"] == {"advice": {"sentence": "install uv", "values": {}}}
    found = whole(sent)
    assert found == told
    assert found["sentences"][0].values["advice"].sentence == "install uv"
    assert type(found["sentences"][1]) is str


@pytest.mark.parametrize("values", [{}, None, [], {"other": 1}, {"name": "a", "sentence": 3}])
def test_damaged_values_leave_the_sentence(values: Any) -> None:
    assert whole({"sentence": "Loading {name:d}", "values": values}) == "Loading {name:d}"


def test_the_log_is_english_whoever_reads(tmp_path: Path) -> None:
    plain, for_panel = io.StringIO(), io.StringIO()
    for out, translated in ((plain, False), (for_panel, True)):
        reporter = Reporter(out, None, translated)
        reporter.open_log(tmp_path / "log")
        reporter.progress("torch", Said("Loading {name}", name="torch"), force=True)
        reporter.line("problem", sentence=Said("{what} failed", what=Said("Updating pip")))
        reporter.close()
    first, last = map(json.loads, plain.getvalue().splitlines())
    assert (first["text"], last["sentence"]) == ("Loading torch", "Updating pip failed")
    first, last = map(json.loads, for_panel.getvalue().splitlines())
    assert first["text"] == {"sentence": "Loading {name}", "values": {"name": "torch"}}
    assert last["sentence"]["values"]["what"]["sentence"] == "Updating pip"
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert log.count("[torch] Loading torch\n") == log.count('"Updating pip failed"') == 2
    assert '"values"' not in log


def test_the_command_tells_them_apart_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda _number, _handler: None)
    words = ["plan", "--root", str(tmp_path / "x"), "--python", sys.executable]
    assert command.main(words) == 0
    english = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]["sentences"]
    assert command.main([*words, "--apart"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]["sentences"]
    assert [each.keys() for each in told] == [{"sentence", "values"}] * len(english)
    assert whole(told) == english


def test_a_record_keeps_the_sentence_and_reads_an_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "here", lambda: machine.Machine("Windows", "AMD64", (CARD,)))
    monkeypatch.setattr(machine, "check_disk", lambda _root, _need: None)
    plan = installer.make_plan(tmp_path, "wan", sys.executable)
    setup = installer.Installer(plan, Reporter(io.StringIO()))
    setup._begin()
    found = record.load(tmp_path)
    assert found is not None
    assert found.torch == "PyTorch with CUDA 13.0 for NVIDIA GeForce RTX 4090"
    assert found.torch.values == {"version": "13.0", "card": "NVIDIA GeForce RTX 4090"}  # type: ignore[attr-defined]
    told = json.loads((tmp_path / record.NAME).read_text(encoding="utf-8"))
    told["torch"] = "PyTorch for the processor"
    (tmp_path / record.NAME).write_text(json.dumps(told), encoding="utf-8")
    older = record.load(tmp_path)
    assert older is not None
    assert type(older.torch) is str
    assert older.torch == "PyTorch for the processor"


def test_problems_keep_theirs(tmp_path: Path) -> None:
    with pytest.raises(SetupProblem) as caught:
        machine.check_disk(tmp_path, 1 << 40)
    assert isinstance(caught.value.sentence, Said)
    assert str(caught.value) == caught.value.sentence


@pytest.mark.parametrize("path", sorted(SETUP.glob("*.py")), ids=lambda path: path.stem)
def test_no_sentence_is_put_together_otherwise(path: Path) -> None:
    """Texts with values are ``Said``'s, and so is what progress and problems are given."""
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr) and ROW_OF_WORDS.search(ast.unparse(node)):
            wrong.append(node)
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            said = {"progress": node.args[1:2], "SetupProblem": node.args[:1]}.get(name, [])
            said += [keyword.value for keyword in node.keywords if keyword.arg in {"what", "sentence", "note"}]
            wrong += [each for each in said if isinstance(each, ast.Constant | ast.JoinedStr)]
    assert not [ast.unparse(node) for node in wrong]
