"""What happens when a part of the model, or of its input, is changed: causes, where attributions are only claims.

heads = head_importance(questions)                       # every head switched off in turn
found = patching(clean, corrupt, "fusion.layers.1")      # states of one input put into another
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..batch import Batch
from ..config import RunConfig
from ..config_utils import ConfigError, nearest, one_of, require
from ..model import XFM
from ..model.attention import Attention
from ..model.modes import eval_mode
from ..objectives import OBJECTIVES, Pretraining
from .attention_capture import attentions
from .inputs import AttributionInputs
from .targets import KNOWN
from .tracing import capture_attention

if TYPE_CHECKING:
    import pandas as pd

Fill = Literal["zero", "mean"]
Head = tuple[str, int]  # an attention's dotted name, and the head's number
PLACES = {"language": "text.layers.{}.attention", "vision": "vision.blocks.{}.attention",
          "fusion": "fusion.layers.{}.attention", "cross": "fusion.layers.{}.cross"}  # fmt: skip


@contextmanager
def ablate_heads(model: XFM, heads: Sequence[Head], fill: Fill = "zero") -> Iterator[None]:
    """The heads put out nothing, or what they put out on average over the tokens of the same pass.

    ConfigError for an attention or a head that the model does not have.
    """
    one_of("fill", fill, ("zero", "mean"))
    there, wanted = attentions(model), {}
    for name, head in heads:
        module: Any = there.get(name)
        if module is None:
            raise ConfigError(
                f"heads: no attention {name!r}; {nearest(name, there, after=' ')}there are {', '.join(there)}"
            )
        require(0 <= head < module.heads, f"head of {name}", head, f"0 to {module.heads - 1}")
        wanted.setdefault(name, []).append(head)
    with ExitStack() as stack:
        for name, some in wanted.items():
            stack.callback(silenced(there[name], some, fill).remove)  # type: ignore[arg-type]
        yield


def silenced(module: Attention, heads: Sequence[int], fill: Fill) -> Any:
    """A hook on what goes into the output projection, where heads still lie side by side."""

    def hook(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        mixed = inputs[0].unflatten(-1, (module.heads, -1)).clone()  # (B, Q, H, d)
        part = mixed[:, :, list(heads)]
        mixed[:, :, list(heads)] = part.mean((0, 1), keepdim=True).expand_as(part) if fill == "mean" else 0
        return (mixed.flatten(-2),)

    return module.out.register_forward_pre_hook(hook)


@dataclass(frozen=True)
class HeadImportance:
    """Of every head of a model, over some questions."""

    frame: pd.DataFrame  # place, layer, head, ablation (mean |change| of the target), attention, gradient (mean sizes)

    def agreement(self, one: str = "ablation", other: str = "attention x gradient") -> float:
        """Spearman's rank correlation of two columns over all heads."""
        return float(self.frame.corr("spearman", numeric_only=True).to_dict()[one][other])


def head_importance(questions: Sequence[AttributionInputs], fill: Fill = "zero") -> HeadImportance:
    """How much the target changes when a head is ablated, beside what attention says of the head: the largest weight of
    a row on average ("confidence", Voita et al., 2019), and |weight x gradient| (Michel et al., 2019, per weight)."""
    import pandas as pd

    require(bool(questions), "questions", questions, "at least one")
    model, rows = questions[0].model, []
    with eval_mode(model):
        before = [q.score() for q in questions]
        seen = [capture_attention(q)[0] for q in questions]
        for place, attention in seen[0].items():
            for layer in range(attention.weights.shape[0]):
                for head in range(attention.weights.shape[1]):
                    with ablate_heads(model, [(PLACES[place].format(layer), head)], fill):
                        after = [q.score() for q in questions]
                    own = [(m[place].weights[layer, head], m[place].gradients[layer, head]) for m in seen]  # type: ignore[index]
                    rows.append(
                        {
                            "place": place,
                            "layer": layer,
                            "head": head,
                            "ablation": mean(abs(a - b) for a, b in zip(after, before, strict=True)),
                            "attention": mean(w.amax(-1).mean().item() for w, _ in own),
                            "attention x gradient": mean((w * g).abs().sum().item() for w, g in own),
                        }
                    )
    return HeadImportance(pd.DataFrame(rows))


def mean(values: Iterator[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def removal_effects(
    question: AttributionInputs, patches: Tensor | None = None, words: Sequence[str] = ()
) -> dict[str, float]:
    """The target, ITM, ITC and the box, before and after patches (P,) bool or words are taken away: name -> change.

    ConfigError for a word that the text does not have.
    """
    gone, read = (torch.zeros_like(mask) for mask in question.everything)
    if patches is not None:
        require(patches.shape == gone.shape, "patches.shape", tuple(patches.shape), f"{tuple(gone.shape)}")
        gone = patches
    for word in words:
        one_of("word", word, question.words.words)
        read |= question.words.members[[w == word for w in question.words.words]].any(0)
    with eval_mode(question.model):
        before, after = (scores(question, *masks) for masks in (question.everything, (~gone, ~read)))
    return {name: after[name] - before[name] for name in before}


def scores(question: AttributionInputs, patches: Tensor, pieces: Tensor) -> dict[str, float]:
    """Every target that the model has heads for, with only these patches (P,) bool and pieces (L,) bool."""
    with torch.no_grad():
        out = question.outputs(*question.masked(patches[None], pieces[None]))
    targets = {question.target.name: question.target}
    targets |= {name: target for name, target in KNOWN.items() if target.head in question.model.objectives}
    return {name: target.score(out).item() for name, target in targets.items()}


def objective_effects(
    model: XFM, config: RunConfig, batch: Batch, heads: Sequence[Head], fill: Fill = "zero"
) -> pd.DataFrame:
    """What ablated heads do to training: every objective's loss on a batch, "stream/objective" -> before, after."""
    import pandas as pd

    forward, on = Pretraining(model, config), dict.fromkeys(OBJECTIVES, 1.0)
    with eval_mode(model), torch.no_grad():
        before, _ = forward(batch, on, ("interventions",))
        with ablate_heads(model, heads, fill):
            after, _ = forward(batch, on, ("interventions",))
    rows = {name: {"before": before[name].item(), "after": after[name].item()} for name in before}
    return pd.DataFrame.from_dict(rows, orient="index")
