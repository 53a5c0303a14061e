# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Auto classes, saved folders, remote code, pipelines, and datasets."""

import json
import sys
from pathlib import Path

import pytest
import torch
import transformers
from datasets import Dataset
from fetch import OLDEST, cache_folder, oldest_folder
from helpers.run_python import run, with_transformers
from helpers.small_models import inputs, max_difference, tiny_config, tiny_model
from helpers.tolerances import SAME_BATCH
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoTokenizer, pipeline

import modeling_elmo
from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer

TEXTS = ["The bank of the river.", "", "It wasn't (Reuters) in the U.S. yesterday."]
PACKAGE = Path(modeling_elmo.__file__).parent / "model"
_NAMES = (
    "alphabet character_encoder configuration fork initialization layers linear lstm lstm_common lstm_cpu lstm_ops "
    "lstm_triton modeling packing pipelines softmax splitting stored_weights tokenization word_cache"
)
REMOTE_CODE = {f"{name}_elmo.py" for name in _NAMES.split()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub") / "tiny-elmo"
    tiny_model().save_pretrained(path)
    ElmoTokenizer().save_pretrained(path)
    return path


def vectors(folder: Path) -> list[list[list[float]]]:
    """Compute vectors with the Auto classes only."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt"))[0].tolist()


# ---------------------------------------------------------------- Auto classes and saved folders


def test_auto_classes(folder: Path) -> None:
    assert type(AutoConfig.from_pretrained(folder)) is ElmoConfig
    assert type(AutoTokenizer.from_pretrained(folder)) is ElmoTokenizer
    model = AutoModel.from_pretrained(folder)
    assert type(model) is ElmoModel
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny_model().parameters(), strict=True))
    assert type(AutoModel.from_config(tiny_config())) is ElmoModel


def test_a_saved_folder_is_complete(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} - {"__pycache__"}
    assert names - {"special_tokens_map.json", "added_tokens.json"} == REMOTE_CODE | {
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_elmo.ElmoConfig",
        "AutoModel": "modeling_elmo.ElmoModel",
        "AutoModelForPreTraining": "modeling_elmo.ElmoForPreTraining",
        "AutoModelForTokenClassification": "modeling_elmo.ElmoForTokenClassification",
        "AutoModelForSequenceClassification": "modeling_elmo.ElmoForSequenceClassification",
    }
    assert config["architectures"] == ["ElmoModel"]
    assert (config["hidden_size"], config["num_hidden_layers"], config["vocab_size"]) == (16, 2, 262)
    for name in REMOTE_CODE:
        assert (folder / name).read_bytes() == (PACKAGE / name).read_bytes()
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(tiny_model().state_dict())


def test_remote_code_imports_only_remote_code() -> None:
    """transformers finds the files of remote code by `from .x import y` only."""
    for path in PACKAGE.glob("*_elmo.py"):
        assert path.name in REMOTE_CODE
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and "import" in words:
                origin = words[1]
                assert not origin.startswith("modeling_elmo"), line
                if origin.startswith("."):
                    assert f"{origin[1:]}.py" in REMOTE_CODE, line
                else:
                    known = {
                        "torch",
                        "transformers",
                        "safetensors",
                        "numpy",
                        "regex",
                        "triton",
                    } | sys.stdlib_module_names
                    assert origin.split(".")[0] in known, line


def test_saving_a_loaded_model_changes_nothing(folder: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_overrides_when_loading(folder: Path) -> None:
    model = ElmoModel.from_pretrained(
        folder, pooling_layer="word_emb", num_output_representations=2, dtype=torch.bfloat16
    )
    assert model.dtype == torch.bfloat16
    assert len(model.scalar_mixes) == 2
    assert torch.equal(model.scalar_mixes[1].gamma.float(), torch.ones(1)), (
        "a mix that the file does not contain is untrained"
    )
    assert model(**inputs([["a"]]))[0].shape == (1, 1, 8)


# ---------------------------------------------------------------- remote code


@pytest.mark.slow
@pytest.mark.parametrize("version", ["installed", "oldest"])
def test_remote_code_without_the_package(version: str, folder: Path, tmp_path: Path) -> None:
    environment = {"HF_HOME": str(tmp_path / "cache")}
    expected = transformers.__version__
    if version == "oldest":
        other = oldest_folder(cache_folder())
        if not other.is_dir():
            pytest.skip("The oldest transformers is missing from the cache. Run: python tests/fetch.py")
        environment |= with_transformers(other)
        expected = OLDEST[0].partition("==")[2]
    code = f"""
import torch, transformers
from transformers import (
    AutoConfig, AutoModel, AutoModelForPreTraining, AutoModelForSequenceClassification, AutoModelForTokenClassification,
    AutoTokenizer, pipeline,
)
folder, again = {str(folder)!r}, {str(tmp_path / "again")!r}
tagger = pipeline("token-classification", model=folder, trust_remote_code=True, ignore_labels=[])  # the first to load
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    vectors = model(**tokenizer({TEXTS!r}, padding=True, return_tensors="pt"))[0].tolist()
model.save_pretrained(again)
tokenizer.save_pretrained(again)
twin = AutoModel.from_pretrained(again, trust_remote_code=True)
same = all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))
pipe = pipeline("feature-extraction", model=folder, trust_remote_code=True)
classes = pipeline("text-classification", model=folder, trust_remote_code=True)
heads = []
for auto in (AutoModelForPreTraining, AutoModelForSequenceClassification, AutoModelForTokenClassification):
    head = auto.from_pretrained(folder, trust_remote_code=True, word_vocab_size=5)
    head.save_pretrained(again + auto.__name__)
    tokenizer.save_pretrained(again + auto.__name__)
    heads.append(type(auto.from_pretrained(again + auto.__name__, trust_remote_code=True)).__name__)
result = dict(version=transformers.__version__, module=type(model).__module__, size=config.hidden_size, vectors=vectors,
              same=same, pipe=pipe({TEXTS[0]!r}), heads=heads, label=classes({TEXTS[0]!r})[0]["label"],
              words=[[entity["word"], entity["start"]] for entity in tagger({TEXTS[2]!r})])
"""
    result = run(code, environment, without_package=True)
    assert result["version"] == expected
    assert result["module"].startswith("transformers_modules")
    assert result["size"] == 16
    assert result["same"]
    expected_vectors = torch.tensor(vectors(folder))
    assert max_difference(torch.tensor(result["vectors"]), expected_vectors) <= SAME_BATCH
    assert max_difference(torch.tensor(result["pipe"]), expected_vectors[:1, :6]) <= SAME_BATCH
    words = ElmoTokenizer.from_pretrained(folder).tokenize(TEXTS[2])
    assert [word for word, _ in result["words"]] == words
    assert all(TEXTS[2].startswith(word, start) for word, start in result["words"])
    assert result["label"] in ("LABEL_0", "LABEL_1")
    assert result["heads"] == ["ElmoForPreTraining", "ElmoForSequenceClassification", "ElmoForTokenClassification"]
    saved = list(tmp_path.glob("again*"))
    assert len(saved) == 4
    for path in saved:
        assert {file.name for file in path.glob("*.py")} == REMOTE_CODE


# ---------------------------------------------------------------- pipeline


@pytest.mark.parametrize("layer", ["elmo", "word_emb", "lstm_outputs1", "lstm_outputs2"])
def test_feature_extraction_pipeline(layer: str, folder: Path) -> None:
    model = ElmoModel.from_pretrained(folder, pooling_layer=layer)
    tokenizer = ElmoTokenizer.from_pretrained(folder)
    pipe = pipeline("feature-extraction", model=model, tokenizer=tokenizer)
    with torch.no_grad():
        expected = [model.eval()(**tokenizer(text, return_tensors="pt"))[0] for text in TEXTS]
    single = pipe(TEXTS[0])
    assert max_difference(torch.tensor(single), expected[0]) <= SAME_BATCH
    for outputs in (pipe(TEXTS), pipe(text for text in TEXTS)):
        for got, want in zip(outputs, expected, strict=True):
            assert max_difference(torch.tensor(got).reshape(want.shape), want) <= SAME_BATCH
    for side in ("left", "right"):
        tokenizer.padding_side = side
        # The collator of transformers cannot pad an empty text on the left.
        batches = [(text, want) for text, want in zip(TEXTS, expected, strict=True) if text or side == "right"]
        for got, (_, want) in zip(pipe([text for text, _ in batches], batch_size=2), batches, strict=True):
            row = torch.tensor(got)[0]  # pipelines return padded rows
            words = want.shape[1]
            vectors = row[len(row) - words :] if side == "left" else row[:words]
            assert max_difference(vectors, want[0]) <= SAME_BATCH
    split = pipe([["The", "bank"]], tokenize_kwargs={"is_split_into_words": True})
    assert len(split[0][0]) == 2


@pytest.mark.gpu
def test_pipeline_on_a_gpu(folder: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    on_cpu = pipeline("feature-extraction", model=str(folder), device="cpu")(TEXTS[0])
    on_gpu = pipeline("feature-extraction", model=str(folder), device="cuda")(TEXTS[0])
    assert max_difference(torch.tensor(on_gpu), torch.tensor(on_cpu)) <= 1e-5


# ---------------------------------------------------------------- datasets

_MAP = """
import sys, torch
from datasets import Dataset
from modeling_elmo import ElmoModel, ElmoTokenizer
tokenizer, model = ElmoTokenizer.from_pretrained({folder!r}), ElmoModel.from_pretrained({folder!r}).eval()
def embed(batch):
    encoded = tokenizer(batch["text"], padding=True, return_tensors="pt")
    with torch.no_grad():
        rows = model(**encoded)[0]
    return {{"elmo": [row[mask.bool()].numpy() for row, mask in zip(rows, encoded["attention_mask"])]}}
data = Dataset.from_dict({{"text": {texts!r}}})
mapped = data.map(embed, batched=True, batch_size=2)
again = data.map(embed, batched=True, batch_size=2)
tokens = data.map(lambda batch: tokenizer(batch["text"]), batched=True)
prints = [mapped._fingerprint, again._fingerprint, tokens._fingerprint]
result = dict(prints=prints, lengths=[len(rows) for rows in mapped["elmo"]])
"""


def test_datasets_map(folder: Path) -> None:
    model, tokenizer = ElmoModel.from_pretrained(folder).eval(), ElmoTokenizer.from_pretrained(folder)
    data = Dataset.from_dict({"text": TEXTS})
    tokens = data.map(lambda batch: tokenizer(batch["text"]), batched=True)
    assert [len(rows) for rows in tokens["input_ids"]] == [6, 0, 11]

    def embed(batch: dict) -> dict:
        encoded = tokenizer(batch["text"], padding=True, return_tensors="pt")
        with torch.no_grad():
            return {"elmo": model(**encoded)[0].numpy()}

    mapped = data.map(embed, batched=True, batch_size=3).with_format("torch")
    assert max_difference(mapped["elmo"][:], torch.tensor(vectors(folder))) <= SAME_BATCH


@pytest.mark.slow
def test_fingerprints_of_mapped_functions_are_stable(folder: Path, tmp_path: Path) -> None:
    environment = {"HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "datasets")}
    code = _MAP.format(folder=str(folder), texts=TEXTS)
    first, second = run(code, environment), run(code, environment)
    assert first == second
    assert first["prints"][0] == first["prints"][1]
    assert first["lengths"] == [6, 0, 11]


def test_mix_parameters_override_the_saved_ones(folder: Path) -> None:
    model = ElmoModel.from_pretrained(folder, scalar_mix_parameters=[0.0, 1.0, -2.0])
    assert model.scalar_mixes[0].weights.tolist() == [0.0, 1.0, -2.0]
    saved = ElmoModel.from_pretrained(folder)
    assert torch.equal(saved.scalar_mixes[0].weights, tiny_model().scalar_mixes[0].weights)
