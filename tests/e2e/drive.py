"""Drive packs as a client sends them: an analytic scene as assets, maps encoded as the add-on encodes them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend import png
from backend.translate import load_array
from protocol import specs
from protocol.assets import AssetFolder
from protocol.refs import encode_array
from tests.unit.draft_animate.doll import doll_body, draw_doll, metres, project
from tests.unit.draft_i2v.scene import Scene
from wan_models.requests import BEHIND, STATE


def scene_pack(folder: AssetFolder, width: int, height: int, frames: int, roll: float = 0.05) -> specs.DrivePack:
    """A passing camera, a rolling sphere (mask 1) with the poses of a walking person, and a drawn person for it."""
    pack = Scene(width, height, frames, roll=roll).pack()
    maps: dict[str, Any] = {
        name: tuple(array(folder, each, "delta" if name in {"depth", "origin"} else "zlib") for each in maps)
        for name, maps in (("clay", pack.clay), ("plate", pack.plate), ("mask", pack.mask), ("depth", pack.depth))
    }
    assert pack.camera is not None
    assert pack.look is not None
    assert pack.look_plate is not None
    return specs.DrivePack(
        width,
        height,
        frames,
        pack.fps,
        camera=specs.Camera(array(folder, pack.camera.world_from_camera), array(folder, pack.camera.intrinsics)),
        characters=(_person(folder, width, height, frames),),
        origin=tuple(array(folder, each, "delta") for each in pack.origin),
        look=picture(folder, pack.look),
        look_plate=picture(folder, pack.look_plate),
        **maps,
    )


def repeated(folder: AssetFolder, pack: specs.DrivePack, frames: int) -> specs.DrivePack:
    """The same pack over and over, ``frames`` long, with poses that go on: a long shot of few assets."""
    times = [t % pack.frames for t in range(frames)]
    maps: dict[str, Any] = {
        name: tuple(getattr(pack, name)[t] for t in times) for name in ("clay", "plate", "mask", "depth", "origin")
    }
    assert pack.camera is not None
    tracks = (pack.camera.world_from_camera, pack.camera.intrinsics)
    matrices, intrinsics = (array(folder, load_array(folder, ref, "camera")[times]) for ref in tracks)
    return msgspec.structs.replace(
        pack,
        frames=frames,
        camera=specs.Camera(matrices, intrinsics),
        characters=(_person(folder, pack.width, pack.height, frames),),
        **maps,
    )


def _person(folder: AssetFolder, width: int, height: int, frames: int) -> specs.CharacterTrack:
    body, _ = project(metres()[np.arange(frames) % 72])
    body[..., 0] *= width / 416
    body[..., 1] *= height / 240
    body[2::9, 4, STATE] = BEHIND  # a wrist now and then: a doubtful frame, which gets a note
    drawn = specs.Reference(picture(folder, draw_doll()), "rig", array(folder, doll_body(), "zlib"))
    return specs.CharacterTrack(1, "Doll", array(folder, body, "zlib"), reference=drawn)


def array(folder: AssetFolder, data: NDArray[Any], codec: specs.Codec = "raw") -> specs.ArrayRef:
    """Store an array, with the differences of SPEC.md section 12 for ``delta``."""
    kind: Any = f"{data.dtype.kind}{data.dtype.itemsize}"
    data = np.ascontiguousarray(data)
    stored: Any = differences(data) if codec == "delta" else data
    return encode_array(folder, stored, kind, data.shape, codec)


def differences(data: NDArray[Any]) -> bytes:
    """Unsigned differences along axis 1, all lowest bytes first."""
    size = data.dtype.itemsize
    whole = data.view(f"<u{size}")
    changed = whole.copy()
    changed[:, 1:] -= whole[:, :-1]
    return changed.reshape(-1).view(np.uint8).reshape(-1, size).T.tobytes()


def picture(folder: AssetFolder, pixels: NDArray[np.uint8]) -> specs.ImageRef:
    """Store uint8 (h,w,3) or (h,w,4) as PNG."""
    return specs.ImageRef(folder.add(png.encode(pixels)), pixels.shape[1], pixels.shape[0])


def job(pack: specs.DrivePack, task: specs.Task, encoding: Any = "png") -> specs.JobSpec:
    """A job of the draft engine for the whole pack."""
    return specs.JobSpec(task, pack.width, pack.height, pack.frames, pack.fps, pack=pack, output=specs.Output(encoding))
