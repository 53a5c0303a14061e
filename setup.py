# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Everything that pyproject.toml can say stands there; this copies one file.

`model_card.md` is the template that conversion fills. It stands at the top of the tree, where people
look for it, and goes into the wheel beside the converters, where they look for it.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithModelCard(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # an editable install finds the file at the top of the tree
            target = Path(self.build_lib, "modeling_elmo", "conversion", "model_card.md")
            shutil.copyfile("model_card.md", target)


setup(cmdclass={"build_py": BuildWithModelCard})
