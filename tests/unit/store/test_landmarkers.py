"""MediaPipe's models, from a server of the test's own: whole or not at all, continued, found where people have them."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.cli import main
from wan_models.options import Options
from wan_models.store import landmarkers
from wan_models.store.catalogue import item
from wan_models.store.found import ModelMissing
from wan_models.store.landmarkers import LANDMARKERS, pull_landmarker
from wan_models.store.pull import remove, verify, where

CONTENT = bytes(range(256)) * 4000
ROW = replace(LANDMARKERS[1], nbytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


class Watcher:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def begin(self, item: object, files: int, size: int, done: int) -> None:
        self.seen.append(done)

    def progress(self, path: str, done: int) -> None:
        self.seen.append(done)


class Storage(http.server.BaseHTTPRequestHandler):
    content = CONTENT
    asked: tuple[str, str] = ("", "")

    def do_GET(self) -> None:
        type(self).asked = (self.path, self.headers.get("Range", ""))
        if self.path != f"/{ROW.path}":
            self.send_error(404)
            return
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(self.content) - begin))
        self.end_headers()
        self.wfile.write(self.content[begin:])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Storage]]:
    kind = type("Storage", (Storage,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(landmarkers.MIRROR, f"http://127.0.0.1:{server.server_port}/")
        yield kind
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for such models; the catalogue's row is the test's."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.delenv("WANSTAGE_MEDIAPIPE_MODELS", raising=False)
    monkeypatch.setattr("wan_models.store.catalogue.LANDMARKERS", (ROW,))
    return tmp_path / "cache" / "mediapipe"


def test_a_model_is_pulled_found_verified_and_removed(storage: type[Storage], places: Path) -> None:
    hand, watcher = item("hand"), Watcher()
    with pytest.raises(ModelMissing, match="wanstage models pull hand"):
        where(hand, Options())
    path = pull_landmarker(hand, ROW, Options(), watcher)
    assert path == places / "hand_landmarker.task"
    assert path.read_bytes() == CONTENT
    assert watcher.seen == sorted(watcher.seen)
    assert watcher.seen[-1] == len(CONTENT)
    assert where(hand, Options()) == path
    assert [(check.problem, check.sure) for check in verify(hand, Options(), Watcher())] == [("", True)]
    assert remove(hand) == len(CONTENT)
    assert not path.exists()


def test_a_download_goes_on_where_it_stopped(storage: type[Storage], places: Path) -> None:
    places.mkdir(parents=True)
    (places / "hand_landmarker.task.wanstage-part").write_bytes(CONTENT[:1000])
    pull_landmarker(item("hand"), ROW, Options(), Watcher())
    assert storage.asked[1] == "bytes=1000-"
    assert (places / "hand_landmarker.task").read_bytes() == CONTENT


def test_a_damaged_download_is_not_kept(storage: type[Storage], places: Path) -> None:
    storage.content = CONTENT[:-1] + b"x"
    with pytest.raises(ModelMissing, match="came damaged"):
        pull_landmarker(item("hand"), ROW, Options(), Watcher())
    assert list(places.iterdir()) == []


def test_a_server_that_has_it_not_is_named(storage: type[Storage], places: Path) -> None:
    other = replace(ROW, path="elsewhere")
    with pytest.raises(ModelMissing, match="answers 404"):
        pull_landmarker(item("hand"), other, Options(), Watcher())


def test_no_server_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(landmarkers.MIRROR, "http://127.0.0.1:1")
    with pytest.raises(ModelMissing, match="cannot be reached"):
        pull_landmarker(item("hand"), ROW, Options(), Watcher())
    monkeypatch.setenv(landmarkers.MIRROR, "file:///etc")
    with pytest.raises(ModelMissing, match="begins with https"):
        pull_landmarker(item("hand"), ROW, Options(), Watcher())
    with pytest.raises(ModelMissing, match="offline"):
        pull_landmarker(item("hand"), ROW, Options(offline=True), Watcher())


def test_a_model_in_a_folder_of_the_users_is_used(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "hand_landmarker.task").write_bytes(CONTENT[:-1] + b"x")
    options = Options(folders=(mine,))
    assert where(item("hand"), options) == mine / "hand_landmarker.task"
    assert "its sum is" in next(iter(verify(item("hand"), options, Watcher()))).problem


def test_the_command_line_pulls_it(storage: type[Storage], places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "hand", "--json"]) == 0
    assert str(places / "hand_landmarker.task") in capsys.readouterr().out
    assert main(["models", "pull", "hand"]) == 0
    assert main(["models", "path", "hand"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(places / "hand_landmarker.task")


def test_the_known_rows() -> None:
    assert [each.name for each in LANDMARKERS] == ["pose", "hand", "face"]
    assert LANDMARKERS[0].path.endswith("pose_landmarker/pose_landmarker_full/float16/1/pose_landmarker_full.task")
