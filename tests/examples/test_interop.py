# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The examples for other libraries return the vectors of the encoder. Each test requires its library."""

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers.small_models import ROOT, tiny_model
from helpers.tolerances import SAME_BATCH

from modeling_elmo import ElmoEncoder, ElmoTokenizer
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo

TEXTS = ["We sat on the bank of the river. The bank lends money.", "", "Good."]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_model(seed=4).save_pretrained(folder)
    ElmoTokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def encoder(saved: str) -> ElmoEncoder:
    return ElmoEncoder.from_pretrained(saved)


@cache  # spaCy registers a factory only once
def example(name: str, library: str) -> ModuleType:
    """Return `examples/NAME.py` as a module; skip the test if the library is missing."""
    pytest.importorskip(library, reason=f"examples/{name}.py requires {library}", exc_type=ImportError)
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # spaCy looks up the source of a component here
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("layer", ["elmo", "word_emb"])
def test_spacy(layer: str, saved: str, encoder: ElmoEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("spacy_component", "spacy")
    whole, split = module.spacy.blank("en"), module.spacy.blank("en")
    split.add_pipe("sentencizer")
    for nlp in (whole, split):
        nlp.add_pipe("elmo", config={"model": saved, "layer": layer})
    for nlp in (whole, split):
        for doc in [*nlp.pipe(TEXTS, batch_size=2), nlp(TEXTS[0])]:
            sentences = list(doc.sents) if nlp is split and len(doc) else [doc[:]]
            words = [[token.text for token in sentence] for sentence in sentences]
            expected = np.concatenate(encoder.encode(words, layer=layer))
            assert doc.tensor.shape == expected.shape
            assert np.abs(doc.tensor - expected).max(initial=0) <= SAME_BATCH
            for token in doc:
                assert np.array_equal(token._.elmo, doc.tensor[token.i])
    assert len(list(split(TEXTS[0]).sents)) == 2
    module.main(saved)
    assert len(re.findall(r"\| -?\d\.\d{3}$", capsys.readouterr().out, re.MULTILINE)) == 3


def test_sklearn(saved: str, encoder: ElmoEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("sklearn_pipeline", "sklearn")
    from sklearn.base import clone

    step = module.ElmoVectors(saved, layer="lstm_outputs1", pooling="max", normalize=True)
    twin = clone(step)
    assert twin.get_params() == {"model": saved, "layer": "lstm_outputs1", "pooling": "max", "normalize": True}
    expected = encoder.encode(TEXTS, layer="lstm_outputs1", pooling="max", normalize=True)
    assert np.abs(twin.fit_transform(TEXTS) - expected).max() <= SAME_BATCH
    changed = twin.set_params(layer="elmo", pooling="mean", normalize=False).fit(TEXTS).transform(TEXTS)
    assert np.abs(changed - encoder.encode(TEXTS, pooling="mean")).max() <= SAME_BATCH
    module.main(saved)
    printed = capsys.readouterr().out
    assert "'elmovectors__layer'" in printed
    assert len(re.findall(r"^(?:river|money) \| ", printed, re.MULTILINE)) == 2


@pytest.mark.parametrize("layer", ["all", "elmo"])
def test_flair(layer: str, saved: str, encoder: ElmoEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("flair_embeddings", "flair")
    embeddings = module.ElmoTokenEmbeddings(saved, layer)
    sentences = [module.Sentence(text) for text in TEXTS if text]
    embeddings.embed(sentences)
    for sentence in sentences:
        (expected,) = encoder.encode([[token.text for token in sentence]], layer=layer)
        vectors = torch.stack([token.embedding for token in sentence]).cpu().numpy()
        assert (
            vectors.shape
            == (len(sentence), embeddings.embedding_length)
            == (len(sentence), 48 if layer == "all" else 16)
        )
        assert np.abs(vectors - expected.reshape(len(sentence), -1)).max() <= SAME_BATCH
    module.main(saved)
    assert len(re.findall(r"\[48\]$", capsys.readouterr().out, re.MULTILINE)) == 6


def test_sentence_transformers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("sentence_transformers_search", "sentence_transformers")
    write_demo(tmp_path / "old")
    convert(tmp_path / "old", tmp_path / "new", language="en")
    vectors = module.SentenceTransformer(str(tmp_path / "new"), trust_remote_code=True).encode(module.TEXTS)
    expected = ElmoEncoder.from_pretrained(tmp_path / "new").encode(module.TEXTS, pooling="mean")
    assert np.abs(vectors - expected).max() <= SAME_BATCH
    module.main(str(tmp_path / "new"))
    scores = re.findall(r"^(-?\d\.\d{3}) ", capsys.readouterr().out, re.MULTILINE)
    assert len(scores) == 3
    assert scores == sorted(scores, key=float, reverse=True)
