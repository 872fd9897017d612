"""Makes tiny.onnx: a voice with piper's inputs and output, that beeps at a pitch for every phoneme id (tests only).

pip install onnx numpy
python tests/unit/speech/make_voice.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BEEP = 512
"""Samples that every phoneme id lasts."""


def main() -> None:
    """Audio = id / 200 * a beep, one after the other."""
    beep = np.sin(np.arange(BEEP) * (2 * np.pi * 440 / 22050)).astype(np.float32)[None, None] / 200
    nodes = [
        helper.make_node("Cast", ["input"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["ids", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "beep"], ["beeps"]),
        helper.make_node("Reshape", ["beeps", "shape"], ["output"]),
        helper.make_node("Identity", ["input_lengths"], ["lengths"]),
        helper.make_node("Identity", ["scales"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "voice",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "samples"])],
        [
            numpy_helper.from_array(np.array([2]), "axis"),
            numpy_helper.from_array(np.array([1, 1, -1]), "shape"),
            numpy_helper.from_array(beep, "beep"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(Path(__file__).with_name("tiny.onnx")))


if __name__ == "__main__":
    main()
