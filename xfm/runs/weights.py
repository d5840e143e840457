"""A model's weights as a safetensors file: whole, finite and of the right shapes, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..interop.checkpoint_file import is_finite
from ..model import XFM
from .errors import RunError
from .manifest import Manifest

DRAWN = (Tensor.uniform_, Tensor.normal_, Tensor.copy_)


class undrawn(TorchFunctionMode):
    """`with undrawn(): build(config)` draws no parameters, which takes seconds and memory at the paper's size: they are
    whatever memory held, and all must be loaded. Buffers are made as ever: a state dict may lack them."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = args[0] if args else kwargs.get("tensor")
        if isinstance(tensor, nn.Parameter) and (func in DRAWN or getattr(func, "__module__", "") == "torch.nn.init"):
            return tensor
        return func(*args, **kwargs)


def packed(weights: Mapping[str, Tensor]) -> bytes:
    """A state dict as the bytes of a safetensors file."""
    return save({name: tensor.contiguous() for name, tensor in weights.items()})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, mapped from the disk. RunError where the file is not there, is not what was saved, or holds
    values that are not finite."""
    try:
        Manifest(path.parent).check(path.name)
        weights = load_file(path)
    except FileNotFoundError:
        raise RunError(f"{path}: not there; train this run first, or put the file back") from None
    except SafetensorError as error:
        raise RunError(
            f"{path}: no readable safetensors file ({error}). Put a good copy back, or delete it and run "
            "the same config again, which makes it anew"
        ) from error
    if bad := not_finite(weights):
        raise RunError(f"{path}: {bad} is not finite: this model has diverged, and says nothing. Train another one")
    return weights


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The first name under which a value is infinite or undefined; "" where there is none."""
    return next((name for name, tensor in tensors.items() if not is_finite(tensor)), "")


def load_into(model: XFM, path: Path, prefixes: tuple[str, ...] = ("",), fresh: str = "\n") -> None:
    """Loads the weights whose names begin with one of `prefixes`. All of those must be there and fit, except where a
    name begins with `fresh`: it then keeps its initial weights."""
    weights, wanted = read_weights(path), model.state_dict()
    loaded: dict[str, Tensor] = {}
    for name in filter(lambda n: n.startswith(prefixes), wanted):
        if name in weights and weights[name].shape == wanted[name].shape:
            loaded[name] = weights[name]
        elif not name.startswith(fresh):
            shape = tuple(weights[name].shape) if name in weights else "nothing"
            raise RunError(
                f"{path}: {name} has {shape}, this model needs {tuple(wanted[name].shape)}; "
                "the two configs' `model` must agree"
            )
    model.load_state_dict(loaded, strict=False)
