# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Engine of `ElmoEncoder`, `elmo embed`, and Spark. It maps windows of sentences to windows of vectors."""
