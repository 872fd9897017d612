"""The whole task: events, notes, several characters, cancel, and a sentence for every bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.draft_animate.doll import HEIGHT, WIDTH, doll_body, draw_doll, metres, pack_of, request_of, still
from wan_models.draft.animate import check, generate
from wan_models.draft.animate.motion import BEHIND_CAMERA, REBUILT
from wan_models.draft.animate.view import TURNED
from wan_models.engine import RequestRefused
from wan_models.events import FramesDecoded, StageStarted, StepDone
from wan_models.requests import BEHIND, MISSING, STATE, CameraTrack, Character, DrivePack, PoseTrack, Reference, Request


def shifted(dx: float, dy: float = -130.0) -> NDArray[np.float32]:
    body = doll_body()
    body[:, :2] += (dx, dy)
    return body


def frames_of(request: Request) -> tuple[list[NDArray[np.uint8]], dict[int, list[str]]]:
    frames, notes = [], {}
    for event in generate(request, lambda: False):
        if isinstance(event, FramesDecoded):
            assert event.first == len(frames)
            frames += list(event.frames)
            for index, sentence in event.notes:
                notes.setdefault(index, []).append(sentence)
    return frames, notes


def test_events_come_in_order(reference: Reference) -> None:
    pack = pack_of(Character(1, "doll", still(shifted(58), frames=3), reference))
    events = list(generate(request_of(pack), lambda: False))
    stages = [event.name for event in events if isinstance(event, StageStarted)]
    assert stages == ["find", "animate"]
    frames = [event for event in events if isinstance(event, FramesDecoded)]
    assert [event.first for event in frames] == [0, 1, 2]
    assert frames[0].frames.shape == (1, HEIGHT, WIDTH, 3)
    assert frames[0].frames.dtype == np.uint8
    assert [event.step for event in events if isinstance(event, StepDone)][-1] == 3


def test_a_part_of_the_shot_can_be_asked(clip: DrivePack) -> None:
    frames, _ = frames_of(request_of(clip, frames=2))
    assert len(frames) == 2


def test_cancel_stops_between_frames(reference: Reference) -> None:
    pack = pack_of(Character(1, "doll", still(shifted(58), frames=9), reference))
    asked = iter(range(1000))
    events = generate(request_of(pack), lambda: next(asked) >= 3)  # asked once for the reference, then for each frame
    assert [event.first for event in events if isinstance(event, FramesDecoded)] == [0, 1]


def test_a_turn_is_marked_and_keeps_a_body(clip: DrivePack) -> None:
    frames, notes = frames_of(request_of(clip))
    turned = [index for index, sentences in notes.items() if TURNED in sentences]
    sides = metres()[:, 5] - metres()[:, 2]
    yaw = np.abs(np.degrees(np.arctan2(sides[:, 2], sides[:, 0])))
    assert set(np.flatnonzero(yaw > 95)) <= set(turned)
    assert not set(np.flatnonzero(yaw < 60)) & set(turned)
    background = frames[0][2, 2]
    for t in np.flatnonzero((yaw > 70) & (yaw < 110)):
        body = clip.characters[0].pose.body[t]
        row = int(0.6 * body[1, 1] + 0.4 * body[8, 1])
        covered = (frames[t][row] != background).any(axis=1).sum()
        height = body[18, 1] - body[0, 1]
        assert covered > 0.1 * height  # the trunk never shrinks to a line


def test_missing_and_behind_joints_are_rebuilt_and_marked(reference: Reference) -> None:
    track = still(shifted(58), frames=4).body.copy()
    track[1, 4, STATE], track[1, 4, :2] = BEHIND, np.nan
    track[:, 10, STATE], track[:, 10, :2] = MISSING, np.nan
    track[3, :, STATE] = BEHIND
    frames, notes = frames_of(request_of(pack_of(Character(1, "doll", PoseTrack(track), reference))))
    assert REBUILT in notes[0]
    assert notes[3] == [BEHIND_CAMERA]
    assert np.array_equal(frames[0], frames[1])  # the wrist came from its neighbours in time
    assert (frames[3] == frames[3][0, 0]).all()


def test_joints_off_screen_are_followed(reference: Reference) -> None:
    frames, notes = frames_of(request_of(pack_of(Character(1, "doll", still(shifted(-150)), reference))))
    assert notes == {}
    assert (frames[0][:, :60] != 128).any()
    assert (frames[0][:, 150:] == 128).all()


def test_two_characters_are_painted_far_to_near(reference: Reference) -> None:
    red, blue = draw_doll(), draw_doll()
    red[..., :3], blue[..., :3] = (255, 0, 0), (0, 0, 255)
    for near_first in (True, False):
        depths = (3.0, 5.0) if near_first else (5.0, 3.0)
        characters = tuple(
            Character(i, str(i), still(shifted(58), depth=depth), Reference(picture, doll_body()))
            for i, (picture, depth) in enumerate(zip((red, blue), depths, strict=True), start=1)
        )
        pack = replace(pack_of(characters[0]), characters=characters)
        frames, _ = frames_of(request_of(pack))
        x, y = (int(v) for v in shifted(58)[[2, 5, 8, 11], :2].mean(axis=0))
        assert tuple(frames[0][y, x]) == ((255, 0, 0) if near_first else (0, 0, 255))


def test_a_character_without_reference_stays_as_in_the_clay(reference: Reference) -> None:
    clay = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    clay[100:200, 20:40] = (10, 200, 10)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[100:200, 20:40] = 2
    plate = np.full_like(clay, 90)
    other = Character(2, "other", still(shifted(-120)))
    pack = pack_of(Character(1, "doll", still(shifted(58)), reference), clay=[clay], mask=[mask], plate=[plate])
    pack = replace(pack, characters=(*pack.characters, other))
    frames, _ = frames_of(request_of(pack))
    assert tuple(frames[0][150, 30]) == (10, 200, 10)


def test_an_occluder_stands_in_front(reference: Reference) -> None:
    plate = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    depth = np.full((HEIGHT, WIDTH), 9.0, np.float32)
    depth[60:110] = 2.0  # a beam before the character, who stands at 4 m
    plate[60:110] = (200, 50, 0)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    pack = pack_of(Character(1, "doll", still(shifted(58)), reference), plate=[plate], depth=[depth], mask=[mask])
    frames, _ = frames_of(request_of(pack))
    assert (frames[0][62:108] == (200, 50, 0)).all()
    assert (frames[0][20:58] != 90).any()
    assert (frames[0][112:150] != 90).any()


def refused(request: Request) -> str:
    with pytest.raises(RequestRefused) as caught:
        list(generate(request, lambda: False))
    return str(caught.value)


@pytest.fixture
def request_ok(reference: Reference) -> Request:
    return request_of(pack_of(Character(1, "doll", still(shifted(58), frames=2), reference)))


def with_reference(request: Request, reference: Reference | None) -> Request:
    assert request.pack is not None
    character = replace(request.pack.characters[0], reference=reference)
    return replace(request, pack=replace(request.pack, characters=(character,)))


def test_requests_without_the_shot(request_ok: Request) -> None:
    assert request_ok.pack is not None
    check(request_ok)
    assert "needs a drive pack" in refused(replace(request_ok, pack=None))
    assert "no characters" in refused(replace(request_ok, pack=replace(request_ok.pack, characters=())))
    assert "captured at 416x240" in refused(replace(request_ok, width=832))
    assert "the shot has 2" in refused(replace(request_ok, frames=3))
    assert "no character has a reference image (doll)" in refused(with_reference(request_ok, None))


def test_bad_references(request_ok: Request) -> None:
    clear = draw_doll()
    clear[..., 3] = 0
    assert "fully transparent" in refused(with_reference(request_ok, Reference(clear, doll_body())))
    tiny = np.full((20, 20, 4), 255, np.uint8)
    assert "20x20 pixels" in refused(with_reference(request_ok, Reference(tiny, doll_body())))
    speck = np.zeros((100, 100, 4), np.uint8)
    speck[50:55, 50:55] = 255
    assert "shows no person" in refused(with_reference(request_ok, Reference(speck, doll_body())))
    away = doll_body()
    away[[4, 10], :2] = (20, 20)
    sentence = refused(with_reference(request_ok, Reference(draw_doll(), away)))
    assert "wrist.R, ankle.R of doll's reference lie outside the person" in sentence
    lacking = doll_body()
    lacking[3, 2] = 0.0
    assert "lacks these joints: elbow.R" in refused(with_reference(request_ok, Reference(draw_doll(), lacking)))
    lacking[3] = np.nan
    assert "lacks these joints: elbow.R" in refused(with_reference(request_ok, Reference(draw_doll(), lacking)))
    flat = Reference(draw_doll()[..., :3], doll_body())
    assert "four channels" in refused(with_reference(request_ok, flat))
    wrong = Reference(draw_doll(), doll_body()[:17])
    assert "(20, 3) is needed" in refused(with_reference(request_ok, wrong))


def test_bad_tracks_and_maps(request_ok: Request, reference: Reference) -> None:
    assert request_ok.pack is not None
    body = request_ok.pack.characters[0].pose.body.copy()

    def with_body(track: NDArray[np.float32]) -> Request:
        return request_of(replace(pack_of(Character(1, "doll", PoseTrack(track), reference)), frames=2))

    body[1, 3, 0] = np.nan
    assert "not a number at frame 1, elbow.R" in refused(with_body(body))
    body[..., STATE] = BEHIND
    assert "behind the camera all through the shot" in refused(with_body(body))
    assert "(2, 20, 5) is needed" in refused(with_body(body[:1]))
    short = CameraTrack(np.eye(4)[None], np.array([[400.0, 400.0, 208.0, 120.0]]))
    assert "camera track has 1 samples" in refused(replace(request_ok, pack=replace(request_ok.pack, camera=short)))
    small = np.zeros((100, 100, 3), np.uint8)
    pack = replace(request_ok.pack, plate=[small, small])
    assert "the plate pictures are 100x100" in refused(replace(request_ok, pack=pack))
    pack = replace(request_ok.pack, plate=[np.zeros((HEIGHT, WIDTH, 3), np.uint8)])
    assert "the plate track has 1 pictures" in refused(replace(request_ok, pack=pack))


def test_no_joints_and_no_model(request_ok: Request, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANSTAGE_MEDIAPIPE_MODELS", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path)
    sentence = refused(with_reference(request_ok, Reference(draw_doll())))
    assert "has no joints and they cannot be estimated" in sentence


def test_the_background_with_materials_is_preferred(request_ok: Request) -> None:
    assert request_ok.pack is not None
    flat = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    look = np.full((HEIGHT, WIDTH, 3), (200, 120, 40), np.uint8)
    camera = CameraTrack(np.tile(np.eye(4), (2, 1, 1)), np.tile([400.0, 400.0, WIDTH / 2, HEIGHT / 2], (2, 1)))
    depth = np.full((HEIGHT, WIDTH), 9.0, np.float32)
    nobody = np.zeros((HEIGHT, WIDTH), np.uint8)
    pack = replace(
        request_ok.pack, plate=[flat] * 2, clay=[flat] * 2, depth=[depth] * 2, mask=[nobody] * 2, camera=camera
    )
    frames, _ = frames_of(replace(request_ok, pack=pack))
    assert tuple(frames[1][5, 5]) == (50, 50, 50)
    frames, _ = frames_of(replace(request_ok, pack=replace(pack, look_plate=look)))
    assert tuple(frames[1][5, 5]) == (200, 120, 40)
    square = replace(pack, look_plate=np.zeros((200, 200, 3), np.uint8))
    assert "background picture" in refused(replace(request_ok, pack=square))
