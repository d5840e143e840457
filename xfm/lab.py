"""One handle on a trained model: `lab = xfm.load("demo")`, then `lab.trace(image, text)`, `lab.evaluate()`, ..."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from . import explain
from .base.fields import ConfigError, nearest, require
from .base.html_card import card, table
from .base.images import ImageLike, prepare
from .base.strings import shown
from .config import RunConfig
from .data import Dataset, dataset
from .data.tokenizer import Tokenizer
from .model import XFM
from .published.import_checkpoint import imported
from .train import Run

if TYPE_CHECKING:
    from .data.source import Example, Split
    from .explain import Attribution, AttributionInputs, Target, Trace
    from .guests.handle import GuestLab
    from .tasks import Result
    from .tasks.finetuning.finetuned_model import Tuned
    from .tasks.finetuning.task import Answer
    from .tasks.finetuning.task_run import TaskRun

CHECKPOINTS = Path(__file__).parent / "pretrained"  # how each was made stands in its README.md


def checkpoints() -> list[str]:
    """Names of the bundled checkpoints."""
    return sorted(path.parent.name for path in CHECKPOINTS.glob("*/config.json"))


def run_folder(what: str | Path) -> Path:
    """Where a run lies: a bundled checkpoint by its name, others at the path that `what` is."""
    return CHECKPOINTS / what if str(what) in checkpoints() else Path(what)


def beside(run: Path) -> Path:
    """Root of a run's fine-tunings: the root of the run itself; "runs" for a bundled checkpoint."""
    return Path("runs") if run.parent == CHECKPOINTS else run.parent.parent


GUESTS = {"open_clip": "openclip", "hf_clip": "huggingface"}  # prefix -> the module of xfm.guests that opens it


@overload
def load(what: Literal["demo"] | Path = "demo") -> Lab: ...


@overload
def load(what: str | Path, *options: Any, **more: Any) -> Any: ...


def load(
    what: str | Path = "demo",
    pretrained: str | Path = "",
    tokenizer: str | Path | None = None,
    image_size: int = 0,
    text_heads: int = 0,
) -> Lab | GuestLab:
    """Opens a trained model: a finished run, the authors' published file, or a CLIP model as a guest.

    Args:
        what: A bundled checkpoint ("demo": the recipe `pretrained`), a run's folder, "xfm:FILE" (imported once into
            the cache folder, see `xfm.published.import_checkpoint`), "open_clip:NAME", or "hf_clip:FOLDER".
        pretrained: For open_clip: a local file, or a tag that open_clip downloads.
        tokenizer: For "xfm:FILE": RoBERTa's folder. For open_clip models with a tokenizer of the hub (SigLIP): its
            folder, unless transformers has cached it.
        image_size, text_heads: For "xfm:FILE", as in `import_checkpoint`.

    Raises:
        ConfigError: For neither a bundled checkpoint nor a folder, and for an option that `what` does not take.
        RunError: For a folder without a readable finished run; at once, or when the model is first used.
        CheckpointError: For a file that is not X-FM's.
    """
    require(isinstance(what, str | Path), "what", what, "the name of a checkpoint, or a run's folder")
    prefix, colon, name = str(what).partition(":")
    published, guest = colon and prefix == "xfm", colon and prefix in GUESTS
    require(published or guest or tokenizer is None, "tokenizer", tokenizer, "left out but for xfm:FILE and guests")
    for field, size in (("image_size", image_size), ("text_heads", text_heads)):
        require(published or not size, field, size, "left out but for xfm:FILE: a run has its own")
    require(prefix in GUESTS or not pretrained, "pretrained", pretrained, f"left out but for {':, '.join(GUESTS)}:")
    if published:
        require(tokenizer is not None, "tokenizer", tokenizer, "RoBERTa's folder, with a published file")
        return Lab(imported(name, str(tokenizer), image_size, text_heads))
    if guest:
        from .guests.handle import GuestLab

        module = import_module(f".guests.{GUESTS[prefix]}", __package__)
        return GuestLab(module.open_model(name, pretrained, tokenizer or ""))
    if not os.path.isdir(folder := run_folder(what)):
        hint = nearest(str(what), checkpoints(), before="; ")
        known = ", ".join(map(repr, checkpoints()))
        raise ConfigError(f"load({shown(str(what))}): is neither a run folder nor a bundled checkpoint ({known}){hint}")
    return Lab(Run.open(folder))


class Caption(str):
    """A caption that a model wrote; `doubt`, which is printed with it, says what the same model holds against it."""

    doubt = ""

    def __str__(self) -> str:
        return super().__str__() + bool(self.doubt) * f" (doubtful: {self.doubt})"

    def __repr__(self) -> str:
        return repr(str(self))


class Lab:
    """A run's model, tokenizer, data and config, each loaded when first used. Images are paths, PIL images, arrays or
    the bytes of a file, of any size (`xfm.base.images.prepare`); texts are str."""

    def __init__(self, run: Run):
        self.run = run

    def __repr__(self) -> str:
        return f"Lab({str(self.run.folder)!r}): {self.config.name}, seed {self.config.seed}"

    def _repr_html_(self) -> str:
        config, vision = self.config, self.config.model.vision
        heads = ", ".join(sorted(path.parent.name for path in self.run.folder.glob("tasks/*/finetune.json")))
        rows = {
            "folder": self.run.folder,
            "losses": ", ".join(name.upper() for name in config.objectives if config.weight(name)),
            "steps": f"{config.train.steps:,}",
            "image": f"{vision.image_size} px, {vision.grid**2} patches",
            "vocabulary": f"{config.model.text.vocabulary:,} tokens",
            "fine-tuned heads": heads or "none",
        }
        return card(f"{config.name}, seed {config.seed}", table(("", "of this model"), rows.items()))

    @property
    def config(self) -> RunConfig:
        """Config of the run."""
        return self.run.config

    @cached_property
    def model(self) -> XFM:
        """The trained model, in eval mode, on the CPU."""
        return self.run.model()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer of the run."""
        return self.run.tokenizer()

    @cached_property
    def data(self) -> Dataset:
        """Training data of the run, with all splits."""
        return dataset(self.config)

    def scene(self, index: int, split: Split = "test", **wanted: Any) -> Any:
        """Example `index` of a split: picture, caption and the ground truth of its source. `wanted`: options of the
        source; the drawn world takes `objects=2`, `concepts=(3, 7)`, `seed=1`. ConfigError without pictures."""
        for source in self.data.sources:
            if "images" in source.provides:
                return getattr(source, "scene", source.example)(split, index, **wanted)
        raise ConfigError(f"{self.data.name}: its sources provide no images")

    def evaluate(self, tasks: str | Iterable[str] = "all", again: bool = False) -> list[Result]:
        """Evaluates the model on the test split: see `xfm.tasks.evaluate_run`."""
        from .tasks import evaluate_run

        return evaluate_run(self.run.folder, tasks, again)

    def finetune(self, task: str, root: str | Path = "runs", steps: int = 300, **changes: Any) -> TaskRun:
        """Fine-tunes the model for a task of `xfm.tasks.TRAINABLE`; the returned run has `results()` and `tuned()`.
        `root`: folder of the run folders; `changes`: fields of FinetuneConfig, such as hidden="pictures"."""
        from .tasks.finetuning.config import recipe
        from .tasks.finetuning.finetune import train_to_end

        return train_to_end(recipe(task, self.run.folder, steps, **changes), root, progress=True)

    def task(self, name: str) -> TaskRun:
        """Fine-tuning of the run for a task: bundled in its folder `tasks/`, or made by `xfm finetune`. ConfigError,
        with the command to run, where there is none."""
        from .tasks.finetuning.task_run import trained

        return trained(self.run, name, beside(self.run.folder))

    def ask(self, image: ImageLike, question: str) -> list[Answer]:
        """Likeliest answers to a question about a picture, best first, with their probabilities (task `vqa`), and what
        speaks against the best: lab.ask("picture.png", "how many objects are there?")[0].value"""
        require(bool(question.strip()), "question", question, "some words")
        best, *others = self._tuned("vqa").answers((question,), (self._prepared(image),))
        doubt = "" if best.confidence >= 0.5 else f"the model gives it {100 * best.confidence:.0f} %"
        with suppress(ConfigError):  # a run may have no head that writes captions
            doubt = doubt or bool(self.caption(image).doubt) * "by ITM the model's own caption does not belong to it"
        return [best._replace(doubt=doubt), *others]

    def caption(self, image: ImageLike) -> Caption:
        """Caption of a picture (task `captioning`), with ITM's objection to it as `doubt`."""
        caption = Caption(self._tuned("captioning").answers((), (self._prepared(image),))[0].value)
        if "itm" in self.model.objectives and caption.strip() and (odds := self.inputs(image, caption).score()) < 0:
            caption.doubt = f"by ITM it does not belong to the picture (log-odds {odds:.1f}, below 0)"
        return caption

    def judge(self, statement: str, left: ImageLike, right: ImageLike) -> Answer:
        """Truth of a statement about two pictures, with its probability (task `nlvr2`)."""
        return self._tuned("nlvr2").answers((statement,), (self._prepared(left), self._prepared(right)))[0]

    def _prepared(self, image: ImageLike) -> Any:
        return prepare(image, self.config.model.vision.image_size)

    @cache  # noqa: B019  a lab lives as long as its model
    def _tuned(self, task: str) -> Tuned:
        return self.task(task).tuned()

    def inputs(
        self, image: ImageLike | Example, text: str = "", target: str | Target = "itm", about: int | None = None
    ) -> AttributionInputs:
        """Inputs of an explanation: a picture and a text (`explain.make_inputs`), or an example of `scene` with its
        caption or, with `about`, the phrase of that object or region (`explain.example_inputs`)."""
        given: Any = image
        if hasattr(given, "regions"):
            return explain.example_inputs(self.model, self.tokenizer, given, target, about)
        return explain.make_inputs(self.model, self.tokenizer, given, text, target)

    def trace(self, image: ImageLike, text: str, target: str | Target = "", **options: Any) -> Trace:
        """Traces all attention weights of a picture and a text, and the target's gradients: see `explain.trace`."""
        return explain.trace(self.model, self.tokenizer, image, text, target, **options)

    def traces(self, image: ImageLike, text: str, target: str | Target = "", **options: Any) -> dict[int, Trace]:
        """Step -> `trace`, for each step whose weights the run kept (`train.keep`); input of TraceExplorer."""
        allowed = "1 or more in the run's config: set it and train again, and weights are kept on the way"
        require(bool(steps := self.run.kept()), "train.keep", self.config.train.keep, allowed)
        given = self.tokenizer, image, text, target
        return {step: explain.trace(self.run.model(step), *given, **options) for step in steps}

    def attribute(
        self,
        image: ImageLike | Example,
        text: str = "",
        method: str = "generic attention",
        target: str | Target = "itm",
        about: int | None = None,
    ) -> Attribution:
        """Attributes a target to words and patches by one of `explain.METHODS`: see `explain.attribute`."""
        return explain.attribute(self.inputs(image, text, target, about), method)
