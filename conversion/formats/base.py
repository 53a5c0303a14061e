# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Common form of an opened checkpoint, and the protocol of the modules that open one.

A format module maps its names and shapes to bilm-tf's, and its options to bilm-tf's keys. `convert` and
`mapping.name_map` are therefore independent of the formats.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..mapping.layouts import Shape
from ..mapping.options import Options
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile

# Names of code points and words ("characters" and "words") by row; see `LexiconAlphabet`.
Lexicon = Mapping[str, list[str | None] | None]


@dataclass(frozen=True)
class OpenCheckpoint:
    """Opened checkpoint of a known format. Its weights are not read yet.

    Attributes:
        format: Name of the format for messages and model cards, such as "bilm-tf HDF5".
        options: Architecture, with the keys of bilm-tf's `options.json`.
        shapes: Names and shapes of the arrays that the model needs, in one of the `layouts`.
        read: Function that returns the float32 arrays with these names. It raises ValueError if an array is corrupt or
            not finite.
        files: Files of the checkpoint by role ("weights", "options", "vocab", "archive", ...), for the record.
        options_text: Unmodified text of the options file, for export; None without such a file.
        words: Word vocabulary in the order of the rows of `embedding`; None unless the model has word inputs.
        softmax: Function that returns weight [words, projection_size] and bias [words] of the language model; None
            without a softmax.
        scalar_mixes: Weights before the softmax, [layers + 1], and gamma of each trained scalar mix.
        unused_arrays: Names of known arrays that the model does not use.
        fields: Additional fields of the model's configuration.
        note: Sentence for the model card.
        lexicon: Lexicon of the tokenizer; None for byte-level characters and word vocabularies.
    """

    format: str
    options: Options
    shapes: Mapping[str, Shape]
    read: Callable[[Iterable[str]], dict[str, Array]]
    files: Mapping[str, SourceFile]
    options_text: str | None = None
    words: list[str] | None = None
    softmax: Callable[[], tuple[Array, Array]] | None = None
    scalar_mixes: tuple[tuple[Array, float], ...] = ()
    unused_arrays: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    lexicon: Lexicon | None = None


class Format(Protocol):
    """Checkpoint format. Modules implement it with a constant and two functions.

    Attributes:
        NAME: Name for messages and `OpenCheckpoint.format`.
    """

    NAME: str

    def matches(self, path: Path) -> bool:
        """Return whether a file or folder has this format. Never raises."""

    def open_checkpoint(
        self,
        path: Path,
        options: SourceFile | None = None,
        vocab: SourceFile | None = None,
        softmax: SourceFile | None = None,
    ) -> OpenCheckpoint:
        """Open a checkpoint.

        Args:
            path: File or folder that `matches`.
            options: Options file to use instead of the checkpoint's own.
            vocab: Vocabulary to use instead of the checkpoint's own. Formats without a vocabulary ignore it.
            softmax: Softmax weights to use instead of the checkpoint's own.

        Raises:
            FileNotFoundError: If a file is missing or ambiguous.
            ValueError: If a file is corrupt or does not fit, or the format has no separate softmax file.
            ImportError: If the package that reads the format is not installed.
        """


def check_no_softmax(softmax: SourceFile | None, format: str) -> None:
    """Check that no softmax file is given for a format that has none.

    Raises:
        ValueError: If there is one.
    """
    if softmax is not None:
        raise ValueError(f"Cannot use softmax file {softmax.origin}: {format} weights have no separate softmax file.")
