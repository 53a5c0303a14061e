# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The `elmo embed` command: vectors of a file of sentences, written in shards."""
