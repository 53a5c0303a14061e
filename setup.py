# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The parts of the build that pyproject.toml cannot express: the list of packages and one copied file.

The top-level folder `conversion` is installed as `modeling_elmo.conversion`. The wheel also contains `model_card.md`,
the template of `modeling_elmo.conversion`, which is at the top of the repository.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithModelCard(build_py):
    """Copy the model card's template into the wheel. An editable install reads it from the repository."""

    def run(self) -> None:
        """See `build_py.run`."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "modeling_elmo", "conversion", "model_card.md")
            shutil.copyfile("model_card.md", target)


setup(
    packages=[
        *find_packages(include=["modeling_elmo", "modeling_elmo.*"]),
        *(f"modeling_elmo.{name}" for name in find_packages(include=["conversion", "conversion.*"])),
    ],
    package_dir={"modeling_elmo": "modeling_elmo", "modeling_elmo.conversion": "conversion"},
    py_modules=["elmo_cli"],
    cmdclass={"build_py": BuildWithModelCard},
)
