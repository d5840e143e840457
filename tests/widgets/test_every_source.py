"""Every view of every kind of source: it is built, drawn, tabled and written, or says in one sentence what it lacks."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from photographs import captions, photographs, table

import xfm
import xfm_widgets as xw
from xfm import recipes
from xfm.base.fields import ConfigError
from xfm.lab import CHECKPOINTS
from xfm.study import Study
from xfm.tasks.finetuning.task import Item
from xfm.train import Run, pretrain
from xfm_widgets.task_answers import Answered

BRIEF = {"train.steps": 2, "train.warmup": 1, "train.probe_every": 1}
DRAWN = {"model.text.vocabulary": 4096, "data.tokenizer": str(CHECKPOINTS / "demo" / "tokenizer.json")}  # quick
OWN = {"name": "own", "model.text.vocabulary": 261}  # the bytes
COUNT = 12  # pictures


def boxed(folder: Path, columns: str, *rows: str) -> str:
    """A table of the rows for each picture, with its name, and its number as #."""
    named = enumerate(photographs(folder, COUNT))
    return table(folder, [f"{name},{row.replace('#', str(i))}" for i, name in named for row in rows], columns)


def folders(folder: Path, **counts: int) -> str:
    for kind, count in counts.items():
        photographs(folder / kind, count)
    return f"folder:{folder}"


SOURCES: dict[str, Callable[[Path], str] | None] = {  # those of shards and COCO hold what tables hold
    "drawn world": None, "captions": captions,
    "captions with boxes": lambda f: boxed(f, "image,caption,phrase,box", "picture #,the thing #,# 5 20 20"),
    "boxes alone": lambda f: boxed(
        f, "image,phrase,box", "the thing #,# 5 20 20", "a thing,# 5 9 9", "a thing,9 9 9 9"
    ),
    "texts": lambda f: table(f, [f"text number {i}" for i in range(COUNT)], "text number", "words.txt"),
    "folder": lambda f: folders(f, owl=2 * COUNT, red_fox=COUNT),
    "folder without classes": lambda f: folders(f, **{".": COUNT}),
}  # fmt: skip


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def lab(source: str, tmp_path_factory: pytest.TempPathFactory) -> xfm.Lab:
    folder, make = tmp_path_factory.mktemp("source"), SOURCES[source]
    own = DRAWN if make is None else OWN | {"data.sources": [make(folder)]}
    config = recipes.smoke().replace(BRIEF | own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of streams that the source does not feed
        for _ in pretrain(config, folder / "runs"):
            pass
    return xfm.load(Run.of(config, folder / "runs").folder)


def first(lab: xfm.Lab) -> tuple[Any, ...]:
    return lab.model, lab.tokenizer, lab.scene(0).image, lab.scene(0).text


def ablation(lab: xfm.Lab) -> xw.View:
    changes = BRIEF | ({"data.sources": [*lab.config.data.sources]} if lab.config.data.sources else {})
    study = Study("own", "smoke", ["xfm", "no_stop_gradient"], [0], changes=changes, root=lab.run.folder / "studies")
    return xw.AblationExplorer(study)


def task(lab: xfm.Lab) -> xw.View:
    scenes = [lab.scene(i) for i in range(2)]
    items = [Item((scene.text,), (scene.image,), scene.regions[0].box if scene.regions else "") for scene in scenes]
    return xw.TaskExplorer("a task", items.__getitem__, [Answered("mine", [item.target for item in items], [1, 0])])


def pad(lab: xfm.Lab) -> xw.View:
    view = xw.GroundingPad.of(lab.model, lab.tokenizer, [lab.scene(0), lab.scene(1)], data=lab.data)
    assert [*view.payload["pictures"][0]["boxes"]] == [*dict.fromkeys(r.text for r in lab.scene(0).regions)]
    return view


MAKE: dict[str, Callable[[Any], xw.View]] = {
    "AblationExplorer": ablation,
    "AttributionLab": lambda lab: xw.AttributionLab.of(lab.inputs(lab.scene(0)), ["occlusion"]),
    "GradientFlow": lambda lab: xw.GradientFlow(lab.run.probes()),
    "GroundingPad": pad,
    "MaskPlayground": lambda lab: xw.MaskPlayground.of(*first(lab), lab.config.data.mask, hidden_patches=[0]),
    "RetrievalExplorer": lambda lab: xw.RetrievalExplorer.of(lab.model, lab.config, lab.tokenizer, data=lab.data),
    "TaskExplorer": task,
    "TraceExplorer": lambda lab: xw.TraceExplorer.of(*first(lab)),
    "TrainingMonitor": lambda lab: xw.TrainingMonitor(lab.run),
}  # fmt: skip

VIEWS = sorted({*xw.__all__} - {"View", "figures"})  # every one
SPEECHLESS, BLIND, UNPAIRED = "text = '': must be some words", "its sources provide no images", "provides no pairs: "
ASK_TEXT = ("AttributionLab", "MaskPlayground", "TraceExplorer")
ASK_SCENES = (*ASK_TEXT, "GroundingPad", "TaskExplorer")
LACKS = {  # what a view may say instead
    **{(source, view): SPEECHLESS for source in ("boxes alone", "folder without classes") for view in ASK_TEXT},
    **{("texts", view): BLIND for view in ASK_SCENES},
    **{(source, "RetrievalExplorer"): UNPAIRED for source in ("boxes alone", "folder without classes", "texts")},
    # a spec of a study holds no lists yet
    **{(source, "AblationExplorer"): "changes.data.sources = " for source, make in SOURCES.items() if make},
}


@pytest.mark.full
@pytest.mark.parametrize("name", VIEWS)
def test_it_works_or_says_what_it_lacks(name: str, source: str, lab: xfm.Lab, tmp_path: Path) -> None:
    try:
        view = MAKE[name](lab)
    except ConfigError as error:
        assert LACKS.get((source, name), "nothing") in str(error) and "\n" not in str(error), error
        return
    assert view.payload and (view.message == "" or name == "AblationExplorer") and len(view.figure().bytes()) > 1000
    assert list(view.data().columns) and view.to_html(tmp_path / "view.html").stat().st_size > 10_000
