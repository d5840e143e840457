"""Each test here runs on a CPU, so that it is known to run, and on a GPU (`make gpu`), which it is for."""

import pytest
import torch
from accelerate.state import AcceleratorState

CPU = pytest.param("cpu", marks=pytest.mark.full)
CUDA = pytest.param("cuda", marks=pytest.mark.cuda)


@pytest.fixture(params=[CPU, CUDA])
def device(request, monkeypatch):
    """Where the test, and a run that it trains, computes; without TF32."""
    if request.param == "cuda":
        monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)  # another folder's tests set it
    else:
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    AcceleratorState._reset_state(reset_partial_state=True)
    yield torch.device(request.param)
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
