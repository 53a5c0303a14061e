# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo-small-en`, the English model that comes with the package; its card stands beside its weights."""

import os
from pathlib import Path

BUNDLED = "elmo-small-en"


def bundled_model_path() -> Path:
    """The model's folder, for `AutoModel.from_pretrained` and everything else that takes one."""
    return Path(__file__).parent / "elmo_small_en"


def locate(name: str | os.PathLike[str] | None) -> str:
    """`name` as `from_pretrained` takes it; the bundled model for None and for its own name where no such folder is."""
    if name is None or (str(name) == BUNDLED and not os.path.exists(name)):
        return str(bundled_model_path())
    return str(name)
