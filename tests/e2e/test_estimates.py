"""Estimates of a real backend: near what a second job takes, and the plan that 'wanstage plan' names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import InvalidJob, Unsupported
from protocol.events import Estimated
from protocol.messages import Estimate, EstimateJob

from .conftest import ROOT, Seen, Served, job_spec


def ask(seen: Seen, asked: EstimateJob) -> Estimate:
    seen.until(lambda: seen.client.state == "connected")
    number = seen.client.estimate(asked)
    events = seen.until(lambda: [e for e in seen.events if isinstance(e, Estimated) and e.request == number])
    return events[0].estimate


def test_a_second_job_takes_about_as_long_as_it_was_told(
    serve: Callable[..., Served], join: Callable[..., Seen]
) -> None:
    served = serve()
    seen = join(served.connection)
    before = ask(seen, EstimateJob("t2v", 64, 64, 8, "test", "test"))
    assert (before.seconds, before.basis, before.stages) == (None, "none", ())

    def run(frames: int) -> float:
        job = seen.submit(job_spec(frames, delay_s=0.1))
        timings = seen.wait_state(job, "finished").timings
        seen.client.remove(job)
        return sum(timings[name] for name in ("load", "test"))

    measured = run(8)
    same = ask(seen, EstimateJob("t2v", 64, 64, 8, "test", "test"))
    assert same.basis == "measured"
    assert same.seconds == pytest.approx(measured, abs=0.01), "though the job is removed"
    longer = ask(seen, EstimateJob("t2v", 64, 64, 16, "test", "test"))
    assert longer.basis == "scaled"
    assert longer.seconds is not None
    took = run(16)
    assert took / 2 < longer.seconds < took * 2
    assert {each.name for each in longer.stages} == {"load", "test"}


def test_jobs_ahead_and_bytes_to_upload(serve: Callable[..., Served], join: Callable[..., Seen]) -> None:
    served = serve()
    seen = join(served.connection)
    job = seen.submit(job_spec(50, delay_s=0.2))
    seen.wait_state(job, "running")
    ref = seen.folder.add(b"x" * 1000)
    found = ask(seen, EstimateJob("t2v", 64, 64, 8, "test", "test", assets=(ref,)))
    assert (found.jobs_ahead, found.upload) == (1, 1000)
    seen.client.cancel(job)
    seen.wait_state(job, "cancelled")
    assert ask(seen, EstimateJob("t2v", 64, 64, 8, "test", "test")).upload is None


def test_a_model_that_is_not_here_is_refused(serve: Callable[..., Served], join: Callable[..., Seen]) -> None:
    seen = join(serve().connection)
    seen.until(lambda: seen.client.state == "connected")
    seen.client.estimate(EstimateJob("t2v", 64, 64, 8, "wan", "nope"))
    assert isinstance(seen.wait_error(), InvalidJob)


SMI = """#!/bin/sh
case "$*" in
  *index,name*) echo "0, Paper Card 24, 24576, 23000" ;;
  *) echo 23000 ;;
esac
"""


def test_the_plan_is_the_one_that_the_command_names(
    serve: Callable[..., Served], join: Callable[..., Seen], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ask the same tool, here one that lists a card of paper."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = join(serve("--workers", "cuda:0,cpu:1").connection)
    for model, size in (("wan2.2-ti2v-5b", (1280, 704)), ("wan2.2-i2v-a14b", (832, 480))):
        command = [sys.executable, "-m", "backend.cli", "plan", "--model", model, "--size", "{}x{}".format(*size)]
        command += ["--frames", "81", "--json", "--data", str(tmp_path / "none")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        told = json.loads(done.stdout)
        task = "ti2v" if "ti2v" in model else "i2v"
        found = ask(seen, EstimateJob(task, *size, 81, "wan", model))
        assert found.too_large != told["fits"]
        if told["fits"]:
            assert (found.plan, found.card_needed) == (told["name"], told["card"])
            assert [(p.what, p.card, p.note) for p in found.parts] == [
                (need["what"], need["card"], need["note"]) for need in told["needs"]
            ]
        else:
            assert [each.frames for each in found.smaller] == [each["frames"] for each in told["smaller"]]
        assert found.missing


def test_an_older_backend_is_not_asked(serve: Callable[..., Served], join: Callable[..., Seen]) -> None:
    import msgspec

    seen = join(serve().connection)
    with pytest.raises(Unsupported, match="not connected"):
        seen.client.estimate(EstimateJob("t2v", 64, 64, 8))
    seen.until(lambda: seen.client.state == "connected")
    session = seen.client._session
    assert session.welcome is not None
    session.welcome = msgspec.structs.replace(session.welcome, features=(), minor=3)  # as 1.3 says hello
    with pytest.raises(Unsupported, match=r"older than protocol 1\.4"):
        seen.client.estimate(EstimateJob("t2v", 64, 64, 8))
