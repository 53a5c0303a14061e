# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Markers of the tests of transformers."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "accelerate_tests",
        "flash_attn_3_test",
        "flash_attn_4_test",
        "flash_attn_test",
        "is_pipeline_test",
        "is_training_test",
        "order",
        "slow",
        "torch_compile_test",
        "torch_export_test",
    ):
        config.addinivalue_line("markers", f"{marker}: marker of transformers")
