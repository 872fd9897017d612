"""A server with the interfaces of both hubs: enough of Hugging Face's for huggingface_hub, and ModelScope's own."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class FakeHub:
    """``repos``: repository -> path -> bytes. Files of 1000 bytes and more are in LFS.

    ``cut``: path -> bytes after which the connection breaks, and from then on the file answers 503 until ``mend``;
    ``damaged``: paths that give other bytes of the same length; ``status``: repository -> status of its listing;
    ``asked``: (method, path, Range header) of every request for a file.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    commit: str = COMMIT

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(_Handler):
            state = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def mend(self) -> None:
        self.cut.clear()
        self.broken.clear()
        self.damaged.clear()

    def fetched(self) -> list[str]:
        return [path for method, path, _ in self.asked if method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path).strip("/")
        if path.startswith("api/v1/models/"):
            self._modelscope_list(path.removeprefix("api/v1/models/").removesuffix("/repo/files"))
        elif path.startswith("api/models/"):
            self._list("/".join(path.split("/")[2:4]), bool(parse_qs(url.query)))
        elif "/resolve/" in path:
            repo, _, rest = path.removeprefix("models/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            self._file(repo, revision, name)
        else:
            self._send(404, b"{}")

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _refused(self, repo: str) -> bool:
        status = self.state.status.get(repo, 200 if repo in self.state.repos else 404)
        if status == 200:
            return False
        code = {403: "GatedRepo", 404: "RepoNotFound", 401: "RepoNotFound"}.get(status, "")
        self._send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": "no"})
        return True

    def _list(self, repo: str, blobs: bool) -> None:
        if self._refused(repo):
            return
        siblings = []
        for path, data in self.state.repos[repo].items():
            each: dict[str, object] = {"rfilename": path}
            if blobs:
                each |= {"size": len(data), "blobId": git_sha1(data)}
                if len(data) >= 1000:
                    each["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(each)
        self._send(200, json.dumps({"id": repo, "sha": self.state.commit, "siblings": siblings}).encode())

    def _modelscope_list(self, repo: str) -> None:
        if self._refused(repo):
            return
        files = [{"Path": "vae", "Type": "tree", "Size": 0}]
        for path, data in self.state.repos[repo].items():
            files.append({"Path": path, "Type": "blob", "Size": len(data), "Sha256": hashlib.sha256(data).hexdigest()})
        self._send(200, json.dumps({"Code": 200, "Data": {"Files": files}}).encode())

    def _file(self, repo: str, revision: str, name: str) -> None:
        asked = self.headers.get("Range", "")
        self.state.asked.append((self.command, name, asked))
        data = self.state.repos.get(repo, {}).get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        if name in self.state.broken:
            self._send(503, b"later")
            return
        etag = hashlib.sha256(data).hexdigest() if len(data) >= 1000 else git_sha1(data)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.state.commit, "Accept-Ranges": "bytes"}
        if name in self.state.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        if self.command == "GET" and name in self.state.cut:
            self._break(name, data[begin:], headers)
            return
        self._send(206 if begin else 200, data[begin:], headers)

    def _break(self, name: str, data: bytes, headers: dict[str, str]) -> None:
        self.state.broken.add(name)
        self.send_response(200)
        for key, value in {"Content-Length": str(len(data)), "Connection": "close", **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data[: self.state.cut[name]])
