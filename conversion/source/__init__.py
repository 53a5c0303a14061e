# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Sources of checkpoints: local files, downloads, archives, and the list of known checkpoints."""
