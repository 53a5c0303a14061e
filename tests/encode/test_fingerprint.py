# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Fingerprints cover what changes the vectors and nothing else; pickled encoders keep runtime choices."""

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets.fingerprint import Hasher
from helpers.small_models import SENTENCES, tiny_config, tiny_model
from tokenizers import AddedToken

from modeling_elmo import ElmoConfig, ElmoEncoder, ElmoModel, ElmoTokenizer
from modeling_elmo.encode.fingerprint import UNHASHED_FIELDS, hashed_config_values

CONFIG_FIELDS = {
    parameter.name
    for parameter in inspect.signature(ElmoConfig).parameters.values()
    if parameter.kind is not parameter.VAR_KEYWORD
}


class _ReadRecorder:
    """A configuration that records which fields are read."""

    def __init__(self) -> None:
        self.fields: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.fields.add(name)
        return None


def fixed_model() -> ElmoModel:
    """A model with the same weights on every machine and in every version of PyTorch."""
    model = ElmoModel(tiny_config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            values = torch.arange(parameter.numel(), dtype=torch.float32).remainder(7) / 8
            parameter.copy_(values.view(parameter.shape))
    return model


def fingerprint(model: ElmoModel | None = None, tokenizer: ElmoTokenizer | None = None) -> str:
    return ElmoEncoder(model or fixed_model(), tokenizer or ElmoTokenizer(), "cpu").fingerprint()


def test_every_config_field_is_hashed_or_ignored() -> None:
    recorder = _ReadRecorder()
    hashed_config_values(recorder)  # type: ignore[arg-type]
    assert recorder.fields | UNHASHED_FIELDS == CONFIG_FIELDS, "decide whether a new field changes the vectors"
    assert not recorder.fields & UNHASHED_FIELDS


def test_the_fingerprint_is_fixed() -> None:
    """If this value changes, `elmo embed --resume` rejects the unfinished jobs of all users."""
    assert fingerprint() == "c7ef70d3c497d2e8346d0eb038e0d0a1dd1a47d4dd2fdf710da458ae80c08465"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cell_clip", 0.5),
        ("projection_clip", None),
        ("forget_bias", 0.0),
        ("use_skip_connections", False),
        ("sentence_boundaries", False),
        ("cnn_activation", "tanh"),
        ("mix_layer_norm", "with_boundaries"),
        ("bos_token_id", 258),
        ("lstm_weight_dtype", "int8"),
        ("lstm_implementation", "eager"),
    ],
)
def test_fields_that_change_the_vectors_change_the_fingerprint(field: str, value: Any) -> None:
    model = fixed_model()
    setattr(model.config, field, value)
    assert fingerprint(model) != fingerprint()


@pytest.mark.parametrize(
    ("field", "value"),
    [("word_cache_size", 3), ("pooling_layer", "word_emb"), ("output_dropout", 0.5), ("_name_or_path", "elsewhere")],
)
def test_other_fields_change_neither_the_vectors_nor_the_fingerprint(field: str, value: Any) -> None:
    model = fixed_model()
    setattr(model.config, field, value)
    assert fingerprint(model) == fingerprint()
    for layer in ("elmo", "lstm_outputs1"):
        vectors = [ElmoEncoder(m, ElmoTokenizer(), "cpu").encode(SENTENCES, layer) for m in (model, fixed_model())]
        assert all((a == b).all() for a, b in zip(*vectors, strict=True))


def test_weights_and_their_dtype_change_the_fingerprint() -> None:
    model = fixed_model()
    with torch.no_grad():
        model.scalar_mixes[0].gamma.add_(1)
    assert len({fingerprint(), fingerprint(model), fingerprint(fixed_model().bfloat16())}) == 3


def test_tokenizers_change_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("<S>\n</S>\n<UNK>\n", encoding="utf-8")
    tokenizers = [
        ElmoTokenizer(splitter="whitespace"),
        ElmoTokenizer(max_characters_per_token=20),
        ElmoTokenizer(split_special_tokens=True),
        ElmoTokenizer(vocab_file=str(tmp_path / "words.txt")),
        ElmoTokenizer(),
        ElmoTokenizer(),
        ElmoTokenizer(),
    ]
    tokenizers[-3].add_tokens(["[ENT]"])
    tokenizers[-2].add_tokens([AddedToken("[ENT]", single_word=True)])
    tokenizers[-1].do_lower_case = True
    assert len({fingerprint(tokenizer=tokenizer) for tokenizer in [ElmoTokenizer(), *tokenizers]}) == 8
    assert fingerprint(tokenizer=ElmoTokenizer(padding_side="left", model_max_length=7)) == fingerprint()


def test_pickled_encoders_keep_runtime_choices() -> None:
    model = tiny_model(word_cache_size=17)
    model.config.lstm_implementation, model.config.lstm_weight_dtype = "packed", "int8"
    encoder = ElmoEncoder(model, ElmoTokenizer(), "cpu")
    for twin in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)):
        config = twin.model.config
        assert (config.lstm_implementation, config.lstm_weight_dtype, config.word_cache_size) == ("packed", "int8", 17)
        assert twin.fingerprint() == encoder.fingerprint()
        assert Hasher.hash(twin) == Hasher.hash(encoder)


def test_int8_is_a_runtime_choice(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_model().save_pretrained(folder)
    ElmoTokenizer().save_pretrained(folder)
    exact = ElmoEncoder.from_pretrained(folder, device="cpu")
    encoder = ElmoEncoder.from_pretrained(folder, device="cpu", dtype="int8")
    assert encoder.model.config.lstm_weight_dtype == "int8"
    assert encoder.model.dtype == torch.float32
    assert encoder.fingerprint() != exact.fingerprint()
    assert Hasher.hash(encoder) != Hasher.hash(exact)
    encoder.model.save_pretrained(tmp_path / "saved")
    ElmoTokenizer().save_pretrained(tmp_path / "saved")
    assert ElmoEncoder.from_pretrained(tmp_path / "saved", device="cpu").fingerprint() == exact.fingerprint()


@pytest.mark.skipif(not hasattr(torch, "_weight_int8pack_mm"), reason="no int8 linear layers in this PyTorch")
def test_pickled_int8_encoders_compute_in_int8() -> None:
    exact = ElmoEncoder.from_pretrained(device="cpu").encode(SENTENCES)
    encoder = ElmoEncoder.from_pretrained(device="cpu", dtype="int8")
    want, got = encoder.encode(SENTENCES), pickle.loads(pickle.dumps(encoder)).encode(SENTENCES)
    assert all((a == b).all() for a, b in zip(got, want, strict=True))
    assert any((a != b).any() for a, b in zip(got, exact, strict=True))
