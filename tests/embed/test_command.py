# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo embed`: every input and output, bad rows, and rejected arguments."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from helpers.small_models import ROOT, tiny_model
from helpers.tolerances import BATCHING_SMALL, FLOAT16, SAME_BATCH
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from elmo_cli import main
from modeling_elmo import ElmoEncoder, ElmoTokenizer
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo
from modeling_elmo.embed.files import SentenceKeys, normalize_hdf5_key
from modeling_elmo.embed.inputs import Input, InputRow
from modeling_elmo.embed.rows import MAX_MEAN_CHARACTERS_PER_ROW, RowPolicy, ShardPlan, shard_windows
from modeling_elmo.embed.shards import SavedShard
from modeling_elmo.encode.output import from_arrow

LINES = ["The bank of the river.", "One", "", "It wasn't (Reuters).", "One", "東京 is \u2028 one line", "A/B test / c"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(path)
    ElmoTokenizer().save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def encoder(model: str) -> ElmoEncoder:
    return ElmoEncoder.from_pretrained(model, device="cpu")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with `in.txt`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    return tmp_path


def embed(model: str, source: str, output: str, *options: str) -> int:
    return main(["embed", source, output, "--model", model, "--device", "cpu", *options])


def read_rows(output: str) -> dict[int, np.ndarray]:
    """Return the vectors by row index, from any format except .hdf5."""
    if output.endswith((".parquet", ".arrow")):
        files = sorted(Path(output).glob("part-*"))
        tables = [pq.read_table(f) if output.endswith(".parquet") else pa.ipc.open_file(f).read_all() for f in files]
        table = pa.concat_tables(tables)
        flat, lengths = from_arrow(table["embedding"])
        index = table["index"].to_pylist()
        offset = None if lengths is None else [0, *np.cumsum(lengths)]
    else:
        arrays = load_file(output) if output.endswith(".safetensors") else dict(np.load(output))
        flat, index, offset = arrays["embedding"], arrays["index"].tolist(), arrays.get("offset")
    return {n: flat[i] if offset is None else flat[offset[i] : offset[i + 1]] for i, n in enumerate(index)}


def assert_close(got: dict[int, np.ndarray], want: list[Any], tolerance: float = BATCHING_SMALL) -> None:
    assert list(got) == list(range(len(want)))
    for number, rows in enumerate(want):
        assert got[number].shape == rows.shape
        np.testing.assert_allclose(got[number], rows, atol=tolerance, rtol=0)


# -------------------------------------------------------------------- outputs


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "npz", "safetensors"])
@pytest.mark.parametrize(
    "options",
    [{}, {"layer": "all"}, {"pooling": "mean", "layer": "all"}, {"pooling": "max", "dtype": "float16"}],
    ids=str,
)
def test_files_hold_the_encoders_vectors(
    model: str, encoder: ElmoEncoder, here: Path, suffix: str, options: dict[str, str]
) -> None:
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    assert embed(model, "in.txt", f"out.{suffix}", "--shard-rows", "3", "--normalize", *flags) == 0
    want = encoder.encode(LINES, normalize=True, **options)
    got = read_rows(f"out.{suffix}")
    assert_close(got, want, FLOAT16 if "dtype" in options else BATCHING_SMALL)
    assert {row.dtype for row in got.values()} == {np.dtype(options.get("dtype", "float32"))}
    assert not list(here.glob("*.parts"))
    assert not [path for path in here.rglob("*") if path.suffix == ".tmp"]


def test_one_shard_has_the_encoders_batches(model: str, encoder: ElmoEncoder, here: Path) -> None:
    assert embed(model, "in.txt", "out.npz") == 0
    assert_close(read_rows("out.npz"), encoder.encode(LINES), SAME_BATCH)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_folders_are_data_sets(model: str, encoder: ElmoEncoder, here: Path, suffix: str) -> None:
    assert embed(model, "in.txt", f"out.{suffix}", "--shard-rows", "3") == 0
    files = f"out.{suffix}/part-*.{suffix}"
    data = load_dataset(suffix, data_files=files, split="train", cache_dir=str(here / "cache"))
    assert data["words"][3] == ["It", "wasn", "'t", "(", "Reuters", ")", "."]
    assert_close(
        {
            n: np.asarray(row, np.float32).reshape(-1, 16)
            for n, row in enumerate(data.with_format("numpy")["embedding"][:])
        },
        encoder.encode(LINES),
    )
    if suffix == "parquet":
        assert pq.read_table("out.parquet").num_rows == len(LINES), "the manifest is not part of the data"


@pytest.mark.parametrize("layers", ["all", "top", "average"])
def test_hdf5_is_allennlps(model: str, encoder: ElmoEncoder, here: Path, layers: str) -> None:
    assert embed(model, "in.txt", "out.hdf5", "--layers", layers, "--shard-rows", "3") == 0
    words = [line.split() for line in LINES]
    want = encoder.encode(words, "all")
    with h5py.File("out.hdf5") as file:
        assert set(file) == {*map(str, range(len(LINES))), "sentence_to_index"}
        for number, rows in enumerate(want):
            dataset = file[str(number)]
            expected = {"all": rows.swapaxes(0, 1), "top": rows[:, -1], "average": rows.mean(1)}[layers]
            assert dataset.dtype == np.float32
            assert dataset.shape == expected.shape
            np.testing.assert_allclose(dataset[()], expected, atol=BATCHING_SMALL, rtol=0)
        assert file["2"].shape == ((3, 0, 16) if layers == "all" else (0, 16))
        assert file["sentence_to_index"].shape == (1,)
        assert json.loads(file["sentence_to_index"][0]) == {line: str(n) for n, line in enumerate(LINES)}


def test_hdf5_by_sentence(model: str, encoder: ElmoEncoder, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--use-sentence-keys", "--layers", "top", "--json")
    assert embed(model, "in.txt", "out.h5", *options, "--forget-sentences") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["sentences"], summary["skipped_sentences"], summary["bad_rows"]) == (7, 5, 2, 0)
    with h5py.File("out.h5") as file:
        assert "sentence_to_index" not in file
        for line in filter(None, LINES):
            want = encoder.encode([line.split()], "lstm_outputs2")[0]
            np.testing.assert_allclose(file[line][()], want, atol=BATCHING_SMALL, rtol=0)
    (here / "in.txt").write_text("a/b\na\n.\nc\n")
    assert embed(model, "in.txt", "bad.hdf5", *options) == 1
    assert "in.txt, line 2: the HDF5 name 'a' conflicts with that of an earlier sentence" in capsys.readouterr().err
    for errors in ("skip", "empty"):
        assert embed(model, "in.txt", f"{errors}.hdf5", *options, "--errors", errors) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["bad_rows"] == 2
        assert "line 3: expected a valid HDF5 name, got only" in captured.err
        with h5py.File(f"{errors}.hdf5") as file:
            assert json.loads(file["sentence_to_index"][0]) == {"a/b": "a/b", "c": "c"}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("ab./ :", max_size=5), max_size=6))
@example(["::", "::/:"])
def test_sentences_that_can_be_keys_are_found_again(sentences: list[str]) -> None:
    keys, added = SentenceKeys(), []
    with h5py.File(io.BytesIO(), "w") as file:
        for number, sentence in enumerate(sentences):
            if keys.contains(sentence):
                assert sentence in added
            elif keys.try_add(sentence) is None:
                file.create_dataset(normalize_hdf5_key(sentence), data=number)
                added.append(sentence)
            else:
                # h5py raises a TypeError for a name below a dataset.
                with pytest.raises(
                    (ValueError, TypeError), match=r"create|Incompatible object \(Dataset\) already exists"
                ):
                    file.create_dataset(normalize_hdf5_key(sentence) or ".", data=number)
        assert [sentences[file[sentence][()]] for sentence in added] == added


def test_no_rows(model: str, here: Path) -> None:
    (here / "in.txt").write_text("")
    for suffix in ("parquet", "arrow", "npz", "safetensors", "hdf5"):
        assert embed(model, "in.txt", f"out.{suffix}") == 0
    assert pq.read_table("out.parquet").column_names == ["index", "words", "embedding"]
    assert np.load("out.npz")["embedding"].shape == (0, 16)
    assert load_file("out.safetensors")["offset"].tolist() == [0]


# -------------------------------------------------------------------- inputs


def write_inputs(folder: Path) -> dict[str, tuple[str, ...]]:
    """Write LINES in every format. Return the options that read each file."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"id": 1, "text": line}) + "\n" for line in LINES))
    (folder / "bare.jsonl").write_text("\n".join(json.dumps(line) for line in LINES))
    quoted = "".join('7,"{}"\n'.format(line.replace('"', '""')) for line in LINES)
    (folder / "in.csv").write_text(f"id,text\n{quoted}", encoding="utf-8")
    (folder / "in.tsv").write_text("".join(f"{line}\tx\n" for line in ["body", *LINES]), encoding="utf-8-sig")
    (folder / "crlf").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(LINES).encode())
    pq.write_table(pa.table({"id": range(7), "sentence": LINES}), folder / "in.parquet")
    pq.write_table(pa.table({"body": pa.array(LINES, pa.large_string())}), folder / "large.parquet")
    return {
        "in.jsonl": (), "bare.jsonl": (), "in.csv": (), "in.tsv": ("--column", "body"), "crlf": (), "in.parquet": (),
        "large.parquet": ("--column", "body"),
    }  # fmt: skip


def test_every_input_gives_the_same(
    model: str, encoder: ElmoEncoder, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = encoder.encode(LINES)
    for name, options in write_inputs(here).items():
        assert embed(model, name, f"{name}.npz", *options) == 0
        assert_close(read_rows(f"{name}.npz"), want, SAME_BATCH)
    for name, options in {"in.txt": (), "in.jsonl": ("--input-format", "jsonl")}.items():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((here / name).read_bytes())))
        assert embed(model, "-", f"stdin-{name}.npz", *options) == 0
        assert_close(read_rows(f"stdin-{name}.npz"), want, SAME_BATCH)


def test_words_pass_as_they_are(model: str, encoder: ElmoEncoder, here: Path) -> None:
    sentences = [["New York", "isn't"], [], ["x"]]
    (here / "in.jsonl").write_text("".join(json.dumps({"words": words}) + "\n" for words in sentences))
    pq.write_table(pa.table({"tokens": sentences}), here / "in.parquet")
    for name in ("in.jsonl", "in.parquet"):
        assert embed(model, name, f"{name}.arrow") == 0
        assert_close(read_rows(f"{name}.arrow"), encoder.encode(sentences))
    words = [line.split() for line in LINES]
    for flags in (("--is-split-into-words",), ("--splitter", "whitespace")):
        assert embed(model, "in.txt", f"{flags[0][2:]}.arrow", *flags) == 0
        assert_close(read_rows(f"{flags[0][2:]}.arrow"), encoder.encode(words))
    assert embed(model, "in.txt", "out.hdf5", "--splitter", "moses", "--layers", "top") == 0
    with h5py.File("out.hdf5") as file:
        assert file["3"].shape == (7, 16)


def test_quoted_line_ends_and_unclosed_quotes(here: Path) -> None:
    (here / "in.csv").write_text('text\n"two\nlines"\nlast\n')
    rows = list(Input("in.csv").read_rows())
    assert [(row.index, row.location, row.sentence) for row in rows] == [
        (0, "line 3", "two\nlines"),
        (1, "line 4", "last"),
    ]
    (here / "in.csv").write_text('text\ngood\n"' + "never closed\n" * 30_000)
    first, second, *_ = Input("in.csv").read_rows()
    assert (first.sentence, first.error) == ("good", None)
    assert second.error is not None
    assert "expected CSV: field larger than field limit" in second.error


# -------------------------------------------------------------------- bad rows


def write_bad(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Write files with bad rows. Return the index and message of each, for at most 40 characters per sentence."""
    (folder / "bad.txt").write_bytes(b"good\n\xff\xfe\ngood\n" + b"x" * 41 + b"\n" + b"y" * 2000 + b"\ngood")
    lines = ['{"text": "good"}', '{"text": 1}', '{"txt": ""}', "{", '{"text": ["a", null]}', '{"text": "\\ud800"}']
    (folder / "bad.jsonl").write_text("\n".join([*lines, '{"text": null}', "[1]"]))
    (folder / "bad.csv").write_bytes(b"id,text\n1,good\n2\n3,\xff\n4,good\n")
    invalid = pa.Array.from_buffers(pa.string(), 3, pa.array([b"good", b"\xff", b"good"]).buffers())
    pq.write_table(pa.table({"text": invalid}), folder / "bad.parquet")
    pq.write_table(pa.table({"words": [["good"], None, [None, "a"]]}), folder / "words.parquet")
    pq.write_table(pa.table({"text": [1, 2]}), folder / "numbers.parquet")
    return {
        "bad.txt": [
            (1, "line 2: expected UTF-8 text, got other bytes"),
            (3, "line 4: expected at most 40 characters, got 41"),
            (4, "line 5: expected at most 40 characters, got 163"),
        ],
        "bad.jsonl": [
            (1, "line 2: expected a string or a list of words, got int"),
            (2, "line 3: the key 'text' or 'sentence' or 'words' or 'tokens' is missing"),
            (3, "line 4: expected JSON: "),
            (4, "line 5: expected strings as words, got NoneType"),
            (5, "line 6: expected UTF-8 text, got other bytes"),
            (6, "line 7: expected a string or a list of words, got NoneType"),
            (7, "line 8: expected strings as words, got int"),
        ],
        "bad.csv": [
            (1, "line 3: the column 'text' is missing, 1 of 2 columns exist"),
            (2, "line 4: expected UTF-8 text, got other bytes"),
        ],
        "bad.parquet": [(1, "row 1 (from 0): expected UTF-8 text, got other bytes")],
        "words.parquet": [
            (1, "row 1 (from 0): expected a string or a list of words, got NoneType"),
            (2, "row 2 (from 0): expected strings as words, got NoneType"),
        ],
        "numbers.parquet": [
            (0, "row 0 (from 0): expected a string or a list of words, got int"),
            (1, "row 1 (from 0): expected a string or a list of words, got int"),
        ],
    }


def test_bad_rows_are_named_and_the_policy_kept(model: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, bad in write_bad(here).items():
        num_rows = sum(1 for _ in Input(name).read_rows())
        options = ("--max-characters", "40", "--pooling", "mean", "--json")
        assert embed(model, name, f"{name}.stop.npz", *options) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"elmo: error: Cannot embed {name}, {bad[0][1]}")
        assert error.endswith(". Pass --errors skip or --errors empty to continue.\n")
        assert error.count("\n") == 1
        assert not Path(f"{name}.stop.npz").exists()
        for errors in ("skip", "empty"):
            assert embed(model, name, f"{name}.{errors}.npz", *options, "--errors", errors) == 0
            captured = capsys.readouterr()
            warnings = captured.err.splitlines()
            assert len(warnings) == len(bad)
            for warning, (_, message) in zip(warnings, bad, strict=True):
                action = {"skip": "Skipped", "empty": "Wrote no words for"}[errors]
                assert warning.startswith(f"elmo: warning: {action} {name}, {message}")
            vectors = read_rows(f"{name}.{errors}.npz")
            assert json.loads(captured.out)["bad_rows"] == len(bad)
            if errors == "skip":
                assert set(vectors) == set(range(num_rows)) - {number for number, _ in bad}
            else:
                assert {n for n, row in vectors.items() if not row.any()} == {number for number, _ in bad}
                assert len(vectors) == num_rows


def test_many_bad_rows_are_counted_and_not_all_shown(
    model: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "in.txt").write_bytes(b"\xff\n" * 50)
    assert embed(model, "in.txt", "out.npz", "--errors", "skip") == 0
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 21
    assert "out.npz: 0 sentences, 0 words, 50 bad rows" in captured.out


ROWS = st.lists(st.tuples(st.integers(0, 1500), st.booleans()), max_size=40)


@settings(max_examples=80, deadline=None)
@given(ROWS, st.integers(1, 5), st.sets(st.integers(0, 12)), st.sampled_from(["skip", "empty"]))
def test_shards_do_not_depend_on_those_that_are_done(
    rows: list[tuple[int, bool]], size: int, done: set[int], errors: str
) -> None:
    def shards(completed: dict[int, SavedShard]) -> dict[int, Any]:
        source = (InputRow(n, "", "x" * length, "bad" if bad else None) for n, (length, bad) in enumerate(rows))
        policy = RowPolicy("in", errors, False, False)
        policy._num_warnings = 100  # prints no warnings
        plan = ShardPlan(completed)
        labels = {window.label.index: window.label for window in shard_windows(source, policy, size, plan)}
        assert plan.num_encoded == len(labels)
        assert [item.first_row for item in plan.row_ranges] == [
            sum(item.rows for item in plan.row_ranges[:index]) for index in range(len(plan.row_ranges))
        ]
        return labels

    every = shards({})
    assert list(every) == list(range(len(every)))
    saved = {index: SavedShard(shard.statistics, shard.row_range) for index, shard in every.items() if index in done}
    assert {index: shard for index, shard in every.items() if index not in done} == shards(saved)
    numbers = [number for shard in every.values() for number in shard.rows]
    assert numbers == [n for n, (_, bad) in enumerate(rows) if not bad or errors == "empty"]
    assert sum(shard.statistics.rows for shard in every.values()) == len(rows)
    for shard in every.values():
        assert shard.statistics.rows <= size
        assert shard.num_characters <= size * MAX_MEAN_CHARACTERS_PER_ROW + 1500


# -------------------------------------------------------------------- the command


def test_summary_and_silence(model: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed(model, "in.txt", "out.parquet", "--shard-rows", "3", "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    summary = json.loads(captured.out)
    assert summary.pop("seconds") > 0
    assert summary == {
        "output": "out.parquet", "shards": 3, "rows": 7, "sentences": 7, "words": 26, "bad_rows": 0,
        "skipped_sentences": 0, "resumed_shards": 0, "device": "cpu",
    }  # fmt: skip
    manifest = json.loads((here / "out.parquet.manifest.json").read_text())
    assert manifest["complete"]["words"] == 26
    assert len(manifest["model"]["sha256"]) == len(manifest["input"]["sha256"]) == 64


def test_progress_on_a_terminal(model: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert embed(model, "in.txt", "out.npz") == 0
    shown = terminal.getvalue()
    for part in ("7/7", "sentence/s", "words/s"):
        assert part in shown
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert embed(model, "in.txt", "quiet.npz", "--quiet") == 0
    assert "sentence/s" not in terminal.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [["in.txt"], ["in.txt", "out.hdf5", "--pooling", "mean"], ["in.txt", "out.npz", "--layers", "top"],
     ["in.txt", "out.npz", "--use-sentence-keys"], ["in.txt", "out.npz", "--resume", "--overwrite"],
     ["in.txt", "out.npz", "--errors", "x"], ["in.txt", "out.npz", "--batch-size", "0"],
     ["in.txt", "out.npz", "--splitter", "moses", "--is-split-into-words"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(here: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["embed", *arguments, "--model", "m"])
    assert caught.value.code == 2
    assert [path.name for path in here.iterdir()] == ["in.txt"]


def test_failures_are_one_line(model: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in.csv").write_text("a,b\n1,2\n")
    for source, output, options, message in [
        ("nowhere", "o.npz", (), "nowhere"),
        (
            "in.txt",
            "o.xml",
            (),
            "Expected an output that ends in one of .parquet, .arrow, .safetensors, .npz, .hdf5, .h5, got 'o.xml'.",
        ),
        ("in.txt", "o.npz", ("--layer", "x"), "'all', 'elmo', 'word_emb'"),
        (
            "in.csv",
            "o.npz",
            (),
            "Expected one of the columns text, sentence, words, tokens in the input, got 'a', 'b'. Pass --column",
        ),
        (
            "in.csv",
            "p.npz",
            ("--column", "c"),
            "Expected the column 'c' in the input, got 'a', 'b'. Pass --column to name it.",
        ),
        ("-", "o.npz", ("--resume",), "Cannot resume a job that reads standard input. Pass a file as the input."),
    ]:
        assert embed(model, source, output, *options) == 1
        error = capsys.readouterr().err
        assert error.startswith("elmo: error: ")
        assert message in error
        assert error.count("\n") == 1


def test_an_output_is_replaced_only_if_it_is_ours(model: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output in ("out.parquet", "out.npz"):
        assert embed(model, "in.txt", output) == 0
        assert embed(model, "in.txt", output, "--layer", "word_emb") == 1
        assert f"Output {output} already exists. Pass --resume to continue it or --overwrite to replace it." in (
            capsys.readouterr().err
        )
        assert embed(model, "in.txt", output, "--layer", "word_emb", "--overwrite") == 0
        assert read_rows(output)[1].shape == (1, 8)
    (here / "mine.parquet").mkdir()
    (here / "mine.parquet" / "work.txt").write_text("")
    (here / "mine.npz").write_text("")
    for output in ("mine.parquet", "mine.npz"):
        for option in ("--overwrite", "--resume"):
            assert embed(model, "in.txt", output, option) == 1
            verb = option[2:]
            assert f"Cannot {verb} {output}: it has no manifest" in capsys.readouterr().err
    assert (here / "mine.parquet" / "work.txt").exists()
    assert (here / "mine.npz").read_text() == ""


def test_the_documents_code_and_commands(here: Path) -> None:
    write_demo("old")
    convert("old", "my-elmo", language="en")
    (here / "in.csv").write_text("body\nWe sat.\n")
    text = (ROOT / "docs" / "corpora.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "corpora.md", "exec"), names)
    assert [row.shape for row in names["vectors"]] == [(6, 64), (5, 64), (0, 64)]
    assert names["means"].shape == (3, 64)
    assert names["layers"][0].shape == (6, 3, 64)
    assert len(names["corpus"][0]["embedding"]) == 6
    commands = re.findall(r"^elmo (embed .*)$", text, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert main(command.split()) == 0
    assert load_file("out.safetensors")["embedding"].dtype == np.float16
