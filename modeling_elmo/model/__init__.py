# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The files that go to the Hub, as they are: flat, and importing nothing from outside this folder."""
