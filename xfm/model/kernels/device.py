"""What devices differ in."""

from __future__ import annotations

import torch


def waits(device: torch.device) -> bool:
    """Whether the host would have to wait for the device to learn a number that it computes: for any but the CPU.
    Shapes then follow from other shapes alone."""
    return device.type != "cpu"
