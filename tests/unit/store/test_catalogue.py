"""What is fetched of a repository, and LoRAs by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_trees import write_safetensors

from wan_models.models import MODELS
from wan_models.options import Options
from wan_models.store import ModelMissing, find_lora
from wan_models.store.catalogue import LORAS, in_original_layout, item, items

T2V = item("wan2.2-t2v-a14b")


def listing(row_name: str, extra: tuple[str, ...] = ()) -> list[str]:
    row = item(row_name).row
    assert row is not None
    paths = ["README.md", ".gitattributes", "model_index.json", "scheduler/scheduler_config.json", "assets/logo.png"]
    paths += ["tokenizer/tokenizer.json", "tokenizer/spiece.model", "examples/i2v_input.JPG"]
    for part in row.parts:
        stem = "diffusion_pytorch_model" if part in ("vae", "transformer", "transformer_2") else "model"
        paths += [f"{part}/config.json", f"{part}/{stem}.safetensors.index.json"]
        paths += [f"{part}/{stem}-0000{n}-of-00002.safetensors" for n in (1, 2)]
    return [*paths, *extra]


@pytest.mark.parametrize("row", [row for row in MODELS if row.repo], ids=lambda row: row.name)
def test_only_what_is_needed(row: object) -> None:
    name = str(getattr(row, "name", ""))
    extra = ("vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.safetensors", "vae/model.onnx")
    wanted = item(name).wanted(listing(name, extra))
    assert len(wanted) == len(set(wanted))
    assert set(listing(name)) - set(wanted) == {"README.md", ".gitattributes", "assets/logo.png",
                                               "examples/i2v_input.JPG"}  # fmt: skip
    assert not set(wanted) & set(extra)


def test_s2v_comes_in_the_layout_that_there_is() -> None:
    told = item("wan2.2-s2v-14b")
    assert (told.repo, told.original) == ("Wan-AI/Wan2.2-S2V-14B", True)
    assert in_original_layout(told) == told
    audio = "wav2vec2-large-xlsr-53-english"
    needed = ["config.json", "diffusion_pytorch_model.safetensors.index.json", "models_t5_umt5-xxl-enc-bf16.pth"]
    needed += [f"diffusion_pytorch_model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4)]
    needed += ["google/umt5-xxl/tokenizer.json", "Wan2.1_VAE.pth"]
    needed += [f"{audio}/{name}" for name in ("config.json", "preprocessor_config.json", "model.safetensors")]
    others = ["README.md", "configuration.json", "assets/logo.png", f"{audio}/language_model/lm.binary"]
    others += [f"{audio}/{name}" for name in ("flax_model.msgpack", "pytorch_model.bin", "vocab.json")]
    assert set(told.wanted([*others, *needed])) == set(needed)
    pickled = [path.replace("/model.safetensors", "/pytorch_model.bin") for path in needed]
    assert set(told.wanted(pickled)) == set(pickled)
    with pytest.raises(ModelMissing, match=rf"has no {audio}/\*.safetensors any more"):
        told.wanted([path for path in needed if "/model.safetensors" not in path])
    with pytest.raises(ModelMissing, match=rf"has no {audio}/config.json any more"):
        told.wanted([path for path in needed if path != f"{audio}/config.json"])


def test_a_variant_where_there_is_nothing_else() -> None:
    paths = [path for path in listing("wan2.2-t2v-a14b") if not path.startswith("vae/")]
    paths += [f"vae/diffusion_pytorch_model.{variant}.safetensors" for variant in ("bf16", "fp16")]
    wanted = T2V.wanted([*paths, "vae/config.json"])
    assert [path for path in wanted if path.startswith("vae/")] == [
        "vae/config.json", "vae/diffusion_pytorch_model.bf16.safetensors"
    ]  # fmt: skip


def test_a_repository_that_changed() -> None:
    paths = [path for path in listing("wan2.2-t2v-a14b") if "transformer_2/" not in path]
    with pytest.raises(ModelMissing, match=r"has no transformer_2/\*.safetensors any more"):
        T2V.wanted(paths)
    with pytest.raises(ModelMissing, match=r"there is no model or LoRA wan9: there are wan2\.2-t2v-a14b, "):
        item("wan9")


def test_presets_name_loras_that_can_be_pulled() -> None:
    named = {name for row in MODELS if row.fast for name, _ in row.fast.loras}
    named |= {str(row.extras["relighting_lora"]) for row in MODELS if "relighting_lora" in row.extras}
    assert named == {lora.name for lora in LORAS}
    assert len({each.name for each in items()}) == len(items())
    for lora in LORAS:
        assert item(lora.name).wanted(["README.md", *lora.paths]) == [lora.paths[0]]
    assert item("umt5-xxl-tokenizer").wanted(listing("wan2.2-ti2v-5b")) == [
        "tokenizer/tokenizer.json", "tokenizer/spiece.model"
    ]  # fmt: skip


def test_find_lora(home: Path) -> None:
    options = Options(folders=(home / "ComfyUI",))
    with pytest.raises(
        ModelMissing, match=r"there is no LoRA paint, nor a folder of LoRAs: put its \.safetensors file into"
    ):
        find_lora("paint", options)
    mine = write_safetensors(home / "ComfyUI" / "models" / "loras" / "styles" / "paint.v2.safetensors", {"x": (1,)})
    own = write_safetensors(home / "data" / "models" / "loras" / "other.safetensors", {"x": (1,)})
    for name in ("paint.v2", "styles/paint.v2", "paint.v2.safetensors"):
        assert find_lora(name, options) == mine
    assert find_lora("other", options) == own
    for name in ("paint", str(mine), "../loras/styles/paint.v2", "/etc/passwd", ""):
        with pytest.raises(ModelMissing, match="there is no LoRA"):
            find_lora(name, options)


@pytest.mark.parametrize("lora", LORAS, ids=lambda lora: lora.name)
def test_find_known_loras(lora: object, home: Path) -> None:
    known = next(each for each in LORAS if each is lora)
    options = Options(folders=(home / "mine",))
    with pytest.raises(ModelMissing, match=f"run 'wanstage models pull {known.name}'"):
        find_lora(known.name, options)
    snapshot = home / "hub" / f"models--{known.repo.replace('/', '--')}" / "snapshots" / ("b" * 40)
    cached = write_safetensors(snapshot / known.paths[0], {"x": (1,)})
    assert find_lora(known.name, options) == cached
    pulled = write_safetensors(home / "data" / "models" / known.name / known.paths[0], {"x": (1,)})
    assert find_lora(known.name, options) == pulled
    comfy = write_safetensors(home / "mine" / "models" / "loras" / f"{known.also[0]}.safetensors", {"x": (1,)})
    assert find_lora(known.name, options) == comfy


def test_relighting_in_the_original_repository(home: Path) -> None:
    path = home / "mine" / "my animate" / "relighting_lora.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert find_lora("wan2.2-animate-relighting", Options(folders=(home / "mine",))) == path
