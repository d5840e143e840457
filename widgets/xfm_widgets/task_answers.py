"""What models answer in a downstream task, as a view shows it; and the scores of one answer, to attribute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xfm.base.fields import require
from xfm.plots.arrays import numbers

if TYPE_CHECKING:
    from torch import Tensor

    from xfm.explain.targets import Outputs, Target
    from xfm.tasks.finetuning.finetuned_model import Tuned
    from xfm.tasks.finetuning.task import Item
    from xfm.tasks.finetuning.task_run import TaskRun
    from xfm.tasks.result import Result

MOST, LEAST = 80, 20  # items that are shown; of each kind, where there are as many
BINS = 5  # of confidences
RIGHT = 0.5  # of a score in [0, 1]


class Answered(NamedTuple):
    """What a model says of all n test items."""

    name: str
    answers: Sequence[Any]  # n labels or texts, or boxes: cx, cy, width, height as shares of the picture
    scores: Sequence[float]  # n in [0, 1]
    confidences: Sequence[float | None] = ()  # n in [0, 1], or none
    results: Sequence[Result] = ()

    @property
    def right(self) -> np.ndarray:
        """(n,) bool"""
        return np.asarray(self.scores, float) >= RIGHT

    def checked(self, place: int, n: int) -> Answered:
        """ConfigError, which names it, for numbers that are none or out of [0, 1]."""
        where = f"models[{place}]"
        scores = _shares(self.scores, f"{where}.scores", n)
        require(bool(np.isfinite(scores).all()), f"{where}.scores", "NaN", "finite")
        given = [np.nan if c is None else c for c in self.confidences] or [np.nan] * n
        return self._replace(scores=scores, confidences=_shares(given, f"{where}.confidences", n))


def _shares(values: Any, name: str, n: int) -> Any:
    found = numbers(values, name, (n,)).astype(float)
    wrong = found[(found < 0) | (found > 1)]
    require(not len(wrong), name, wrong[:1].tolist(), "from 0 to 1")
    return found


def answered(run: TaskRun, name: str) -> Answered:
    """Of a fine-tuning that is done. RunError where it is not, or where its answers cannot be read."""
    from xfm.tasks.finetuning.task_run import ANSWERS, RESULTS
    from xfm.train import RunError

    path = run.folder / ANSWERS
    if not run.has(RESULTS):
        raise RunError(f"{run.folder}: has no results yet; fine-tune it to the end first")
    if not run.has(ANSWERS):
        raise RunError(f"{run.folder}: has no {ANSWERS}, of an earlier version; delete the folder and fine-tune again")
    try:
        rows = run.answers()
        answers, scores, confidences = ([row[key] for row in rows] for key in ("answer", "score", "confidence"))
        places = [row["index"] for row in rows]
    except (KeyError, TypeError) as error:
        raise RunError(f"{path}: no readable answers ({error}); delete the folder and fine-tune again") from error
    if places != [*range(len(rows))] or not rows:
        raise RunError(f"{path}: indices must be 0, 1, 2, ..., one a line; delete the folder and fine-tune again")
    own = [result for result in run.results() if result.condition == run.config.variant]  # of the test split, not below
    return Answered(name, answers, scores, confidences, own)


def box_of(answer: Any) -> list[float] | None:
    """[cx, cy, width, height] of an answer that is a box of finite numbers."""
    if not isinstance(answer, list | tuple) or len(answer) != 4:
        return None
    real = all(isinstance(v, Real) and not isinstance(v, bool) for v in answer)
    return [float(v) for v in answer] if real and np.isfinite(np.asarray(answer, float)).all() else None


def answers_text(answer: Any) -> str:
    """An answer, or a truth, in words."""
    if box := box_of(answer):
        return "box at {:.2f}, {:.2f}, size {:.2f} × {:.2f}".format(*box)
    if isinstance(answer, bool | np.bool_):
        return str(bool(answer)).lower()
    if isinstance(answer, list | tuple):
        return ", ".join(map(answers_text, answer))
    return f"{answer:.3g}" if isinstance(answer, float) else str(answer)


def differ(models: Sequence[Answered]) -> np.ndarray:
    """(n,) bool: another model answers otherwise than the first; of boxes, which never are the same: one is right
    alone."""
    first, *others = models
    found = np.zeros(len(first.answers), bool)
    for other in others:
        apart = first.right != other.right
        pairs = zip(first.answers, other.answers, strict=True)
        said = [apart[i] if box_of(mine) else mine != theirs for i, (mine, theirs) in enumerate(pairs)]
        found |= np.array(said, bool)
    return found


def chosen(right: np.ndarray, disagree: np.ndarray, most: int = MOST) -> list[int]:
    """At most so many of n items, in their order: of each kind (right or wrong, agreed on or not) its share, and LEAST
    where there are; evenly over the test set."""
    if len(right) <= most:
        return [*range(len(right))]
    groups = [np.flatnonzero(2 * disagree + right == kind) for kind in range(4)]
    least = [min(len(group), LEAST) for group in groups]
    before = np.cumsum([0, *(len(group) - few for group, few in zip(groups, least, strict=True))])
    counts = least + np.diff(before * (most - sum(least)) // before[-1])
    evenly = [np.linspace(0, len(g) - 1, count).round().astype(int) for g, count in zip(groups, counts, strict=True)]
    return np.sort(np.concatenate([g[at] for g, at in zip(groups, evenly, strict=True) if len(g)])).tolist()


def bins(model: Answered) -> list[dict[str, Any]]:
    """Of all answers, by their confidence: from, to, how many, and the share that is right."""
    confidences = np.asarray(model.confidences, float)
    known, right = np.isfinite(confidences), model.right
    places = np.minimum((confidences[known] * BINS).astype(int), BINS - 1)
    found = [(k / BINS, (k + 1) / BINS, right[known][places == k]) for k in range(BINS)]
    rows = [{"low": low, "high": high, "n": len(r), "right": float(r.mean()) if len(r) else None}
            for low, high, r in found]  # fmt: skip
    return rows if known.any() else []


# ---- the scores of an answer


class _Known:
    """An encoder whose output is known."""

    def __init__(self, encoder: Any, output: Any):
        self._encoder, self._output = encoder, output

    def __call__(self, *inputs: Any) -> Tensor:
        return self._output(*inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


class _Encoded:
    """A model as a task's head calls it, of one encoded item; `text` None: the head's own texts are read."""

    def __init__(self, model: Any, text: Tensor | None, pictures: Sequence[Tensor]):
        import torch

        self._model = model
        self.text = model.text if text is None else _Known(model.text, lambda *_: text)
        self.vision = _Known(model.vision, lambda x: torch.cat([pictures[int(one[0, 0, 0])] for one in x]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def answer_targets(tuned: Tuned, item: Item, answer: Any, picture: int = 0) -> list[Target]:
    """What there is to explain of a fine-tuned model's answer to an item, as functions of one text and of one of its
    pictures: of a label and of a text minus the task's loss for it, which is the log-probability (nats); of a box and
    of a number each number itself, since the loss has its least, and no slope, where the model's own answer is right.
    """
    import torch

    from xfm.explain.targets import Target
    from xfm.tasks.finetuning.task import TaskBatch
    from xfm.tasks.finetuning.task_heads import PairClassifier

    model, task = tuned.model, tuned.task
    apart = isinstance(tuned.head, PairClassifier)
    require(not apart, "task", task.name, "one whose texts are read as one (its published head), to explain an answer")
    with torch.no_grad():
        own = [model.vision(image) for image in task.batch([item], model.device).images]
    places = tuple(torch.full((1, 1, 1, 1), float(k), device=model.device) for k in range(max(len(own), 1)))

    def of_each(out: Outputs, asked: Callable[[Any, Any, TaskBatch], Tensor]) -> Tensor:
        """(B, ...) what is asked of the model, the head and a batch, pair by pair."""
        mask = torch.ones(1, out.text.shape[1], dtype=torch.bool, device=out.text.device)
        batch = TaskBatch(mask.long(), mask, places, (answer,))
        found = []
        for text, patches in zip(out.text.split(1), out.patches.split(1), strict=True):
            pictures = [patches if k == picture else known for k, known in enumerate(own or [patches])]
            encoded = _Encoded(model, text if item.texts else None, pictures)
            found.append(asked(encoded, tuned.head, batch))
        return torch.stack(found)

    def number(k: int) -> Callable[[Outputs], Tensor]:
        return lambda out: of_each(out, task.numbers)[:, 0, k]

    scores = {name: number(k) for k, name in enumerate(task.regressed)}
    scores = scores or {f"answer {answers_text(answer)}": lambda out: -of_each(out, task.loss)}
    read = (0,) if task.family == "vision-language" else None
    return [Target(name, score, "", read) for name, score in scores.items()]
