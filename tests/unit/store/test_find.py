"""Models are found in every layout that artists have, and a missing file is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from store_trees import (
    transformer_shapes,
    write_comfy,
    write_diffusers,
    write_original,
    write_released,
    write_safetensors,
    write_sharded,
)

from wan_models.engine import RequestRefused
from wan_models.models import MODELS
from wan_models.options import Options
from wan_models.registry import model_row
from wan_models.rows import ModelRow
from wan_models.store import ModelMissing, find, installed
from wan_models.store.shards import variant_of

ORIGINALS = [row for row in MODELS if row.original_repo]
IN_DIFFUSERS = [row for row in MODELS if row.repo]
T2V, I2V, TI2V = (model_row(name) for name in ("wan2.2-t2v-a14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b"))
ANIMATE, S2V = model_row("wan2.2-animate-14b"), model_row("wan2.2-s2v-14b")


def into_cache(home: Path, repo: str, revision: str = "a" * 40) -> Path:
    folder = home / "hub" / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(revision)
    return folder / "snapshots" / revision


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
def test_nothing_there(row: ModelRow, home: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        find(row, Options(folders=(home / "mine",)))
    text = str(caught.value)
    assert isinstance(caught.value, RequestRefused)
    assert f"wanstage models pull {row.name}" in text
    assert str(home / "mine") in text
    assert str(home / "hub") in text
    assert installed(row, Options(folders=(home / "mine",))) == text
    assert installed(row, Options(random_weights=True)) == ""


@pytest.mark.parametrize("row", IN_DIFFUSERS, ids=lambda row: row.name)
def test_diffusers_layout_by_name_and_in_the_cache(row: ModelRow, home: Path) -> None:
    write_diffusers(home / "mine" / row.name, row)
    found = find(row, Options(folders=(home / "mine",)))
    assert (found.layout, found.root) == ("diffusers", home / "mine" / row.name)
    assert set(found.files) == set(row.parts)
    assert [path.name for path in found.files["transformer"]] == [
        "diffusion_pytorch_model-00001-of-00002.safetensors",
        "diffusion_pytorch_model-00002-of-00002.safetensors",
    ]
    assert found.tokenizer == found.root / "tokenizer"
    assert found.nbytes == sum(path.stat().st_size for paths in found.files.values() for path in paths)

    cached = write_diffusers(into_cache(home, row.repo), row)
    assert find(row, Options()).root == cached
    assert installed(row, Options()) == ""


@pytest.mark.parametrize("row", ORIGINALS, ids=lambda row: row.name)
def test_original_layout(row: ModelRow, home: Path) -> None:
    folder = write_original(home / "downloads" / "my copy", row)
    found = find(row, Options(folders=(home / "downloads",)))
    assert (found.layout, found.root, found.tokenizer) == ("original", folder, folder / "google" / "umt5-xxl")
    assert len(found.files["transformer"]) == 2
    assert found.files["text_encoder"][0].name == "models_t5_umt5-xxl-enc-bf16.pth"
    for other in MODELS:
        if other is not row:
            assert installed(other, Options(folders=(home / "downloads",)))


def test_folders_by_any_name_are_told_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, row in enumerate(MODELS):
        write_released(home / "mine" / (f"{number} distilled" if row.extras.get("distilled") else str(number)), row)
    monkeypatch.setenv("WANSTAGE_MODELS", os.pathsep.join([str(home / "nowhere"), str(home / "mine")]))
    for number, row in enumerate(MODELS):
        assert find(row, Options()).root.name.split()[0] == str(number)


@pytest.mark.parametrize("row", [TI2V, I2V], ids=lambda row: row.name)
def test_a_told_folder_may_be_the_model_itself(row: ModelRow, home: Path) -> None:
    folder = write_diffusers(home / "mine" / "x", row)
    assert find(row, Options(folders=(folder,))).root == folder


def test_missing_shards_and_parts_are_named(home: Path) -> None:
    folder = write_diffusers(home / T2V.name, T2V)
    options = Options(folders=(home,))
    shard = folder / "transformer_2" / "diffusion_pytorch_model-00002-of-00002.safetensors"
    whole = shard.read_bytes()
    shard.unlink()
    assert f"{shard} is missing" in installed(T2V, options)
    shard.write_bytes(whole[:-3])
    assert f"{shard} was cut short: it has {len(whole) - 3} of {len(whole)} bytes" in installed(T2V, options)
    shard.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")
    assert "Git LFS pointer" in installed(T2V, options)
    shard.write_bytes(b"\0" * 100)
    assert "its header makes no sense" in installed(T2V, options)
    shard.write_bytes(whole)
    assert installed(T2V, options) == ""
    (folder / "vae" / "config.json").unlink()
    assert f"{folder / 'vae' / 'config.json'} is missing" in installed(T2V, options)


def test_a_torn_index_and_an_empty_part(home: Path) -> None:
    folder = write_diffusers(home / TI2V.name, TI2V)
    options = Options(folders=(home,))
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text('{"weight_map": {')
    assert f"{index} is not a whole index" in installed(TI2V, options)
    index.unlink()  # shards say themselves how many there are
    assert installed(TI2V, options) == ""
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert "only diffusion_pytorch_model.bin, which is not read" in installed(TI2V, options)


def test_variants(home: Path) -> None:
    folder = write_diffusers(home / TI2V.name, TI2V) / "vae"
    plain = folder / "diffusion_pytorch_model.safetensors"
    for variant in ("fp16", "bf16", "mine"):
        write_safetensors(folder / f"diffusion_pytorch_model.{variant}.safetensors", {"x": (2,)})
    options = Options(folders=(home,))
    assert find(TI2V, options).files["vae"] == (plain,)
    plain.unlink()
    assert find(TI2V, options).files["vae"][0].name == "diffusion_pytorch_model.bf16.safetensors"
    transformer = folder.parent / "transformer"
    for path in transformer.glob("diffusion*"):
        path.unlink()
    names = [f"diffusion_pytorch_model.fp16-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name, key in zip(names, transformer_shapes(TI2V), strict=True):
        write_safetensors(transformer / name, {key: transformer_shapes(TI2V)[key]})
    index = {"weight_map": dict(zip(transformer_shapes(TI2V), names, strict=True))}
    (transformer / "diffusion_pytorch_model.safetensors.index.fp16.json").write_text(json.dumps(index))
    assert [path.name for path in find(TI2V, options).files["transformer"]] == names


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("model.safetensors", ""),
        ("model.fp16.safetensors", "fp16"),
        ("diffusion_pytorch_model-00001-of-00006-bf16.safetensors", "bf16"),
        ("diffusion_pytorch_model.fp16-00001-of-00002.safetensors", "fp16"),
        ("diffusion_pytorch_model.safetensors.index.json", ""),
        ("diffusion_pytorch_model.safetensors.index.fp16.json", "fp16"),
    ],
)
def test_variant_names(name: str, variant: str) -> None:
    assert variant_of(name) == variant


def test_original_misses_a_file(home: Path) -> None:
    folder = write_original(home / "Wan2.2-Animate-14B", ANIMATE)
    clip = folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    clip.unlink()
    assert f"{clip} is missing" in installed(ANIMATE, Options(folders=(home,)))
    write_safetensors(clip.with_suffix(".safetensors"), {"x": (1,)})
    assert installed(ANIMATE, Options(folders=(home,))) == ""
    write_sharded(folder, "diffusion_pytorch_model", transformer_shapes(TI2V), 2)
    assert "another model" in installed(ANIMATE, Options(folders=(home,)))


def test_s2v_with_its_audio_encoder(home: Path) -> None:
    folder = write_original(into_cache(home, S2V.original_repo), S2V)
    found = find(S2V, Options())
    audio = folder / "wav2vec2-large-xlsr-53-english"
    assert (found.layout, found.root) == ("original", folder)
    assert found.files["audio_encoder"] == (audio / "model.safetensors",)
    (audio / "config.json").unlink()
    assert f"{audio / 'config.json'} is missing" in installed(S2V, Options())
    (audio / "config.json").write_text("{}")
    (audio / "model.safetensors").rename(audio / "pytorch_model.bin")
    assert find(S2V, Options()).files["audio_encoder"] == (audio / "pytorch_model.bin",)
    (audio / "pytorch_model.bin").unlink()
    assert f"{audio} has no weights" in installed(S2V, Options())
    assert "run 'wanstage models pull wan2.2-s2v-14b'" in installed(S2V, Options())


def test_a_folder_in_diffusers_layout_is_not_the_released_s2v(home: Path) -> None:
    write_diffusers(home / "mine" / "x", S2V)  # other people's, with other names of tensors
    assert "there are no weights" in installed(S2V, Options(folders=(home / "mine",)))
    write_diffusers(home / "mine" / S2V.name, S2V)
    assert "is not whole" in installed(S2V, Options(folders=(home / "mine",)))


def test_another_model_under_this_name(home: Path) -> None:
    write_diffusers(home / ANIMATE.name, T2V)
    assert "another model: its transformer is a WanTransformer3DModel" in installed(ANIMATE, Options(folders=(home,)))


def test_a_broken_folder_does_not_hide_a_whole_one(home: Path) -> None:
    broken = write_diffusers(home / "mine" / T2V.name, T2V)
    (broken / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    whole = write_diffusers(into_cache(home, T2V.repo), T2V)
    assert find(T2V, Options(folders=(home / "mine",))).root == whole


def test_other_programs_small_files_in_the_cache_are_no_model(home: Path) -> None:
    snapshot = into_cache(home, T2V.repo)
    (snapshot / "tokenizer").mkdir(parents=True)
    assert installed(T2V, Options()).startswith("there are no weights of")


def test_comfy_tree(home: Path) -> None:
    names = {
        "diffusion_models/wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors": "transformer",
        "diffusion_models/wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors": "transformer_2",
        "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": "text_encoder",
        "vae/wan_2.1_vae.safetensors": "vae",
        "vae/wan2.2_vae.safetensors": "vae of the 5B",
        "loras/wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise.safetensors": "lora",
        "diffusion_models/wan2.2_fun_inpaint_high_noise_14B_fp8_scaled.safetensors": "other",
        "diffusion_models/wan2.1_t2v_14B_fp16.safetensors": "other",
    }
    models = write_comfy(home / "ComfyUI" / "models", names, I2V)
    for told in (home / "ComfyUI", models):
        found = find(I2V, Options(folders=(told,)))
        assert found.layout == "single"
        assert found.root == models / "diffusion_models"
        assert {part: paths[0].name for part, paths in found.files.items()} == {
            part: Path(name).name for name, part in names.items() if part in I2V.parts
        }
        # ComfyUI's text encoders carry the tokenizer with them.
        assert found.tokenizer == found.files["text_encoder"][0]
    for other in (T2V, TI2V, ANIMATE):
        assert "no weights" in installed(other, Options(folders=(models,)))


def test_comfy_tree_5b_and_animate_with_folders_of_ones_own(home: Path) -> None:
    five = {
        "unet/wan/Wan2_2-TI2V-5B_fp16.safetensors": "transformer",
        "clip/umt5-xxl-enc-bf16.safetensors": "text_encoder",
        "vae/Wan2_2_VAE_bf16.safetensors": "vae",
    }
    animate = {
        "diffusion_models/Wan2_2-Animate-14B_fp8_e4m3fn_scaled_KJ.safetensors": "transformer",
        "clip_vision/clip_vision_h.safetensors": "image_encoder",
        "vae/Wan2_1_VAE_bf16.safetensors": "vae",
    }
    models = write_comfy(home / "models", five, TI2V)
    write_comfy(models, animate, ANIMATE)
    options = Options(folders=(home,))
    assert find(TI2V, options).files["transformer"][0].name == "Wan2_2-TI2V-5B_fp16.safetensors"
    found = find(ANIMATE, options)
    assert found.files["vae"][0].name == "Wan2_1_VAE_bf16.safetensors"
    assert found.files["image_encoder"][0].name == "clip_vision_h.safetensors"
    (models / "text_encoders" / "umt5-xxl").mkdir(parents=True)
    (models / "text_encoders" / "umt5-xxl" / "tokenizer.json").write_text("{}")
    assert find(ANIMATE, options).tokenizer == models / "text_encoders" / "umt5-xxl"


def test_comfy_tree_s2v(home: Path) -> None:
    names = {
        "diffusion_models/wan2.2_s2v_14B_fp8_scaled.safetensors": "transformer",
        "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": "text_encoder",
        "vae/wan_2.1_vae.safetensors": "vae",
        "audio_encoders/wav2vec2_large_english_fp16.safetensors": "audio_encoder",
        "audio_encoders/chinese-wav2vec2-base.safetensors": "another one",
        "loras/wan2.2_s2v_lora.safetensors": "lora",
    }
    models = write_comfy(home / "ComfyUI" / "models", names, S2V)
    write_safetensors(
        models / "diffusion_models" / "wan22_s2v_module_bf16.safetensors", {"casual_audio_encoder.x": (9,)}
    )
    options = Options(folders=(home / "ComfyUI",))
    found = find(S2V, options)
    assert {part: paths[0].name for part, paths in found.files.items()} == {
        part: Path(name).name for name, part in names.items() if part in S2V.parts
    }
    for other in (T2V, TI2V, ANIMATE):
        assert "no weights" in installed(other, options)
    (models / "audio_encoders" / "wav2vec2_large_english_fp16.safetensors").unlink()
    hint = f"{models / 'audio_encoders'} has no wav2vec2_large_english_fp16.safetensors"
    assert hint in installed(S2V, options)


def test_comfy_tree_misses_parts(home: Path) -> None:
    high = {"diffusion_models/Wan2.2_T2V_HighNoise_14B.safetensors": "transformer"}
    models = write_comfy(home / "models", high, T2V)
    options = Options(folders=(home,))
    low = models / "diffusion_models" / "Wan2.2_T2V_LowNoise_14B.safetensors"
    assert f"{low} (the low-noise expert) is missing" in installed(T2V, options)
    write_safetensors(low, transformer_shapes(T2V))
    assert f"{models / 'text_encoders'} has no umt5_xxl_fp16.safetensors" in installed(T2V, options)
    write_safetensors(models / "text_encoders" / "umt5_xxl_fp16.safetensors", {"x": (1,)})
    assert f"{models / 'vae'} has no wan_2.1_vae.safetensors" in installed(T2V, options)
    write_safetensors(models / "vae" / "wan_2.1_vae.safetensors", {"x": (1,)}, cut=1)
    assert "wan_2.1_vae.safetensors was cut short" in installed(T2V, options)
    write_safetensors(models / "vae" / "wan_2.1_vae.safetensors", {"x": (1,)})
    assert "wanstage models pull umt5-xxl-tokenizer" in installed(T2V, options)


def test_pairs_of_experts_stay_together(home: Path) -> None:
    parts = {"text_encoders/umt5_xxl_fp16.safetensors": "t", "vae/wan_2.1_vae.safetensors": "v"}
    models = write_comfy(home / "models", parts, T2V)
    folder = models / "diffusion_models"
    big = {**transformer_shapes(T2V), "x": (100,)}
    write_safetensors(folder / "wan2.2_t2v_high_noise_14B_fp16.safetensors", big)  # its twin is not there
    for name in ("wan2.2_t2v_high_noise_14B_fp8.safetensors", "wan2.2_t2v_low_noise_14B_fp8.safetensors"):
        write_safetensors(folder / name, transformer_shapes(T2V))
    found = find(T2V, Options(folders=(home,)))
    assert found.files["transformer"][0].name == "wan2.2_t2v_high_noise_14B_fp8.safetensors"
    assert found.files["transformer_2"][0].name == "wan2.2_t2v_low_noise_14B_fp8.safetensors"


def test_a_named_file_goes_before_a_larger_one(home: Path) -> None:
    names = {
        "diffusion_models/wan2.2_ti2v_5B_fp16.safetensors": "transformer",
        "text_encoders/umt5_xxl_fp16.safetensors": "text_encoder",
        "vae/wan2.2_vae.safetensors": "vae",
    }
    models = write_comfy(home / "models", names, TI2V)
    small = write_safetensors(home / "Wan2.2-TI2V-5B-mine.safetensors", {"patch_embedding.weight": (1, 48, 1, 2, 2)})
    assert find(TI2V, Options(folders=(models,))).files["transformer"][0].parent == models / "diffusion_models"
    assert find(TI2V, Options(folders=(models, small))).files["transformer"] == (small,)


def test_gguf(home: Path) -> None:
    gguf = pytest.importorskip("gguf")
    numpy = pytest.importorskip("numpy")
    names = {"text_encoders/umt5_xxl_fp16.safetensors": "t", "vae/wan2.2_vae.safetensors": "v"}
    models = write_comfy(home / "models", names, TI2V)
    path = models / "unet" / "Wan2.2-TI2V-5B-Q8_0.gguf"
    path.parent.mkdir()
    writer = gguf.GGUFWriter(path, "wan")
    writer.add_array("comfy.gguf.orig_shape.patch_embedding.weight", [4, 48, 1, 2, 2])
    writer.add_tensor("patch_embedding.weight", numpy.zeros((4 * 48, 4), numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert find(TI2V, Options(folders=(home,))).files["transformer"] == (path,)
    assert "no weights" in installed(T2V, Options(folders=(home,)))


def test_a_folder_that_may_not_be_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "mine").mkdir()

    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(ModelMissing, match=r"mine: Permission denied: see to its permissions"):
        find(T2V, Options(folders=(home / "mine",)))
