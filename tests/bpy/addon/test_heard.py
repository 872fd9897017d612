"""What the backend says, in Blender's language: every stage, state and reason it has is known, the rest as it comes."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

ROOT = Path(__file__).resolve().parents[3]
JOB = "d" * 32
STAGES = {"StageStarted": 0, "CaptureProgress": 0, "CaptureState": 0, "_named": 0, "_stage": 1, "EstimateStage": 0}
"""What tells a stage, and which of its arguments it is."""


@pytest.fixture
def take(shot: Any) -> Any:
    made = shot.wanstage.takes.add()
    made.job_id, made.frames, made.seed = JOB, 8, 7
    return made


def literals(folder: str) -> Iterator[tuple[str, str]]:
    """Names of stages that are written in the source, with an f-string's values as numbers."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            place = STAGES.get(getattr(node.func, "attr", getattr(node.func, "id", "")))
            if place is None or place >= len(node.args):
                continue
            said = node.args[place]
            if isinstance(said, ast.JoinedStr):  # such as f"denoise{name}", with " 2 of 3" put in, or nothing
                said = said.values[0]
            if isinstance(said, ast.Constant) and said.value:
                yield path.name, str(said.value)


def test_every_stage_has_its_word(addon: Any) -> None:
    from blender_addon import heard

    found = [*literals("wan_models"), *literals("backend"), *literals("blender_addon")]
    assert {"load", "denoise", "find", "solve", "prepare", "plate"} <= {name for _, name in found}
    assert not [(where, name) for where, name in found if name not in heard.STAGES]


def test_every_network_and_every_state_has_its_word(addon: Any) -> None:
    from blender_addon import heard, wire

    rows = ast.parse((ROOT / "wan_models" / "rows.py").read_text(encoding="utf-8"))
    names = next(node.value for node in rows.body if isinstance(node, ast.AnnAssign)
                 and getattr(node.target, "id", "") == "PART_NAMES")  # fmt: skip
    assert {name.replace("_", " ") for name in ast.literal_eval(names)} == set(heard.NETWORKS)
    assert set(wire.messages.JobState.__args__) <= set(heard.STATES)


def test_a_stage_in_chinese(chinese: None) -> None:
    from blender_addon import heard

    assert heard.stage("denoise") == "去噪"
    assert heard.title("denoise 2 of 3") == "去噪（第 2 段，共 3 段）"
    assert heard.title("load text encoder") == "载入文本编码器"
    assert heard.title("Waiting, number 4") == "等待中，第 4 位"
    assert heard.title("dream 2 of 3") == "Dream（第 2 段，共 3 段）", "a newer backend's"
    assert (heard.title("dream of sheep"), heard.title("")) == ("Dream of sheep", "")
    assert (heard.state("cancelling"), heard.state("asleep")) == ("正在停止", "Asleep")


def test_in_english_they_are_as_they_come(addon: Any) -> None:
    from blender_addon import heard

    assert heard.title("denoise 2 of 3") == "Denoise 2 of 3"
    assert heard.stage("load transformer 2") == "load transformer 2"
    assert heard.reason("the backend at tcp://a:1 closed the connection").startswith("The backend at tcp://a:1 closed")
    assert heard.reason("whatever {this} is") == "Whatever {this} is"


def test_why_there_is_no_connection(chinese: None) -> None:
    """Each event of the link, and what the conversation gives up for."""
    import zmq

    from blender_addon import heard, wire

    link = wire.load("link")
    events = (zmq.EVENT_CLOSED, zmq.EVENT_DISCONNECTED, zmq.EVENT_HANDSHAKE_FAILED_AUTH,
              zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)  # fmt: skip
    at = SimpleNamespace(_endpoint="tcp://192.168.1.9:5555")
    told = [link.Link._translate(at, event, 300) for event in events]
    told.append(link.Link._translate(at, zmq.EVENT_HANDSHAKE_FAILED_AUTH, link._ZAP_DENIED))
    for each in told:
        assert "192.168.1.9" in heard.reason(each.error)
        assert heard.taken_apart(str(each.error), heard.REASONS)[0]
    assert heard.reason(told[0].error) == "tcp://192.168.1.9:5555 没有应答：请用“wanstage serve”启动后端"


def lost_for() -> list[str]:
    """The sentences that ``protocol/session.py`` gives up a link with, their values replaced."""
    found = []
    for node in ast.walk(ast.parse((ROOT / "protocol" / "session.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "link_lost":
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            found.append("".join(each.value if isinstance(each, ast.Constant) else "12" for each in parts))
    return found


def test_what_the_conversation_gives_up_for(chinese: None) -> None:
    from blender_addon import heard

    assert len(lost_for()) == 4
    for said in lost_for():
        assert heard.taken_apart(said, heard.REASONS)[0], said
        assert "后端" in heard.reason(said)


def test_files_that_cannot_be_used(chinese: None, tmp_path: Path) -> None:
    from blender_addon import heard, wire

    (tmp_path / "damaged.json").write_text("{")
    for name, shown in (("none.json", "没有连接文件"), ("damaged.json", "无法作为连接文件读取")):
        with pytest.raises(wire.errors.ConnectionProblem) as caught:
            wire.connection.read(tmp_path / name)
        assert shown in heard.reason(caught.value)


def test_why_a_pairing_code_is_not_taken(chinese: None) -> None:
    from blender_addon import heard, remote, wire
    from blender_addon.problems import UserProblem

    for text, shown in (("hello", "这不是配对码"), ("wanstage:aaaa", "属于另一个版本（0，此处为 1）"),
                        ("wanstage:ae", "不完整"), ("wanstage:aebagbaf", "此配对码")):  # fmt: skip
        with pytest.raises(UserProblem, match=shown):
            remote.read(text)
    code = SimpleNamespace(ends=time.time())
    for now, shown in ((time.time() + 60, "已过期"), (time.time() - 60, "已被使用或已收回")):
        said = wire.pairing.Pairing._not_taken(SimpleNamespace(_code=code, _today=lambda now=now: now))
        assert shown in heard.reason(said)
    for said in {
        f"tcp://a:1 does not answer: {wire.pairing._HOW}",
        f"nobody answers at tcp://a:1: {wire.pairing._HOW}",
        "another program answers at tcp://a:1, or the backend has new keys: ask for a new pairing code",
    }:
        assert "tcp://a:1" in heard.reason(said)
        assert heard.taken_apart(said, heard.PAIRING)[0]


def pairing_answers() -> list[str]:
    """The sentences of ``backend/pairing.py`` on a code that somebody gave it."""
    tree = ast.parse((ROOT / "backend" / "pairing.py").read_text(encoding="utf-8"))
    new = next(node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "_NEW")
    found = []
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.Assign | ast.Return)):
        said = node.value
        if isinstance(said, ast.Constant) and "pairing code was" in str(said.value):
            found.append(said.value)
        if isinstance(said, ast.JoinedStr) and "_NEW" in ast.unparse(said):
            known = {"_NEW": new}
            parts = [each.value if isinstance(each, ast.Constant) else known.get(ast.unparse(each.value), "10")
                     for each in said.values]  # fmt: skip
            found.append("".join(parts))
    return found


def test_what_the_backend_answers_to_a_code(chinese: None) -> None:
    from blender_addon import heard

    assert len(pairing_answers()) == 6
    for said in pairing_answers():
        assert heard.taken_apart(said, heard.PAIRING)[0], said
        assert "配对码" in heard.reason(said)


def test_the_panel_is_chinese_and_the_take_is_not(take: Any, chinese: None) -> None:
    """The row is in the file, and whoever opens that may speak another language."""
    from blender_addon import follow, progress, state, takes_panel, wire

    run = state.now.runs[JOB] = state.Run(JOB, Path())

    def now(job: str, position: int = 0, **told: Any) -> None:
        found = wire.messages.Progress(**told)
        run.update = wire.messages.JobUpdate(JOB, job, 8, progress=found, position=position)
        follow.write_row(run)

    now("queued", position=3)
    assert (take.stage, takes_panel.state_text(take)) == ("waiting, number 3", "等待中，第 3 位")
    now("running", stage="denoise 2 of 3", step=4, steps=20)
    assert take.stage == "denoise 2 of 3"
    assert takes_panel.made_text(take)[0] == "去噪（第 2 段，共 3 段），随机种 7"
    assert progress.text(take) == "去噪（第 2 段，共 3 段）：第 4 步，共 20 步"
    now("running", stage="load transformer", step=7, steps=28, unit="MiB")
    assert take.stage == "load transformer"
    assert progress.text(take) == "正在载入 Transformer 网络: 25 %"
    now("loading")
    assert (take.stage, take.state, takes_panel.state_text(take)) == ("", "loading", "正在载入")
    take.stage, take.state = "", "cancelled"
    assert takes_panel.state_text(take) == "已停止"


def test_a_lost_connection_is_told_in_chinese(shot: Any, chinese: None) -> None:
    from blender_addon import follow, state

    follow.handle(type("Disconnected", (), {"reason": "the backend has said nothing for 12 seconds"})(), follow.Shown())
    assert state.now.sentence == "后端已有 12 秒没有任何消息；正在重试"
