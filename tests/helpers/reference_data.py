# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Reference fixtures: AllenNLP's, which `tests/fetch.py` downloads, and bilm-tf's, which are not on PyPI."""

from pathlib import Path

import pytest
from fetch import allennlp_folder, cache_folder
from helpers.small_models import shared_folder


def allennlp_fixtures() -> Path:
    """Return the folder of AllenNLP's fixtures; skip the test if it is missing from the cache."""
    folder = allennlp_folder(cache_folder())
    if not folder.is_dir():
        pytest.skip("AllenNLP's fixtures are missing from the cache. Run: python tests/fetch.py")
    return folder


def reference_folder(name: str) -> Path:
    """Return the folder of a checkpoint with TensorFlow's vectors: "allennlp" or "bilm-tf".

    The first has skip connections. The second has none; `ELMO_FIXTURES` names its parent folder.
    """
    return allennlp_fixtures() / "elmo" if name == "allennlp" else shared_folder("ELMO_FIXTURES", "fixtures") / name
