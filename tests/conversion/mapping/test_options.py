# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Reading of options and their defaults."""

from pathlib import Path

import pytest

from modeling_elmo.conversion.mapping.options import fill_defaults, get_integer, read_options
from modeling_elmo.conversion.source.fetch import SourceFile


def test_options_and_their_text(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_bytes(b'{ "lstm": {"dim": 3}}\r\n')
    assert read_options(SourceFile(path, "mine.json")) == ({"lstm": {"dim": 3}}, '{ "lstm": {"dim": 3}}\r\n')
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"Cannot parse mine\.json as JSON"):
        read_options(SourceFile(path, "mine.json"))


def test_defaults_fill_missing_keys_only() -> None:
    defaults = {"lstm": {"dim": 3, "n_layers": 2}, "char_cnn": {"n_highway": 1}}
    options = {"lstm": {"dim": 5}, "char_cnn": None, "bidirectional": False}
    assert fill_defaults(options, defaults) == {
        "lstm": {"dim": 5, "n_layers": 2},
        "char_cnn": None,
        "bidirectional": False,
    }
    assert defaults["lstm"] == {"dim": 3, "n_layers": 2}


@pytest.mark.parametrize("value", [0, -1, True, False, "2", 2.0, None])
def test_integers(value: object) -> None:
    with pytest.raises(ValueError, match=r"lstm\.dim"):
        get_integer({"dim": value}, "lstm.dim")
    assert get_integer({"dim": 2}, "lstm.dim") == 2
    assert get_integer({}, "lstm.dim", 7) == 7
    if value != 0 or isinstance(value, bool):
        with pytest.raises(ValueError, match=r"lstm\.dim"):
            get_integer({"dim": value}, "lstm.dim", allow_zero=True)
    else:
        assert get_integer({"dim": value}, "lstm.dim", allow_zero=True) == 0
