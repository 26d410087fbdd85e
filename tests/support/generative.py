"""A generative model small enough to be made here: it answers with the bytes that follow in the table of bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_END: Final = 256
_TOKENS: Final = 257
_SIZE: Final = 4
_CONTEXT: Final = 48


def save_generative(folder: Path) -> Path:
    """Write the model, its ``genai_config.json`` and its tokenizer; after ``a`` comes ``b``, after ``b`` ``c``."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(_decoder(), str(folder / "decoder.onnx"))
    for name, content in (
        ("genai_config.json", _config()),
        ("tokenizer.json", _tokenizer()),
        ("tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<end>", "bos_token": "<end>"}),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _decoder() -> onnx.ModelProto:
    following = np.zeros((_TOKENS, _TOKENS), np.float32)
    for token in range(_TOKENS):
        following[token, (token + 1) % _TOKENS] = 1
    weights = [
        numpy_helper.from_array(following, "following"),
        numpy_helper.from_array(np.zeros((_TOKENS, _SIZE), np.float32), "nothing"),
        numpy_helper.from_array(np.array([1], np.int64), "first axis"),
    ]
    nodes = [
        helper.make_node("Gather", ["following", "input_ids"], ["logits"]),
        helper.make_node("Gather", ["nothing", "input_ids"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "first axis"], ["new"]),
        helper.make_node("Concat", ["past_key_values.0.key", "new"], ["present.0.key"], axis=2),
        helper.make_node("Concat", ["past_key_values.0.value", "new"], ["present.0.value"], axis=2),
    ]
    past, present = ["batch", 1, "past", _SIZE], ["batch", 1, "total", _SIZE]
    value, whole, real = helper.make_tensor_value_info, TensorProto.INT64, TensorProto.FLOAT
    inputs = [value("input_ids", whole, ["batch", "sequence"]), value("attention_mask", whole, ["batch", "total"])]
    inputs += [value(f"past_key_values.0.{name}", real, past) for name in ("key", "value")]
    outputs = [value("logits", real, ["batch", "sequence", _TOKENS])]
    outputs += [value(f"present.0.{name}", real, present) for name in ("key", "value")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _config() -> dict[str, Any]:
    names = {kind: {f"{kind}_{part}_names": f"{path}.%d.{part}" for part in ("key", "value")} for kind, path in _CACHE}
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": "decoder.onnx",
        "head_size": _SIZE,
        "hidden_size": _SIZE,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "num_hidden_layers": 1,
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **names["past"]},
        "outputs": {"logits": "logits", **names["present"]},
    }
    tokens = {f"{name}_token_id": _END for name in ("bos", "eos", "pad")}
    model = {"type": "llama", "vocab_size": _TOKENS, "context_length": _CONTEXT, **tokens, "decoder": decoder}
    return {"model": model, "search": {"max_length": _CONTEXT, "do_sample": False, "past_present_share_buffer": False}}


_CACHE: Final = (("past", "past_key_values"), ("present", "present"))


def _tokenizer() -> dict[str, Any]:
    """Of GPT-2's kind, with no merges: each byte is a token, written as the character that stands for it."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    characters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(others)}
    vocabulary = {characters[byte]: byte for byte in range(256)} | {"<end>": _END}
    end = {"id": _END, "content": "<end>", "special": True, "normalized": False}
    end |= {"single_word": False, "lstrip": False, "rstrip": False}
    spelling = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [], "dropout": None, "unk_token": None}
    return {
        "version": "1.0",
        "added_tokens": [end],
        "normalizer": None,
        "pre_tokenizer": spelling,
        "post_processor": None,
        "decoder": spelling,
        "model": model,
    }
