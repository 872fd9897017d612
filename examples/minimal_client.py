"""A whole client: python minimal_client.py connection.json picture.png "a prompt" frames_folder

Needs only pyzmq and msgpack, nothing of Wanstage; protocol/SPEC.md says what every message means.
"""

import hashlib
import json
import secrets
import sys
import time
from pathlib import Path

import msgpack
import zmq

WINDOW, CHUNK, SILENCE_S = 16 << 20, 1 << 20, 30.0  # bytes of frames on their way; bytes of one upload message


class Backend:
    """The envelope: magic with the major version, one MessagePack map, buffers."""

    def __init__(self, path: str) -> None:
        keys = json.loads(Path(path).read_text("utf-8"))
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        for ours, theirs in (("serverkey", "server_key"), ("publickey", "client_key"), ("secretkey", "client_secret")):
            setattr(self.socket, f"curve_{ours}", keys[theirs].encode())
        self.socket.connect(keys["endpoint"])

    def send(self, kind: str, *buffers: bytes, **fields: object) -> None:
        self.socket.send_multipart([b"WAN\x01", msgpack.packb({"type": kind, **fields}), *buffers])

    def receive(self, *kinds: str) -> tuple[dict, list[bytes]]:
        """The next message of one of these kinds; others are passed over, an error or too long a silence ends all."""
        until = time.monotonic() + SILENCE_S
        while time.monotonic() < until:
            if not self.socket.poll(500):  # short, so that Ctrl-C works on Windows
                self.send("ping")
                continue
            magic, body, *buffers = self.socket.recv_multipart()
            if magic != b"WAN\x01":
                sys.exit("the backend speaks another version of the protocol: update the older of the two")
            message = msgpack.unpackb(body)
            if message["type"] == "error":
                sys.exit(message["message"])  # one sentence, made to be shown
            if message["type"] in kinds:
                return message, buffers
            until = time.monotonic() + SILENCE_S  # any message is a sign of life
        sys.exit("the backend does not answer: start it with 'wanstage serve', and use its present connection file")


def upload(backend: Backend, data: bytes) -> dict:
    asset = {"id": hashlib.blake2b(data, digest_size=32).hexdigest(), "nbytes": len(data)}
    backend.send("have_assets", assets=[asset])
    for missing in backend.receive("assets_missing")[0]["missing"]:
        for offset in range(missing.get("have", 0), len(data), CHUNK):
            backend.send("put_chunk", data[offset : offset + CHUNK], asset=asset, offset=offset)
            print(f"uploaded {backend.receive('chunk_stored')[0]['have']} of {len(data)} bytes")
    return asset


def follow(backend: Backend, job_id: str, folder: Path) -> None:
    """Save frames until the job has ended and all that it made is here."""
    folder.mkdir(parents=True, exist_ok=True)
    saved, end = 0, None
    while end is None or saved < end:
        message, buffers = backend.receive("job_update", "frame_ready")
        if message["type"] == "frame_ready":
            (folder / f"{message['index']:04d}.png").write_bytes(buffers[0])
            backend.send("grant_credit", nbytes=len(buffers[0]))  # it is written: send as much again
            saved += 1
            continue
        print(f"{message['state']}: {message.get('progress', {}).get('frames_done', 0)} of {message['frames']} frames")
        if message["state"] in {"failed", "cancelled"}:
            sys.exit(message.get("error") or f"the job was {message['state']}")
        end = message["frames"] if message["state"] == "finished" else None


def main() -> None:
    connection, picture, prompt, folder = sys.argv[1:]
    data = Path(picture).read_bytes()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # a PNG's header
    backend = Backend(connection)
    backend.send("hello", session_id=secrets.token_hex(16), client="minimal client 1")
    print("connected to", backend.receive("welcome")[0]["backend"])
    backend.send("grant_credit", nbytes=WINDOW)
    image = {"asset": upload(backend, data), "width": width, "height": height}
    spec = {"task": "i2v", "engine": "draft", "prompt": prompt, "image": image, "output": {"previews": False}}
    spec.update(width=width, height=height, frames=17, fps=16.0)
    backend.send("submit_job", job_id=(job_id := secrets.token_hex(16)), spec=spec)
    backend.send("attach", job_id=job_id)
    follow(backend, job_id, Path(folder))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as problem:
        sys.exit(f"{problem}; call: {(__doc__ or '').splitlines()[0]}")
