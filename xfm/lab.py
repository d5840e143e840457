"""One handle on a trained model: `lab = xfm.load("demo")`, then `lab.trace(image, text)`, `lab.evaluate()`, ..."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from .base.fields import ConfigError, nearest, require
from .base.html_card import card, table
from .base.strings import shown
from .config import RunConfig
from .data import Dataset, dataset
from .data.tokenizer import Tokenizer
from .model import XFM
from .published.import_checkpoint import imported
from .train import Run

if TYPE_CHECKING:
    from .base.images import ImageLike
    from .data.source import Example, Split
    from .explain import Attribution, AttributionInputs, Target, Trace
    from .guests.handle import GuestLab
    from .tasks import Result
    from .tasks.finetuning.finetuned_model import Tuned
    from .tasks.finetuning.task import Answer
    from .tasks.finetuning.task_run import TaskRun

CHECKPOINTS = Path(__file__).parent / "pretrained"  # how each was made stands in its README.md


def checkpoints() -> list[str]:
    """The names of the checkpoints that come with the package."""
    return sorted(path.parent.name for path in CHECKPOINTS.glob("*/config.json"))


def beside(run: Path) -> Path:
    """Where fine-tunings of a run's folder lie: in its root; of a checkpoint that comes with the package, in runs/."""
    return Path("runs") if run.parent == CHECKPOINTS else run.parent.parent


GUESTS = {"open_clip": "openclip", "hf_clip": "huggingface"}  # prefix -> the module of xfm.guests that opens it


@overload
def load(what: Literal["demo"] | Path = "demo") -> Lab: ...


@overload
def load(
    what: str | Path,
    pretrained: str | Path = "",
    tokenizer: str | Path | None = None,
    image_size: int = 0,
    text_heads: int = 0,
) -> Any: ...


def load(
    what: str | Path = "demo",
    pretrained: str | Path = "",
    tokenizer: str | Path | None = None,
    image_size: int = 0,
    text_heads: int = 0,
) -> Lab | GuestLab:
    """Opens a finished run: the name of a checkpoint that comes with the package, or a run's folder; or a guest:
    "open_clip:NAME" with `pretrained`, a local file or a tag that open_clip fetches, and for a model with a tokenizer
    of the hub's (SigLIP) that `tokenizer`'s folder, unless it is in transformers' cache; or "hf_clip:FOLDER".

    "demo" is the recipe `pretrained` on the demo's world. "xfm:FILE" is the authors' published file, with a RoBERTa
    `tokenizer`'s folder: it is imported (`train.checkpoint.import_checkpoint`, which has the other options) into the
    cache folder the first time. ConfigError where there is neither such a checkpoint nor such a folder; RunError, at
    once or when the model is first used, for a folder that holds no readable finished run; CheckpointError for a file
    that is not X-FM's.
    """
    require(isinstance(what, str | Path), "what", what, "the name of a checkpoint, or a run's folder")
    prefix, colon, name = str(what).partition(":")
    published = colon and prefix == "xfm"
    guests = ", ".join(f"{p}:" for p in GUESTS)
    guest = bool(colon) and prefix in GUESTS
    own = "left out: a run has its own (xfm:FILE and some of open_clip: need one)"
    require(published or guest or tokenizer is None, "tokenizer", tokenizer, own)
    for field, size in (("image_size", image_size), ("text_heads", text_heads)):
        require(published or not size, field, size, "left out but for xfm:FILE: a run has its own")
    require(prefix in GUESTS or not pretrained, "pretrained", pretrained, f"left out but for {guests}")
    if published:
        require(tokenizer is not None, "tokenizer", tokenizer, "RoBERTa's folder, with a published file")
        return Lab(imported(name, str(tokenizer), image_size, text_heads))
    if guest:
        from .guests.handle import GuestLab

        return GuestLab(
            import_module(f".guests.{GUESTS[prefix]}", __package__).open_model(name, pretrained, tokenizer or "")
        )
    if what in checkpoints():
        return Lab(Run.open(CHECKPOINTS / what))
    if not os.path.isdir(what):
        hint = nearest(str(what), checkpoints(), before="; ")
        known = ", ".join(map(repr, checkpoints()))
        raise ConfigError(f"load({shown(str(what))}): is neither a run folder nor a bundled checkpoint ({known}){hint}")
    return Lab(Run.open(what))


class Lab:
    """A run's model with its tokenizer, data and config. Everything is made when it is first asked for.

    Images may be a path, a PIL image, an array or the bytes of a file, of any size (`images`); texts are plain.
    """

    def __init__(self, run: Run):
        self.run = run

    def __repr__(self) -> str:
        return f"Lab({str(self.run.folder)!r}): {self.config.name}, seed {self.config.seed}"

    def _repr_html_(self) -> str:
        config = self.config
        losses = [name.upper() for name in config.objectives if config.weight(name)]
        heads = sorted(path.parent.name for path in self.run.folder.glob("tasks/*/finetune.json"))
        vision = config.model.vision
        rows = {
            "folder": self.run.folder,
            "losses": ", ".join(losses),
            "steps": f"{config.train.steps:,}",
            "image": f"{vision.image_size} px, {vision.grid**2} patches",
            "vocabulary": f"{config.model.text.vocabulary:,} tokens",
            "fine-tuned heads": ", ".join(heads) or "none",
        }
        return card(f"{config.name}, seed {config.seed}", table(("", "of this model"), rows.items()))

    @property
    def config(self) -> RunConfig:
        return self.run.config

    @cached_property
    def model(self) -> XFM:
        """The trained model, in eval mode, on the CPU."""
        return self.run.model()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return self.run.tokenizer()

    @cached_property
    def data(self) -> Dataset:
        """What the run was trained on."""
        return dataset(self.config)

    def scene(self, index: int, split: Split = "test", **wanted: Any) -> Any:
        """Example `index` of a split: a picture, its caption, and what ground truth its source has. `wanted` is the
        source's: of the drawn world `objects=2`, `concepts=(3, 7)`, `seed=1`. ConfigError where no source has pictures.
        """
        for source in self.data.sources:
            if "images" in source.provides:
                return getattr(source, "scene", source.example)(split, index, **wanted)
        raise ConfigError(f"{self.data.name}: its sources provide no images")

    def evaluate(self, tasks: str | Iterable[str] = "all", again: bool = False) -> list[Result]:
        """What the model has learnt, on the test split: see `evaluation.evaluate_run`."""
        from .tasks import evaluate_run

        return evaluate_run(self.run.folder, tasks, again)

    def finetune(self, task: str, root: str | Path = "runs", steps: int = 300, **changes: Any) -> TaskRun:
        """The model, trained further for a task (`downstream.TASKS`) as `downstream.config.recipe` has it;
        `changes`: fields of FinetuneConfig, as hidden="pictures". It has `results()` and the `tuned()` model."""
        from .tasks.finetuning.config import recipe
        from .tasks.finetuning.finetune import train_to_end

        return train_to_end(recipe(task, self.run.folder, steps, **changes), root, progress=True)

    def task(self, name: str) -> TaskRun:
        """The fine-tuning for a task that comes with the run, in its folder `tasks/`, or that `xfm finetune` has left
        beside the run. ConfigError, with the command that makes one, where there is none."""
        from .tasks.finetuning.trained import trained

        return trained(self.run, name, beside(self.run.folder))

    def ask(self, image: ImageLike, question: str) -> list[Answer]:
        """The likeliest answers to a question of a picture, with their probabilities, by the head of the task `vqa`
        of the run: lab.ask("picture.png", "how many objects are there?")[0].value"""
        return self._tuned("vqa").answers((question,), (self._prepared(image),))

    def caption(self, image: ImageLike) -> str:
        """A sentence about a picture, by the head of the task `captioning` of the run."""
        return self._tuned("captioning").answers((), (self._prepared(image),))[0].value

    def judge(self, statement: str, left: ImageLike, right: ImageLike) -> Answer:
        """Whether a statement is true of two pictures, and the probability of that answer, by the head of the task
        `nlvr2` of the run."""
        return self._tuned("nlvr2").answers((statement,), (self._prepared(left), self._prepared(right)))[0]

    def _prepared(self, image: ImageLike) -> Any:
        from .base.images import prepare

        return prepare(image, self.config.model.vision.image_size)

    @cache  # noqa: B019  a lab lives as long as its model
    def _tuned(self, task: str) -> Tuned:
        return self.task(task).tuned()

    def inputs(
        self, image: ImageLike | Example, text: str = "", target: str | Target = "itm", about: int | None = None
    ) -> AttributionInputs:
        """A picture and a text as what explanations are asked about (`explain.make_inputs`); or what `scene` returns,
        with its caption or, with `about`, the phrase that names an object or a region (`explain.example_inputs`)."""
        from . import explain

        given: Any = image
        if hasattr(given, "regions"):
            return explain.example_inputs(self.model, self.tokenizer, given, target, about)
        return explain.make_inputs(self.model, self.tokenizer, given, text, target)

    def trace(self, image: ImageLike, text: str, target: str | Target = "", **options: Any) -> Trace:
        """Every attention of one picture and one text, with the target's gradients: see `explain.trace`."""
        from . import explain

        return explain.trace(self.model, self.tokenizer, image, text, target, **options)

    def traces(self, image: ImageLike, text: str, target: str | Target = "", **options: Any) -> dict[int, Trace]:
        """`trace` by each step whose weights the run has kept (`train.keep`): what TraceExplorer slides through."""
        from . import explain

        allowed = "1 or more in the run's config: set it and train again, and weights are kept on the way"
        require(bool(steps := self.run.kept()), "train.keep", self.config.train.keep, allowed)
        return {
            step: explain.trace(self.run.model(step), self.tokenizer, image, text, target, **options) for step in steps
        }

    def attribute(
        self,
        image: ImageLike | Example,
        text: str = "",
        method: str = "generic attention",
        target: str | Target = "itm",
        about: int | None = None,
    ) -> Attribution:
        """Which words and patches a target is due to, by one of `explain.METHODS`: see `explain.attribute`."""
        from . import explain

        return explain.attribute(self.inputs(image, text, target, about), method)
