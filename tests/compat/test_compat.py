# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`compat` returns the values of AllenNLP and TF Hub, computed by the NumPy oracle."""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers.oracle import mix
from helpers.small_models import SENTENCES, build_oracle, tiny_config, tiny_model
from helpers.tolerances import ORACLE, PACKED, SAME_BATCH
from helpers.write_checkpoint import write_checkpoint

from modeling_elmo import ElmoEncoder, ElmoTokenizer, compat
from modeling_elmo.compat import Elmo, ElmoEmbedder, ScalarMix, batch_to_ids, tfhub_outputs
from modeling_elmo.conversion.source import fetch

WORDY = [sentence for sentence in SENTENCES if sentence]
BATCHES = [WORDY[:2], WORDY[2:5], WORDY[1:2], WORDY[3:]]  # it grows, shrinks and grows again


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_model(seed=4).save_pretrained(folder)
    ElmoTokenizer(splitter="whitespace").save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the paths of options.json and the weights."""
    folder = tmp_path_factory.mktemp("old")
    write_checkpoint(folder)
    return str(folder / "options.json"), str(next(folder.glob("*.hdf5")))


def layers_of(saved: str, sentence: list[str], states: Any = None) -> tuple[np.ndarray, Any]:
    """Return the layers [L + 1, words + 2, D] and the final states, computed by the oracle."""
    oracle = build_oracle(compat.load_model(saved, None).double())
    layers, states = oracle.run(sentence, states)
    return np.stack(layers), states


def test_defaults_and_outputs_are_allennlps(saved: str) -> None:
    elmo = Elmo(saved, None, 2)
    ids = batch_to_ids(SENTENCES)
    assert ids.shape == (len(SENTENCES), max(map(len, SENTENCES)), 50)
    output = elmo.eval()(ids)
    assert list(output) == ["elmo_representations", "mask"]
    assert output["mask"].dtype == torch.bool
    assert output["mask"].sum(1).tolist() == [len(sentence) for sentence in SENTENCES]
    assert len(output["elmo_representations"]) == 2
    for row, sentence in enumerate(SENTENCES):
        layers, _ = layers_of(saved, sentence)
        expected = layers.mean(0)[1:-1]
        for mixed in output["elmo_representations"]:
            assert np.abs(mixed[row, : len(sentence)].detach().numpy() - expected).max(initial=0) <= 10 * PACKED
            assert not mixed[row, len(sentence) :].any()
    assert elmo.get_output_dim() == 16
    assert {name for name, p in elmo.named_parameters() if p.requires_grad} == {
        f"scalar_mix_{k}.{name}"
        for k in range(2)
        for name in ("gamma", "scalar_parameters.0", "scalar_parameters.1", "scalar_parameters.2")
    }
    tuned = Elmo(saved, None, 1, requires_grad=True, dropout=0)
    tuned(ids)["elmo_representations"][0].pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in tuned.parameters()), (
        "no parameter is unused, as in AllenNLP"
    )


def test_dropout_is_on_by_default_in_training(saved: str) -> None:
    ids = batch_to_ids(WORDY)
    elmo = Elmo(saved, None, 1)
    whole = elmo.eval()(ids)["elmo_representations"][0]
    dropped = elmo.train()(ids)["elmo_representations"][0]
    kept = (dropped != 0) & (whole != 0)
    assert 0.35 < kept.sum() / (whole != 0).sum() < 0.65
    assert torch.allclose(dropped[kept], 2 * whole[kept])
    assert torch.equal(Elmo(saved, None, 1, dropout=0).train()(ids)["elmo_representations"][0], whole)


def test_the_bilm_has_no_dropout_in_training(saved: str, tmp_path: Path) -> None:
    tiny_model(seed=4, lstm_dropout=0.5, output_dropout=0.5).save_pretrained(tmp_path)
    ids = batch_to_ids(WORDY)
    ours = Elmo(tmp_path, None, 1, requires_grad=True, dropout=0).train()(ids)["elmo_representations"][0]
    expected = Elmo(saved, None, 1, dropout=0).eval()(ids)["elmo_representations"][0]
    assert (ours - expected).abs().max() <= PACKED


def test_nested_inputs_and_boundaries(saved: str) -> None:
    ids = batch_to_ids(WORDY[:4])
    elmo = Elmo(saved, None, 1, dropout=0)
    flat = elmo(ids)
    nested = elmo(ids.view(2, 2, *ids.shape[1:]))
    assert torch.equal(nested["elmo_representations"][0].flatten(0, 1), flat["elmo_representations"][0])
    assert torch.equal(nested["mask"].flatten(0, 1), flat["mask"])
    with_boundaries = Elmo(saved, None, 1, dropout=0, keep_sentence_boundaries=True)(ids)
    for row, sentence in enumerate(WORDY[:4]):
        expected = layers_of(saved, sentence)[0].mean(0)
        ours = with_boundaries["elmo_representations"][0][row].detach().numpy()
        assert np.abs(ours[: len(sentence) + 2] - expected).max() <= 10 * PACKED
        mask = with_boundaries["mask"][row].tolist()
        assert mask == [i < len(sentence) + 2 for i in range(len(mask))]


@pytest.mark.parametrize("weights", [[0.0, 0.0, 1.0], [-9e10, 1.0, -9e10], [3.0, -1.0, 0.5]])
def test_mix_parameters_are_fixed_logits(weights: list[float], saved: str) -> None:
    elmo = Elmo(saved, None, 1, dropout=0, scalar_mix_parameters=weights)
    assert not any(p.requires_grad for p in elmo.parameters())
    normed_weights = np.exp(np.array(weights) - max(weights))
    normed_weights /= normed_weights.sum()
    layers = layers_of(saved, WORDY[0])[0][:, 1:-1]
    ours = elmo(batch_to_ids(WORDY[:1]))["elmo_representations"][0][0].numpy()
    assert np.abs(ours - np.einsum("l,ltd->td", normed_weights, layers)).max() <= 10 * PACKED


def test_layer_norm_is_over_all_words_and_boundaries_of_the_batch(saved: str) -> None:
    batch = WORDY[:3]
    elmo = Elmo(saved, None, 1, do_layer_norm=True, dropout=0)
    ours = elmo(batch_to_ids(batch))["elmo_representations"][0].detach().numpy()
    layers_per_sentence = [layers_of(saved, sentence)[0] for sentence in batch]
    all_words = np.concatenate(layers_per_sentence, axis=1)
    mean, deviation = all_words.mean((1, 2)), all_words.std((1, 2))
    for row, layers in enumerate(layers_per_sentence):
        expected = ((layers - mean[:, None, None]) / deviation[:, None, None]).mean(0)[1:-1]
        assert np.abs(ours[row, : len(expected)] - expected).max() <= 100 * PACKED


def test_stateful_carries_the_final_states_of_each_row(saved: str) -> None:
    elmo = Elmo(saved, None, 1, dropout=0, stateful=True).double()
    rows: dict[int, Any] = {}
    for batch in BATCHES:
        ours = elmo(batch_to_ids(batch))["elmo_representations"][0].detach().numpy()
        for row, sentence in enumerate(batch):
            layers, rows[row] = layers_of(saved, sentence, rows.get(row))
            assert np.abs(ours[row, : len(sentence)] - layers.mean(0)[1:-1]).max() <= 10 * ORACLE
    again = elmo(batch_to_ids(BATCHES[0]))["elmo_representations"][0]
    elmo.reset_states()
    fresh = Elmo(saved, None, 1, dropout=0).double()(batch_to_ids(BATCHES[0]))["elmo_representations"][0]
    assert (again - fresh).abs().max() > 0.01
    assert torch.equal(elmo(batch_to_ids(BATCHES[0]))["elmo_representations"][0], fresh)


def test_a_module_in_place_of_the_bilm() -> None:
    class Bilm(torch.nn.Module):
        num_layers = 2

        def get_output_dim(self) -> int:
            return 4

        def forward(self, ids: torch.Tensor) -> dict[str, Any]:
            mask = torch.ones(len(ids), ids.shape[1] + 2)
            layer = torch.ones(*mask.shape, 4)
            return {"activations": [layer, 3 * layer], "mask": mask}

    elmo = Elmo(None, None, 1, dropout=0, module=Bilm())
    assert elmo.get_output_dim() == 4
    output = elmo(batch_to_ids([["a", "b"]]))
    assert output["elmo_representations"][0].tolist() == [[[2.0] * 4] * 2]
    with pytest.raises(ValueError, match="to be None if `module` is given"):
        Elmo("x", "y", 1, module=Bilm())


def test_old_files_are_converted_in_memory(pair: tuple[str, str]) -> None:
    ours = Elmo(*pair, 1, dropout=0)(batch_to_ids(WORDY))["elmo_representations"][0]
    oracle = build_oracle(compat.load_model(*pair).double())
    for row, sentence in enumerate(WORDY):
        expected = np.stack(oracle.run(sentence)[0]).mean(0)[1:-1]
        assert np.abs(ours[row, : len(sentence)].detach().numpy() - expected).max() <= 10 * PACKED


def test_one_name_for_both_files(pair: tuple[str, str]) -> None:
    ids = batch_to_ids(WORDY)
    expected = Elmo(*pair, 1, dropout=0)(ids)["elmo_representations"][0]
    for name in (pair[1], str(Path(pair[1]).parent)):
        for arguments in ((name, None), (None, name), (name, name)):
            assert torch.equal(Elmo(*arguments, 1, dropout=0)(ids)["elmo_representations"][0], expected)


@pytest.mark.parametrize("host", ["https://s3-us-west-2.amazonaws.com/allennlp", "https://allennlp.s3.amazonaws.com"])
def test_both_hosts_of_the_old_urls_return_the_same_files(
    host: str, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = []

    def download(url: str, size: int | None = None, sha256: str | None = None, force: bool = False) -> Path:
        urls.append(url)
        return Path(pair[0] if url.endswith("options.json") else pair[1])

    monkeypatch.setattr(fetch, "download", download)
    stem = f"{host}/models/elmo/2x1024_128_2048cnn_1xhighway/elmo_2x1024_128_2048cnn_1xhighway_"
    Elmo(stem + "options.json", stem + "weights.hdf5", 1)
    assert sorted(url.rsplit("_", 1)[1] for url in urls) == ["options.json", "weights.hdf5"]


def test_embedder(saved: str) -> None:
    embedder = ElmoEmbedder(saved)
    expected = [layers_of(saved, sentence)[0][:, 1:-1] for sentence in SENTENCES]

    def check(arrays: list[np.ndarray]) -> None:
        for array, layers in zip(arrays, expected, strict=True):
            assert array.dtype == np.float32
            assert array.shape == layers.shape
            assert np.abs(array - layers).max(initial=0) <= 10 * PACKED

    check(embedder.embed_batch(SENTENCES))
    check([embedder.embed_sentence(sentence) for sentence in SENTENCES])
    check(list(embedder.embed_sentences(iter(SENTENCES), batch_size=2)))
    embeddings, mask = embedder.batch_to_embeddings(SENTENCES)
    assert embeddings.shape == (len(SENTENCES), 3, max(map(len, SENTENCES)), 16)
    assert mask.sum(1).tolist() == [len(sentence) for sentence in SENTENCES]
    assert embedder.embed_batch([]) == []
    assert [array.shape for array in embedder.embed_batch([[], []])] == [(3, 0, 16)] * 2
    stateful = ElmoEmbedder(saved, stateful=True)
    first, _, second = [stateful.embed_sentence(words) for words in (WORDY[0], [], WORDY[0])]
    assert np.abs(first - expected[0]).max() <= 10 * PACKED
    warm = layers_of(saved, WORDY[0], layers_of(saved, WORDY[0])[1])[0][:, 1:-1]
    assert np.abs(second - warm).max() <= 10 * PACKED


@pytest.mark.parametrize("output_format", ["all", "top", "average"])
def test_embed_file(output_format: str, saved: str, tmp_path: Path) -> None:
    text = "the bank\n a  b c \nthe bank\n"
    ElmoEmbedder(saved).embed_file(io.StringIO(text), tmp_path / "out.hdf5", output_format, batch_size=2)
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert set(file) == {"0", "1", "2", "sentence_to_index"}
        assert json.loads(file["sentence_to_index"][0]) == {"the bank": "2", "a  b c": "1"}
        layers = layers_of(saved, ["a", "b", "c"])[0][:, 1:-1]
        expected = {"all": layers, "top": layers[-1], "average": layers.mean(0)}[output_format]
        assert np.abs(file["1"][()] - expected).max() <= 10 * PACKED
    ElmoEmbedder(saved).embed_file(
        io.StringIO(text), tmp_path / "keys.hdf5", forget_sentences=True, use_sentence_keys=True
    )
    with h5py.File(tmp_path / "keys.hdf5") as file:
        assert set(file) == {"the bank", "a  b c"}
    with pytest.raises(ValueError, match="got none in line 2"):
        ElmoEmbedder(saved).embed_file(io.StringIO("a\n\nb"), tmp_path / "bad.hdf5")
    assert {path.name for path in tmp_path.iterdir()} == {"out.hdf5", "keys.hdf5"}


def test_tf_hubs_six_outputs(saved: str) -> None:
    texts = ["the  cat ate", "apple"]
    words = [["the", "cat", "ate"], ["apple"]]
    output = tfhub_outputs(texts, model=saved)
    scalar_mix = ElmoEncoder.from_pretrained(saved).model.scalar_mixes[
        0
    ]  # its weights differ from those of the mean of the layers
    assert scalar_mix.weights.std() > 0.1
    assert list(output) == ["word_emb", "lstm_outputs1", "lstm_outputs2", "elmo", "default", "sequence_len"]
    assert output["sequence_len"].tolist() == [3, 1]
    for row, sentence in enumerate(words):
        layers = layers_of(saved, sentence)[0][:, 1:-1]
        expected = {
            "word_emb": layers[0][:, :8],
            "lstm_outputs1": layers[1],
            "lstm_outputs2": layers[2],
            "elmo": mix(list(layers), scalar_mix.weights.detach().numpy(), scalar_mix.gamma.item()),
        }
        for name, value in expected.items():
            assert np.abs(output[name][row, : len(sentence)] - value).max() <= 10 * PACKED
            assert not output[name][row, len(sentence) :].any()
        assert np.abs(output["default"][row] - expected["elmo"].mean(0)).max() <= 10 * PACKED
    padded = [["the", "cat", "ate"], ["apple", "", ""]]
    encoder = ElmoEncoder.from_pretrained(saved)
    for name, value in tfhub_outputs(padded, sequence_len=[3, 1], model=encoder).items():
        assert np.abs(value - output[name]).max() <= SAME_BATCH


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batch_to_ids("one text"), "`batch` to be a list of lists of words"),
        (lambda: batch_to_ids([["a"], "b c"]), "got the string 'b c' at 1"),
        (lambda: tfhub_outputs("one text"), "got one string"),
        (lambda: tfhub_outputs(["a", ["b"]]), "got both"),
        (lambda: tfhub_outputs(["a b"], sequence_len=[1]), "`sequence_len` with lists of words only"),
        (lambda: Elmo(None, None, 1), "got None"),
        (lambda: ScalarMix(3)([torch.zeros(1, 1, 2)]), "Expected 3 tensors"),
    ],
)
def test_wrong_arguments_are_rejected(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_wrong_shapes_are_rejected(saved: str) -> None:
    with pytest.raises(ValueError, match="from batch_to_ids"):
        Elmo(saved, None, 1)(torch.zeros(3, 50, dtype=torch.long))
    with pytest.raises(ValueError, match="of length 3, one per layer, got 2"):
        Elmo(saved, None, 1, scalar_mix_parameters=[0.0, 1.0])
    for length in (-1, 2):
        with pytest.raises(ValueError, match=rf"`sequence_len\[1\]` in 0\.\.1, got {length}"):
            tfhub_outputs([["a"], ["b"]], sequence_len=[1, length], model=saved)
    assert tiny_config().hidden_size == 16
