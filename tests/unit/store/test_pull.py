"""Downloads from a server that answers as the hubs do: whole, broken off, damaged, without room, offline, removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub
from store_trees import write_diffusers, write_original

from backend.cli import main
from wan_models.options import Options
from wan_models.registry import model_row
from wan_models.store import ModelMissing, find, find_lora
from wan_models.store.catalogue import item
from wan_models.store.hubs import HubName, HubProblem, open_hub
from wan_models.store.items import Item
from wan_models.store.pull import pull, remove, verify, where
from wan_models.store.receipts import alone

pytest.importorskip("huggingface_hub")
ROW = model_row("wan2.2-ti2v-5b")
MODEL = item(ROW.name)
SHARD = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"
HUBS: tuple[HubName, ...] = ("huggingface", "modelscope")


class Watcher:
    def __init__(self) -> None:
        self.begun: tuple[int, int, int] = (0, 0, 0)
        self.done: list[int] = []

    def begin(self, item: Item, files: int, size: int, done: int) -> None:
        self.begun = (files, size, done)

    def progress(self, path: str, done: int) -> None:
        self.done.append(done)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Both hubs, with the 5B (and files that nobody needs), a LoRA pair and relighting."""
    from huggingface_hub import close_session

    made = write_diffusers(tmp_path / "made", ROW)
    files = {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    shutil.rmtree(made)
    files |= {"README.md": b"read me", "vae/diffusion_pytorch_model.fp16.safetensors": bytes(2000)}
    lightning = item("wan2.2-t2v-lightx2v-4step-high").lora
    assert lightning is not None
    with FakeHub() as server:
        server.repos = {ROW.repo: files, lightning.repo: {lightning.paths[0]: bytes(range(256)) * 8}}
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("MODELSCOPE_DOMAIN", server.url)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        close_session()
        yield server
        close_session()


def needed(hub: FakeHub) -> dict[str, bytes]:
    return {path: data for path, data in hub.repos[ROW.repo].items() if path != "README.md" and "fp16" not in path}


@pytest.mark.parametrize("name", HUBS)
def test_pull_verify_and_remove(name: HubName, hub: FakeHub, home: Path) -> None:
    watcher = Watcher()
    root = pull(MODEL, open_hub(name), Options(), watcher)
    assert root == find(ROW, Options()).root == where(MODEL, Options())
    for path, data in needed(hub).items():
        assert (root / path).read_bytes() == data
    assert set(hub.fetched()) == set(needed(hub))
    size = sum(map(len, needed(hub).values()))
    assert watcher.begun == (len(needed(hub)), size, 0)
    assert watcher.done == sorted(watcher.done)
    assert watcher.done[-1] == size

    checks = list(verify(MODEL, Options(), Watcher()))
    assert {check.path for check in checks} == {root / path for path in needed(hub)}
    assert all(check.sure and not check.problem for check in checks)

    hub.asked.clear()
    again = Watcher()
    assert pull(MODEL, open_hub(name), Options(), again) == root
    assert again.begun[2] == size
    assert not hub.fetched()

    assert remove(MODEL) == size
    assert not [path for path in (home / "hub").rglob("*") if path.is_file() and ".locks" not in path.parts
                and path.name != "CACHEDIR.TAG"]  # fmt: skip
    assert not (home / "data" / "models" / ROW.name).exists()
    with pytest.raises(ModelMissing, match="was not downloaded by wanstage"):
        remove(MODEL)


def test_the_cache_is_huggingface_hubs_own(hub: FakeHub, home: Path) -> None:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    root = pull(MODEL, open_hub("huggingface"), Options(), Watcher())
    assert try_to_load_from_cache(ROW.repo, SHARD, cache_dir=home / "hub") == str(root / SHARD)
    path = hf_hub_download(ROW.repo, SHARD, cache_dir=home / "hub", local_files_only=True)
    assert Path(path) == root / SHARD


@pytest.mark.parametrize("name", HUBS)
def test_a_broken_download_goes_on(name: HubName, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 256)
    hub.cut[SHARD] = 1024
    with pytest.raises(HubProblem, match=r"answers 503 for .*: pull again later \(what has come is kept\)"):
        pull(MODEL, open_hub(name), Options(), Watcher())
    with pytest.raises(ModelMissing):
        find(ROW, Options())
    hub.mend()
    hub.asked.clear()
    watcher = Watcher()
    root = pull(MODEL, open_hub(name), Options(), watcher)
    assert ("GET", SHARD, "bytes=1024-") in hub.asked
    assert watcher.begun[2] >= 1024
    assert (root / SHARD).read_bytes() == hub.repos[ROW.repo][SHARD]
    assert watcher.done[-1] == watcher.begun[1]


@pytest.mark.parametrize("name", HUBS)
def test_a_wrong_checksum(name: HubName, hub: FakeHub, home: Path) -> None:
    hub.damaged.add("vae/config.json")
    with pytest.raises(HubProblem, match=r"vae/config.json of .* came damaged from .*its sum is \w+, not \w+"):
        pull(MODEL, open_hub(name), Options(), Watcher())
    assert not list(home.rglob("*wanstage-part"))
    hub.mend()
    pull(MODEL, open_hub(name), Options(), Watcher())


@pytest.mark.parametrize("name", HUBS)
def test_no_room(name: HubName, hub: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wan_models.store.hubs.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 10**9))
    with pytest.raises(ModelMissing, match=r"wan2.2-ti2v-5b needs 0\.0 GB more on the disk of .*1\.0 GB are free"):
        pull(MODEL, open_hub(name), Options(), Watcher())
    assert not hub.fetched()


def test_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelMissing, match="cannot be pulled offline"):
        pull(MODEL, open_hub("huggingface"), Options(offline=True), Watcher())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelMissing, match="cannot be pulled offline"):
        pull(MODEL, open_hub("huggingface"), Options(), Watcher())


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("huggingface", 403, "wants its conditions accepted: do so at .*, run 'hf auth login'"),
        ("huggingface", 404, "that may be read: take '--hub modelscope', or log in"),
        ("huggingface", 500, "answers 500 for .*'--hub modelscope'"),
        ("modelscope", 404, "has no .*: take '--hub huggingface'"),
        ("modelscope", 502, "answers 502 for .*'--hub huggingface'"),
    ],
)
def test_hubs_that_refuse(name: HubName, status: int, sentence: str, hub: FakeHub) -> None:
    hub.status[ROW.repo] = status
    with pytest.raises(HubProblem, match=sentence):
        pull(MODEL, open_hub(name), Options(), Watcher())


def test_a_hub_that_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub() as gone:
        pass
    monkeypatch.setenv("HF_ENDPOINT", gone.url)
    monkeypatch.setenv("MODELSCOPE_DOMAIN", gone.url)
    for name in HUBS:
        with pytest.raises(HubProblem, match=r"cannot be reached .* see to the network and pull again"):
            pull(MODEL, open_hub(name), Options(), Watcher())


def test_files_of_others_stay(hub: FakeHub, home: Path) -> None:
    """What was in the cache already, and an artist's own folders, are never removed."""
    from huggingface_hub import hf_hub_download

    theirs = Path(hf_hub_download(ROW.repo, "vae/config.json", cache_dir=home / "hub", endpoint=hub.url))
    root = pull(MODEL, open_hub("huggingface"), Options(), Watcher())
    remove(MODEL)
    assert theirs.read_bytes() == hub.repos[ROW.repo]["vae/config.json"]
    assert not (root / SHARD).exists()
    mine = write_diffusers(home / "mine" / ROW.name, ROW)
    with pytest.raises(ModelMissing, match="only the artist deletes"):
        remove(MODEL)
    assert find(ROW, Options(folders=(home / "mine",))).root == mine


def test_two_items_of_one_repository(hub: FakeHub, home: Path) -> None:
    tokenizer = item("umt5-xxl-tokenizer")
    folder = pull(tokenizer, open_hub("huggingface"), Options(), Watcher())
    assert (folder / "tokenizer.json").is_file()
    root = pull(MODEL, open_hub("huggingface"), Options(), Watcher())
    remove(tokenizer)  # the model needs it still
    assert find(ROW, Options()).root == root
    remove(MODEL)
    assert not list((home / "hub").rglob("tokenizer.json"))
    with pytest.raises(ModelMissing, match="umt5-xxl-tokenizer is not here"):
        where(tokenizer, Options())


@pytest.mark.parametrize("name", HUBS)
def test_a_lora(name: HubName, hub: FakeHub) -> None:
    lora = item("wan2.2-t2v-lightx2v-4step-high")
    path = pull(lora, open_hub(name), Options(), Watcher())
    assert path == find_lora(lora.name, Options())
    assert path.read_bytes() == bytes(range(256)) * 8
    assert [check.sure for check in verify(lora, Options(), Watcher())] == [True]
    remove(lora)
    with pytest.raises(ModelMissing, match="run 'wanstage models pull"):
        find_lora(lora.name, Options())


def test_verify_finds_damage(hub: FakeHub, home: Path) -> None:
    root = pull(MODEL, open_hub("huggingface"), Options(), Watcher())
    data = bytearray((root / SHARD).read_bytes())
    data[-1] ^= 1
    (root / SHARD).resolve().write_bytes(data)
    bad = [check for check in verify(MODEL, Options(), Watcher()) if check.problem]
    assert [check.path for check in bad] == [root / SHARD]
    assert "its sum is" in bad[0].problem
    # Without a receipt the names of the cache's blobs are the sums.
    shutil.rmtree(home / "data")
    assert [check.path for check in verify(MODEL, Options(), Watcher()) if check.problem] == [root / SHARD]
    write_diffusers(home / "mine" / ROW.name, ROW)
    checks = list(verify(MODEL, Options(folders=(home / "mine",)), Watcher()))
    assert not any(check.sure or check.problem for check in checks)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_command(hub: FakeHub, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", ROW.name, "--json"]) == 0
    told = lines(capsys.readouterr().out)
    size = sum(map(len, needed(hub).values()))
    assert told[0] == {"event": "begin", "name": ROW.name, "files": len(needed(hub)), "bytes": size, "done": 0}
    assert [line["done"] for line in told if line["event"] == "progress"][-1] == size
    root = find(ROW, Options()).root
    assert told[-1] == {"event": "result", "name": ROW.name, "path": str(root)}

    assert main(["models", "path", ROW.name]) == 0
    assert capsys.readouterr().out == f"{root}\n"
    assert main(["models", "list", "--json"]) == 0
    listed = {line["name"]: line for line in lines(capsys.readouterr().out)}
    assert listed[ROW.name]["folder"] == str(root)
    assert listed[ROW.name]["layout"] == "diffusers"
    assert listed["wan2.2-t2v-a14b"]["folder"] == ""
    assert main(["models", "list"]) == 0
    assert "diffusers" in capsys.readouterr().out
    assert main(["models", "verify", ROW.name]) == 0
    assert "files are sound\n" in capsys.readouterr().out
    (root / SHARD).resolve().write_bytes(bytes(len(hub.repos[ROW.repo][SHARD])))
    assert main(["models", "verify", ROW.name, "--json"]) in (1, 4)
    assert main(["models", "rm", ROW.name]) == 0
    assert "are free again" in capsys.readouterr().out
    assert main(["models", "path", ROW.name]) == 4
    assert f"run 'wanstage models pull {ROW.name}'" in capsys.readouterr().err


def test_the_command_leaves_what_is_there(hub: FakeHub, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = write_diffusers(home / "mine" / ROW.name, ROW)
    assert main(["models", "pull", ROW.name, "--models", str(home / "mine")]) == 0
    assert f"is here already: {mine}" in capsys.readouterr().out
    assert not hub.asked
    assert main(["models", "pull", ROW.name, "--models", str(home / "mine"), "--again", "--hub", "modelscope"]) == 0
    assert (home / "data" / "models" / ROW.name / SHARD).is_file()
    assert main(["models", "pull", "wan9"]) == 4
    assert "there is no model or LoRA wan9" in capsys.readouterr().err
    assert main(["models", "pull", "wan2.2-t2v-a14b", "--offline"]) == 4
    assert "offline" in capsys.readouterr().err


def test_path_of_a_lora_of_ones_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "mine" / "loras").mkdir(parents=True)
    (home / "mine" / "loras" / "paint.safetensors").write_bytes(b"x")
    assert main(["models", "path", "paint", "--models", str(home / "mine")]) == 0
    assert capsys.readouterr().out.strip() == os.path.join(home, "mine", "loras", "paint.safetensors")


@pytest.mark.parametrize("name", HUBS)
def test_the_original_layout(name: HubName, hub: FakeHub, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    animate = model_row("wan2.2-animate-14b")
    made = write_original(home / "made", animate)
    files = {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    shutil.rmtree(made)
    extra = {"xlm-roberta-large/pytorch_model.bin": bytes(5), "relighting_lora.ckpt": bytes(1500), "README.md": b"x",
             "process_checkpoint/det/yolov10m.onnx": bytes(7)}  # fmt: skip
    hub.repos[animate.original_repo] = {**files, "config.json": b'{"_class_name": "WanAnimateModel"}', **extra}
    told = ["models", "pull", animate.name, "--hub", name, "--layout", "original"]
    assert main([*told, "--fast"]) == 0
    capsys.readouterr()
    found = find(animate, Options())
    assert found.layout == "original"
    assert set(hub.fetched()) == {*files, "config.json", "relighting_lora.ckpt"}
    assert find_lora("wan2.2-animate-relighting", Options()).name == "relighting_lora.ckpt"
    assert all(check.sure and not check.problem for check in verify(item(animate.name), Options(), Watcher()))
    assert main(["models", "rm", animate.name, "wan2.2-animate-relighting"]) == 0
    with pytest.raises(ModelMissing, match="there are no weights"):
        find(animate, Options())
    assert main(["models", "pull", "wan2.2-animate-2-14b", "--layout", "original"]) == 4
    assert "exists in one layout only" in capsys.readouterr().err


@pytest.mark.parametrize("name", HUBS)
def test_s2v_comes_without_naming_its_layout(name: HubName, hub: FakeHub, home: Path) -> None:
    row = model_row("wan2.2-s2v-14b")
    made = write_original(home / "made", row)
    files = {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    shutil.rmtree(made)
    copies = {
        f"wav2vec2-large-xlsr-53-english/{name}": bytes(9) for name in ("flax_model.msgpack", "pytorch_model.bin")
    }
    hub.repos[row.original_repo] = {**files, **copies, "config.json": b"{}", "README.md": b"x"}
    assert main(["models", "pull", row.name, "--hub", name]) == 0
    assert set(hub.fetched()) == {*files, "config.json"}
    found = find(row, Options())
    assert found.layout == "original"
    assert all(check.sure and not check.problem for check in verify(item(row.name), Options(), Watcher()))
    assert remove(item(row.name)) == sum(map(len, files.values())) + 2
    with pytest.raises(ModelMissing, match="there are no weights"):
        find(row, Options())


def test_an_interrupted_pull_keeps_what_has_come(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 256)

    class Impatient(Watcher):
        def progress(self, path: str, done: int) -> None:
            if path == SHARD:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(MODEL, open_hub("huggingface"), Options(), Impatient())
    hub.asked.clear()
    root = pull(MODEL, open_hub("huggingface"), Options(), Watcher())
    assert ("GET", SHARD, "bytes=256-") in hub.asked
    assert (root / SHARD).read_bytes() == hub.repos[ROW.repo][SHARD]


def test_one_pull_at_a_time(hub: FakeHub) -> None:
    with alone(MODEL.key), pytest.raises(ModelMissing, match="is being pulled or removed by another process"):
        pull(MODEL, open_hub("huggingface"), Options(), Watcher())
    pull(MODEL, open_hub("huggingface"), Options(), Watcher())


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("wan_models.store.hubs.find_spec", lambda _: None)
    assert main(["models", "pull", MODEL.name]) == 4
    assert "install it with 'pip install huggingface_hub'" in capsys.readouterr().err
