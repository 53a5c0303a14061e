# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Import of the common tests of transformers, and helpers for them.

Run them in a separate environment:

    pip install -c constraints.txt -e ".[test]"
    python tests/fetch.py
    python -m pytest -m common tests/common

or, for transformers 4, whose tokenizer errors require protobuf:

    pip install -c constraints-transformers4.txt -e ".[test]" protobuf
    python tests/fetch.py
    python -m pytest -m common tests/common

A source distribution contains only the files `tests/test_*.py`. Empty stubs replace their imports from other folders of
tests.
"""

import importlib
import os
import re
import sys
import types
import unittest
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any
from unittest import mock

import pytest
import transformers
from fetch import cache_folder, transformers_folder
from torch import nn

from modeling_elmo.model.modeling_elmo import ElmoPreTrainedModel

# Not `tests`, which is the name of the folder that this file is in.
PACKAGE = "transformers_common_tests"
MAJOR = int(transformers.__version__.split(".")[0])
STANDARD_DEVIATION = 0.4


class _StubModule(types.ModuleType):
    """Module whose attributes are all empty classes."""

    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = type(name, (), {})
        setattr(self, name, value)
        return value


class _StubFinder(MetaPathFinder, Loader):
    """Finder of modules that the source distribution does not contain. It is the last one on the path."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        missing = fullname.startswith(f"{PACKAGE}.") and not fullname.startswith(f"{PACKAGE}.test_")
        return ModuleSpec(fullname, self, is_package=True) if missing else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _StubModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def upstream(name: str) -> types.ModuleType:
    """transformers' `tests/{name}.py`; skips the module that asks for it if it was not fetched."""
    tests = transformers_folder(cache_folder()) / "tests"
    if not tests.is_dir():
        pytest.skip("Tests of transformers are not in the cache. Run: python tests/fetch.py", allow_module_level=True)
    if PACKAGE not in sys.modules:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(tests)]
        sys.modules[PACKAGE] = package
        sys.meta_path.append(_StubFinder())
    with (
        # The tests load transformers from a checkout; test the installed package instead.
        mock.patch("transformers.utils.direct_transformers_import", return_value=transformers),
        mock.patch.dict(os.environ, RUN_SLOW="1"),  # tests of tiny models are fast
    ):
        return importlib.import_module(f"{PACKAGE}.{name}")


def for_major(major: int, reasons: Mapping[str, str]) -> Mapping[str, str]:
    """Return the exclusions if this is the major version of the installed transformers."""
    return reasons if major == MAJOR else {}


def excluding(reasons: Mapping[str, str]) -> Callable[[type], type]:
    """Decorate a test case to skip tests for the given reasons. Parameterized tests have names without parameters.

    Raises:
        LookupError: If a test does not exist.
    """

    def exclude(case: type) -> type:
        for name, reason in reasons.items():
            tests = [
                test for test in dir(case) if re.fullmatch(rf"{name}(_\d+.*)?", test) and callable(getattr(case, test))
            ]
            if not tests:
                raise LookupError(f"{case.__name__} excludes {name}, which transformers {MAJOR} does not have.")
            for test in tests:
                setattr(case, test, unittest.skip(f"excluded: {reason}")(getattr(case, test)))
        return case

    return exclude


_initialize = ElmoPreTrainedModel._init_weights


def _init_large_weights(model: ElmoPreTrainedModel, module: nn.Module) -> None:
    _initialize(model, module)
    for parameter in module.parameters(recurse=False):
        # Keep a factor of all outputs, such as gamma of the scalar mix: near zero it would hide all differences.
        if parameter.numel() > 1 and not getattr(parameter, "_is_hf_initialized", False):
            nn.init.normal_(parameter, std=STANDARD_DEVIATION)


def large_weights() -> Any:
    """Return a patch that makes new weights so large that a wrong order or a leak exceeds every tolerance."""
    return mock.patch.object(ElmoPreTrainedModel, "_init_weights", _init_large_weights)
