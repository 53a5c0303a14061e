# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Child processes that are forked after their parent has computed with several threads."""

import importlib.util
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from helpers.small_models import ROOT, inputs, randomize_weights, tiny_config, tiny_model
from helpers.tolerances import SAME_BATCH, assert_close

from modeling_elmo import ElmoEncoder, ElmoForPreTraining, ElmoForTokenClassification, ElmoScorer, ElmoTokenizer
from modeling_elmo.compat import Elmo, batch_to_ids
from modeling_elmo.model import fork_elmo
from modeling_elmo.model.word_cache_elmo import WordCache
from modeling_elmo.vocabulary import SPECIAL_TOKENS, LMVocabulary

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

# Sizes at which PyTorch and oneDNN use several threads.
LARGE = {"projection_size": 64, "cell_size": 256}
WORDS = [["the", f"bank{number}", "of", "the", "river", "."] for number in range(100)]
TEXTS = [" ".join(words) for words in WORDS]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model")
    tiny_model(**LARGE).save_pretrained(path)
    ElmoTokenizer().save_pretrained(path)
    return str(path)


def run_in_child(work: Callable[[], None], seconds: float = 20) -> None:
    """Run `work` in a forked process. Fail if it raises, or if it still runs after `seconds`, and kill it then."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"the child process was still running after {seconds} s")


def large_model(cls: Any, **fields: Any) -> Any:
    return randomize_weights(cls(tiny_config(**LARGE, **fields)))


def uses(folder: str) -> dict[str, Callable[[], Any]]:
    """Return functions that compute with all kinds of models."""
    encoder = ElmoEncoder.from_pretrained(folder, device="cpu")
    batch = inputs(WORDS)
    vocabulary = LMVocabulary([*SPECIAL_TOKENS, "the", "river", "."])
    language_model = large_model(ElmoForPreTraining, word_vocab_size=len(vocabulary), word_bos_id=0, word_eos_id=1)
    scorer = ElmoScorer(language_model, ElmoTokenizer(), vocabulary)
    tagger = large_model(ElmoForTokenClassification, num_labels=3)
    elmo = Elmo(folder, None, 1).eval()
    return {
        "model": lambda: encoder.model(**batch)[0],
        "encoder": lambda: np.concatenate(encoder.encode(WORDS)),
        "encoder as a function": lambda: np.concatenate(encoder({"text": TEXTS})["embedding"]),
        "scorer": lambda: [value for score in scorer.score(WORDS) for value in score.forward],
        "tagger": lambda: tagger(**batch)[0],
        "compat": lambda: elmo(batch_to_ids(WORDS))["elmo_representations"][0],
    }


@pytest.mark.parametrize("use", ["model", "encoder", "encoder as a function", "scorer", "tagger", "compat"])
def test_a_child_process_computes_the_same(use: str, folder: str) -> None:
    compute = uses(folder)[use]
    expected = compute()
    assert torch.get_num_threads() == 2

    def work() -> None:
        assert torch.get_num_threads() == 1
        assert_close(use, compute(), expected, SAME_BATCH)

    run_in_child(work)
    assert torch.get_num_threads() == 2, "the parent process keeps its threads"


def test_a_child_process_computes_gradients(folder: str) -> None:
    model, batch = large_model(ElmoForTokenClassification, num_labels=3), inputs(WORDS)

    def train() -> None:
        model(**batch)[0].sum().backward()

    train()
    run_in_child(train)


def test_the_program_sets_the_number_of_threads() -> None:
    def work() -> None:
        torch.set_num_threads(3)
        assert torch.get_num_threads() == 3
        run_in_child(check_one_thread)

    def check_one_thread() -> None:
        assert torch.get_num_threads() == 1

    run_in_child(work)


def test_a_lock_that_another_thread_holds_is_replaced(folder: str) -> None:
    encoder = ElmoEncoder.from_pretrained(folder, device="cpu")
    expected = encoder.encode(WORDS[:2])
    cache = encoder.model.char_encoder.cache
    if cache is None:
        pytest.skip("the cache is off, because linear functions are not batch-invariant on this processor")
    is_held, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with cache._lock:
            is_held.set()
            is_over.wait(60)

    def work() -> None:
        assert cache.info().currsize == 0, "an update of the other thread can be incomplete"
        assert all(np.array_equal(a, b) for a, b in zip(encoder.encode(WORDS[:2]), expected, strict=True))

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(60)
        run_in_child(work)
    finally:
        is_over.set()
        thread.join()
    assert cache.info().currsize > 0, "the cache of the parent process does not change"

    def check_words() -> None:
        assert cache.info().currsize > 0, "a complete cache is inherited"

    run_in_child(check_words)


def test_a_fork_while_another_thread_encodes(folder: str) -> None:
    encoder = ElmoEncoder.from_pretrained(folder, device="cpu")
    expected = np.concatenate(encoder.encode(WORDS))
    is_over = threading.Event()

    def encode_new_words() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            encoder.encode([[f"{number}-{index}" for index in range(50)]])

    def work() -> None:
        assert_close("vectors", np.concatenate(encoder.encode(WORDS)), expected, SAME_BATCH)

    thread = threading.Thread(target=encode_new_words)
    thread.start()
    try:
        for _ in range(5):
            run_in_child(work)
            time.sleep(0.01)
    finally:
        is_over.set()
        thread.join()


def second_copy() -> ModuleType:
    """Import another copy of the module, as the code of a model folder is."""
    spec = importlib.util.spec_from_file_location("copy_of_fork_elmo", fork_elmo.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_function_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(os, "register_at_fork", lambda **options: calls.append(options))
    copy = second_copy()
    assert not calls
    lock = threading.Lock()
    instance = SimpleNamespaceWithReset(lock=lock)
    copy.reset_after_fork(instance)

    def work() -> None:
        assert instance.lock is not lock, "the first copy resets the instances of the second"

    run_in_child(work)
    assert instance.lock is lock
    monkeypatch.delattr(torch, "_elmo_instances_with_locks")
    second_copy()
    assert [list(options) for options in calls] == [["after_in_child"]]


class SimpleNamespaceWithReset(SimpleNamespace):
    """Object that the function can reset."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def reset_after_fork(self) -> None:
        self.lock = threading.Lock()


def test_systems_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    monkeypatch.delattr(torch, "_elmo_instances_with_locks")
    second_copy().reset_after_fork(WordCache(1))


def test_deleted_models_are_not_kept_in_memory() -> None:
    cache = WordCache(1)
    before = len(fork_elmo._instances)
    del cache
    assert len(fork_elmo._instances) == before - 1


# ---------------------------------------------------------------- other libraries


@pytest.mark.timeout(60)
def test_the_function_of_the_readme_in_processes(folder: str) -> None:
    encoder = ElmoEncoder.from_pretrained(folder, device="cpu")
    tokenizer, model = encoder.tokenizer, encoder.model

    def embed(batch: dict) -> dict:
        encoded = tokenizer(batch["text"], padding=True, return_tensors="pt")
        with torch.no_grad():
            return {"elmo": model(**encoded)[0].numpy()}

    expected = embed({"text": TEXTS})["elmo"]
    mapped = Dataset.from_dict({"text": TEXTS}).map(embed, batched=True, batch_size=50, num_proc=2)
    assert_close("vectors", np.array(mapped["elmo"]), expected, SAME_BATCH)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_spacy_in_processes(folder: str) -> None:
    spacy = pytest.importorskip("spacy", reason="needs spaCy", exc_type=ImportError)
    spec = importlib.util.spec_from_file_location("forked_component", ROOT / "examples" / "spacy_component.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["forked_component"] = module  # spaCy looks up the source of a component here
    spec.loader.exec_module(module)
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": folder})
    expected = [doc.tensor for doc in nlp.pipe(TEXTS)]
    docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=50))
    assert_close("vectors", np.stack([doc.tensor for doc in docs]), np.stack(expected), SAME_BATCH)
