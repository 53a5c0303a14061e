# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The probing benchmark: readers, metrics, probes, and report."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.small_models import ROOT, shared_folder, tiny_model
from helpers.tolerances import FLOAT16
from hypothesis import given
from hypothesis import strategies as st

from modeling_elmo import ElmoEncoder, ElmoTokenizer

sys.path.append(str(ROOT / "benchmarks" / "probing"))
import layer_vectors
import metrics
import probes
import readers

WORDS = st.lists(st.sampled_from(["n't", "did", "N'T", "it"]), max_size=6)
TAGS = st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), max_size=8)
SCORES = st.lists(st.tuples(st.sampled_from([-0.5, 0.0, 0.25, 0.5]), st.booleans()), min_size=1, max_size=12)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_tagged_sentences_end_at_empty_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", "It\tPRON\tPRP", "is\tAUX\tVBZ", "", "", '"\tPUNCT\t``')
    assert readers.read_tagged(path) == [
        readers.TaggedSentence(["It", "is"], ["PRON", "AUX"]),
        readers.TaggedSentence(['"'], ["PUNCT"]),
    ]
    with pytest.raises(ValueError, match=r"Expected at least 2 columns in .*, line 2, got 1\."):
        readers.read_tagged(write(path, "It\tPRON", "is"))
    with pytest.raises(FileNotFoundError, match=r"Expected the data file .*dev\.tsv, which"):
        readers.read_tagged(tmp_path / "dev.tsv")


def test_ambiguous_words_count_only_with_a_listed_tag(tmp_path: Path) -> None:
    listed = readers.read_ambiguous(write(tmp_path / "ambiguous_words.tsv", "to\tPART:9 ADP:5", ":\tPUNCT:3 SYM:1"))
    assert listed == {"to": {"PART", "ADP"}, ":": {"PUNCT", "SYM"}}
    sentences = [
        readers.TaggedSentence(["To", "go"], ["PART", "VERB"]),
        readers.TaggedSentence(["to", ":"], ["NOUN", "SYM"]),
    ]
    assert metrics.is_ambiguous(sentences, listed) == [True, False, False, True]


def test_pairs_and_senses_contain_their_words(tmp_path: Path) -> None:
    (pair,) = readers.read_wic(write(tmp_path / "wic.tsv", "T\tgo\tV\t1\t0\tThey go .\tGo on !"))
    assert (pair.first.words[pair.first.index], pair.second.words[pair.second.index]) == ("go", "Go")
    assert pair.is_same
    write(tmp_path / "seal.train.tsv", "1\tanimal\t1\ta seal swam", "0\tstamp\t0\tseal it")
    write(tmp_path / "bank.train.tsv", "0\tmoney\t0\tbank")
    words = readers.read_coarse_wsd(tmp_path)
    assert list(words) == ["bank", "seal"]
    assert [item.sense for item in words["seal"]] == ["animal", "stamp"]
    with pytest.raises(ValueError, match=r"Expected a word index below 2 in .*, line 1, got '2'\."):
        readers.read_senses(write(tmp_path / "bad.tsv", "0\tstamp\t2\tseal it"))
    with pytest.raises(FileNotFoundError, match=r"Expected data files such as .*apple\.train\.tsv, got none\."):
        readers.read_coarse_wsd(tmp_path / "nothing")


def test_contractions_become_those_of_the_training_text() -> None:
    assert readers.model_words(["I", "did", "n't", ",", "CA", "N'T", "do", "n’t"]) == [
        *["I", "didn", "'t", ",", "CAN", "'T", "don", "’t"]
    ]
    assert readers.model_words(["n't"]) == ["n't"]


@given(WORDS)
def test_contractions_keep_every_letter_and_the_number_of_words(words: list[str]) -> None:
    found = readers.model_words(words)
    assert len(found) == len(words)
    assert "".join(found) == "".join(words)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-a I-a O", {(0, 2, "a")}),
        ("B-a B-a", {(0, 1, "a"), (1, 2, "a")}),
        ("B-a I-b I-b", {(0, 1, "a"), (1, 3, "b")}),
        ("O I-a", {(1, 2, "a")}),
        ("B-creative-work I-creative-work", {(0, 2, "creative-work")}),
        ("O", set()),
        ("", set()),
    ],
)
def test_entities(tags: str, expected: set[metrics.Entity]) -> None:
    assert metrics.entities(tags.split()) == expected


@given(TAGS)
def test_entities_are_disjoint_and_cover_every_tag_but_o(tags: list[str]) -> None:
    found = sorted(metrics.entities(tags))
    assert sum(end - start for start, end, _ in found) == sum(tag != "O" for tag in tags)
    assert all(one[1] <= other[0] for one, other in pairwise(found))


def test_f1_needs_the_whole_entity_and_its_type() -> None:
    gold = [["B-a", "I-a", "O", "B-b"], ["B-a"], ["O"]]
    predicted = [["B-a", "O", "O", "B-b"], ["B-b"], ["B-a"]]
    assert metrics.entity_f1(gold, predicted) == pytest.approx(100 * 2 * 1 / (3 + 4))
    assert metrics.entity_f1(gold, gold) == 100
    assert metrics.entity_f1([["O"]], [["O"]]) == 0


def test_the_baseline_gives_each_word_its_most_frequent_tag() -> None:
    train = [readers.TaggedSentence(["to", "To", "to", "a"], ["X", "Y", "Y", "Z"])]
    test = [readers.TaggedSentence(["TO", "a", "New"], ["?", "?", "?"])]
    assert metrics.most_frequent_tag(train, test, str.upper) == [["Y", "Z", "NEW"]]
    assert metrics.percent([True, False, False, False]) == 25
    with pytest.raises(ValueError, match="Expected at least one item"):
        metrics.percent([])


def test_seeds_select_equally_many_different_items() -> None:
    one, again, other = (probes.seed_mask(50, seed) for seed in (0, 0, 1))
    assert one.sum() == other.sum() == 40
    assert (one == again).all()
    assert (one != other).any()


def test_standardization_uses_the_training_vectors_only() -> None:
    train, test = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[4.0, 5.0]])
    probes.standardize(train, test)
    assert train.tolist() == [[-1, 0], [1, 0]]
    assert test.tolist() == [[2, 0]]


@given(SCORES)
def test_no_other_threshold_matches_more_labels(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([score for score, _ in pairs]), np.array([label for _, label in pairs])
    threshold = probes.best_threshold(scores, labels)
    right = ((scores >= threshold) == labels).sum()
    assert right == max(((scores >= other) == labels).sum() for other in (-1, -0.25, 0.1, 0.4, 1))


def test_cosines_and_the_nearest_sense() -> None:
    first, second = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 2.0], [2.0, 2.0], [1.0, 0.0]])
    assert probes.cosines(first, second).tolist() == pytest.approx([0, 1, 0])
    # The cosine decides. The dot product would select the long second vector.
    known = np.array([[1.0, 0.1], [9.0, 9.0]])
    assert probes.nearest_sense(known, ["x", "y"], np.array([[2.0, 0.0], [0.0, 1.0]])) == ["x", "y"]


def test_the_linear_probe_separates_what_a_line_separates() -> None:
    pytest.importorskip("sklearn", reason="the linear probe requires scikit-learn: pip install modeling_elmo[bench]")
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(600, 4)).astype(np.float32)
    tags = np.where(vectors[:, 0] > 0.5, "a", np.where(vectors[:, 0] < -0.5, "b", "c"))
    predicted = probes.linear_probe(vectors[:400], tags[:400], vectors[400:])
    assert (predicted == tags[400:]).mean() > 0.8
    shuffled = probes.linear_probe(vectors[:400], generator.permutation(tags[:400]), vectors[400:])
    assert (shuffled == tags[400:]).mean() < 0.5


def test_written_vectors_are_those_of_each_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_vectors, "_SENTENCES_PER_CALL", 2)
    encoder = ElmoEncoder(tiny_model(num_hidden_layers=2), ElmoTokenizer(), device="cpu")
    sentences = [["the", "bank"], ["It", "is", "n't", "."], ["seal"]]
    wanted = [[1], [2, 0], []]
    files = layer_vectors.write_vectors(encoder, sentences, wanted, tmp_path)
    assert list(files) == list(layer_vectors.LAYERS)
    for layer, file in files.items():
        vectors = encoder.encode([["the", "bank"], ["It", "isn", "'t", "."]], layer=layer)
        expected = np.stack([vectors[0][1], vectors[1][2], vectors[1][0]])
        found = layer_vectors.load_vectors(file)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= FLOAT16


def test_the_report_has_a_table_of_means_and_a_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="the chart requires matplotlib: pip install modeling_elmo[bench]")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "probing"))
    monkeypatch.delitem(sys.modules, "report", raising=False)
    import report

    names = ("command", "cpu", "cores", "threads", "gpu", "python", "torch", "transformers", "scikit-learn", "model")
    content = {
        **dict.fromkeys((*names, "seconds", "peak MB"), "x"),
        "linear probe": {"C": 0.01},
        "share of training items per seed": 0.8,
        "seeds": 2,
        "results": [
            {"task": "POS", "measure": "accuracy", "layer": "no context", "values": [60.0]},
            {"task": "POS", "measure": "accuracy", "layer": "elmo", "values": [80.0, 84.0]},
        ],
    }
    path = write(tmp_path / "probing.json", json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["report.py", str(path)])
    report.main()
    text = (tmp_path / "probing.md").read_text()
    assert "| | no context | elmo |\n|---|---|---|\n| POS, accuracy | 60.0 | **82.0** ± 2.8 |" in text
    assert (tmp_path / "probing.png").read_bytes().startswith(b"\x89PNG")


def test_the_baselines_of_the_data_are_reproduced() -> None:
    folder = shared_folder("ELMO_PROBING_DATA", "data/eval")
    train, test = (readers.read_tagged(folder / "pos_ud_ewt" / f"{part}.tsv") for part in ("train", "dev"))
    ambiguous = readers.read_ambiguous(folder / "pos_ud_ewt" / "ambiguous_words.tsv")
    predicted = metrics.most_frequent_tag(train, test, lambda word: "PROPN" if word[0].isupper() else "NOUN")
    hits = [
        gold == found
        for gold, found in zip(metrics.flatten([s.tags for s in test]), metrics.flatten(predicted), strict=True)
    ]
    mask = metrics.is_ambiguous(test, ambiguous)
    assert (len(train), len(test), len(hits), len(ambiguous), sum(mask)) == (12544, 2001, 25147, 248, 3487)
    assert metrics.percent(hits) == pytest.approx(87.95, abs=0.005)
    assert metrics.percent([hit for hit, is_one in zip(hits, mask, strict=True) if is_one]) == pytest.approx(
        63.6, abs=0.05
    )
    messages = [readers.read_tagged(folder / "ner_wnut17" / f"{part}.tsv") for part in ("train", "dev")]
    assert [sum(len(metrics.entities(each.tags)) for each in part) for part in messages] == [1975, 836]
    assert [len(readers.read_wic(folder / "wic" / f"{part}.tsv")) for part in ("train", "dev")] == [5428, 638]
    words = readers.read_coarse_wsd(folder / "coarsewsd20")
    assert (len(words), sum(map(len, words.values()))) == (20, 6334)
