"""All tasks by name, and why a run cannot answer one. A new one: a file and lines here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..base.fields import nearest, require
from ..base.strings import shown
from ..config import ConfigError, RunConfig
from ..data import Dataset, dataset
from ..model.text import TextEncoder
from ..model.xfm import TEXT_ENCODERS
from ..objectives import OBJECTIVES, losses_by_stream
from .context import EvalContext
from .finetuning.task import Family, Trainable
from .own.captioning import Captioning
from .own.coco_retrieval import Retrieval
from .own.glue import GLUE
from .own.labelled_folders import Images
from .own.nlvr2 import NLVR2
from .own.picture_tasks import Category, Concept, Fine, FinePrompts, Subcategory, UnseenConcept
from .own.refcoco import Grounding
from .own.text_tasks import Hypernym, Lexname, SameSynset
from .own.vqa import VQA
from .result import Result
from .world import (
    alignment,
    concept_recognition,
    drawing_styles,
    exchanged_words,
    grounding,
    language,
    lexnames,
    masked_words,
    minimal_pairs,
    object_naming,
    retrieval,
    sentence_pairs,
)

Tasks = str | Iterable[str]  # "all" (of STANDARD), or one or more names of tasks and families


@dataclass(frozen=True)
class Measurement:
    """How a frozen model answers: by heads of its pre-training, or by probes of its states."""

    needs: tuple[str, ...]  # of the data source: keys of `data.source.CAPABILITIES`
    score: Callable[[EvalContext], list[Result]]
    heads: tuple[str, ...] = ()  # the losses of whose heads a model must have all
    asked_for: bool = False  # not part of "all" or of its family, so of no evaluation.json: measured only where named


@dataclass(frozen=True)
class Task:
    """Name and family of a task, and how a model answers it: frozen, fine-tuned, or either."""

    name: str
    family: Family
    frozen: Measurement | None = None
    trained: type[Trainable] | None = None  # with a head of its own


def _frozen(module: Any, *heads: str, asked_for: bool = False) -> Measurement:
    """By the file of a task in `world/`."""
    return Measurement(module.NEEDS, module.score, heads, asked_for)


def _trained(*kinds: type[Trainable]) -> tuple[Task, ...]:
    return tuple(Task(kind.name, kind.family, trained=kind) for kind in kinds)


_LANGUAGE = (
    Task("mlm", "language", _frozen(language, "mlm")),
    Task("lexnames", "language", _frozen(lexnames)),
    Task("pairs", "language", _frozen(sentence_pairs)),
    Task("minimal_pairs", "language", _frozen(minimal_pairs, "mlm", asked_for=True)),
    *_trained(Lexname, SameSynset, Hypernym, *GLUE),
)
_VISION = (
    Task("recognition", "vision", _frozen(concept_recognition)),
    *_trained(Concept, Subcategory, Category, UnseenConcept, Fine, FinePrompts, Images),
)
_BOTH: tuple[Task, ...] = (
    Task("retrieval", "vision-language", _frozen(retrieval, "itc"), Retrieval),
    Task("matching", "vision-language", _frozen(exchanged_words, "itc")),
    Task("naming", "vision-language", _frozen(object_naming, "itc")),
    *_trained(Captioning, VQA, NLVR2),
    Task("grounding", "vision-language", _frozen(grounding, "bbp"), Grounding),
    Task("alignment", "vision-language", _frozen(alignment, "bbp")),
    Task("imlm", "vision-language", _frozen(masked_words, "imlm")),
    Task("styles", "vision-language", _frozen(drawing_styles, "itc")),
)

TASKS: dict[str, Task] = {task.name: task for task in (*_LANGUAGE, *_VISION, *_BOTH)}
# rows of an evaluation.json stand in the order of TASKS
MEASURED: dict[str, Measurement] = {name: task.frozen for name, task in TASKS.items() if task.frozen}
TRAINABLE: dict[str, type[Trainable]] = {name: task.trained for name, task in TASKS.items() if task.trained}
STANDARD = tuple(name for name, measurement in MEASURED.items() if not measurement.asked_for)  # what "all" is
FAMILIES = tuple(dict.fromkeys(task.family for task in TASKS.values()))


def why_not(name: str, config: RunConfig, data: Dataset) -> str:
    """Reason why a frozen run of this config and its data cannot answer a task: what either lacks; "" where it can."""
    task = MEASURED[name]
    if missing := [need for need in task.needs if need not in data.provides]:
        names = ", ".join(source.name for source in data.sources)
        source = data.name if config.data.sources else f"data.dataset = {config.data.dataset!r} (sources: {names})"
        return f"task {name!r} needs {' and '.join(missing)}, which {source} does not provide"
    if missing := [head for head in task.heads if head not in config.objectives]:
        has = ", ".join(config.objectives)
        return f"task {name!r} needs the head of {' and '.join(missing)}; the model has {has}"
    return ""


def require_pretrained(name: str, config: RunConfig) -> None:
    """ConfigError where a run of this config lacks what a fine-tuning on a task starts from: heads that have learnt,
    the fusion encoder in which texts meet pictures and, of a decoder, the language encoder's embeddings."""
    kind, model, task = TRAINABLE[name], config.model, f"task = {name!r}: "
    for head in kind.heads:
        lacks = "positive: it starts from the head of this loss; take a run that has learnt with it"
        require(config.weight(head) > 0, f"{task}objectives.{head}.weight", config.weight(head), lacks)
    fuses = kind.family == "vision-language" and kind.heads != ("itc",)  # which alone compares without fusing
    lacks = "positive: without a fusion encoder its texts never meet the pictures; take a run with one"
    require(model.fusion_depth > 0 or not fuses, f"{task}model.fusion_depth", model.fusion_depth, lacks)
    alike = [n for n, kin in TEXT_ENCODERS.items() if isinstance(kin, type) and issubclass(kin, TextEncoder)]
    embeds = model.text.encoder in alike or not kind.decodes
    require(embeds, f"{task}model.text.encoder", model.text.encoder, f"one of {', '.join(map(repr, alike))}")


def answerable(config: RunConfig, tasks: Tasks = "all") -> list[str]:
    """Tasks that a frozen run of this config can answer: those whose family a loss trains and whose needs the data
    source and the model meet. ConfigError for an unknown name."""
    trained, data = _trained_families(config), dataset(config)
    named = [name for name in select_tasks(tasks) if TASKS[name].family in trained]
    return [name for name in named if not why_not(name, config, data)]


def startable(config: RunConfig, task: str) -> bool:
    """Whether a run of this config has pretrained what a fine-tuning reads: a specialist of another family has not."""
    try:
        require_pretrained(task, config)
    except ConfigError:
        return False
    return TASKS[task].family in _trained_families(config)


def _trained_families(config: RunConfig) -> set[str]:
    """Families that a loss of this config trains, on a stream that is on; encoders of others keep initial weights."""
    trained = {name for losses in losses_by_stream(config).values() for name in losses if config.weight(name) > 0}
    kinds = {OBJECTIVES[name].kind() for name in trained}
    readers = {
        "language": kinds - {"image"},
        "vision": kinds - {"text"},
        "vision-language": kinds & {"contrast", "fusion"},
    }
    return {family for family, losses in readers.items() if losses}


def select_tasks(tasks: Tasks) -> list[str]:
    """Names of a frozen model's tasks, each once, in the order of TASKS. ConfigError for an unknown name, with the
    nearest one."""
    selected: set[str] = set()
    groups = {"all": list(STANDARD)}
    groups |= {family: [name for name in STANDARD if TASKS[name].family == family] for family in FAMILIES}
    groups |= {name: [name] for name in MEASURED}
    for name in listed(tasks):
        if not isinstance(name, str) or name not in groups:
            hint = nearest(name, groups, after=" ") if isinstance(name, str) else ""
            raise ConfigError(f"task {shown(name)} is unknown; {hint}there are {', '.join(groups)}")
        selected |= set(groups[name])
    return [name for name in MEASURED if name in selected]


def listed(tasks: Tasks) -> list[str]:
    """The names, one by one. ConfigError for what is no name and no list of names."""
    require(isinstance(tasks, Iterable), "tasks", tasks, "names of tasks or families")
    return [tasks] if isinstance(tasks, str) else list(tasks)
