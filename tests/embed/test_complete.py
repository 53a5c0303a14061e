# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo embed` ends with exit code 0 only if its output is that of the input: nothing missing, changed, or swapped."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from helpers.small_models import SENTENCES, tiny_model

from elmo_cli import main
from modeling_elmo import ElmoTokenizer
from modeling_elmo.embed.job import EmbedJob
from modeling_elmo.embed.shards import RowRange, ShardFolder, Statistics, default_shard_rows
from modeling_elmo.encode.output import to_arrow

LINES = [" ".join(words) + "\n" for _ in range(8) for words in SENTENCES]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with `model` and `in.txt`."""
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained(tmp_path / "model")
    ElmoTokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "in.txt").write_text("".join(LINES))
    return tmp_path


def embed(output: str, *options: str, source: str = "in.txt") -> int:
    rows = () if "--shard-rows" in options else ("--shard-rows", "10")
    return main(["embed", source, output, "--model", "model", "--device", "cpu", *rows, *options])


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in ([path] if path.is_file() else sorted(path.iterdir()))}


def around_encode(monkeypatch: pytest.MonkeyPatch, before: Callable[[], Any], after: Callable[[], Any]) -> None:
    """Call functions before and after the first job encodes."""
    encode = EmbedJob._encode

    def call(self: EmbedJob, *arguments: Any) -> None:
        monkeypatch.setattr(EmbedJob, "_encode", encode)
        before()
        encode(self, *arguments)
        after()

    monkeypatch.setattr(EmbedJob, "_encode", call)


# -------------------------------------------------------------------- the input changes


def append() -> None:
    with Path("in.txt").open("a") as file:
        file.write("one more\n")


def truncate() -> None:
    os.truncate("in.txt", 30)


def edit() -> None:
    """Change a line but neither the size nor the time of the file."""
    times = os.stat("in.txt")
    text = Path("in.txt").read_text()
    Path("in.txt").write_text(text.replace("e", "a", 1))
    os.utime("in.txt", ns=(times.st_atime_ns, times.st_mtime_ns))


def delete() -> None:
    Path("in.txt").unlink()


@pytest.mark.parametrize("change", [append, truncate, edit, delete])
@pytest.mark.parametrize("output", ["out.parquet", "out.npz"])
def test_an_input_that_changes_is_an_error_and_the_shards_are_kept(
    here: Path,
    output: str,
    change: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert embed(f"undisturbed-{output}") == 0
    around_encode(monkeypatch, lambda: None, change)
    capsys.readouterr()
    assert embed(output) == 1
    assert capsys.readouterr().err == (
        f"elmo: error: Input in.txt changed during the job, so {output} is incomplete. Its shards are kept: restore "
        "the input and pass --resume, or pass --overwrite to restart.\n"
    )
    assert "complete" not in json.loads((here / f"{output}.manifest.json").read_text())
    folder = here / output if output == "out.parquet" else here / "out.npz.parts"
    assert len(list(folder.glob("part-*"))) == -(-len(LINES) // 10)
    (here / "in.txt").write_text("".join(LINES))
    assert embed(output, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["resumed_shards"] == -(-len(LINES) // 10)
    assert list(contents(here / output).values()) == list(contents(here / f"undisturbed-{output}").values())


def test_shards_of_a_changed_input_are_not_used(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed("undisturbed.parquet") == 0
    around_encode(monkeypatch, edit, lambda: None)
    assert embed("out.parquet") == 1
    (here / "in.txt").write_text("".join(LINES))
    capsys.readouterr()
    assert embed("out.parquet", "--resume") == 0
    assert capsys.readouterr().err == (
        "elmo: warning: Embedding shard 0 again, because its rows are not those of the input.\n"
    )
    assert contents(here / "out.parquet") == contents(here / "undisturbed.parquet")


# -------------------------------------------------------------------- shards are missing, swapped, or corrupt


@pytest.mark.parametrize("output", ["out.parquet", "out.npz"])
def test_a_shard_that_disappears_is_an_error(
    here: Path, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(f"undisturbed-{output}") == 0
    name = "part-00000002.parquet" if output == "out.parquet" else "part-00000002.arrow"
    folder = here / output if output == "out.parquet" else here / "out.npz.parts"
    around_encode(monkeypatch, lambda: None, (folder / name).unlink)
    capsys.readouterr()
    assert embed(output) == 1
    assert capsys.readouterr().err == (
        f"elmo: error: Cannot complete {output}: 1 of 5 shards are missing or are not those of the input ({name}). "
        "Pass --resume to write them again.\n"
    )
    assert embed(output, "--resume") == 0
    assert list(contents(here / output).values()) == list(contents(here / f"undisturbed-{output}").values())


def test_standard_input_cannot_be_resumed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    around_encode(monkeypatch, lambda: None, (here / "out.parquet" / "part-00000002.parquet").unlink)
    for option in ((), ("--overwrite",)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(LINES).encode())))
        assert embed("out.parquet", *option, source="-") == (0 if option else 1)
    assert "Pass --overwrite to write them again." in capsys.readouterr().err


def test_a_file_that_is_no_shard_of_the_job_is_an_error(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed("out.parquet") == 0
    for name in ("part-00000005.parquet", "part-00000.parquet", "part-x.parquet"):
        extra = here / "out.parquet" / name
        shutil.copyfile(here / "out.parquet" / "part-00000000.parquet", extra)
        capsys.readouterr()
        assert embed("out.parquet", "--resume") == 1
        assert (
            f"Cannot complete out.parquet: out.parquet/{name} is not one of its shards. Delete the file and pass --re"
        ) in capsys.readouterr().err
        extra.unlink()
    assert embed("out.parquet", "--resume") == 0


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_swapped_and_foreign_shards_are_embedded_again(
    here: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = f"out.{suffix}"
    assert embed(output) == 0
    before = contents(here / output)
    first, second, third = (here / output / f"part-0000000{index}.{suffix}" for index in (0, 1, 2))
    first.rename("saved")
    second.rename(first)
    Path("saved").rename(second)
    assert embed(f"other.{suffix}", "--layer", "word_emb") == 0
    shutil.copyfile(here / f"other.{suffix}" / third.name, third)
    capsys.readouterr()
    assert embed(output, "--resume", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["resumed_shards"] == 2
    assert captured.err == "".join(
        f"elmo: warning: Embedding {path.name} again, because it is corrupt or belongs to another job.\n"
        for path in (first, second, third)
    )
    assert contents(here / output) == before


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_verify_finds_a_flipped_byte(here: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = f"out.{suffix}"
    assert embed(output) == 0
    before = contents(here / output)
    path = here / output / f"part-00000001.{suffix}"
    data = bytearray(before[path.name])
    vector = pq.read_table(path) if suffix == "parquet" else pa.ipc.open_file(path).read_all()
    position = data.find(np.float32(vector["embedding"][0].as_py()[0][3]).tobytes())
    data[position] ^= 1
    path.write_bytes(data)
    capsys.readouterr()
    assert embed(output, "--resume", "--verify", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["resumed_shards"] == 4
    assert f"Embedding {path.name} again, because it is corrupt" in captured.err
    assert contents(here / output) == before


def test_parquet_has_page_checksums(here: Path) -> None:
    assert embed("out.parquet") == 0
    path = here / "out.parquet" / "part-00000000.parquet"
    data = bytearray(path.read_bytes())
    vector = pq.read_table(path)["embedding"][0].as_py()[0]
    data[data.find(np.float32(vector[3]).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"CRC checksum verification failed"):
        pq.read_table(path, page_checksum_verification=True)


def test_verify_reads_a_single_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed("out.npz") == 0
    assert embed("out.npz", "--resume", "--verify") == 0
    data = bytearray((here / "out.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (here / "out.npz").write_bytes(data)
    capsys.readouterr()
    assert embed("out.npz", "--resume", "--verify") == 1
    assert capsys.readouterr().err == (
        "elmo: error: Cannot resume out.npz: out.npz is corrupt. Pass --overwrite to restart.\n"
    )
    assert embed("out.npz", "--overwrite") == 0
    assert embed("out.npz", "--resume", "--verify") == 0


def test_a_corrupt_shard_is_not_merged(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "out.npz.parts" / "part-00000003.arrow"

    def flip() -> None:
        data = bytearray(path.read_bytes())
        vector = pa.ipc.open_file(path).read_all()["embedding"][1].as_py()[0]
        data[data.find(np.float32(vector[3]).tobytes())] ^= 1
        path.write_bytes(data)

    around_encode(monkeypatch, lambda: None, flip)
    assert embed("out.npz") == 1
    assert f"Cannot read {path.relative_to(here)}: its checksum differs. Pass --resume --verify to embed it again." in (
        capsys.readouterr().err
    )
    assert not (here / "out.npz").exists()
    assert embed("out.npz", "--resume", "--verify") == 0
    assert embed("undisturbed.npz") == 0
    assert (here / "out.npz").read_bytes() == (here / "undisturbed.npz").read_bytes()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path, suffix: str) -> None:
    lengths = [2, 0, 3]
    vectors = np.random.default_rng(0).random((5, 8), dtype=np.float32)
    words = pa.array([["ab"] * length for length in lengths], pa.list_(pa.string()))
    columns = {"index": pa.array([0, 1, 2], pa.int64()), "words": words, "embedding": to_arrow(vectors, lengths)}
    shards = ShardFolder(tmp_path, suffix, "job")
    statistics, row_range = Statistics(rows=3, sentences=3, words=5), RowRange(0, 3, "digest")
    shards.write(0, row_range, pa.table(columns), statistics)
    data = shards.path(0).read_bytes()
    (original,) = shards.tables()
    num_found = 0
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        shards.path(0).write_bytes(flipped)
        saved, corrupt = shards.read_saved(verify=True)
        if corrupt:
            num_found += 1
            continue
        (table,) = shards.tables()
        assert table.column_names == original.column_names
        assert table.to_pydict() == original.to_pydict()
        assert (saved[0].statistics, saved[0].row_range) == (statistics, row_range)
    assert num_found > len(data) / 3


# -------------------------------------------------------------------- names and sizes


def test_a_folder_holds_nothing_but_shards(here: Path) -> None:
    assert embed("out.parquet") == 0
    assert embed("out.arrow") == 0
    assert sorted(path.name for path in (here / "out.parquet").iterdir()) == [
        f"part-{index:08d}.parquet" for index in range(5)
    ]
    assert sorted(path.name for path in here.iterdir()) == [
        *("in.txt", "model", "out.arrow", "out.arrow.manifest.json", "out.parquet", "out.parquet.manifest.json")
    ]
    for suffix in ("parquet", "arrow"):
        data = load_dataset(suffix, data_dir=f"out.{suffix}", split="train", cache_dir=str(here / "cache"))
        assert data["index"] == list(range(len(LINES)))


def test_polars_reads_a_folder(here: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    assert embed("out.parquet") == 0
    assert polars.read_parquet("out.parquet")["index"].to_list() == list(range(len(LINES)))


def test_shards_know_their_number_and_rows(here: Path) -> None:
    assert embed("out.parquet") == 0
    for index in range(5):
        metadata = pq.read_schema(here / "out.parquet" / f"part-{index:08d}.parquet").metadata
        saved = json.loads(metadata[b"elmo_embed"])
        assert (saved["shard"], saved["first_row"], saved["rows"]) == (
            index,
            10 * index,
            min(10, len(LINES) - 10 * index),
        )


@pytest.mark.parametrize(
    ("num_rows", "rows", "pooled_rows"),
    [
        (None, 1000, 10_000),
        (0, 1000, 10_000),
        (10_000_000, 1000, 10_000),
        (10_000_001, 2000, 10_000),
        (30_000_000, 3000, 10_000),
        (100_000_000, 4000, 10_000),
        (100_000_001, 4000, 20_000),
        (10**12, 4000, 100_000),
    ],
)
def test_the_default_shard_size_grows_with_the_input(num_rows: int | None, rows: int, pooled_rows: int) -> None:
    assert default_shard_rows(num_rows, is_pooled=False) == rows
    assert default_shard_rows(num_rows, is_pooled=True) == pooled_rows


def test_resume_keeps_the_default_of_another_version(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> int:
        return json.loads((here / "out.parquet.manifest.json").read_text())["options"]["shard_rows"]

    command = ["embed", "in.txt", "out.parquet", "--model", "model", "--device", "cpu"]
    monkeypatch.setattr("modeling_elmo.embed.job.default_shard_rows", lambda num_rows, is_pooled: 7)
    assert main(command) == 0
    assert rows() == 7
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main([*command, "--resume"]) == 0
    assert rows() == 7
    assert main([*command, "--overwrite"]) == 0
    assert rows() == 1000
