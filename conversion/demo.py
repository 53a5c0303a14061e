# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A small bilm-tf checkpoint with random weights, for trying the converters. It is not trained.

Run `python -m modeling_elmo.conversion.demo FOLDER`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from modeling_elmo.files import EXPORTED_FOLDER, atomic_folder
from modeling_elmo.model.configuration_elmo import ElmoConfig

from .export import OPTIONS_FILE, WEIGHTS_FILE, write_hdf5
from .mapping.layouts import LAYOUTS, WeightFileInfo
from .mapping.name_map import resolve_rules, source_shapes
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

    The weights are so large that gates saturate and cell states reach the clip value, as in trained models.

    Args:
        folder: Folder to write. It must be new or empty unless `overwrite` is true.
        seed: Seed of the weights.
        overwrite: Whether to replace a folder with the files of a checkpoint and nothing else.
        config: Configuration fields. Defaults to those of a small model.
    """
    architecture = ElmoConfig(**(CONFIG if config is None else config))
    shapes = source_shapes(resolve_rules(architecture, WeightFileInfo(LAYOUTS[0])))
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[:-1])) if len(shape) > 1 and name != "char_embed" else 1
        arrays[name] = (1.5 * random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    with atomic_folder(Path(folder), EXPORTED_FOLDER, overwrite=overwrite) as temporary:
        (temporary / OPTIONS_FILE).write_text(
            json.dumps(options_from_config(architecture), indent=2) + "\n", encoding="utf-8"
        )
        write_hdf5(temporary / WEIGHTS_FILE, arrays)


def main() -> int:
    """Run the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m modeling_elmo.conversion.demo FOLDER", file=sys.stderr)
        return 2
    write_demo(sys.argv[1])
    print(f"Wrote {sys.argv[1]}: a small checkpoint with random weights. It is not trained.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
