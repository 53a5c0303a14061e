# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Check of the device that a user chooses."""

import torch


def check_device(device: str | torch.device) -> torch.device:
    """Return the device if this machine has it.

    Raises:
        ValueError: If the name is unknown, or the machine has no such device.
    """
    available = ["cpu"]
    if torch.cuda.device_count():
        available += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError):
        checked = None
    if checked is None or str(checked) not in available:
        name = str(device)
        raise ValueError(f"Expected `device` to be one of {', '.join(map(repr, available))}, got {name!r:.80}.")
    return checked
