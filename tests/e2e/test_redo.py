"""A part of a clip made again through a real backend: the draft, and the video models with tiny checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from backend.translate import load_array
from protocol.assets import AssetFolder
from protocol.bundle import write_bundle
from protocol.events import UploadProgress
from protocol.messages import TERMINAL
from protocol.redo import needed
from protocol.specs import DrivePack, ImageRef, JobSpec, KeptFrame, Output, Redo, Sampler
from tests.e2e.conftest import Seen, Served, connected
from tests.e2e.drive import array, job, picture, scene_pack
from tests.e2e.test_cli import wanstage
from tests.e2e.test_wan import start
from wan_models.control.masks import augment_mask
from wan_models.redo import widened
from wan_models.weights.tiny import make_tiny

SIDE, FRAMES = 64, 9
I2V, TI2V, T2V, ANIMATE, ANIMATE2 = (
    "wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "wan2.2-t2v-a14b", "wan2.2-animate-14b", "wan2.2-animate-2-14b",
)  # fmt: skip

Clip = list[np.ndarray[Any, Any]]


def kept(folder: AssetFolder, clip: Clip, first: int, last: int, **told: Any) -> Redo:
    """The redo of a part; ``reach``: so many frames round about are sent, whatever the overlap."""
    reach = told.pop("reach", 4)
    wanted = needed(
        first, last, len(clip), overlap=max(reach, told.get("overlap", 4)), character=told.get("character", 0)
    )
    return Redo(first, last, tuple(KeptFrame(t, picture(folder, clip[t])) for t in wanted), **told)


def noise(frames: int, height: int, width: int) -> Clip:
    """A clip that nobody made: slow coloured noise."""
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (frames, 6, 6, 3), np.uint8)
    return [cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in small]


def made(seen: Seen, spec: JobSpec, deadline_s: float = 90.0) -> Clip:
    """The frames of a job that finishes."""
    mine = seen.submit(spec)
    update = seen.until(lambda: (now := seen.state(mine)) and now.state in TERMINAL and now, deadline_s)
    assert update.state == "finished", update.error
    assert update.frames == spec.made
    frames = seen.wait_frames(mine, spec.made)
    assert len(frames) == spec.made
    return [np.frombuffer(each, np.uint8).reshape(spec.height, spec.width, 3) for each in frames]


def refused(seen: Seen, spec: JobSpec) -> str:
    """What is said of a job that the server or the worker refuses."""
    seen.events.clear()
    mine = seen.submit(spec)

    def ended() -> Any:
        errors = [str(event.error) for event in seen.events if hasattr(event, "error")]
        update = seen.state(mine)
        return errors[0] if errors else update and update.state == "failed" and update.error

    return str(seen.until(ended, 60.0))


# ---- the draft --------------------------------------------------------------------------------------

WIDTH, HEIGHT = 160, 96


@pytest.fixture(scope="module")
def drafts(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with connected(served, tmp_path_factory.mktemp("theirs")) as client:
        yield client


@pytest.fixture(scope="module")
def shot(drafts: Seen) -> DrivePack:
    return scene_pack(drafts.folder, WIDTH, HEIGHT, 12)


@pytest.fixture(scope="module")
def drawn(drafts: Seen, shot: DrivePack) -> Clip:
    return made(drafts, job(shot, "i2v", "raw"))


@pytest.mark.parametrize("task", ["i2v", "animate"])
def test_a_draft_s_part_has_the_bytes_of_the_whole(drafts: Seen, shot: DrivePack, task: Any) -> None:
    """Nothing has changed, so the part is as it was, to the byte, wherever it begins."""
    spec = job(shot, task, "raw")
    clip = made(drafts, spec)
    for first, last in ((3, 8), (0, 4), (11, 11)):
        again = msgspec.structs.replace(spec, redo=kept(drafts.folder, clip, first, last))
        frames = made(drafts, again)
        assert all((a == b).all() for a, b in zip(frames, clip[first : last + 1], strict=True))


def test_a_draft_is_blended_with_the_clip_it_goes_into(drafts: Seen, shot: DrivePack, drawn: Clip) -> None:
    spec, clip, other = job(shot, "i2v", "raw"), drawn, noise(12, HEIGHT, WIDTH)
    frames = made(drafts, msgspec.structs.replace(spec, redo=kept(drafts.folder, other, 2, 9, overlap=2)))
    for index, share in enumerate((1 / 3, 2 / 3, 1, 1, 1, 1, 2 / 3, 1 / 3)):
        t = 2 + index
        expected = other[t] + share * (clip[t].astype(np.float32) - other[t])
        assert np.abs(frames[index] - expected).max() <= 1


def test_one_character_of_a_draft(drafts: Seen, shot: DrivePack, drawn: Clip) -> None:
    spec, clip, other = job(shot, "i2v", "raw"), drawn, noise(12, HEIGHT, WIDTH)
    frames = made(drafts, msgspec.structs.replace(spec, redo=kept(drafts.folder, other, 2, 9, overlap=1, character=1)))
    for index, frame in enumerate(frames):
        mask = load_array(drafts.folder, shot.mask[2 + index], "mask") == 1
        inside = widened(mask)
        assert (frame[~inside] == other[2 + index][~inside]).all()
        if 0 < index < 7:
            assert (frame[mask] == clip[2 + index][mask]).all()


def test_frames_that_the_backend_has_are_not_sent_again(drafts: Seen, shot: DrivePack, drawn: Clip) -> None:
    part = msgspec.structs.replace(job(shot, "i2v", "raw"), redo=kept(drafts.folder, drawn, 3, 8))
    made(drafts, part)
    drafts.events.clear()
    made(drafts, msgspec.structs.replace(part, seed=7))
    sent = [event for event in drafts.events if isinstance(event, UploadProgress)]
    assert all(event.sent == event.total for event in sent), "there was nothing to send"


def test_a_bundle_of_a_part_from_the_command_line(served: Served, tmp_path: Path) -> None:
    folder = AssetFolder(tmp_path / "assets")
    spec = job(scene_pack(folder, WIDTH, HEIGHT, 6), "i2v")
    part = msgspec.structs.replace(spec, redo=kept(folder, noise(6, HEIGHT, WIDTH), 2, 4))
    bundle, out = tmp_path / "part.zip", tmp_path / "out"
    write_bundle(bundle, part, folder)
    status, lines, text = wanstage("submit", bundle, "--out", out, "--json", served=served)
    assert status == 0, text
    assert lines[-1]["frames"] == 3
    assert sorted(each.name for each in out.glob("*.png")) == [f"frame_000{index}.png" for index in range(3)]


def test_a_take_s_own_job_from_the_command_line(served: Served, tmp_path: Path) -> None:
    """What the add-on keeps beside a take's frames, with the folder of what was captured."""
    folder = AssetFolder(tmp_path / "captured")
    spec = job(scene_pack(folder, WIDTH, HEIGHT, 6), "i2v")
    part = msgspec.structs.replace(spec, redo=kept(folder, noise(6, HEIGHT, WIDTH), 5, 5))
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(part))
    told = ("--assets", folder.root, "--set", "seed=3", "--out", tmp_path / "out", "--json")
    status, lines, text = wanstage("submit", tmp_path / "job.json", *told, served=served)
    assert status == 0, text
    assert lines[-1]["frames"] == 1


def test_what_is_no_part_is_refused_at_once(drafts: Seen, shot: DrivePack) -> None:
    spec, part = job(shot, "i2v", "raw"), kept(drafts.folder, noise(12, HEIGHT, WIDTH), 2, 4)
    for changed, sentence in (
        ({"last": 12}, "redo is about the frames 2 to 12, the clip has 0 to 11"),
        ({"kept": part.kept[1:]}, "redo.kept lacks frame 0"),
        ({"character": 9}, "redo.character is 9, which no character of the pack has"),
    ):
        wrong = msgspec.structs.replace(spec, redo=msgspec.structs.replace(part, **changed))
        with pytest.raises(Exception, match=sentence):
            drafts.submit(wrong)


# ---- the video models -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("models")
    make_tiny(folder, (I2V, TI2V, T2V, ANIMATE, ANIMATE2))
    served = start(tmp_path_factory.mktemp("wan"), folder)
    with connected(served, tmp_path_factory.mktemp("mine")) as client:
        yield client
    assert served.stop() == 0


@pytest.fixture(scope="module")
def pack(seen: Seen) -> DrivePack:
    return scene_pack(seen.folder, SIDE, SIDE, FRAMES)


def wan(seen: Seen, task: Any, model: str, **told: Any) -> JobSpec:
    image: ImageRef | None = picture(seen.folder, noise(1, SIDE, SIDE)[0]) if task in {"i2v", "flf2v", "ti2v"} else None
    own = {"image": image, "fps": 24.0 if model == TI2V else 16.0, **told}
    return JobSpec(
        task, width=SIDE, height=SIDE, frames=FRAMES, engine="wan", model=model, seed=5, prompt="a street",
        sampler=Sampler(steps=1), output=Output("raw"), **own,
    )  # fmt: skip


def warnings(seen: Seen) -> str:
    return " ".join(str(event) for event in seen.events)


@pytest.mark.parametrize(
    ("task", "model", "first", "last"),
    [
        ("i2v", I2V, 2, 4),  # five frames from picture to picture
        ("i2v", I2V, 3, 4),  # four: one more kept frame behind
        ("i2v", I2V, 5, 8),  # to the clip's end: no last picture
        ("i2v", I2V, 0, 1),  # from the clip's beginning: its own image
        ("ti2v", TI2V, 2, 4),
        ("t2v", I2V, 2, 4),  # a clip of text alone, its part by a model that goes on from frames
    ],
)
def test_a_part_between_two_frames(seen: Seen, task: Any, model: str, first: int, last: int) -> None:
    clip = noise(FRAMES, SIDE, SIDE)
    spec = wan(seen, task, model)
    part = msgspec.structs.replace(spec, redo=kept(seen.folder, clip, first, last, overlap=1))
    seen.events.clear()
    frames = made(seen, part)
    assert all((a != b).any() for a, b in zip(frames, clip[first : last + 1], strict=True))
    assert ("takes no last picture" in warnings(seen)) == (model == TI2V)
    if (first, last) == (2, 4):
        others = made(seen, msgspec.structs.replace(part, seed=6))
        assert any((a != b).any() for a, b in zip(frames, others, strict=True))


def test_what_cannot_go_on_from_a_frame_says_what_can(seen: Seen) -> None:
    clip = noise(FRAMES, SIDE, SIDE)
    told = refused(seen, wan(seen, "t2v", T2V, redo=kept(seen.folder, clip, 2, 4)))
    assert "make this part with wan2.2-i2v-a14b or wan2.2-ti2v-5b" in told
    told = refused(seen, wan(seen, "t2v", TI2V, redo=kept(seen.folder, clip, 0, 4)))
    assert "let the part begin one frame later, or give a first image" in told


def test_a_part_of_an_animated_shot_goes_on_from_the_frames_before(seen: Seen, pack: DrivePack) -> None:
    """Other frames there, another part."""
    clip = noise(FRAMES, SIDE, SIDE)
    others = [np.asarray(255 - each, np.uint8) for each in clip]
    parts = []
    for before in (clip, others):
        part = kept(seen.folder, before, 3, 6, overlap=0)
        parts.append(made(seen, wan(seen, "animate", ANIMATE, pack=pack, fps=pack.fps, redo=part)))
    assert len({each.tobytes() for each in parts[0]}) == 4
    assert (parts[0][0] != parts[1][0]).any()


def test_a_part_of_a_shot_that_follows_its_render(seen: Seen, pack: DrivePack) -> None:
    part = kept(seen.folder, noise(FRAMES, SIDE, SIDE), 3, 6)
    frames = made(seen, wan(seen, "animate", ANIMATE2, pack=pack, fps=pack.fps, redo=part))
    assert len({each.tobytes() for each in frames}) == 4


def test_one_character_by_replacement_within_the_clip(seen: Seen, pack: DrivePack) -> None:
    """Where it is to be, and where the kept frames show it."""
    clip = noise(FRAMES, SIDE, SIDE)
    spec = wan(seen, "animate", ANIMATE, pack=pack, fps=pack.fps)
    there = np.zeros((SIDE, SIDE), np.uint8)
    there[2:14, 2:14] = 1
    part = kept(seen.folder, clip, 2, 4, overlap=0, character=1)
    part = msgspec.structs.replace(part, mask=(array(seen.folder, there, "zlib"),) * 3)
    for index, frame in enumerate(made(seen, msgspec.structs.replace(spec, redo=part))):
        own = load_array(seen.folder, pack.mask[2 + index], "mask") == 1
        inside = augment_mask((own | (there == 1))[None])[0] != 0
        assert (frame[~inside] == clip[2 + index][~inside]).all()
        assert (frame[4:12, 4:12] != clip[2 + index][4:12, 4:12]).any()
        assert (frame[own] != clip[2 + index][own]).any()
    lone = wan(seen, "i2v", I2V, pack=pack, fps=pack.fps, redo=part)
    assert "cannot make one character again" in refused(seen, lone)
    bare = msgspec.structs.replace(spec, pack=msgspec.structs.replace(pack, mask=()), redo=part)
    with pytest.raises(Exception, match="needs the masks of the drive pack"):
        seen.submit(bare)
