"""Interventions: the measured effect of changing a part of the model, of its input, or of its states."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..base.fields import ConfigError, nearest, one_of, require
from ..config import RunConfig
from ..diagnostics import hooks
from ..diagnostics.gradient_table import without_teacher
from ..model import XFM
from ..model.attention import Attention
from ..model.batch import Batch
from ..model.modes import eval_mode
from ..objectives import Pretraining
from .attention_capture import attentions, multi_head
from .inputs import AttributionInputs
from .targets import TARGETS
from .tracing import capture_attention

if TYPE_CHECKING:
    import pandas as pd


Fill = Literal["zero", "mean"]
HEADED = "X-FM's own attention or torch's MultiheadAttention"
Head = tuple[str, int]  # an attention's dotted name, and the head's index


@contextmanager
def ablate_heads(model: XFM, heads: Sequence[Head], fill: Fill = "zero") -> Iterator[None]:
    """Ablates attention heads of X-FM or of `nn.MultiheadAttention` (open_clip) inside a `with`.

    Args:
        heads: an attention's dotted name and the head's index, each.
        fill: what the heads return: "zero", or their "mean" over all tokens of the pass, padding included.

    Raises:
        ConfigError: for an attention or a head that the model lacks.
    """
    one_of("fill", fill, ("zero", "mean"))
    by_name, chosen = attentions(model), {}
    for name, head in heads:
        module: Any = by_name.get(name)
        if module is None:
            hint = nearest(name, by_name, after=" ")
            raise ConfigError(f"heads: no attention {name!r}; {hint}there are {', '.join(by_name)}")
        ours = isinstance(module, Attention)
        require(ours or isinstance(module, nn.MultiheadAttention), f"attention {name}", type(module).__name__, HEADED)
        count, out = (module.heads, module.out) if ours else (module.num_heads, module.out_proj)
        require(0 <= head < count, f"head of {name}", head, f"0 to {count - 1}")
        chosen.setdefault(id(out.weight), (count, []))[1].append(head)
    with _Ablation(chosen, fill):
        yield


class _Ablation(TorchFunctionMode):
    """Changes what enters an output projection, where heads still lie side by side: by its weight's id, how many heads
    there are, and which of them are ablated."""

    def __init__(self, chosen: Mapping[int, tuple[int, list[int]]], fill: Fill):
        super().__init__()
        self.chosen, self.fill = chosen, fill

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.multi_head_attention_forward:  # in its plain form, whose projection is seen below
            with self:
                return multi_head(lambda weights: weights, *args, **(kwargs or {}))
        if func is F.linear and id(args[1]) in self.chosen:
            args = (self._ablated(args[0], *self.chosen[id(args[1])]), *args[1:])
        return func(*args, **(kwargs or {}))

    def _ablated(self, states: Tensor, count: int, heads: list[int]) -> Tensor:
        """(..., H d) of one pass: (B, Q), (Q, B), or the tokens of packed texts."""
        by_head = states.unflatten(-1, (count, -1)).clone()
        part = by_head[..., heads, :]
        tokens = tuple(range(part.ndim - 2))
        by_head[..., heads, :] = part.mean(tokens, keepdim=True).expand_as(part) if self.fill == "mean" else 0
        return by_head.flatten(-2)


@dataclass(frozen=True)
class HeadImportance:
    """Importance of every head of a model, mean over inputs."""

    frame: pd.DataFrame  # place (the attention map), layer, head; ablation (|change| of the target), attention,
    heads: list[Head]  # ... attention x gradient; and each row's head, for `ablate_heads`


def head_importance(inputs: Sequence[AttributionInputs], fill: Fill = "zero") -> HeadImportance:
    """Measures the change of the target when a head is ablated, beside two measures of attention: a row's largest
    weight, mean over rows ("confidence", Voita et al., 2019), and |sum of weight x gradient|, which is |output . its
    gradient| (Michel et al., 2019, eq. 2).
    """
    import pandas as pd

    require(bool(inputs), "inputs", inputs, "at least one")
    model, rows, heads = inputs[0].model, [], []
    with eval_mode(model):
        before = [one.score() for one in inputs]
        maps = [capture_attention(one)[0] for one in inputs]
        sites = {place: stack for stack in model.stacks.values() for place in stack.attentions if place in maps[0]}
        for place, stack in sites.items():
            for layer, head in product(*map(range, maps[0][place].weights.shape[:2])):
                heads.append((stack.attention(place, layer), head))
                with ablate_heads(model, heads[-1:], fill):
                    after = [one.score() for one in inputs]
                pairs = [(m[place].weights[layer, head], m[place].gradients[layer, head]) for m in maps]  # type: ignore[index]
                measures = {
                    "ablation": [abs(a - b) for a, b in zip(after, before, strict=True)],
                    "attention": [w.amax(-1).mean().item() for w, _ in pairs],
                    "attention x gradient": [(w * g).sum().abs().item() for w, g in pairs],
                }
                means = {name: sum(values) / len(values) for name, values in measures.items()}
                rows.append({"place": place, "layer": layer, "head": head, **means})
    return HeadImportance(pd.DataFrame(rows), heads)


def pruning_curve(
    pairs: Sequence[tuple[AttributionInputs, AttributionInputs]], order: Sequence[Head], counts: Sequence[int]
) -> list[float]:
    """Computes two-way accuracy with the first heads of an order ablated, for each of some counts. The first inputs of
    a pair, a phrase with its image, should score higher than the second, with another image; a tie counts half."""
    accuracies = []
    for count in counts:
        with ablate_heads(pairs[0][0].model, order[:count]):
            differences = torch.tensor([right.score() - wrong.score() for right, wrong in pairs])
        accuracies.append((1 + differences.round(decimals=4).sign()).mean().item() / 2)
    return accuracies


def removal_effects(
    inputs: AttributionInputs, patches: Tensor | None = None, words: Sequence[str] = ()
) -> dict[str, float]:
    """Measures the change of the inputs' target, and of every other that the model has a head for, when patches (P,)
    bool or words are masked. ConfigError for a word that the text does not have, and for patches of another shape."""
    masked_patches, masked_pieces = (~keep for keep in inputs.keep_all)
    if patches is not None:
        expected = tuple(masked_patches.shape)
        require(patches.shape == expected, "patches.shape", tuple(patches.shape), f"{expected}")
        masked_patches = patches
    for word in words:
        one_of("word", word, inputs.words.words)
        masked_pieces |= inputs.words.members[[w == word for w in inputs.words.words]].any(0)
    keep = [torch.stack([torch.ones_like(masked), ~masked]) for masked in (masked_patches, masked_pieces)]
    scores = {inputs.target.name: inputs.masked_scores(*keep)}  # (2,) before and after, as the inputs compute it
    with eval_mode(inputs.model), torch.no_grad():
        outputs = inputs.outputs(*inputs.mask(*keep))
        for name, target in TARGETS.items():
            if target.head in inputs.model.objectives:
                scores.setdefault(name, target.score(outputs))
    return {name: (after - before).item() for name, (before, after) in scores.items()}


def objective_effects(
    model: XFM, config: RunConfig, batch: Batch, heads: Sequence[Head], fill: Fill = "zero"
) -> pd.DataFrame:
    """Measures each trained loss on a batch, "stream/objective", before and after heads are ablated; targets are as
    `without_teacher` has them."""
    import pandas as pd

    config = without_teacher(model, config)
    on = {name: 1.0 for name in config.objectives if config.weight(name) > 0}
    forward = Pretraining(model, config)
    with eval_mode(model), torch.no_grad():
        before, _ = forward(batch, on, ("interventions",))
        with ablate_heads(model, heads, fill):
            after, _ = forward(batch, on, ("interventions",))
    rows = {name: {"before": before[name].item(), "after": after[name].item()} for name in before}
    return pd.DataFrame.from_dict(rows, orient="index")


@dataclass(frozen=True)
class PatchingEffect:
    """The target with the states of a clean input put into the pass of a corrupt one."""

    module: str  # dotted name
    clean: float  # the target of each ...
    corrupt: float
    patched: float  # ... and of the corrupt one with the clean one's states

    @property
    def restored(self) -> float:
        """Share of the difference that these states carry: 1 all, 0 nothing; NaN where there is no difference."""
        difference = self.clean - self.corrupt
        return (self.patched - self.corrupt) / difference if difference else math.nan


def activation_patching(
    clean: AttributionInputs, corrupt: AttributionInputs, pattern: str, tokens: Sequence[int] | None = None
) -> list[PatchingEffect]:
    """Patches states of a clean pass into a corrupt one (Vig et al., 2020; Meng et al., 2022), a pass per module.

    Args:
        pattern: of dotted names; each module's output is replaced by the clean inputs'.
        tokens: at which tokens; None: at all.

    Raises:
        ConfigError: where no module fits, or none that runs by itself (X-FM's query, key and value are one product);
            for tokens that the output does not have, and outputs of different shapes.
    """
    model = clean.model
    modules: dict[str, nn.Module] = {name: module for name, module in model.named_modules() if name}
    chosen = {name: module for name, module in modules.items() if fnmatchcase(name, pattern)}
    if not chosen:
        raise ConfigError(f"pattern = {pattern!r}: fits no module; {nearest(pattern, modules, after=' ')}".rstrip())
    with eval_mode(model):
        with hooks.record(chosen) as states:
            clean_score = clean.score()
        if not states:
            why = "is computed by the module around it, and has no output of its own; choose that one"
            raise ConfigError(f"pattern = {pattern!r}: what fits, as {next(iter(chosen))}, {why}")
        corrupt_score, effects = corrupt.score(), []
        for name, outputs in states.items():
            with chosen[name].register_forward_hook(_replace(name, outputs, tokens)):
                effects.append(PatchingEffect(name, clean_score, corrupt_score, corrupt.score()))
    return effects


def _replace(name: str, outputs: Sequence[Tensor], tokens: Sequence[int] | None) -> Callable[..., Tensor]:
    """A forward hook that replaces a module's output, call by call, at some tokens or at all."""
    remaining = iter(outputs)

    def hook(_: nn.Module, __: object, out: Tensor) -> Tensor:
        clean = next(remaining)
        require(out.shape == clean.shape, name, tuple(clean.shape), f"of the corrupt one's shape, {tuple(out.shape)}")
        if tokens is None:
            return clean
        valid = all(0 <= token < out.shape[-2] for token in tokens)
        require(valid, "tokens", list(tokens), f"of {name}: 0 to {out.shape[-2] - 1}")
        mixed = out.clone()
        mixed[..., list(tokens), :] = clean[..., list(tokens), :]
        return mixed

    return hook
