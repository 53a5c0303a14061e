# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Models in forked child processes, as `datasets.map(num_proc=2)` and spaCy's `n_process=2` start them.

Importing this module has a side effect on all child processes of `os.fork`: PyTorch computes with one thread there
until the program calls `torch.set_num_threads`. OpenMP threads do not survive a fork. A child process that uses several
threads waits forever for those of its parent.
"""

import os
from typing import Protocol
from weakref import WeakSet

import torch


class HasLocks(Protocol):
    """Object with locks that another thread of the parent process can hold during a fork."""

    def reset_after_fork(self) -> None:
        """Replace the locks, and the values that they protect if these can be incomplete."""


def _after_fork_in_child() -> None:
    torch.set_num_threads(1)
    for instance in list(_instances):
        instance.reset_after_fork()


# The package and copies of it from the Hub can be loaded in one process. The first one registers the function, and all
# share this set, so it is an attribute of a module that they share.
_own_instances: WeakSet[HasLocks] = WeakSet()
_instances: WeakSet[HasLocks] = vars(torch).setdefault("_elmo_instances_with_locks", _own_instances)
if _instances is _own_instances and hasattr(os, "register_at_fork"):  # missing on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)


def reset_after_fork(instance: HasLocks) -> None:
    """Call `instance.reset_after_fork()` in all child processes, as long as the instance exists."""
    _instances.add(instance)
