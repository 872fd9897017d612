"""Builds the add-on's zips into dist/: ``python packaging/build_extension.py [--host-only] [--out DIR]``.

``wanstage-VERSION.zip``          the extension for Blender 4.2 and later: the add-on, ``protocol`` inside it,
                                  unmodified wheels of pyzmq and msgspec, pinned by hash in wheels.txt, and under
                                  ``setup/payload`` the backend's own wheel, which the first-run setup installs
``wanstage-VERSION-classic.zip``  for Blender 3.4 to 4.1: a generated ``bl_info`` and the wheels of this machine
                                  unpacked (Python 3.11, as Debian's Blender has)
``index.json``                    the listing of a static extension repository: put the folder on any web server and
                                  add the address of index.json in Blender under Get Extensions, Repositories

The same sources give the same bytes: fixed times, sorted names, no compression differences between runs.
Standard library and pip only.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDON, PROTOCOL = ROOT / "blender_addon", ROOT / "protocol"
WHEELS = Path(__file__).with_name("wheels.txt")
BUILDERS = Path(__file__).with_name("build-constraints.txt")
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
PAYLOAD = "setup/payload"
HOSTS = {"linux": "manylinux", "darwin": "macosx", "win32": "win_"}
PLATFORMS = {
    ("win_", "amd64"): "windows-x64",
    ("macosx", "arm64"): "macos-arm64",
    ("macosx", "x86_64"): "macos-x64",
    ("manylinux", "x86_64"): "linux-x64",
}
EPOCH, EPOCH_S = (2020, 1, 1, 0, 0, 0), "1577836800"
LISTED = ("schema_version", "id", "name", "tagline", "version", "type", "maintainer", "license", "blender_version_min",
          "copyright", "permissions", "tags", "platforms")  # fmt: skip
Files = dict[str, bytes]

CLASSIC_HEAD = '''"""Generated from blender_manifest.toml for Blenders that have no extensions."""

import os as _os
import sys as _sys

bl_info = {{
    "name": "{name}",
    "description": "{tagline}",
    "author": "{maintainer}",
    "version": {version},
    "blender": (3, 4, 0),
    "location": "View3D > Sidebar > Wanstage",
    "category": "Animation",
}}

_vendor = _os.path.join(_os.path.dirname(__file__), "vendor")
if _vendor not in _sys.path:
    _sys.path.append(_vendor)

'''


def pinned() -> dict[str, str]:
    """File name -> sha256 of every wheel."""
    lines = (line.split() for line in WHEELS.read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    return {name: digest for digest, name in lines}


def fetch(name: str, digest: str, folder: Path) -> bytes:
    """A pinned wheel, from ``folder`` or by pip. SystemExit when it is not the pinned file."""
    file = folder / name
    if not file.is_file():
        _download(name, folder)
    data = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(data).hexdigest() != digest:
        file.unlink(missing_ok=True)
        sys.exit(f"{name} is not the file pinned in {WHEELS.name}: look at the package index, then update the pin")
    return data


def _download(name: str, folder: Path) -> None:
    project, version, python, _, platforms = name.removesuffix(".whl").split("-")
    wanted = "3.13" if python in {"cp312", "cp313"} else "3.11"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest",
               str(folder), "--python-version", wanted]  # fmt: skip
    for platform in platforms.split("."):
        command += ["--platform", platform]
    subprocess.run([*command, f"{project}=={version}"], check=True)


def backend() -> Files:
    """The backend's wheel and the versions it is tested with, as the setup looks for them; built by pip and hatchling,
    both of the versions in build-constraints.txt. CalledProcessError when the build fails."""
    told = {"SOURCE_DATE_EPOCH": EPOCH_S, "PIP_CONSTRAINT": str(BUILDERS), "PIP_BUILD_CONSTRAINT": str(BUILDERS)}
    with tempfile.TemporaryDirectory(prefix="wanstage-wheel-") as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        subprocess.run(command, check=True, env={**os.environ, **told})
        built = {f"{PAYLOAD}/{path.name}": path.read_bytes() for path in Path(folder).glob("*.whl")}
    return {**built, f"{PAYLOAD}/constraints.txt": CONSTRAINTS.read_bytes()}


def sources() -> Files:
    """The add-on with ``protocol`` inside it, names relative to the add-on's folder."""
    found = {name: data for name, data in _tree(ADDON) if not name.startswith(f"{PAYLOAD}/")}
    found.update({f"protocol/{name}": data for name, data in _tree(PROTOCOL)})
    licence = ROOT / "LICENSE"
    if licence.is_file():
        found["LICENSE"] = licence.read_bytes()
    return found


def _tree(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".py", ".toml", ".json", ".md"} and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def extension(wheels: dict[str, bytes], manifest: str, carried: Files) -> Files:
    """The files of the extension zip. ``carried``: what ``backend`` made."""
    found = {**sources(), **carried}
    found.update({f"wheels/{name}": data for name, data in wheels.items()})
    listed = "".join(f'  "./wheels/{name}",\n' for name in sorted(wheels))
    platforms = sorted({ours for name in wheels for ours in platforms_of(name)})
    quoted = ", ".join(f'"{platform}"' for platform in platforms)
    extra = f"platforms = [{quoted}]\nwheels = [\n{listed}]\n\n"
    found["blender_manifest.toml"] = manifest.replace("[permissions]", f"{extra}[permissions]").encode()
    return found


def platforms_of(name: str) -> set[str]:
    """Blender's names of the systems that a wheel is for."""
    tags = name.removesuffix(".whl").rpartition("-")[2]
    return {ours for (system, machine), ours in PLATFORMS.items() if system in tags and machine in tags}


def classic(wheels: dict[str, bytes], manifest: dict[str, object], carried: Files) -> Files:
    """The files of the classic zip, all under ``wanstage/``."""
    found = {**sources(), **carried}
    del found["blender_manifest.toml"]
    version = tuple(int(part) for part in str(manifest["version"]).split("."))
    head = CLASSIC_HEAD.format(**{**manifest, "version": version})
    body = found["__init__.py"].decode().replace("from __future__ import annotations\n", "")
    found["__init__.py"] = ("from __future__ import annotations\n" + head + body).encode()
    for name, data in wheels.items():
        if "-cp311-cp311-" in name and HOSTS[sys.platform] in name:
            with zipfile.ZipFile(io.BytesIO(data)) as wheel:
                found.update({f"vendor/{item}": wheel.read(item) for item in wheel.namelist() if item[-1] != "/"})
    return {f"wanstage/{name}": data for name, data in found.items()}


def listing(archive: Path) -> str:
    """The index.json of a repository that has this extension alone, as ``blender --command extension
    server-generate`` writes it."""
    with zipfile.ZipFile(archive) as zipped:
        manifest = tomllib.loads(zipped.read("blender_manifest.toml").decode())
    item = {name: manifest[name] for name in LISTED if name in manifest}
    item["python_versions"] = sorted({version for name in manifest["wheels"] for version in pythons_of(name)})
    data = archive.read_bytes()
    item["archive_url"], item["archive_size"] = f"./{archive.name}", len(data)
    item["archive_hash"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return json.dumps({"version": "v1", "blocklist": [], "data": [item]}, indent=2, ensure_ascii=False)


def pythons_of(name: str) -> set[str]:
    """The Pythons of a Blender that a wheel is for: cp312-abi3 is for 3.13, the only later one that Blender has."""
    python = name.removesuffix(".whl").split("-")[2]
    return {"cp311": {"3.11"}}.get(python, {"3.13"})


def write_zip(path: Path, files: Files) -> None:
    """Sorted, with fixed times and modes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
            target.writestr(entry, files[name])


def main() -> int:
    """Build both zips and the listing; prints their names, sizes and hashes."""
    parser = argparse.ArgumentParser(description="Build the Blender extension into dist/")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zips")
    parser.add_argument("--wheels", type=Path, help="folder where fetched wheels are kept (default: wheels in --out)")
    parser.add_argument("--host-only", action="store_true", help="only this system's wheels: smaller, for tests")
    told = parser.parse_args()
    cache = told.wheels or told.out / "wheels"
    for folder in (told.out, cache):
        folder.mkdir(parents=True, exist_ok=True)
    names = {name: digest for name, digest in pinned().items() if not told.host_only or HOSTS[sys.platform] in name}
    wheels = {name: fetch(name, digest, cache) for name, digest in names.items()}
    text = (ADDON / "blender_manifest.toml").read_text(encoding="utf-8")
    manifest, carried = tomllib.loads(text), backend()
    main_zip = told.out / f"wanstage-{manifest['version']}.zip"
    made = {
        main_zip: extension(wheels, text, carried),
        told.out / f"wanstage-{manifest['version']}-classic.zip": classic(wheels, manifest, carried),
    }
    for path, files in made.items():
        write_zip(path, files)
    (told.out / "index.json").write_text(listing(main_zip), encoding="utf-8")
    for path in (*made, told.out / "index.json"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB  sha256 {digest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
