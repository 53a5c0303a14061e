# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo-small-en`, the English model that is part of the package. Its model card is in the same folder."""

import os
from pathlib import Path

BUNDLED = "elmo-small-en"


def bundled_model_path() -> Path:
    """Return the folder of the bundled model, which every `from_pretrained` accepts."""
    return Path(__file__).parent / "elmo_small_en"


def resolve_model_name(name: str | os.PathLike[str] | None) -> str:
    """Return a folder or repository name for `from_pretrained`.

    Args:
        name: Folder or repository. None selects the bundled model, and so does its name `elmo-small-en`, unless a
            folder of that name exists.
    """
    if name is None or (str(name) == BUNDLED and not os.path.exists(name)):
        return str(bundled_model_path())
    return str(name)
