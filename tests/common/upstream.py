# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""transformers' own common tests as modules, and what they have in common here.

In an environment of its own (accelerate is in the test extra, and what needs it is skipped without):

    pip install -c constraints.txt -e ".[test]"
    python tests/common/fetch.py
    python -m pytest -m common tests/common

and on transformers 4, where errors of tokenizers need protobuf to show themselves:

    pip install -c constraints-transformers4.txt -e ".[test]" protobuf
    python tests/common/fetch.py
    python -m pytest -m common tests/common

A source distribution holds no more than the files `tests/test_*.py`. What these import from other folders of tests is
replaced by empty stand-ins; where one is not enough, the test file that needs more says so.
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
from common.fetch import cache_folder, release
from torch import nn

from modeling_elmo.model.modeling_elmo import ElmoPreTrainedModel

# Not `tests`, which is the name of the folder that this file is in.
PACKAGE = "transformers_common_tests"
MAJOR = int(transformers.__version__.split(".")[0])
LIVELY = 0.4


class _StandIn(types.ModuleType):
    """A module of which every name is a class without anything in it."""

    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = type(name, (), {})
        setattr(self, name, value)
        return value


class _StandIns(MetaPathFinder, Loader):
    """Finds what the source distribution leaves out; asked last."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        missing = fullname.startswith(f"{PACKAGE}.") and not fullname.startswith(f"{PACKAGE}.test_")
        return ModuleSpec(fullname, self, is_package=True) if missing else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def upstream(name: str) -> types.ModuleType:
    """transformers' `tests/{name}.py`; skips the module that asks for it if it was not fetched."""
    tests = cache_folder() / release() / "tests"
    if not tests.is_dir():
        pytest.skip(f"{release()}'s tests are not there; run: python tests/common/fetch.py", allow_module_level=True)
    if PACKAGE not in sys.modules:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(tests)]
        sys.modules[PACKAGE] = package
        sys.meta_path.append(_StandIns())
    with (
        # They load a copy of transformers from a checkout; the installed one is what is tested here.
        mock.patch("transformers.utils.direct_transformers_import", return_value=transformers),
        mock.patch.dict(os.environ, RUN_SLOW="1"),  # with models this small nothing is
    ):
        return importlib.import_module(f"{PACKAGE}.{name}")


def on(major: int, reasons: Mapping[str, str]) -> Mapping[str, str]:
    """Exclusions that only this major version of transformers knows."""
    return reasons if major == MAJOR else {}


def excluding(reasons: Mapping[str, str]) -> Callable[[type], type]:
    """Skip the named tests, each with its reason. A parameterised test is named without its parameters.

    Raises:
        LookupError: if there is no such test.
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


def _initialize_lively(model: ElmoPreTrainedModel, module: nn.Module) -> None:
    _initialize(model, module)
    for parameter in module.parameters(recurse=False):
        # A factor of everything, such as the scalar mix's gamma, stays what it is: near zero it would hide all else.
        if parameter.numel() > 1 and not getattr(parameter, "_is_hf_initialized", False):
            nn.init.normal_(parameter, std=LIVELY)


def lively_weights() -> Any:
    """A patch: new models' weights are so large that a wrong reading order or a leak exceeds every tolerance."""
    return mock.patch.object(ElmoPreTrainedModel, "_init_weights", _initialize_lively)
