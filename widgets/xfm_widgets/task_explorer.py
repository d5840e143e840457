"""The test examples of a fine-tuned task: what one model or several answer, how sure they are, and what is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from xfm.base.fields import ConfigError, require
from xfm.base.images import ImageLike
from xfm.plots import Figure
from xfm.plots.style import message_figure

from . import figures
from .choices import Flag, Option, Place, Text, told
from .json_values import table
from .pages import page_of
from .task_answers import Answered, answer_targets, answered, answers_text, chosen, differ
from .task_payload import KINDS, counts, drawn_answer, drawn_items, drawn_model, is_kept, names_of
from .view import View

if TYPE_CHECKING:
    import pandas as pd

    from xfm.tasks.finetuning.finetuned_model import Tuned
    from xfm.tasks.finetuning.task import Answer, Item
    from xfm.tasks.finetuning.task_run import TaskRun

    from .attribution_lab import AttributionLab
    from .trace_explorer import TraceExplorer

MODELS = 4  # at most: colours that a reader distinguishes
GREY = 128  # a picture where the task has none: nothing to see
LONGEST = 500  # characters of a question
METHODS = ("generic attention", "occlusion")
SEPARATOR = "</s></s>"  # of two texts, as the tokenizer reads it


class TaskExplorer(View):
    """Answers of a fine-tuned model beside its controls or another model: right, wrong, and disagreements.

    TaskExplorer.of(run)                      # a TaskRun, or its folder
    TaskExplorer.of(run, control, other)      # of the same task; the first is the one that is right or wrong

    Shows 80 items of a large test set, stratified by kind; numbers and charts cover the whole set.
    """

    show = Option(KINDS, "all")
    as_seen = Flag(False)  # pictures are shown in the pixels that the model is given
    search = Text()  # words of the item's texts, of its truth and of the answers
    item = Place(0, of=lambda view: len(view._shown))  # which of the items that are shown
    which = Place(0, of=lambda view: len(view._models))  # the model that is asked, traced and attributed
    answered = told(traitlets.Dict())  # what that one says to a text of the reader's own
    opened = told(traitlets.Dict())  # the page of a trace or of attributions, which a click has asked for

    def __init__(
        self,
        title: str,
        example: Callable[[int], Item],
        models: Sequence[Answered],
        tuned: Callable[[int], Tuned] | None = None,
        **traits: Any,
    ):
        """Shows test items with the models' answers.

        Args:
            example: place in the test set -> item.
            models: answers; the first model is compared with the others.
            tuned: number of a model -> the model with its head.

        Raises:
            ConfigError: for too many models, and for scores and confidences out of [0, 1].
        """
        require(0 < len(models) <= MODELS, "models", len(models), f"1 to {MODELS}")
        n = len(models[0].answers)
        self._models, self._ask_for = [model.checked(i, n) for i, model in enumerate(models)], tuned
        self._title, self._loaded = title, dict[int, Any]()
        self._disagree = differ(self._models)
        self._shown = chosen(self._models[0].right, self._disagree)
        self._items = [example(i) for i in self._shown]
        asks = tuned is not None and all(len(item.texts) == 1 for item in self._items)
        payload = drawn_items(self._shown, self._items, self._models, self._disagree)
        payload |= {"title": title, "counts": counts(self._models[0].right, self._disagree), "asks": asks}
        payload |= {"models": [drawn_model(model) for model in self._models], "opens": tuned is not None}
        super().__init__(payload, "" if n else "No test items: nothing was answered.", **traits)
        if "item" not in traits and (kept := self.kept()) and self.item not in kept:
            self.item = kept[0]  # as in the page, where a filter is chosen

    @classmethod
    def of(cls, run: TaskRun | str | Path, *others: TaskRun | str | Path, **traits: Any) -> TaskExplorer:
        """Shows finished fine-tunings of one task on the same test items. ConfigError where these differ, RunError for
        a run without answers."""
        from xfm.tasks import TRAINABLE
        from xfm.tasks.finetuning.task_run import TaskRun
        from xfm.train import Run

        runs = [one if isinstance(one, TaskRun) else TaskRun.open(one) for one in (run, *others)]
        first = runs[0].config
        for other in runs[1:]:
            if other.config.task != first.task:
                said = f"{runs[0].folder} is of {first.task!r}, {other.folder} of {other.config.task!r}"
                raise ConfigError(f"task: {said}; models are compared in one task")
        models = [answered(one, name) for one, name in zip(runs, names_of(runs), strict=True)]
        truths = [[row["truth"] for row in one.answers()] for one in runs]
        for other, truth in zip(runs[1:], truths[1:], strict=True):
            if truth != truths[0]:
                raise ConfigError(f"{runs[0].folder} and {other.folder}: were tested on different items")
        pretrained = Run.open(first.run)
        task = TRAINABLE[first.task](pretrained.config, pretrained.tokenizer(), first.data)
        has_pictures = not first.data and task.family != "language"
        credit = {"credit": task.data.credit} if has_pictures else {}
        view = cls(task.title, lambda i: task.item("test", i), models, lambda k: runs[k].tuned(), **credit | traits)
        view._hidden = [one.config.hidden for one in runs]
        return view

    _hidden: Sequence[str] = ()  # of each model, what it does not see

    # ---- what is shown

    def kept(self) -> list[int]:
        """Places among the items that are shown: of the kind `show`, and with all words of `search`."""
        return [i for i, item in enumerate(self.drawn["items"]) if is_kept(item, self.show, self.search)]

    def data(self) -> pd.DataFrame:
        """A row an item that is kept and a model; `confidence` None where the model gives none."""
        payload, columns = self.drawn, ["item", "texts", "truth", "model", "answer", "confidence", "right", "disagree"]
        rows = [
            (item["index"], " | ".join(item["texts"]), item["truth"], model["name"], said["answer"], said["confidence"],
             said["right"], item["disagree"])
            for item in (payload["items"][i] for i in self.kept())
            for model, said in zip(payload["models"], item["said"], strict=True)
        ]  # fmt: skip
        return table(rows, columns)

    def figure(self) -> Figure:
        if not self._items:
            return message_figure(str(self.message))
        payload, item = self.drawn, self._items[self.item]
        shown = payload["items"][self.item]
        names = [model["name"] for model in payload["models"]]
        said = [
            figures.Said(name, one["answer"], one["right"], one["confidence"], one["box"])
            for name, one in zip(names, shown["said"], strict=True)
        ]
        title = f"{self._title}, test item {shown['index']}: {'right' if said[0].right else 'wrong'}"
        trust = {name: model["bins"] for name, model in zip(names, payload["models"], strict=True)}
        truth = figures.Said("truth", shown["truth"], True, None, shown["box"])
        return figures.plot_answers(title, item.texts, truth, said, item.images, trust, self.credit)

    # ---- what is asked of a model

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {"ask": self._hear_ask, "trace": self._hear_trace, "attribute": self._hear_attribute}

    def ask(self, text: str, picture: ImageLike | None = None) -> list[Answer]:
        """What model `which` says to a text of your own (a question, a statement, a phrase) in place of the item's, of
        its pictures, or of any one (see `xfm.base.images.prepare`), text and picture read as the task's tests are: the
        likeliest first, where the task ranks answers. ConfigError for an empty text, and in a view that has no model
        or whose task does not read one text."""
        known, tuned = self._current(), self._tuned()
        n = len(known.texts)
        require(n == 1, "text", text, f"asked of a task of one text an item; this has {n}")
        good = isinstance(text, str) and text.strip() != "" and len(text) <= LONGEST
        require(good, "text", text, f"some words, {LONGEST} characters at most")
        n = len(known.images)
        require(picture is None or n == 1, "picture", "given", f"left out: the task reads {n} pictures an item")
        return tuned.answers((text,), known.images if picture is None else (picture,), self._unseen())

    def trace(self, **traits: Any) -> TraceExplorer:
        """The attention of model `which` to the item: of each of its pictures, with its texts. Where the task reads no
        text, that is the model's answer; where it reads no picture, a grey one."""
        from xfm.explain.tracing import trace

        from .trace_explorer import TraceExplorer

        tuned, item = self._tuned(), self._current()
        map_of = {"language": "language", "vision": "vision"}.get(tuned.task.family, "cross")
        traits = {"map": map_of, "credit": self.credit} | traits
        inputs = [self._pair(k) for k in range(max(len(item.images), 1))]
        model, tokenizer = tuned.model, tuned.task.tokenizer
        if len(inputs) == 1:
            return TraceExplorer.of(model, tokenizer, *inputs[0], **traits)
        named = {f"picture {k + 1}": trace(model, tokenizer, *pair) for k, pair in enumerate(inputs)}
        return TraceExplorer(named, **traits)

    def attribute(self, picture: int = 0, methods: Sequence[str] = METHODS, **traits: Any) -> AttributionLab:
        """What the answer of model `which` to the item is due to, each number of a box by itself: in its texts and in
        one of its pictures, the others being as they are. ConfigError for a picture that there is not."""
        from xfm.explain.prepare_inputs import make_inputs

        from .attribution_lab import AttributionLab

        tuned, item = self._tuned(), self._current()
        count = max(len(item.images), 1)
        require(picture in range(count), "picture", picture, f"0 to {count - 1}")
        answer = self._models[self.which].answers[self._shown[self.item]]
        targets = answer_targets(tuned, item, answer, picture)
        pair = self._pair(picture)
        inputs = [make_inputs(tuned.model, tuned.task.tokenizer, *pair, target) for target in targets]
        return AttributionLab.of(inputs, methods, **{"credit": self.credit} | traits)

    def _current(self) -> Item:
        require(bool(self._items), "items", 0, "one at least")
        return self._items[self.item]

    def _unseen(self) -> Any:
        return self._hidden[self.which] if self._hidden else ""

    def _tuned(self) -> Tuned:
        """Model `which`, loaded once."""
        if self._ask_for is None:
            raise ConfigError("No model was given: TaskExplorer.of(run) knows its models.")
        if self.which not in self._loaded:
            self._loaded[self.which] = self._ask_for(self.which)
        return self._loaded[self.which]

    def _pair(self, picture: int) -> tuple[np.ndarray, str]:
        """A picture and a text, as model `which` sees them."""
        item, unseen, side = self._current(), self._unseen(), self._tuned().model.config.vision.image_size
        require(unseen != "texts", "which", self._models[self.which].name, "a model that reads the texts")
        nothing = np.full((side, side, 3), GREY, np.uint8)
        image = item.images[picture] if item.images and unseen != "pictures" else nothing
        said = answers_text(self._models[self.which].answers[self._shown[self.item]])
        return image, SEPARATOR.join(item.texts) or said

    # ---- from the page

    def _hear_ask(self, text: str) -> None:
        with self.reporting():
            rows = [drawn_answer(answer.value, answer.confidence) for answer in self.ask(text)]
            self.tell(answered={})  # so that the page hears of the same answer again
            self.tell(answered={"item": self.item, "which": self.which, "text": text, "answers": rows})

    def _hear_trace(self, _: str) -> None:
        with self.reporting():
            self._show("trace", self.trace())

    def _hear_attribute(self, picture: str) -> None:
        with self.reporting():
            require(picture.isdecimal() and len(picture) < 3, "picture", picture, "a whole number")
            self._show("attribute", self.attribute(int(picture)))

    def _show(self, kind: str, view: View) -> None:
        self.tell(opened={"kind": kind, "item": self.item, "which": self.which, "page": page_of(view)})
