# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""No command writes over an input, or over data that this package did not write. A refusal changes no file."""

import json
import os
import shutil
from pathlib import Path

import pytest
from helpers.small_models import ROOT, tiny_model
from helpers.write_allennlp import write_archive
from helpers.write_checkpoint import write_checkpoint

from elmo_cli import main
from modeling_elmo import ElmoTokenizer
from modeling_elmo.bundled import bundled_model_path
from modeling_elmo.conversion import export
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo
from modeling_elmo.conversion.formats.allennlp_names import MIX_FILE
from modeling_elmo.files import (
    EXPORTED_FILES,
    EXPORTED_FOLDER,
    MODEL_FILES,
    MODEL_FOLDER,
    TRAINING_FILES,
    VOCABULARY_FILE,
    check_output,
    find_unknown,
)

CONFIG = json.dumps(
    {
        "character_embedding_size": 4,
        "filters": [[1, 4], [2, 4]],
        "num_highway_layers": 1,
        "projection_size": 8,
        "cell_size": 16,
    }
)
TRAIN = ["--vocabulary", "vocab.txt", "--config", CONFIG, "--max-steps", "1", "--warmup-steps", "1"]
TRAIN += ["--save-steps", "1"]
VOCABULARY = "<S>\n</S>\n<UNK>\nthe\nof\nbank\nriver\n"


def contents(folder: Path) -> dict[str, bytes | str]:
    """Return the bytes of each file and the target of each link."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with inputs, models, and foreign data."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "text.txt").write_text("the bank of the river\n" * 100)
    (folder / "vocab.txt").write_text(VOCABULARY)
    (folder / "thesis.tex").write_text("mine")
    for name in ("corpus", "words"):
        (folder / name).mkdir()
    (folder / "words" / "vocab.txt").write_text(VOCABULARY)
    (folder / "corpus" / "a.txt").write_text("the bank of the river\n" * 100)
    write_checkpoint(folder / "old")
    write_archive(folder / "anlp")
    convert(folder / "old", folder / "model")
    shutil.copytree(folder / "model", folder / "extended")
    (folder / "extended" / "1_Pooling" / "thesis.tex").write_text("mine")
    export.export(folder / "model", folder / "exported")
    shutil.copytree(folder / "exported", folder / "annotated")
    (folder / "annotated" / "notes").mkdir()
    (folder / "web" / "src").mkdir(parents=True)
    (folder / "web" / "config.json").write_text("{}")
    (folder / "web" / "src" / "app.js").write_text("x")
    (folder / "distilbert").mkdir()
    (folder / "distilbert" / "config.json").write_text('{"model_type": "distilbert"}')
    (folder / "distilbert" / "model.safetensors").write_text("weights")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of `made` as the working folder, with links."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    os.symlink("text.txt", "link.txt")
    os.link("text.txt", "hard.txt")
    os.symlink("anlp", "link")
    return tmp_path / "here"


REFUSED = [
    # an input is the output
    ("vocabulary text.txt --output text.txt", "Cannot write text.txt: it is the input text.txt."),
    ("vocabulary text.txt --output text.txt --overwrite", "Cannot write text.txt: it is the input text.txt."),
    ("vocabulary text.txt --output hard.txt --overwrite", "Cannot write hard.txt: it is the input text.txt."),
    ("vocabulary link.txt --output text.txt --overwrite", "Cannot write text.txt: it is the input link.txt."),
    ("vocabulary text.txt --output link.txt --overwrite", "Cannot write link.txt: it is the input text.txt."),
    (
        "vocabulary corpus --output corpus/a.txt --overwrite",
        "Cannot write corpus/a.txt: it is inside the input c",
    ),
    ("convert anlp anlp --overwrite", "Cannot write anlp: it is the input anlp."),
    ("convert link anlp --overwrite", "Cannot write anlp: it is the input link."),
    ("convert anlp link --overwrite", "Cannot write link: it is the input anlp."),
    ("convert old/../anlp anlp --overwrite", "Cannot write anlp: it is the input old/../anlp."),
    ("export model model --overwrite", "Cannot write model: it is the input model."),
    ("train text.txt --output model --model model --overwrite", "Cannot write model: it is the input model."),
    # the output contains an input, or an input contains the output
    ("convert old/lm_weights.hdf5 old --overwrite", "Cannot write old: it contains the input old/lm_weights.hdf5."),
    ("convert anlp/weights.th link --overwrite", "Cannot write link: it contains the input anlp/weights.th."),
    ("convert old model --options model/config.json --overwrite", "Cannot write model: it contains the input model/"),
    ("convert old old/model", "Cannot write old/model: it is inside the input old."),
    ("export model model/exported", "Cannot write model/exported: it is inside the input model."),
    ("vocabulary corpus --output corpus/vocab.txt", "Cannot write corpus/vocab.txt: it is inside the input corpus."),
    ("train corpus --output corpus/model", "Cannot write corpus/model: it is inside the input corpus."),
    ("train corpus --output corpus --overwrite", "Cannot write corpus: it is the input corpus."),
    ("train text.txt --output model --valid model/README.md --overwrite", "Cannot write model: it contains the input"),
    # an existing output
    ("vocabulary text.txt --output vocab.txt", "Output vocab.txt already exists. Choose another file or pass --overw"),
    ("vocabulary text.txt --output words", "Output words/vocab.txt already exists."),
    ("convert old model", "Output folder model is not empty. Choose another folder or pass --overwrite."),
    ("export model exported", "Output folder exported is not empty. Choose another folder or pass --overwrite."),
    ("train text.txt --output model", "Output model already exists. Pass --resume to continue it or --overwrite to"),
    ("train text.txt --output model --resume", "Cannot resume model: it has no complete checkpoint."),
    # an existing output that is not provably ours
    ("vocabulary text.txt --output thesis.tex --overwrite", "Cannot overwrite thesis.tex: it does not begin with <S>"),
    ("vocabulary text.txt --output /dev/null --overwrite", "Expected a new output file, got /dev/null, which is not a"),
    ("convert old web --overwrite", "Cannot overwrite web: its config.json has model_type None, not 'elmo'."),
    ("convert old distilbert --overwrite", "Cannot overwrite distilbert: its config.json has model_type 'distilbert'"),
    ("convert old extended --overwrite", "Cannot overwrite extended: it contains 1_Pooling/thesis.tex, which `elmo`"),
    ("convert old exported --overwrite", "Cannot overwrite exported: it does not contain config.json."),
    ("convert old thesis.tex --overwrite", "Expected a new or empty output folder, got thesis.tex, which is not a p"),
    ("convert old link --overwrite", "Expected a new or empty output folder, got link, which is not a plain folder."),
    ("export model annotated --overwrite", "Cannot overwrite annotated: it contains notes, which `elmo export` does"),
    ("export model web --overwrite", "Cannot overwrite web: it does not contain options.json."),
    ("train text.txt --output web --overwrite", "Cannot overwrite web: its config.json has model_type None"),
    ("train text.txt --output extended --overwrite", "Cannot overwrite extended: it contains 1_Pooling/thesis.tex"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line for line, _ in REFUSED])
def test_a_refusal_is_one_line_and_changes_nothing(
    here: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = line.split()
    if arguments[0] == "train":
        arguments += TRAIN[2:] if "--model" in line else TRAIN
    before = contents(here)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"elmo: error: {message}")
    assert error.count("\n") == 1
    assert contents(here) == before


def test_what_is_ours_is_replaced(here: Path) -> None:
    (here / "vocab.txt").write_text(VOCABULARY + "old\n")
    (here / "model" / "README.md").write_text("old")
    (here / "exported" / "vocab.txt").write_text("old")
    assert main(["vocabulary", "text.txt", "--output", "vocab.txt", "--overwrite"]) == 0
    assert (here / "vocab.txt").read_text() == "<S>\n</S>\n<UNK>\nthe\nbank\nof\nriver\n"
    assert main(["convert", "old", "model", "--overwrite"]) == 0
    assert (here / "model" / "README.md").read_text() != "old"
    assert main(["export", "model", "exported", "--overwrite"]) == 0
    assert not (here / "exported" / "vocab.txt").exists()
    assert [path.name for path in here.parent.iterdir()] == ["here"]


def test_the_working_folder_can_be_replaced(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "model" / "README.md").write_text("old")
    monkeypatch.chdir(here / "model")
    assert main(["convert", "../old", ".", "--overwrite"]) == 0
    assert (here / "model" / "README.md").read_text() != "old"


def test_a_training_output_is_restarted_with_its_checkpoints(here: Path) -> None:
    def train(*options: str) -> int:
        return main(["train", "text.txt", "--output", "trained", *TRAIN, *options])

    assert train() == 0
    assert find_unknown(here / "trained", (*MODEL_FILES, *TRAINING_FILES)) is None
    before = contents(here)
    assert train() == 1
    assert contents(here) == before
    assert train("--overwrite", "--seed", "1", "--logging-steps", "1") == 0
    after = contents(here / "trained")
    assert after["model.safetensors"] != before["trained/model.safetensors"]
    assert [row.split(",")[0] for row in (here / "trained" / "curve.csv").read_text().splitlines()[1:]] == ["1"]
    # A run that was killed before its end has no model yet.
    for path in (here / "trained").iterdir():
        if path.name != "checkpoints":
            path.unlink()
    assert train("--overwrite") == 0
    assert train("--overwrite", "--model", "trained") == 1


def test_a_training_run_without_checkpoints_is_restarted(here: Path) -> None:
    (here / "started" / "checkpoints").mkdir(parents=True)
    (here / "started" / "curve.csv").write_text("step\n")
    assert main(["train", "text.txt", "--output", "started", *TRAIN, "--resume"]) == 0
    assert (here / "started" / "model.safetensors").is_file()


def test_the_files_of_our_folders_are_known(here: Path) -> None:
    tiny_model().save_pretrained(here / "saved", max_shard_size="2KB")
    ElmoTokenizer().save_pretrained(here / "saved")
    data = ROOT / "tests" / "data"
    for folder in (here / "saved", here / "model", bundled_model_path(), data / "saved_by_a814f96" / "tagger"):
        check_output(Path(folder), MODEL_FOLDER, overwrite=True)
    names = {export.OPTIONS_FILE, export.WEIGHTS_FILE, export.SOFTMAX_FILE, export.VOCABULARY_FILE, MIX_FILE}
    assert set(EXPORTED_FILES) == names
    write_demo(here / "demo")
    check_output(here / "demo", EXPORTED_FOLDER, overwrite=True)
    check_output(here / "vocab.txt", VOCABULARY_FILE, overwrite=True)


def test_unknown_paths(tmp_path: Path) -> None:
    patterns = ("a.txt", "b/*.txt", "c/d/e")
    for path in ("a.txt", ".a.txt.tmp", "b/x.txt", "b/.y.txt.tmp", "c/d/e"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert find_unknown(tmp_path, patterns) is None
    for path in ("e", "b/x", "b/c/x.txt", "b/a.txt/x.txt", "c/d/f", ".tmp", "c/a.txt", ".b.tmp"):
        copy = tmp_path.with_name("copy")
        shutil.copytree(tmp_path, copy)
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).touch()
        unknown = find_unknown(copy, patterns)
        assert unknown is not None
        assert f"{path}/".startswith(f"{unknown}/")
        shutil.rmtree(copy)
    (tmp_path / "b" / "c").symlink_to(tmp_path.parent)
    assert find_unknown(tmp_path, patterns) == "b/c", "a link to a folder is not followed"


# -------------------------------------------------------------------- elmo embed


@pytest.fixture
def embedded(here: Path) -> Path:
    """Return the working folder with two outputs of `elmo embed`."""
    (here / "in.txt").write_text("We sat .\n")
    tiny_model().save_pretrained(here / "tiny")
    ElmoTokenizer().save_pretrained(here / "tiny")
    for output in ("out.parquet", "out.npz"):
        assert embed("in.txt", output) == 0
    return here


def embed(source: str, output: str, *options: str) -> int:
    return main(["embed", source, output, "--model", "tiny", "--device", "cpu", *options])


def test_embed_refuses_what_it_would_destroy(embedded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (embedded / "foreign.npz").write_text("mine")
    (embedded / "foreign.npz.manifest.json").write_text("{}")
    shutil.copytree("out.parquet", "thesis.parquet")
    shutil.copyfile("out.parquet.manifest.json", "thesis.parquet.manifest.json")
    (embedded / "thesis.parquet" / "thesis.tex").write_text("mine")
    shutil.copyfile("out.npz.manifest.json", "edited.npz.manifest.json")
    (embedded / "edited.npz").write_text("mine")
    (embedded / "new.npz.manifest.json").write_text('{"mine": 1}')
    shutil.copytree("out.parquet", "inner.parquet")
    shutil.copyfile("out.parquet.manifest.json", "inner.parquet.manifest.json")
    shutil.copyfile("in.txt", "inner.parquet/in.txt")
    os.symlink("out.parquet", "link.parquet")
    cases = [
        ("inner.parquet/in.txt", "inner.parquet", "Cannot write inner.parquet: it contains the input inner.parquet/in"),
        ("out.npz.manifest.json", "out.npz", "Cannot write out.npz.manifest.json: it is the input"),
        ("out.npz", "out.npz", "Cannot write out.npz: it is the input out.npz."),
        ("in.txt", "inner.parquet", "Cannot overwrite inner.parquet: it contains in.txt, which `elmo embed` did not"),
        ("in.txt", "thesis.parquet", "Cannot overwrite thesis.parquet: it contains thesis.tex, which `elmo embed` d"),
        ("in.txt", "foreign.npz", "Cannot overwrite foreign.npz: foreign.npz.manifest.json is not a manifest of"),
        ("in.txt", "edited.npz", "Cannot overwrite edited.npz: its size is not that in its manifest."),
        ("in.txt", "new.npz", "Cannot overwrite new.npz: new.npz.manifest.json is not a manifest of `elmo embed`."),
        ("in.txt", "link.parquet", "Expected a new or empty output folder, got link.parquet, which is not a plain"),
    ]
    before = contents(embedded)
    for source, output, message in cases:
        assert embed(source, output, "--overwrite") == 1
        error = capsys.readouterr().err
        assert error.startswith(f"elmo: error: {message}")
        assert error.count("\n") == 1
        assert contents(embedded) == before
    assert embed("in.txt", "new.npz") == 1
    assert "Output new.npz already exists." in capsys.readouterr().err
    for output, reason in [
        ("foreign.npz", "foreign.npz.manifest.json is not a manifest"),
        ("new.npz", "new.npz.manifest.json is not a manifest"),
        ("edited.npz", "its size is not that in its manifest"),
    ]:
        assert embed("in.txt", output, "--resume") == 1
        assert f"Cannot resume {output}: {reason}" in capsys.readouterr().err
    assert contents(embedded) == before


def test_embed_replaces_only_its_own_files(embedded: Path) -> None:
    shutil.copytree("out.parquet", "out.npz.parts")
    (embedded / "out.npz.parts" / "thesis.tex").write_text("mine")
    assert embed("in.txt", "out.npz", "--overwrite") == 1
    assert embed("in.txt", "out.npz", "--resume") == 0
    assert (embedded / "out.npz.parts" / "thesis.tex").read_text() == "mine"
    shutil.rmtree("out.npz.parts")
    for output in ("out.parquet", "out.npz"):
        assert embed("in.txt", output, "--overwrite", "--layer", "word_emb") == 0
    # A manifest whose output was deleted is a leftover.
    shutil.rmtree("out.parquet")
    assert embed("in.txt", "out.parquet") == 0
    (embedded / "empty.parquet").mkdir()
    assert embed("in.txt", "empty.parquet") == 0
