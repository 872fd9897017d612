"""Makes hearing.npz: what Wan2.2's own AudioEncoder makes of the sentence, with a tiny random wav2vec2.

    pip install "transformers==4.51.3" torch numpy av
    python tests/unit/sound/make_hearing_fixture.py PATH/TO/Wan2.2/wan/modules/s2v/audio_encoder.py

The official file (Apache-2.0) is not kept here. It loads sound by librosa, which for a 16 kHz mono file only divides by
32768; that is done here, so that librosa need not be installed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)

SENTENCE = Path(__file__).parents[2] / "fixtures" / "speech" / "sentence.flac"
CONFIG = {  # the released encoder's kind, narrow
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 4,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}


def write_encoder(folder: Path) -> Any:
    """A tiny random checkpoint with its processor, as the released one is laid out; returns the model."""
    torch.manual_seed(7)
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**CONFIG))
    with torch.no_grad():
        for tensor in model.parameters():  # norms that do something, layers that do not vanish
            tensor.add_(torch.randn_like(tensor) * 0.2)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "<unk>": 1, "|": 2, "a": 3}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(folder)
    return model


def official(file: Path) -> Any:
    """The official module, with a librosa that reads 16 kHz mono files."""
    librosa: Any = ModuleType("librosa")

    def load(path: str, sr: int) -> tuple[Any, int]:
        with av.open(path) as container:
            pieces = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        return np.concatenate(pieces).astype(np.float32) / 32768, sr

    librosa.load = load
    sys.modules["librosa"] = librosa
    spec = spec_from_file_location("official_audio_encoder", file)
    if spec is None or spec.loader is None:
        msg = f"{file} is no Python file"
        raise SystemExit(msg)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(file: Path) -> None:
    """Run the official encoder as ``WanS2V.encode_audio`` does, and store what goes in and comes out."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model = write_encoder(Path(folder))
        encoder = official(file).AudioEncoder(model_id=folder)
        encoder.model.eval()
        wave = official(file).librosa.load(str(SENTENCE), 16000)[0]
        prepared = encoder.processor(wave, sampling_rate=16000, return_tensors="pt").input_values
        states = torch.cat(encoder.model(prepared, output_hidden_states=True).hidden_states)
        thirty = encoder.extract_audio_feat(str(SENTENCE), return_all_layers=True)
        bucket, clips = encoder.get_audio_embed_bucket_fps(thirty, fps=16, batch_frames=80, m=0)
        arrays = {
            "states": states.numpy(),
            "bucket": bucket[None].permute(0, 2, 3, 1).numpy(),
            "clips": np.array(clips),
            "config": np.array(json.dumps(CONFIG)),
        }
        arrays |= {f"weight:{name}": tensor.numpy() for name, tensor in model.wav2vec2.state_dict().items()}
        np.savez_compressed(Path(__file__).with_name("hearing.npz"), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
