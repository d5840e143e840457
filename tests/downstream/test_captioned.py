"""Retrieval and captioning on pictures with captions of one's own, and on the embedded scenes, to the end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from downstream.conftest import CPU, SPLITS, short
from own_data import NUMBER, coco, karpathy
from photographs import shout

from xfm import cli, load
from xfm.base.fields import ConfigError
from xfm.tasks.finetuning.finetune import finetune
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.task import Item
from xfm.tasks.finetuning.task_run import TaskRun
from xfm.tasks.own.both import mirrors
from xfm.tasks.own.captioning import PROMPT, Captioning, Reference, _memory
from xfm.tasks.own.checked_entries import captioned

pytestmark = pytest.mark.usefixtures("small")


@pytest.mark.parametrize("make, pictures, train", [(coco, 12, 6), (karpathy, 16, 8)])
def test_no_picture_is_in_two_splits_and_none_is_lost(make, pictures, train, tmp_path) -> None:
    path = make(tmp_path)
    found = {split: captioned(path, split, 40) for split in SPLITS}
    names = [Path(p).name for rows in found.values() for p in rows]
    assert len(names) == len(set(names)) == pictures and len(found["train"]) == train
    assert all(len(captions) == 2 and Path(p).is_file() for rows in found.values() for p, captions in rows.items())


def test_files_of_coco_may_have_any_name_that_fits_and_a_test_file_is_the_test_split(tmp_path: Path) -> None:
    annotations = coco(tmp_path) / "annotations"
    before = [*captioned(tmp_path, "train", 40).values()]
    (annotations / "captions_train2017.json").rename(annotations / "captions_train2017[a].json")
    (tmp_path / "train2017").rename(tmp_path / "train2017[a]")
    (annotations / "captions_val2017.json").rename(annotations / "captions_test2017.json")
    (tmp_path / "val2017").rename(tmp_path / "test2017")
    shout(tmp_path)
    assert [*captioned(tmp_path, "train", 40).values()] == before and len(captioned(tmp_path, "test", 40)) == NUMBER
    with pytest.raises(ConfigError, match=r"annotations: has no captions_val\*\.json.*'validation' is read; put it"):
        captioned(tmp_path, "validation", 40)


def test_frozen_retrieval_is_zero_shot(tmp_path: Path) -> None:
    cli.main(["finetune", "retrieval", "demo", "--frozen", "model", "--root", str(tmp_path)])
    run = TaskRun.open(tmp_path / "pretrained@retrieval+frozen" / "seed0")
    pretrained = start(short("retrieval")).model.state_dict()
    assert all(torch.equal(t, pretrained[n]) for n, t in run.tuned().model.state_dict().items())
    assert run.results()[0].value > 0.9 and run.metrics() == []
    assert [*finetune(run.config, tmp_path)] == []


def test_places_are_those_of_all_pairs() -> None:
    tuned = start(short("retrieval")).eval()
    items = tuned.task.items("test", 12)
    more = zip(items, ("a cat", "two dogs", "a big door and an egg"), strict=False)  # a second caption of some
    items = [*items, *(Item((text,), i.images, i.target, i.group) for i, text in more)]
    with torch.inference_mode():
        found = [a.value for a in tuned.task.answers(tuned.model, tuned.head, items)]
        batch: Any = tuned.task.batch(items, CPU)
        model: Any = tuned.model
        image = model.objectives["itc"].embed_image(model.vision(batch.images[0]).mean(1))[:12]
        text = model.objectives["itc"].embed_text(model.text(batch.ids, batch.mask)[:, 0])
    similarity = image @ text.T
    owner = [*range(12), 0, 1, 2]
    for i, own in enumerate(owner):
        of_picture = int((similarity[:, i] > similarity[own, i]).sum())
        best = max(float(similarity[own, j]) for j, o in enumerate(owner) if o == own)
        assert found[i]["ITC picture"] == of_picture
        assert found[i]["ITC caption"] == int((similarity[own] > best).sum())


def test_a_picture_with_many_captions_counts_once() -> None:
    targets = [{"picture": p} for p in (0, 0, 0, 1)]
    said = [{f"{r} {s}": 0 if t["picture"] else 3 for r in ("ITM", "ITC", "ITC + ITM") for s in ("picture", "caption")}
            for t in targets]  # fmt: skip
    of = {m.name: m.value(said, targets) for m in start(short("retrieval")).task.measures()}
    assert (of["ITM picture R@1"], of["ITM caption R@1"], of["ITM caption R@5"]) == (1 / 4, 1 / 2, 1)
    assert of["ITM r_mean"] == pytest.approx(((1 / 4 + 1 + 1) / 3 + (1 / 2 + 1 + 1) / 3) / 2)


def test_without_pictures_nothing_is_found_and_a_batch_of_one_picture_has_no_negatives() -> None:
    tuned = start(short("retrieval"))
    items = tuned.task.items("test", 12)
    loss = tuned.train()(tuned.task.batch(items[:1] * 3, CPU))
    loss.backward()
    assert torch.isfinite(loss)
    tuned.eval()
    with torch.inference_mode():
        found = [a.value for a in tuned.task.answers(tuned.model, tuned.head, items, "pictures")]
    assert tuned.task.scores(found, [i.target for i in items]).mean() == pytest.approx(1 / 12)


def test_captions_are_written_greedily_or_by_beam_search() -> None:
    tuned = start(short("captioning")).eval()
    task: Any = tuned.task
    batch = task.batch(task.items("test", 3), CPU)
    with torch.inference_mode():
        one, three = (task.write(tuned.model, tuned.head, batch.images[0], beams) for beams in (1, 3))
        alone = task.write(tuned.model, tuned.head, batch.images[0][1:2], 3)
    assert len(one) == len(three) == 3 and all(0 < a.confidence <= 1 for a in (*one, *three))
    assert alone[0].value == three[1].value
    assert not any(a.value[:12] == "a picture of" for a in three)


@pytest.mark.parametrize("cut", [0, 2])
def test_a_captions_confidence_is_the_mean_probability_of_what_is_written(cut: int, monkeypatch: Any) -> None:
    """Of its tokens and of </s>, and not of the prompt's, which are given; cut short it has no </s>."""
    tuned = load("demo").task("captioning").tuned()
    task: Any = tuned.task
    given = len(task._prompt)
    if cut:
        monkeypatch.setattr("xfm.tasks.own.captioning.LONGEST", given + cut)
    image = task.batch(task.items("test", 3), CPU).images[0]
    with torch.inference_mode():
        said = task.write(tuned.model, tuned.head, image, 3)
        for i, answer in enumerate(said):
            ids = task.tokenizer.encode(f"{PROMPT} {answer.value}", 40)[: given + cut if cut else None]
            row = torch.tensor([ids])
            logs = tuned.head(row, row != 1, _memory(tuned.model, image[i : i + 1])).log_softmax(-1)  # type: ignore[operator]
            own = [float(logs[0, k - 1, ids[k]]) for k in range(given, len(ids))]
            assert answer.confidence == pytest.approx(np.exp(np.mean(own)), rel=1e-4)


def test_a_picture_is_not_mirrored_under_a_caption_that_names_a_side() -> None:
    task: Any = object.__new__(Captioning)
    for caption, some in (("a cat on the left", False), ("a cat on a mat", True)):
        item = Item((), (np.zeros((8, 8, 3), np.uint8),), Reference("a cat", caption))
        assert any(mirrors(task.said(item), np.random.default_rng(i)) for i in range(20)) is some
