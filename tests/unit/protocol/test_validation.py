"""Every refusal of a job is one sentence with the field's name."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from protocol import codec, limits
from protocol import messages as m
from protocol.errors import InvalidJob, MalformedSpec, ProtocolError
from protocol.specs import (
    Animate,
    ArrayRef,
    AssetRef,
    Camera,
    CharacterTrack,
    DrivePack,
    ImageRef,
    JobSpec,
    KeptFrame,
    Lora,
    Redo,
    Reference,
    Sampler,
    SoundRef,
    Talk,
)
from protocol.validation import parse_spec, validate

T, W, H = 5, 96, 64
SIZES = {"u1": 1, "u2": 2, "f4": 4, "f8": 8}


def array(dtype: Any, *shape: int, nbytes: int | None = None, **fields: Any) -> ArrayRef:
    length = math.prod(shape) * SIZES[dtype] if nbytes is None else nbytes
    return ArrayRef(AssetRef("0" * 64, length), dtype, shape, **fields)


PICTURE = ImageRef(AssetRef("1" * 64, 1000), W, H)
REFERENCE = Reference(PICTURE, "rig", array("f4", 20, 3), array("f4", 21, 3), array("f4", 21, 3))
TRACK = CharacterTrack(
    7,
    "Ann",
    array("f4", T, 20, 5),
    left_hand=array("f4", T, 21, 5),
    face_box=array("f4", T, 4),
    reference=REFERENCE,
    face=(array("u1", 512, 512, 3, nbytes=2000, codec="delta"),) * T,
)
SOUND = SoundRef(AssetRef("2" * 64, 32044), "line.wav", 1.5)
PACK = DrivePack(
    W,
    H,
    T,
    16.0,
    camera=Camera(array("f8", T, 4, 4), array("f8", T, 4)),
    characters=(TRACK,),
    clay=(array("u1", H, W, 3, nbytes=99, codec="zlib"),) * T,
    plate=(array("u1", H, W, 3),) * T,
    mask=(array("u1", H, W),) * T,
    depth=(array("f4", H, W),) * T,
    origin=(array("u2", H, W, 2),) * T,
    look=PICTURE,
)


def spec(task: Any = "animate", pack: DrivePack | None = PACK, **fields: Any) -> JobSpec:
    return JobSpec(**{"task": task, "width": W, "height": H, "frames": T, "fps": 16.0, "pack": pack, **fields})


def pack(**fields: Any) -> JobSpec:
    return spec(pack=msgspec.structs.replace(PACK, **fields))


def track(**fields: Any) -> JobSpec:
    return pack(characters=(msgspec.structs.replace(TRACK, **fields),))


def reference(**fields: Any) -> JobSpec:
    return track(reference=msgspec.structs.replace(REFERENCE, **fields))


def kept(*frames: int, image: ImageRef = PICTURE) -> tuple[KeptFrame, ...]:
    return tuple(KeptFrame(frame, image) for frame in frames)


def part(first: int, last: int, **fields: Any) -> Redo:
    return Redo(first, last, **{"kept": kept(*range(T)), "overlap": 1, **fields})


GOOD = [
    spec(),
    spec("replace"),
    spec("i2v"),
    spec("i2v", None, image=PICTURE),
    spec("t2v", None),
    spec("ti2v", None),
    spec("ti2v", None, image=PICTURE, sampler=Sampler(preset="fast")),
    spec("replace", animate=Animate(overlap=5, match_color=True, relight=True), plan="stream-fp8"),
    track(face=()),
    spec("flf2v", last_image=PICTURE),
    pack(characters=(TRACK, msgspec.structs.replace(TRACK, index=8)), camera=None, clay=()),
    reference(source="none", body=None),
    spec("s2v", None, image=PICTURE, sound=SOUND),
    spec("s2v", sound=SOUND, talk=Talk(start_from_reference=True, follow_pose=True)),
    spec("s2v", sound=SoundRef(AssetRef("2" * 64, limits.MAX_SOUND_BYTES))),
    spec("s2v", msgspec.structs.replace(PACK, look=None), sound=SOUND),
    spec(talk=Talk(follow_pose=True)),
    spec(redo=part(1, 2)),
    spec(redo=part(0, 4, kept=kept(0, 1, 2, 3, 4))),
    spec(redo=part(1, 2, character=7, mask=(array("u1", H, W),) * 2)),
    spec("i2v", None, redo=part(1, 2)),
]


@pytest.mark.parametrize("good", GOOD)
def test_good_jobs(good: JobSpec) -> None:
    validate(good)
    assert parse_spec(msgspec.json.encode(good)) == good


BAD = [
    (spec(redo=part(2, 1)), "the job's redo is about the frames 2 to 1, the clip has 0 to 4: choose a part of it"),
    (spec(redo=part(2, 5)), "the job's redo is about the frames 2 to 5, the clip has 0 to 4"),
    (spec(redo=part(1, 2, overlap=65)), "the job's redo.overlap is wrong: expected int <= 64, got 65"),
    (spec(redo=part(1, 2, kept=kept(0, 1, 3))), "the job's redo.kept lacks frame 2: send 4 frames of the clip"),
    (
        spec(redo=part(1, 2, kept=kept(0, 2, 1, 3))),
        "the job's redo.kept[2].frame is 1: give frames of the clip in rising",
    ),
    (spec(redo=part(1, 2, kept=kept(0, 1, 2, 3, 5))), "the job's redo.kept[4].frame is 5: give frames of the clip"),
    (
        spec(redo=part(1, 2, kept=kept(0, 1, 2, 3, image=ImageRef(AssetRef("1" * 64, 9), 64, 64)))),
        "the job's redo.kept[0].image is 64x64, the clip is 96x64: send its own frames",
    ),
    (spec(redo=part(1, 2, character=3)), "the job's redo.character is 3, which no character of the pack has"),
    (
        spec(pack=msgspec.structs.replace(PACK, mask=()), redo=part(1, 2, character=7)),
        "a redo of one character needs the masks of the drive pack (pack.mask)",
    ),
    (
        spec(redo=part(1, 2, character=7, mask=(array("u1", H, W),))),
        "the job's redo.mask has 1 maps, none or one a frame of the part (2) are allowed",
    ),
    (
        spec(redo=part(1, 2, character=7, mask=(array("u1", 2, 2),) * 2)),
        "the job's redo.mask[0] is u1 (2, 2), u1 (64, 96) is needed",
    ),
    (spec("i2v", None, redo=part(0, 2)), "the task i2v needs a first picture"),
    (spec(width=63), "the job's width is wrong: expected int >= 64, got 63"),
    (spec(width="wide"), "the job's width is wrong: expected int, got str"),
    (spec(fps=math.nan), "the job's fps is wrong: expected float > 0.0, got nan"),
    (spec(fps=math.inf), "the job's fps is wrong: expected float <= 120.0, got inf"),
    (spec(seed=-1), "the job's seed is wrong: expected int >= 0, got -1"),
    (spec(seed=2**70), "the job holds a value that cannot be sent"),
    (spec(task="paint"), "the job's task is wrong: 'paint' is not one of the values allowed"),
    (spec(prompt="x" * 8001), "the job's prompt is wrong: expected str of length <= 8000"),
    (spec(sampler=Sampler(guidance=math.nan)), "the job's sampler.guidance is"),
    (spec(loras=(Lora("x", math.inf),)), "loras[0].weight is wrong: expected float <= 4.0, got inf"),
    (
        spec(image=ImageRef(AssetRef("../x", 1), 64, 64)),
        "image.asset.id is wrong: expected an asset id (64 hex",
    ),
    (spec(image=ImageRef(AssetRef("0" * 64, 0), 64, 64)), "the job's image has 0 bytes"),
    (spec(image=ImageRef(AssetRef("0" * 64, limits.MAX_IMAGE_BYTES + 1), 64, 64)), "are allowed for a picture"),
    (spec("animate", None), "the task animate needs a drive pack"),
    (spec("replace", None), "the task replace needs a drive pack"),
    (spec("i2v", None), "the task i2v needs a first picture"),
    (spec("flf2v"), "the task flf2v needs a last picture"),
    (spec("replace", msgspec.structs.replace(PACK, plate=())), "the task replace needs a plate in the drive pack"),
    (spec("replace", msgspec.structs.replace(PACK, mask=())), "the task replace needs a mask in the drive pack"),
    (spec("replace", msgspec.structs.replace(PACK, characters=())), "the task replace needs a character"),
    (spec(plan="magic"), "the job's plan is wrong: 'magic' is not one of the values allowed"),
    (spec(animate=Animate(overlap=3)), "the job's animate.overlap is wrong: 3 is not one of the values allowed"),  # type: ignore[arg-type]
    (spec(sampler=Sampler(preset="slow")), "the job's sampler.preset is wrong: 'slow' is not"),  # type: ignore[arg-type]
    (spec("s2v"), "the task s2v needs the sound that drives it: give sound"),
    (spec("s2v", None, sound=SOUND), "the task s2v needs the picture of the person"),
    (
        spec("s2v", msgspec.structs.replace(PACK, look=None, characters=()), sound=SOUND),
        "a look or with a character's reference",
    ),
    (spec("t2v", None, sound=SOUND), "the job has a sound, which the task t2v does not hear"),
    (spec("s2v", sound=SoundRef(SOUND.asset, start=math.nan)), "the job's sound.start is wrong: expected float"),
    (spec("s2v", sound=SoundRef(SOUND.asset, start=math.inf)), "the job's sound.start is wrong: expected float"),
    (spec("s2v", sound=SoundRef(SOUND.asset, start=-0.1)), "the job's sound.start is wrong: expected float >= 0.0"),
    (spec("s2v", sound=SoundRef(SOUND.asset, "x" * 201)), "the job's sound.name is wrong"),
    (spec("s2v", sound=SoundRef(AssetRef("2" * 64, 0))), "the job's sound has 0 bytes, 1 to"),
    (
        spec("s2v", sound=SoundRef(AssetRef("2" * 64, limits.MAX_SOUND_BYTES + 1))),
        "are allowed: send the part that is heard",
    ),
    (
        spec("s2v", None, image=PICTURE, sound=SOUND, talk=Talk(follow_pose=True)),
        "talk.follow_pose needs a character in a drive pack",
    ),
    (pack(characters=()), "the task animate needs a character"),
    (pack(width=128), "the drive pack's width is 128 but the job's is 96"),
    (pack(frames=6), "the drive pack's frames is 6 but the job's is 5"),
    (pack(fps=24.0), "the drive pack's fps is 24.0 but the job's is 16.0"),
    (pack(clay=PACK.clay[:3]), "pack.clay has 3 maps, none or one a frame (5) are allowed"),
    (pack(depth=(array("f4", W, H),) * T), "pack.depth[0] is f4 (96, 64), f4 (64, 96) is needed"),
    (pack(mask=(array("u2", H, W),) * T), "pack.mask[0] is u2 (64, 96), u1 (64, 96) is needed"),
    (pack(origin=(array("u2", H, W, 3),) * T), "pack.origin[0]"),
    (pack(plate=(array("u1", H, W, 3, nbytes=5),) * T), "pack.plate[0] has an asset of 5 bytes"),
    (pack(plate=(array("u1", H, W, 3, nbytes=99999, codec="zlib"),) * T), "pack.plate[0] has an asset of 99999"),
    (pack(camera=Camera(array("f8", T, 4, 4), array("f4", T, 4))), "pack.camera.intrinsics is f4"),
    (pack(camera=Camera(array("f8", 4, 4), array("f8", T, 4))), "pack.camera.world_from_camera is f8 (4, 4)"),
    (pack(characters=(TRACK, TRACK)), "pack.characters[1].index is 7, which another character has"),
    (track(body=array("f4", T, 18, 5)), "pack.characters[0].body is f4 (5, 18, 5), f4 (5, 20, 5) is needed"),
    (track(body=array("f4", T + 1, 20, 5)), "pack.characters[0].body"),
    (track(left_hand=array("f4", T, 20, 5)), "pack.characters[0].left_hand"),
    (track(right_hand=array("f8", T, 21, 5)), "pack.characters[0].right_hand"),
    (track(face_box=array("f4", T, 5)), "pack.characters[0].face_box"),
    (track(face=TRACK.face[:2]), "pack.characters[0].face has 2 maps, none or one a frame (5) are allowed"),
    (track(face=(array("u1", 256, 256, 3),) * T), "pack.characters[0].face[0] is u1 (256, 256, 3), u1 (512, 512, 3)"),
    (track(face=(array("u1", 512, 512),) * T), "pack.characters[0].face[0] is u1 (512, 512), u1 (512, 512, 3)"),
    (track(index=0), "pack.characters[0].index is wrong: expected int >= 1, got 0"),
    (track(name=""), "pack.characters[0].name is wrong"),
    (reference(body=array("f4", 20, 5)), "reference.body is f4 (20, 5)"),
    (reference(body=None), "reference.source is rig but its body is missing"),
    (reference(right_hand=array("f4", 20, 3)), "reference.right_hand"),
    (spec("t2v", None, frames=2.5), "the job's frames is wrong: expected int, got float"),
]


@pytest.mark.parametrize(("bad", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_bad_jobs(bad: JobSpec, sentence: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        validate(bad)
    assert sentence in str(caught.value)
    assert "`" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_job_too_large_for_one_message() -> None:
    frames = 4000
    maps = (array("u1", H, W, 3),) * frames
    big = DrivePack(W, H, frames, 16.0, plate=maps, clay=maps, mask=(array("u1", H, W),) * frames)
    with pytest.raises(InvalidJob, match="use fewer frames or maps"):
        validate(spec("i2v", big, frames=frames, image=PICTURE))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 9000, b'{"task": "t2v"}'])
def test_broken_json(text: bytes) -> None:
    with pytest.raises(InvalidJob):
        parse_spec(text)


def test_a_bad_spec_on_the_wire_keeps_its_request_and_names_its_field() -> None:
    message = m.SubmitJob("1" * 32, spec(width=9999), request=5)
    with pytest.raises(MalformedSpec, match="the job's width is wrong: expected int <= 4096, got 9999") as caught:
        codec.decode_client([codec.MAGIC, msgspec.msgpack.encode(message)])
    error = caught.value
    assert isinstance(error, ProtocolError)
    assert (error.code, error.request, error.job_id) == ("invalid_job", 5, "1" * 32)


def test_any_other_bad_message_keeps_its_request() -> None:
    body = msgspec.msgpack.encode({"type": "attach", "job_id": "1" * 32, "next_frame": -1, "request": 8})
    with pytest.raises(ProtocolError) as caught:
        codec.decode_client([codec.MAGIC, body])
    assert (caught.value.code, caught.value.request, caught.value.job_id) == ("protocol", 8, "1" * 32)
