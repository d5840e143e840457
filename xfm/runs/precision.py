"""Which precision a training has on this machine."""

from __future__ import annotations

from typing import Literal

import torch

from ..config.training import Precision

BY_MACHINE = ("auto", "native")  # the same config trains in bf16 on one machine, and in fp32 on another


def reached(precision: Precision) -> Literal["fp32", "bf16"]:
    """What `train.precision` comes to here: "auto" is bf16 on a GPU that has it, "native" also on such a CPU."""
    cuda = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    native = cuda or any(has for name, has in getattr(torch.cpu, "get_capabilities", dict)().items() if "bf16" in name)
    return "bf16" if {"auto": cuda, "native": native, "fp32": False, "bf16": True}[precision] else "fp32"
