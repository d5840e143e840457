"""The attention of any model as it runs: X-FM's own, and whatever computes it by torch's SDPA
(`scaled_dot_product_attention`), `MultiheadAttention`, or a softmax over the keys: open_clip, timm, Hugging Face.

    with capture(model, "fusion.*.cross", gradients=True) as captured:
        model(...)[0].backward()
    captured.weights["fusion.layers.1.cross"]    # (B, H, Q, K), the last call's
    captured.gradients["fusion.layers.1.cross"]  # of what was differentiated, by these weights

Outside `capture` nothing is recorded or slower. Inside, outputs stay the same up to rounding.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..base.fields import ConfigError, nearest
from ..model.attention import Attention

_Tap = Callable[[Tensor], Tensor]
_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


class Captured:
    """Attention weights by dotted name, in the order in which the attentions first ran."""

    def __init__(self, gradients: bool):
        self.weights: dict[str, Tensor] = {}  # (B, H, Q, K) of the last call
        self.calls: dict[str, int] = {}
        self._gradients = gradients

    @property
    def gradients(self) -> dict[str, Tensor]:
        """Gradients by the weights of the last calls; 0 where the differentiated scalar does not use them. ConfigError
        without `gradients=True`."""
        if not self._gradients:
            raise ConfigError("gradients = False: must be True in `capture` for gradients to be kept")
        return {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in self.weights.items()}

    def differentiate(self, output: Tensor) -> None:
        """Fills `gradients` with those of a scalar; unlike `backward` it touches no parameter's `.grad`."""
        weights = list(self.weights.values())
        gradients = torch.autograd.grad(output, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient

    def _tap(self, name: str) -> _Tap:
        def record(weights: Tensor) -> Tensor:
            if self._gradients:
                if not weights.requires_grad:  # frozen weights, or an input without a graph: a graph begins here
                    weights = weights.requires_grad_()
                weights.retain_grad()
            self.weights[name] = weights if self._gradients else weights.detach()
            self.calls[name] = self.calls.get(name, 0) + 1
            return weights

        return record


@contextmanager
def capture(model: nn.Module, pattern: str = "*", gradients: bool = False) -> Iterator[Captured]:
    """Records every attention whose dotted name fits the pattern (* and ?, as for file names), call by call.

    Use it in eval mode: a captured attention draws its dropout differently. With `gradients`, use it inside
    `torch.enable_grad()`, and differentiate before they are read. ConfigError, with the nearest names: at once where no
    module has such a name; at the end where passes ran and no attention of such a name was seen.
    """
    modules = {name: module for name, module in model.named_modules() if name and not isinstance(module, nn.Softmax)}
    captured = Captured(gradients)
    taps = {name: captured._tap(name) for name in modules if fnmatchcase(name, pattern)}
    if not taps:
        raise _fits_none(pattern, "no attention", attentions(model))
    mode = _Explicit(taps)
    with ExitStack() as stack:
        for name, module in modules.items():
            if isinstance(module, Attention) and name in taps:
                stack.callback(setattr, module, "tap", module.tap)
                module.tap = taps[name]
            stack.enter_context(module.register_forward_pre_hook(partial(mode.enter, name)))
            stack.enter_context(module.register_forward_hook(mode.leave, always_call=True))
        stack.enter_context(mode)
        yield captured
    if mode.ran and not captured.weights:
        raise _fits_none(pattern, "no attention that ran", mode.seen)


def _fits_none(pattern: str, what: str, names: Iterable[str]) -> ConfigError:
    listed = ", ".join(names) or "none that torch computes in a form that can be seen; SDPA and a plain softmax are"
    return ConfigError(f"pattern = {pattern!r}: fits {what}; {nearest(pattern, names, after=' ')}there are {listed}")


def attentions(model: nn.Module) -> dict[str, nn.Module]:
    """Dotted name -> attention module, for all that are recognisable before a forward pass: X-FM's, torch's, and the
    innermost modules with such class names. `capture` finds others when they run."""
    kinds = (Attention, nn.MultiheadAttention)
    called = {n: m for n, m in model.named_modules() if isinstance(m, kinds) or "attention" in type(m).__name__.lower()}
    outer = {n for n in called for inner in called if inner.startswith(f"{n}.")}
    return {n: m for n, m in called.items() if n not in outer}


class _Explicit(TorchFunctionMode):
    """Attention in its plain form, so that its weights can be seen and have gradients, where a module with a tap runs:
    SDPA, `multi_head_attention_forward` (`nn.MultiheadAttention`, CLIP's ResNets), and a softmax over the keys
    (B, H, Q, K)."""

    def __init__(self, taps: Mapping[str, _Tap]):
        super().__init__()
        self.seen: dict[str, None] = {}  # names of the attentions that ran
        self.ran = False
        self._taps, self._running = taps, list[tuple[str, nn.Module]]()

    def enter(self, name: str, module: nn.Module, _: object) -> None:
        self.ran = True
        self._running.append((name, module))
        if isinstance(module, Attention):
            self.seen[name] = None

    def leave(self, *_: object) -> None:
        self._running.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        attends = func in (F.scaled_dot_product_attention, F.multi_head_attention_forward)
        if not self._running or (not attends and not (func in _SOFTMAX and _over_keys(*args, **kwargs))):
            return func(*args, **kwargs)
        name, module = self._running[-1]
        if isinstance(module, Attention):  # which has a tap of its own
            return func(*args, **kwargs)
        self.seen[name] = None
        if (tap := self._taps.get(name)) is None:
            return func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return _scaled_dot_product(tap, getattr(module, "num_heads", 1), *args, **kwargs)
        return multi_head(tap, *args, **kwargs) if attends else tap(func(*args, **kwargs))


def _over_keys(input: Tensor, dim: int | None = None, *_: Any, **rest: Any) -> bool:  # torch's names
    return input.ndim == 4 and dim in (-1, 3)


def _scaled_dot_product(  # the arguments and names of torch's function
    tap: _Tap,
    heads: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`F.scaled_dot_product_attention`; (B H, Q, d) is seen as (B, H, Q, K), too."""
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    logits = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None:
        logits = logits.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
    weights = logits.softmax(-1)
    if attn_mask is not None:  # a query that may see nothing gathers nothing
        weights = weights.masked_fill((logits == -math.inf).all(-1, keepdim=True), 0)
    flat = weights.ndim == 3
    weights = tap(weights.unflatten(0, (-1, heads)) if flat else weights)
    return F.dropout(weights.flatten(0, 1) if flat else weights, dropout_p) @ value


def multi_head(tap: _Tap, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """`F.multi_head_attention_forward` in its plain form: its own lets no gradient reach the weights that it returns.
    `tap` sees, and may replace, the weights (B, H, Q, K)."""
    bound = _MULTI_HEAD.bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    query, key, value = (given[name] for name in ("query", "key", "value"))
    for name in ("bias_k", "bias_v", "static_k", "static_v", "add_zero_attn"):
        if given[name] not in (None, False):
            raise ConfigError(f"{name}: attention with added keys cannot be captured")
    heads, single = given["num_heads"], query.ndim == 2  # (Q, D) is one item of (Q, B, D)
    inputs = [t.unsqueeze(1) if single else t for t in (query, key, value)]
    if given["use_separate_proj_weight"]:
        matrices = [given[f"{name}_proj_weight"] for name in "qkv"]
    else:
        matrices = given["in_proj_weight"].chunk(3)
    biases = (None,) * 3 if given["in_proj_bias"] is None else given["in_proj_bias"].chunk(3)
    q, k, v = (
        F.linear(x, w, b).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)  # (B, H, N, d)
        for x, w, b in zip(inputs, matrices, biases, strict=True)
    )
    mask, hidden, seen = given["attn_mask"], given["key_padding_mask"], []
    if mask is not None:
        mask = _additive(mask, q)
        mask = mask.unflatten(0, (-1, heads)) if mask.ndim == 3 else mask
    if hidden is not None:
        padding = _additive(hidden.reshape(-1, 1, 1, k.shape[2]), q)
        mask = padding if mask is None else mask + padding

    def watched(weights: Tensor) -> Tensor:
        seen.append(tap(weights))
        return seen[-1]

    dropout = given["dropout_p"] if given["training"] else 0.0
    mixed = _scaled_dot_product(watched, heads, q, k, v, mask, dropout).permute(2, 0, 1, 3).flatten(2)
    out = F.linear(mixed, given["out_proj_weight"], given["out_proj_bias"])
    weights = seen[0].mean(1) if given["average_attn_weights"] else seen[0]
    if single:
        out, weights = out.squeeze(1), weights.squeeze(0)
    return out, weights if given["need_weights"] else None


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """True where nothing may be seen -> to be added to the logits; what is additive already stays."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)
