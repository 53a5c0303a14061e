# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A small old-format checkpoint with random weights, to try the converters on: it has learnt nothing.

Run it as `python -m modeling_elmo.conversion.demo FOLDER`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from modeling_elmo.files import atomic_folder
from modeling_elmo.model.configuration_elmo import ElmoConfig

from .export import MARKER, write_hdf5
from .mapping.layouts import LAYOUTS, Contents
from .mapping.name_map import entries, source_shapes
from .mapping.options import options_from_config

CONFIG: dict[str, Any] = {
    "cell_size": 64,
    "projection_size": 32,
    "filters": [[1, 8], [2, 8], [3, 16], [4, 32]],
    "character_embedding_size": 8,
}


def write_demo(
    folder: str | Path, seed: int = 0, overwrite: bool = False, config: dict[str, Any] | None = None
) -> None:
    """Write `options.json` and `lm_weights.hdf5` of a small model.

    The weights are large enough that gates open and close and cells reach their bounds, as in trained models.

    Args:
        folder: where; it must be new or empty.
        seed: equal seeds give equal weights.
        config: fields of the configuration in place of the small ones.
        overwrite: replace a folder with an old checkpoint that is there already.
    """
    architecture = ElmoConfig(**(CONFIG if config is None else config))
    shapes = source_shapes(entries(architecture, Contents(LAYOUTS[0])))
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[:-1])) if len(shape) > 1 and name != "char_embed" else 1
        arrays[name] = (1.5 * random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    with atomic_folder(Path(folder), overwrite, MARKER) as new:
        (new / "options.json").write_text(
            json.dumps(options_from_config(architecture), indent=2) + "\n", encoding="utf-8"
        )
        write_hdf5(new / "lm_weights.hdf5", arrays)


def main() -> int:
    """The command line."""
    if len(sys.argv) != 2:
        print("usage: python -m modeling_elmo.conversion.demo FOLDER", file=sys.stderr)
        return 2
    write_demo(sys.argv[1])
    print(f"wrote {sys.argv[1]}: a small checkpoint with random weights; it has learnt nothing.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
