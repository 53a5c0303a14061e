# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Imports of optional packages, with an error message that names the extra to install."""

import os
from typing import Any


def import_h5py() -> Any:
    """Return the module h5py.

    Raises:
        ImportError: If h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("Cannot read or write HDF5 without h5py. Run `pip install modeling_elmo[hdf5]`.") from error
    return h5py


def import_tensorflow() -> Any:
    """Return the module tensorflow.

    Raises:
        ImportError: If tensorflow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hide log lines on CPU instructions
    try:
        import tensorflow
    except ImportError as error:
        raise ImportError(
            "Cannot read a TensorFlow checkpoint without tensorflow. Run `pip install modeling_elmo[tensorflow]`."
        ) from error
    return tensorflow
