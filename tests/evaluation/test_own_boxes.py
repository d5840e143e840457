"""Pictures of one's own with boxes, in forms that the drawn world does not have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xfm import recipes
from xfm.base import seeding
from xfm.config import ConfigError
from xfm.data import Dataset, dataset
from xfm.objectives import build
from xfm.tasks import Result, evaluate

COUNT = 60
Row = dict[str, Any]


def captioned(i: int) -> Row:
    return {"image": f"{i}.png", "caption": f"thing number {i}"}


def boxed(i: int, name: str, *box: int) -> Row:
    return {"image": f"{i}.png", "phrase": f"the {name} {i}", "box": [*box]}


@pytest.fixture
def own(tmp_path: Path) -> Callable[[list[Row]], tuple[Dataset, Callable[..., list[Result]]]]:
    """The data of such lines, of pictures of 60 x 60 pixels, and what an untrained model says to a task on them."""
    rng = seeding.rng("own boxes")
    for i in range(COUNT):
        Image.fromarray(rng.integers(256, size=(60, 60, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")

    def made(rows: list[Row]) -> tuple[Dataset, Callable[..., list[Result]]]:
        (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        config = recipes.smoke().replace({"data.sources": (str(tmp_path / "own.jsonl"),), "model.text.vocabulary": 290})
        data = dataset(config)
        model, words = build(data.feasible), data.tokenizer()
        return data, lambda tasks: evaluate(model, data.feasible, words, tasks=tasks)

    return made


def test_of_one_box_a_picture_nothing_is_said_of_several(own: Callable) -> None:
    _, asked = own([row for i in range(COUNT) for row in (captioned(i), boxed(i, "thing", 10, 10, 20, 20))])
    assert {result.task for result in asked("alignment")} == {"alignment"}
    assert "grounding (several objects)" not in {result.task for result in asked("grounding")}


def test_pictures_that_are_all_called_alike_are_not_searched_and_the_rest_is_asked(own: Callable) -> None:
    rows = [(captioned(0) | {"image": f"{i}.png"}, boxed(i, "one", 9, 9, 9, 9)) for i in range(COUNT)]
    _, asked = own([row for both in rows for row in both])
    found = asked("all")
    assert "captions are equal: there is nothing to find among them" in found.skipped["retrieval"]
    tasks = {result.task for result in found}
    assert "grounding" in tasks and not any("image to text" in task for task in tasks)
    with pytest.raises(ConfigError, match=r"task 'retrieval': all \d captions are equal"):
        asked("retrieval")


def test_pictures_with_boxes_alone_are_asked_of_beside_others_with_captions(own: Callable) -> None:
    of_both = {0: lambda i: [boxed(i, "thing", 10, 10, 20, 20), boxed(i, "other", 30, 30, 20, 20)],
               1: lambda i: [captioned(i)]}  # fmt: skip
    data, asked = own([row for i in range(COUNT) for row in of_both[i % 2](i)])
    (source,) = data.sources
    phrases = 2 * source.with_boxes().size("test")
    assert phrases >= 4 and all(source.example("test", i).text for i in range(source.size("test")))
    results = [r for r in asked(["grounding", "alignment"]) if r.task in ("grounding", "alignment")]
    assert {result.n for result in results} == {phrases}


def test_the_constant_box_is_as_large_as_what_is_to_be_found(own: Callable) -> None:
    """A model that had learnt one large box alone would be right every time, and no better than the baseline."""
    rng = seeding.rng("large boxes")
    _, asked = own([
        row for i in range(COUNT)
        for row in (captioned(i), boxed(i, "thing", *map(int, rng.integers(0, 6, 2)), 52, 52))
    ])  # fmt: skip
    (found,) = (r for r in asked("grounding") if (r.task, r.condition, r.metric) == ("grounding", "", "acc@0.5"))
    assert found.baseline == 1.0
