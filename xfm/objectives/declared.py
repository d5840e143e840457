"""What a loss has declared, held against what it does: a wrong declaration is one sentence, not a lack of gradient.
Which passes get a graph follows from `reads`, so a tensor that was not declared may come without one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from ..base.fields import nearest, one_of, require
from ..base.strings import shown
from ..config import STREAMS, ConfigError
from ..model.batch import Images, LossOut, Pairs, Regions, Texts

# What a loss may read -> what a stream's batch must have for it, and the encoders that its gradient can reach.
READS = {
    "text": ({"tokens"}, ("text",)),
    "masked_text": ({"tokens"}, ("text",)),
    "image": ({"image"}, ("vision",)),
    "masked_image": ({"image", "image_mask"}, ("vision",)),
    "mim_target": ({"image"}, ()),
    "features": ({"tokens", "image"}, ("vision", "text")),
    "fused": ({"tokens", "image"}, ("fusion", "vision", "text")),
}
# A flow's tensor -> what its reader declares, where the name is another.
OF = {"patches": "image", "masked_patches": "masked_image", "fusion": "fused", "pairings": "fused"}
BATCHES = dict(zip(STREAMS, (Pairs, Regions, Images, Texts), strict=True))


def check_declaration(name: str, loss: Any) -> None:
    """ConfigError where what a registered loss declares cannot be."""
    where = f"objectives.{name}"
    if inspect.isabstract(loss):
        raise ConfigError(f"{where}: {loss.__name__} has no forward(flow); add one that returns a LossOut")
    require(isinstance(loss.title, str) and bool(loss.title), f"{where}.title", loss.title, "a name for figures")
    for field, names, example in (("streams", STREAMS, "pairs"), ("reads", READS, "text")):
        value = getattr(loss, field)
        valid = isinstance(value, tuple) and bool(value)
        require(valid, f"{where}.{field}", value, f'a tuple of names, as ("{example}",)')
        for entry in value:
            one_of(f"{where}.{field}", entry, names)
    if set(loss.reads) == {"mim_target"}:
        raise ConfigError(f'{where}.reads: "mim_target" has no gradient; add what is to learn, as "masked_image"')
    if "fused" in loss.reads and not callable(getattr(loss, "pairing", None)):
        raise ConfigError(f'{where}: reads "fused" without pairing(flow); add one that returns a FusionBatch')
    for stream in loss.streams:
        there = {f.name for f in fields(BATCHES[stream])}
        if lacking := [tensor for tensor in loss.reads if not READS[tensor][0] <= there]:
            lacks = f'reads "{lacking[0]}", which stream "{stream}" does not have'
            raise ConfigError(f'{where}: {lacks}; leave "{stream}" out of streams, or "{lacking[0]}" out of reads')


class Declared:
    """A flow as one loss may read it: ConfigError for a tensor that the loss has not declared."""

    def __init__(self, flow: Any, name: str, reads: Iterable[str]):
        self._flow, self._name, self._reads = flow, name, (*reads,)
        self.tensors: dict[str, list[Tensor]] = {}  # what the loss has read, by what it declared

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # Python asks for such of any object
            raise AttributeError(attribute)
        flow, where = self._flow, f"objectives.{self._name}"
        declares = OF.get(attribute, attribute)
        if declares in READS and declares not in self._reads and hasattr(type(flow), attribute):
            raise ConfigError(f'{where}: uses flow.{attribute} without declaring it; add "{declares}" to reads')
        if attribute not in vars(flow) and not hasattr(type(flow), attribute):
            names = [n for n in (*vars(flow), *vars(type(flow))) if not n.startswith("_")]
            called = next((n for n, read in OF.items() if read == attribute), "")  # the tensor of what was declared
            hint = f"; it is flow.{called}" if called else nearest(attribute, names, before="; ")
            raise ConfigError(f"{where}: uses flow.{attribute}, which a flow does not have{hint}")
        value = getattr(flow, attribute)
        if attribute == "fused":
            value = _Named(value)
            value.where = where
        if declares in READS:
            self.tensors[declares] = _tensors(value.get(self._name) if attribute == "fused" else value)
        return value


class _Named(dict):
    """Fused texts, by loss."""

    where: str  # the loss that reads them

    def __missing__(self, name: str) -> Tensor:
        at = f"{self.where}: uses flow.fused[{shown(name)}]"
        raise ConfigError(f"{at}, which no loss has paired; take the name under which the loss is registered")


def _tensors(value: Any) -> list[Tensor]:
    if is_dataclass(value):
        value = [getattr(value, f.name) for f in fields(value)]
    return [value] if isinstance(value, Tensor) else [t for t in value if isinstance(t, Tensor)]


def checked_loss(loss: Any, flow: Any, name: str, gradient: bool) -> LossOut:
    """The loss, under its registered name. ConfigError where forward returns no scalar with scalars to report, reads
    undeclared tensors, or (`gradient`) sends no gradient into any encoder that it reads."""
    reader = Declared(flow, name, loss.reads)
    where, out = f"objectives.{name}", loss(reader)
    if not isinstance(out, LossOut):
        raise ConfigError(f"{where}: forward returns a {type(out).__name__}; return LossOut(loss)")
    for field, value in (("loss", out.loss), *((f'report["{n}"]', v) for n, v in out.report.items())):
        if not isinstance(value, Tensor) or value.ndim:
            kind = f"of shape {(*value.shape,)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ConfigError(f"{where}: LossOut.{field} is {kind}; make it a tensor without dimensions, as by .mean()")
    if loss.accuracy_key and loss.accuracy_key not in out.report:
        raise ConfigError(f'{where}: accuracy_key = "{loss.accuracy_key}" is not in the report; add it to LossOut')
    # a loss of stopped text alone, or of frozen encoders, has no gradient to send
    stopped = {"text", "masked_text"} if flow.text_gradient(name) == 0 else set()
    learning = {n.partition(".")[0] for n, p in flow.model.named_parameters() if p.requires_grad} if gradient else {*()}
    expected = [r for r in loss.reads if r not in stopped and not learning.isdisjoint(READS[r][1])]
    tensors = [t for reading in expected for t in reader.tensors.get(reading, ())]
    if expected and not _reaches(out.loss, tensors):
        names = ", ".join(f'"{reading}"' for reading in expected)
        raise ConfigError(
            f"{where}: sends no gradient into an encoder, though it reads {names}; "
            "compute the loss from these tensors, without detach() or torch.no_grad()"
        )
    return out


def _reaches(loss: Tensor, ends: list[Tensor]) -> bool:
    """Whether a loss's graph has one of these tensors in it; no gradient is computed."""
    seen, nodes = set[Any](), [loss.grad_fn]
    while nodes:
        if (node := nodes.pop()) is not None and node not in seen:
            seen.add(node)
            nodes += [before for before, _ in node.next_functions]
    return not seen.isdisjoint(end.grad_fn for end in ends)
