# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The command `elmo` as `python -m modeling_elmo`."""

import sys

from elmo_cli import main

if __name__ == "__main__":
    sys.exit(main())
