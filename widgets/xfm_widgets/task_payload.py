"""The items and answers of a task as TaskExplorer sends them to the browser, and which of them are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xfm.data.world.crisp import crisp

from .json_values import compact, finite
from .shown_pairs import LARGE
from .task_answers import Answered, answers_text, bins, box_of

if TYPE_CHECKING:
    from xfm.tasks.finetuning.task import Item
    from xfm.tasks.finetuning.task_run import TaskRun

KINDS = ("all", "right", "wrong", "disagree")
METRIC = ("metric", "value", "low", "high", "baseline", "baseline_name", "unit")


def counts(right: np.ndarray, disagree: np.ndarray) -> dict[str, int]:
    """Of all test items, by kind."""
    return dict(zip(KINDS, (len(right), int(right.sum()), int((~right).sum()), int(disagree.sum())), strict=True))


def drawn_items(
    places: Sequence[int], items: Sequence[Item], models: Sequence[Answered], disagree: np.ndarray
) -> dict[str, Any]:
    """The items at these places of the test set, and their pictures, each once."""
    pictures: dict[bytes, int] = {}  # content: place
    sharp: dict[int, bytes] = {}  # place: the same at a screen's resolution
    rights, drawn = [model.right for model in models], []
    for i, item in zip(places, items, strict=True):
        contents = [compact(image, f"example({i}).images") for image in item.images]
        places = [pictures.setdefault(content, len(pictures)) for content in contents]
        for place, image in zip(places, item.images, strict=True):
            if place not in sharp:
                sharp[place] = crisp(np.asarray(image), LARGE)
        said = [
            drawn_answer(model.answers[i], model.confidences[i]) | {"right": bool(right[i])}
            for model, right in zip(models, rights, strict=True)
        ]
        drawn.append({"index": i, "texts": list(item.texts), "pictures": places,
                     "truth": answers_text(item.target), "box": box_of(item.target), "said": said,
                     "disagree": bool(disagree[i])})  # fmt: skip
    return {"items": drawn, "pictures": list(pictures), "crisp": [*sharp.values()]}


def drawn_answer(answer: Any, confidence: float | None) -> dict[str, Any]:
    return {"answer": answers_text(answer), "box": box_of(answer), "confidence": finite(confidence)}


def drawn_model(model: Answered) -> dict[str, Any]:
    metrics = [{name: getattr(result, name) for name in METRIC} for result in model.results]
    return {"name": model.name, "metrics": metrics, "right": int(model.right.sum()), "bins": bins(model)}


def is_kept(item: Mapping[str, Any], kind: str, words: str) -> bool:
    """Whether an item is of a kind and has all words in its texts, its truth or an answer, whatever their case; as in
    static/task_items.js."""
    right = item["said"][0]["right"]
    text = " ".join([*item["texts"], item["truth"], *(said["answer"] for said in item["said"])]).lower()
    of_kind = {"all": True, "right": right, "wrong": not right, "disagree": item["disagree"]}[kind]
    return of_kind and all(word in text for word in words.lower().split())


def names_of(runs: Sequence[TaskRun]) -> list[str]:
    """By the control, and where that is not enough by what else differs: the pretrained run, the steps, the seed."""
    from xfm.train import Run

    configs = [run.config for run in runs]
    controls = [config.variant.replace("_", " ") or "fine-tuned" for config in configs]
    others = [[Run.open(c.run).config.name, f"{c.train.steps:,} steps", f"seed {c.seed}"] for c in configs]
    differing = [k for k, values in enumerate(zip(*others, strict=True)) if len({*values}) > 1]
    if len({*controls}) < len(runs):
        controls = [
            ", ".join([control, *(of[k] for k in differing)]) for control, of in zip(controls, others, strict=True)
        ]
    return controls if len({*controls}) == len(runs) else [f"{name} ({i})" for i, name in enumerate(controls, 1)]
