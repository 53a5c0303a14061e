# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoEncoder: the vectors of the model, in the order of the caller, through every interface."""

import json
import pickle
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, load_from_disk
from datasets.fingerprint import Hasher
from helpers.run_python import run
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import BATCHING_ORIGINAL, BATCHING_SMALL, FLOAT16
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import pipeline

from modeling_elmo import ElmoEncoder, ElmoModel, ElmoTokenizer
from modeling_elmo.encode import stream
from modeling_elmo.encode.batches import Batch, Window, batch_slices, find_text_column, iter_batches, prefetch
from modeling_elmo.encode.output import from_arrow, to_arrow

TEXTS = [
    "The bank of the river.",
    "",
    "It wasn't (Reuters).",
    "One",
    "  ",
    "The bank lends them money, Dr. Smith said.",
]
LAYERS = ["elmo", "word_emb", "lstm_outputs1", "lstm_outputs2"]


@pytest.fixture(scope="module")
def encoder() -> ElmoEncoder:
    return ElmoEncoder(tiny_model(), ElmoTokenizer(), device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(path)
    ElmoTokenizer().save_pretrained(path)
    return path


def expected(layer: str, model: ElmoModel | None = None) -> list[np.ndarray]:
    """One sentence at a time through the model itself."""
    model = model or tiny_model()
    rows = []
    for words in SENTENCES:
        with torch.no_grad():
            output = model(**inputs([words or ["x"]]), output_hidden_states=True)
        layers = torch.stack(output.hidden_states, 2) if layer == "all" else getattr(output, layer)
        rows.append(layers[0, : len(words)].numpy())
    return rows


def assert_rows_close(got: Any, want: Any, tolerance: float = BATCHING_SMALL) -> None:
    assert [np.shape(row) for row in got] == [np.shape(row) for row in want]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), b, atol=tolerance, rtol=0)


@pytest.mark.parametrize("layer", [*LAYERS, "all"])
@pytest.mark.parametrize("budget", [{}, {"max_tokens_per_batch": 9}, {"batch_size": 2}, {"batch_size": 1}])
def test_vectors_are_the_models(encoder: ElmoEncoder, layer: str, budget: dict[str, int]) -> None:
    want = expected(layer)
    assert_rows_close(encoder.encode(SENTENCES, layer, **budget), want)
    means = encoder.encode(SENTENCES, layer, pooling="mean", **budget)
    assert_rows_close(means, [row.mean(0) if len(row) else np.zeros(row.shape[1:]) for row in want])
    greatest = encoder.encode(SENTENCES, layer, pooling="max", **budget)
    assert_rows_close(greatest, [row.max(0) if len(row) else np.zeros(row.shape[1:]) for row in want])


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_normalized_vectors_have_length_1_or_0(encoder: ElmoEncoder, pooling: str | None) -> None:
    rows = np.concatenate([np.atleast_2d(row) for row in encoder.encode(SENTENCES, "all", pooling, normalize=True)])
    lengths = np.linalg.norm(rows, axis=-1)
    assert set(np.round(lengths.ravel(), 5)) == ({1.0} if pooling is None else {0.0, 1.0})


def test_strings_and_words_and_single_strings(encoder: ElmoEncoder) -> None:
    words = [encoder.tokenizer.tokenize(text) for text in TEXTS]
    want = encoder.encode(words)
    assert_rows_close(encoder.encode(TEXTS), want, 0)
    mixed: list[Any] = [text if index % 2 else tuple(words[index]) for index, text in enumerate(TEXTS)]
    mixed[2] = np.array(words[2])
    assert_rows_close(encoder.encode(mixed), want, 0)
    assert_rows_close(encoder.encode(iter(TEXTS)), want, 0)
    assert_rows_close([encoder.encode(TEXTS[0])], want[:1])
    assert encoder.encode(TEXTS[0], pooling="mean").shape == (16,)
    assert encoder.encode([]) == []
    assert encoder.encode([], "all", "mean").shape == (0, 3, 16)
    assert [row.shape for row in encoder.encode(["", []])] == [(0, 16)] * 2


def test_outputs_agree(encoder: ElmoEncoder) -> None:
    for layer in ("elmo", "all"):
        for pooling in (None, "mean"):
            want = encoder.encode(SENTENCES, layer, pooling)
            tensors = encoder.encode(SENTENCES, layer, pooling, output="torch")
            arrow = encoder.encode(SENTENCES, layer, pooling, output="arrow")
            assert all(isinstance(row, torch.Tensor) and row.dtype == torch.float32 for row in tensors)
            assert_rows_close(tensors, want, 0)
            for row, values in zip(want, arrow.to_pylist(), strict=True):
                assert np.array_equal(row, np.array(values, np.float32).reshape(row.shape))
            flat, lengths = from_arrow(arrow[1:4])
            assert np.array_equal(flat, np.concatenate([np.atleast_2d(r) for r in want[1:4]]).reshape(flat.shape))
            assert lengths is None if pooling else lengths.tolist() == [len(words) for words in SENTENCES[1:4]]


def test_arrow_shares_the_memory_of_the_vectors() -> None:
    flat = np.arange(20, dtype=np.float16).reshape(5, 4)
    array = to_arrow(flat, [2, 0, 3])
    assert str(array.type) == "list<item: fixed_size_list<item: halffloat>[4]>"
    assert array.values.values.buffers()[1].address == flat.ctypes.data


@pytest.mark.parametrize(("dtype", "kind"), [("float16", np.float16), ("float32", np.float32), ("float64", np.float64)])
def test_dtype_of_the_vectors(encoder: ElmoEncoder, dtype: str, kind: type) -> None:
    got = encoder.encode(SENTENCES, dtype=dtype)
    assert {row.dtype for row in got} == {np.dtype(kind)}
    assert_rows_close(got, expected("elmo"), FLOAT16 if dtype == "float16" else BATCHING_SMALL)


def test_bfloat16_models(folder: Path) -> None:
    encoder = ElmoEncoder.from_pretrained(folder, device="cpu", dtype="bfloat16")
    assert encoder.encode(TEXTS)[0].dtype == np.float32
    assert encoder.encode(TEXTS, output="torch")[0].dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"Cannot return bfloat16 as 'numpy': .* Pass `output='torch'`"):
        encoder.encode(TEXTS, dtype="bfloat16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layer": "elmo2"},
            "Expected `layer` to be one of 'all', 'elmo', 'word_emb', 'lstm_outputs1', 'lstm_outputs2', got 'elmo2'",
        ),
        ({"layer": "lstm_outputs3"}, "Expected `layer` to be one of .*, got 'lstm_outputs3'"),
        ({"pooling": "sum"}, "Expected `pooling` to be one of None, 'mean', 'max', got 'sum'"),
        ({"dtype": "int8"}, "Expected `dtype` to be one of 'float16', 'bfloat16', 'float32', 'float64', got 'int8'"),
        ({"output": "pandas"}, "Expected `output` to be one of 'numpy', 'torch', 'arrow', got 'pandas'"),
        ({"batch_size": 0}, "Expected `batch_size` to be a positive integer, got 0"),
        ({"max_tokens_per_batch": 1.5}, "Expected `max_tokens_per_batch` to be a positive integer, got 1.5"),
    ],
)
def test_wrong_options(encoder: ElmoEncoder, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder.encode(TEXTS, **options)


def test_wrong_sentences_and_parts(encoder: ElmoEncoder, folder: Path) -> None:
    for sentences, message in [
        ([*["a"] * 2050, 3], "Expected a string or a list of words, got int as sentence 2050"),
        (["a", None], "got NoneType as sentence 1"),
        ([["a"], ["b", b"c"]], "Expected words as strings, got bytes in sentence 1"),
    ]:
        with pytest.raises(TypeError, match=message):
            encoder.encode(sentences)
    with pytest.raises(TypeError, match="Expected `model` to be an ElmoModel, got Linear"):
        ElmoEncoder(torch.nn.Linear(1, 1), encoder.tokenizer)
    with pytest.raises(TypeError, match="Expected `tokenizer` to be an ElmoTokenizer, got NoneType"):
        ElmoEncoder(tiny_model(), None)
    with pytest.raises(TypeError, match="got color"):
        ElmoEncoder.from_pretrained(folder, color="red")
    unequal = ElmoEncoder(tiny_model(use_cell_projection=False, pooling_layer="word_emb"), encoder.tokenizer)
    with pytest.raises(
        ValueError, match="Cannot return layer 'all': word vectors have 8 dimensions per direction and LSTM outputs 12"
    ):
        unequal.encode(TEXTS, "all")


def test_progress_counts_every_sentence(encoder: ElmoEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    encoder.encode(TEXTS, show_progress_bar=True)
    shown = capsys.readouterr().err
    assert "6/6" in shown
    assert "words/s" in shown
    encoder.encode(TEXTS)
    assert capsys.readouterr().err == ""


# -------------------------------------------------------------------- batches


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.lists(st.sampled_from(["a", "bank", "ü"]), max_size=9), max_size=12), max_size=3),
    st.integers(1, 30),
    st.one_of(st.none(), st.integers(1, 4)),
)
def test_batches_hold_each_sentence_once_within_the_budget(
    windows: list[list[list[str]]], budget: int, max_sentences: int | None
) -> None:
    tokenizer = ElmoTokenizer()
    items = list(
        iter_batches(
            tokenizer, (Window(w, label=n) for n, w in enumerate(windows)), lambda: budget, max_sentences, False
        )
    )
    labels = [item.label for item in items if not isinstance(item, Batch)]
    assert labels == list(range(len(windows)))
    seen: list[list[int]] = [[] for _ in windows]
    current = -1
    for item in items:
        if not isinstance(item, Batch):
            current = item.label
            continue
        seen[current] += item.positions
        assert item.lengths == sorted(item.lengths, reverse=True)
        assert item.lengths == [len(windows[current][position]) for position in item.positions]
        assert item.num_tokens <= budget or len(item.lengths) == 1
        assert max_sentences is None or len(item.lengths) <= max_sentences
        want = inputs([windows[current][position] for position in item.positions])["input_ids"]
        assert torch.equal(item.input_ids, want)
        parts = item.split(max(1, budget // 2))
        assert [position for part in parts for position in part.positions] == item.positions
        assert all(part.input_ids.shape[1] == part.lengths[0] for part in parts)
    for window, positions in zip(windows, seen, strict=True):
        assert sorted(positions) == [index for index, words in enumerate(window) if words]


def test_slices_fill_the_limit() -> None:
    assert batch_slices([5, 5, 3, 3, 3, 1], 10, None) == [slice(0, 2), slice(2, 5), slice(5, 6)]
    assert batch_slices([99, 2, 2], 4, None) == [slice(0, 1), slice(1, 3)]
    assert batch_slices([2, 2, 2], 100, 2) == [slice(0, 2), slice(2, 3)]


def test_prefetch_is_bounded_and_raises_errors() -> None:
    made: list[int] = []

    def numbers() -> Any:
        for number in range(100):
            made.append(number)
            yield number
        raise KeyError("end")

    items = prefetch(numbers(), 3)
    assert [next(items) for _ in range(10)] == list(range(10))
    assert len(made) <= 14
    with pytest.raises(KeyError, match="end"):
        list(items)
    threads = threading.active_count()
    prefetch(numbers(), 3).close()
    items = prefetch(numbers(), 3)
    next(items)
    items.close()
    assert threading.active_count() <= threads


def test_windows_are_read_when_they_are_needed(encoder: ElmoEncoder) -> None:
    read = 0

    def windows() -> Any:
        nonlocal read
        for number in range(50):
            read += 1
            yield Window([["the", "bank"]] * 3, label=number)

    spec = encoder.vector_spec()
    done = encoder.encode_windows(windows(), spec)
    for number in range(5):
        assert next(done).label == number
    assert read < 15
    done.close()


def test_a_window_does_not_depend_on_the_others(encoder: ElmoEncoder) -> None:
    spec = encoder.vector_spec()
    alone = [next(encoder.encode_windows([Window(part)], spec)).vectors for part in (SENTENCES, TEXTS, [])]
    together = list(encoder.encode_windows([Window(part) for part in (SENTENCES, TEXTS, [])], spec))
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a, b.vectors)


# -------------------------------------------------------------------- out of memory


class _Full:
    """A model that runs out of memory with more than `max_tokens` tokens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, max_tokens: int, error: Exception) -> None:
        self.sizes: list[int] = []
        vectors = stream.batch_vectors

        def limited(model: Any, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
            self.sizes.append(ids.shape[0] * ids.shape[1])
            if self.sizes[-1] > max_tokens:
                raise error
            return vectors(model, ids, *rest)

        monkeypatch.setattr(stream, "batch_vectors", limited)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't"), MemoryError()]
)
def test_out_of_memory_halves_the_limit_and_warns_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    encoder = ElmoEncoder(tiny_model(), ElmoTokenizer(), "cpu")
    sentences = [words for _ in range(10) for words in SENTENCES]
    want = encoder.encode(sentences)
    model = _Full(monkeypatch, 40, error)
    with pytest.warns(UserWarning, match="Out of memory with .* tokens per batch. Retrying with") as caught:
        assert_rows_close(encoder.encode(sentences, max_tokens_per_batch=400), want)
    assert len(caught) == 1
    failures = [size for size in model.sizes if size > 40]
    assert 1 <= len(failures) <= 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sizes.clear()
        encoder.encode(sentences, max_tokens_per_batch=400)
    assert max(model.sizes) <= 40, "the reduced limit stays in effect"


def test_other_errors_and_a_sentence_that_never_fits_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ElmoEncoder(tiny_model(), ElmoTokenizer(), "cpu")
    _Full(monkeypatch, 6, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        encoder.encode(SENTENCES)
    _Full(monkeypatch, 6, MemoryError("too long"))
    with pytest.warns(UserWarning, match="Out of memory"), pytest.raises(MemoryError, match="too long"):
        encoder.encode(SENTENCES)


# -------------------------------------------------------------------- pickles and datasets


@pytest.mark.slow
def test_the_hash_is_the_same_in_every_process_and_after_use(folder: Path, tmp_path: Path) -> None:
    loaded = ElmoEncoder.from_pretrained(folder, device="cpu")
    before = Hasher.hash(loaded)
    loaded.encode(TEXTS)
    loaded.encode(TEXTS, max_tokens_per_batch=5)
    assert Hasher.hash(loaded) == before
    assert Hasher.hash(pickle.loads(pickle.dumps(loaded))) == before
    code = f"""
from datasets.fingerprint import Hasher
from modeling_elmo import ElmoEncoder
encoder = ElmoEncoder.from_pretrained({str(folder)!r}, device="cpu")
encoder.encode(["Warm it up."])
result = [Hasher.hash(encoder), encoder.fingerprint()]
"""
    assert run(code, {"PYTHONHASHSEED": "7"}) == [before, loaded.fingerprint()]
    moved = ElmoEncoder.from_pretrained(shutil.copytree(folder, tmp_path / "moved"), device="cpu")
    assert Hasher.hash(moved) == before
    with torch.no_grad():
        loaded.model.scalar_mixes[0].gamma.add_(1)
    assert Hasher.hash(loaded) != before
    other = ElmoEncoder.from_pretrained(folder, device="cpu", splitter="whitespace")
    assert Hasher.hash(other) != before
    assert len({loaded.fingerprint(), other.fingerprint(), moved.fingerprint()}) == 3


@pytest.mark.parametrize("fields", [{}, {"stored_initial_state": True, "num_output_representations": 2}])
def test_pickled_encoders_give_the_same_vectors(fields: dict[str, Any]) -> None:
    encoder = ElmoEncoder(tiny_model(**fields).to(torch.bfloat16), ElmoTokenizer(splitter="whitespace"), "cpu")
    back = pickle.loads(pickle.dumps(encoder))
    assert back.device == torch.device("cpu")
    assert back.model.dtype == torch.bfloat16
    assert_rows_close(back.encode(TEXTS), encoder.encode(TEXTS), 0)
    assert back.fingerprint() == encoder.fingerprint()


def test_map_adds_flat_columns(encoder: ElmoEncoder) -> None:
    corpus = Dataset.from_dict({"id": list(range(6)), "text": TEXTS})
    want = encoder.encode(TEXTS)
    for data in (corpus, corpus.with_format("arrow")):
        result = data.map(encoder, batched=True, batch_size=4)
        assert result.column_names == ["id", "text", "embedding"]
        rows = [row.reshape(-1, 16) for row in result.with_format("numpy")["embedding"][:]]
        assert_rows_close(rows, want)
        assert {row.dtype for row in rows if row.size} == {np.dtype(np.float32)}
    options = {"column": "text", "output_column": "mean", "pooling": "mean", "dtype": "float16"}
    for data in (corpus, corpus.with_format("arrow")):
        result = data.map(encoder, batched=True, fn_kwargs=options).with_format("numpy")["mean"][:]
        assert result.dtype == np.float32 or result.dtype == np.float16
        assert_rows_close(result, encoder.encode(TEXTS, pooling="mean"), FLOAT16)
    result = corpus.map(encoder, batched=True, input_columns="text")
    assert_rows_close([np.reshape(row, (-1, 16)) for row in result["embedding"]], want)


def test_map_makes_no_python_floats(encoder: ElmoEncoder) -> None:
    assert all(isinstance(row, np.ndarray) for row in encoder({"text": TEXTS})["embedding"])
    pooled = encoder({"words": [["a"], []], "id": [1, 2]}, pooling="mean")["embedding"]
    assert pooled.shape == (2, 16)
    table = encoder(pa.table({"sentence": TEXTS}), layer="all")
    assert str(table["embedding"].type) == "list<item: fixed_size_list<item: fixed_size_list<item: float>[16]>[3]>"


def test_map_recognizes_its_cache_in_another_process(folder: Path, tmp_path: Path) -> None:
    Dataset.from_dict({"text": TEXTS}).save_to_disk(tmp_path / "data")
    options = {"pooling": "mean"}
    loaded = ElmoEncoder.from_pretrained(folder, device="cpu")
    first = load_from_disk(str(tmp_path / "data")).map(loaded, batched=True, fn_kwargs=options)
    code = f"""
from datasets import load_from_disk
from modeling_elmo import ElmoEncoder
calls = []
encode = ElmoEncoder.encode
ElmoEncoder.encode = lambda *given, **options: (calls.append(1), encode(*given, **options))[1]
encoder = ElmoEncoder.from_pretrained({str(folder)!r}, device="cpu")
data = load_from_disk({str(tmp_path / "data")!r})
again = data.map(encoder, batched=True, fn_kwargs={options})
counts = [len(calls)]
data.map(encoder, batched=True, fn_kwargs={{"pooling": "max"}})
result = [*counts, len(calls), again[0]["embedding"]]
"""
    assert run(code) == [0, 1, first[0]["embedding"]]


def test_map_in_processes_with_rank(encoder: ElmoEncoder) -> None:
    corpus = Dataset.from_dict({"text": TEXTS * 2})
    result = corpus.map(encoder, batched=True, batch_size=3, num_proc=2, with_rank=True, fn_kwargs={"pooling": "max"})
    assert_rows_close(result.with_format("numpy")["embedding"][:], encoder.encode(TEXTS * 2, pooling="max"))


def test_map_on_streams(encoder: ElmoEncoder) -> None:
    want = encoder.encode(TEXTS)
    corpus = Dataset.from_dict({"text": TEXTS}).to_iterable_dataset()
    rows = [row["embedding"] for row in corpus.map(encoder, batched=True, batch_size=4)]
    assert_rows_close(rows, want)
    tables = corpus.with_format("arrow").map(encoder, batched=True, batch_size=4).iter(batch_size=4)
    flat = np.concatenate([from_arrow(table["embedding"])[0] for table in tables])
    assert_rows_close([flat], [np.concatenate(want)])


def test_map_names_missing_columns(encoder: ElmoEncoder) -> None:
    with pytest.raises(
        ValueError, match=r"Expected a column named text, sentence, words, tokens, got a, b. Pass `column`"
    ):
        encoder({"a": [], "b": []})
    with pytest.raises(ValueError, match="Expected the column 'c', got text"):
        encoder({"text": ["x"]}, column="c")
    with pytest.raises(TypeError, match="Expected `rank` to be an integer, as `with_rank=True` passes, got list"):
        encoder({"text": ["x"]}, [0])


def test_text_columns_are_found_in_order() -> None:
    assert find_text_column(["id", "tokens", "text"]) == "text"
    assert find_text_column({"words": 1, "tokens": 2}) == "words"
    assert find_text_column(["id", "text"], "id") == "id"
    assert find_text_column(["text"], "id") is None
    assert find_text_column(["id"]) is None


def test_pipeline_and_encoder_agree(encoder: ElmoEncoder) -> None:
    features = pipeline("feature-extraction", model=encoder.model, tokenizer=encoder.tokenizer)
    texts = [text for text in TEXTS if text.strip()]
    assert_rows_close([np.array(features(text))[0] for text in texts], encoder.encode(texts))


def test_every_way_of_loading(folder: Path) -> None:
    for path in (folder, str(folder)):
        assert_rows_close(ElmoEncoder.from_pretrained(path).encode(SENTENCES), expected("elmo"))
    with pytest.raises(OSError):
        ElmoEncoder.from_pretrained(folder / "nowhere", local_files_only=True)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "elmo"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_copies_arrive_whole() -> None:
    encoder = ElmoEncoder(tiny_model(), ElmoTokenizer(), "cpu")
    sentences = [words for _ in range(200) for words in SENTENCES]
    want = encoder.encode(sentences, max_tokens_per_batch=100)
    for options in ({"max_tokens_per_batch": 100}, {"max_tokens_per_batch": 5000}):
        got = encoder.encode(sentences, device="cuda", **options)
        assert (
            max(max_difference(torch.tensor(a), torch.tensor(b)) for a, b in zip(got, want, strict=True))
            < BATCHING_ORIGINAL
        )
    ranked = pickle.loads(pickle.dumps(ElmoEncoder(tiny_model(), ElmoTokenizer())))
    ranked({"text": TEXTS}, 3)
    assert ranked.device == torch.device("cuda", 3 % torch.cuda.device_count())


def test_the_batches_that_a_cpu_gets(encoder: ElmoEncoder) -> None:
    spec = encoder.vector_spec()

    def sizes(sentences: int = 300, words: int = 1, **limits: int) -> list[int]:
        seen: list[int] = []
        windows = [Window([["word"] * words] * sentences)]
        list(encoder.encode_windows(windows, spec, **limits, on_batch=lambda sentences, _: seen.append(sentences)))
        return seen

    assert sizes() == [128, 128, 44]
    assert sizes(40, 1000) == [32, 8], "at most 32,768 tokens"
    assert sizes(batch_size=200) == [200, 100]
    assert sizes(max_tokens_per_batch=250) == [250, 50], "an explicit limit on tokens replaces the default batch size"
