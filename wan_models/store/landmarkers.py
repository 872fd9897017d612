"""MediaPipe's models of bodies, hands and faces: from Google's storage into the folder where they are looked for.

They need no hub and none of its packages: one file each, its sum known here.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from wan_models.options import Options
from wan_models.pose.models import FACE_MODEL, HAND_MODEL, POSE_MODEL, find_model, folders

from . import receipts
from .found import ModelMissing
from .items import Item, Landmarker, Watcher
from .places import offline, told_folders
from .receipts import Receipt
from .transfer import part_of, wrong_sum

HOME = "https://storage.googleapis.com"
MIRROR = "WANSTAGE_MEDIAPIPE_URL"
"""The variable that names another server with the same paths."""
_BLOCK = 1 << 18
_TIMEOUT_S = 30.0


def _row(name: str, title: str, file: str, nbytes: int, sha256: str) -> Landmarker:
    stem = file.removesuffix(".task")
    task = "pose_landmarker" if name == "pose" else stem
    return Landmarker(name, title, file, f"mediapipe-models/{task}/{stem}/float16/1/{file}", nbytes, sha256)


LANDMARKERS = (
    _row("pose", "Finds bodies in films (MediaPipe)", POSE_MODEL, 9_398_198,
         "4eaa5eb7a98365221087693fcc286334cf0858e2eb6e15b506aa4a7ecdcec4ad"),
    _row("hand", "Finds fingers in films (MediaPipe)", HAND_MODEL, 7_819_105,
         "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1"),
    _row("face", "Finds expressions in films (MediaPipe)", FACE_MODEL, 3_758_596,
         "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"),
)  # fmt: skip


def find_landmarker(row: Landmarker, options: Options) -> Path | None:
    """The model's file where people have it; the folders of ``options`` first."""
    for folder in told_folders(options):
        if (found := find_model(row.file, folder)) is not None:
            return found
    return find_model(row.file)


def pull_landmarker(item: Item, row: Landmarker, options: Options, watcher: Watcher) -> Path:
    """Fetch the file into the user's folder for such models; continues where it stopped. Returns its path.

    Raises ModelMissing: offline, the network, no room, a wrong sum (then nothing is kept).
    """
    if offline(options):
        problem = f"{item.name} cannot be pulled offline: pull it where there is a network, or copy {row.file}"
        raise ModelMissing(problem)
    place = folders()[-1] / row.file
    with receipts.alone(item.key):
        watcher.begin(item, 1, row.nbytes, row.nbytes if place.is_file() else 0)
        if not place.is_file():
            part = part_of(place)
            _note(item, row, place)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                _get(row, part, lambda done: watcher.progress(row.file, done))
            except OSError as error:
                raise ModelMissing(_problem(row, error)) from error
            if wrong := wrong_sum(part, row.sha256, ""):
                part.unlink()
                problem = f"{row.file} came damaged from {_home()} ({wrong}): pull again"
                raise ModelMissing(problem)
            part.replace(place)
        watcher.progress(row.file, row.nbytes)
    return place


def _home() -> str:
    return (os.environ.get(MIRROR) or HOME).rstrip("/")


def _note(item: Item, row: Landmarker, place: Path) -> None:
    note = Receipt(item.key, "google", row.path, "1", str(place.parent))
    note.files[row.file] = {
        "size": row.nbytes, "sha256": row.sha256, "git_sha1": "", "place": str(place), "seen": str(place), "ours": True,
    }  # fmt: skip
    note.save()


def _get(row: Landmarker, part: Path, told: Callable[[int], None]) -> None:
    begun = part.stat().st_size if part.exists() else 0
    if begun >= row.nbytes:
        part.unlink()
        begun = 0
    url = f"{_home()}/{quote(row.path)}"
    if not url.startswith(("https://", "http://")):
        problem = f"{MIRROR} is {_home()}: give an address that begins with https://"
        raise ModelMissing(problem)
    request = urllib.request.Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})  # noqa: S310 - as checked
    with closing(urllib.request.urlopen(request, timeout=_TIMEOUT_S)) as answer:  # noqa: S310 - as checked
        goes_on = answer.status == 206
        with part.open("ab" if goes_on else "wb") as file:
            done = begun if goes_on else 0
            while done <= row.nbytes and (block := answer.read(_BLOCK)):
                done += file.write(block)
                told(min(done, row.nbytes))


def _problem(row: Landmarker, error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        reason = f"answers {error.code}"
        error.close()
    elif error.errno == 28:
        return f"the disk is full while fetching {row.file}: free some room and pull again; what has come is kept"
    else:
        reason = f"cannot be reached ({getattr(error, 'reason', error)})"
    return (
        f"{_home()} {reason}: see to the network and pull again (what has come is kept), or fetch {row.file} elsewhere "
        f"and put it into {folders()[-1]}"
    )
