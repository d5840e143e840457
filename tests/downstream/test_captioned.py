"""Retrieval and captioning on pictures with captions: what is read, found and written."""

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from downstream.conftest import CPU, SPLITS, short
from hypothesis import assume, given
from hypothesis import strategies as st
from own_data import NUMBER, coco, karpathy
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from xfm import cli, load
from xfm.base.fields import ConfigError
from xfm.config import CaptionConfig
from xfm.data.world.grammar import plural
from xfm.data.world.hard_negatives import hard_negative
from xfm.data.world.scenes import World
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.task import Item
from xfm.tasks.finetuning.task_run import TaskRun
from xfm.tasks.own.captioning import BLEU, CIDER, PROMPT, TRUTH, Reference, _memory
from xfm.tasks.own.checked_entries import captioned


@pytest.mark.parametrize("make, sizes", [(coco, [6, 3, 3]), (karpathy, [8, 4, 4])])
def test_no_picture_and_no_caption_is_lost(make, sizes, tmp_path) -> None:
    found = [captioned(make(tmp_path / split), split, 40) for split in SPLITS]
    assert [*map(len, found)] == sizes
    assert all(len(captions) == 2 and Path(p).is_file() for rows in found for p, captions in rows.items())
    if make is karpathy:
        return  # of COCO a test file is the test split
    annotations = coco(tmp_path) / "annotations"
    (annotations / "captions_val2017.json").rename(annotations / "captions_test2017.json")
    (tmp_path / "val2017").rename(tmp_path / "test2017")
    assert len(captioned(tmp_path, "test", 40)) == NUMBER
    with pytest.raises(ConfigError, match=r"annotations: has no captions_val\*\.json.*'validation' is read; put it"):
        captioned(tmp_path, "validation", 40)


def test_frozen_retrieval_is_zero_shot(tmp_path: Path, small: None) -> None:
    cli.main(["finetune", "retrieval", "demo", "--frozen", "model", "--root", str(tmp_path)])
    run = TaskRun.open(tmp_path / "pretrained@retrieval+frozen" / "seed0")
    pretrained = start(short("retrieval")).model.state_dict()
    assert all(torch.equal(t, pretrained[n]) for n, t in run.tuned().model.state_dict().items())
    assert run.results()[0].value > 0.9 and run.metrics() == []


def test_places_are_those_of_all_pairs_a_picture_with_many_captions_counts_once_and_one_has_no_negatives() -> None:
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
    similarity, owner = image @ text.T, [*range(12), 0, 1, 2]
    for i, own in enumerate(owner):
        best = max(similarity[own, j] for j, o in enumerate(owner) if o == own)
        assert found[i]["ITC picture"] == (similarity[:, i] > similarity[own, i]).sum()
        assert found[i]["ITC caption"] == (similarity[own] > best).sum()
    targets = [{"picture": p} for p in (0, 0, 0, 1)]
    said = [{f"{r} {s}": 0 if t["picture"] else 3 for r in ("ITM", "ITC", "ITC + ITM") for s in ("picture", "caption")}
            for t in targets]  # fmt: skip
    of = {m.name: m.value(said, targets) for m in tuned.task.measures()}
    assert (of["ITM picture R@1"], of["ITM caption R@1"], of["ITM caption R@5"]) == (1 / 4, 1 / 2, 1)
    assert of["ITM r_mean"] == pytest.approx(((1 / 4 + 1 + 1) / 3 + (1 / 2 + 1 + 1) / 3) / 2)
    items = tuned.task.items("test", 12)
    assert tuned.train()(tuned.task.batch(items[:1] * 3, CPU)).isfinite()
    tuned.eval()
    with torch.inference_mode():
        found = [a.value for a in tuned.task.answers(tuned.model, tuned.head, items, "pictures")]
    assert tuned.task.scores(found, [i.target for i in items]).mean() == pytest.approx(1 / 12)


@pytest.mark.parametrize("cut", [0, 2])
def test_a_captions_confidence_is_the_mean_probability_of_what_is_written(cut: int, monkeypatch) -> None:
    """Of its tokens and of </s>, and not of the prompt's, which are given; cut short it has no </s>."""
    tuned = load("demo").task("captioning").tuned()
    task: Any = tuned.task
    given = len(task._prompt)
    if cut:
        monkeypatch.setattr("xfm.tasks.own.captioning.LONGEST", given + cut)
    image = task.batch(items := task.items("test", 3), CPU).images[0]
    with torch.inference_mode():
        said, alone = (task.predict(tuned.model, tuned.head, task.batch(some, CPU)) for some in (items, items[1:2]))
        assert alone[0].value == said[1].value, "whoever is beside it"
        for i, answer in enumerate(said):
            ids = torch.tensor([task.tokenizer.encode(f"{PROMPT} {answer.value}", 40)[: given + cut if cut else None]])
            logs = tuned.head(ids, ids != 1, _memory(tuned.model, image[i : i + 1])).log_softmax(-1)  # type: ignore[operator]
            own = logs[0, :-1].gather(1, ids[0, 1:, None])[given - 1 :]
            assert answer.confidence == pytest.approx(float(own.mean().exp()), rel=1e-4)


WORLD, EVERY = World(40), World(853, captions=CaptionConfig(colours=0.5))
texts = st.lists(st.sampled_from("a the cat dog sits on mat red".split()), max_size=9).map(" ".join)
pairs = st.lists(st.tuples(texts, st.lists(texts.filter(len), min_size=1, max_size=3)), min_size=2, max_size=6)


def truth(text: str, reference: Reference) -> dict[str, float]:
    return {metric.name: metric.value([text], [reference]) for metric in TRUTH}


@given(st.integers(0, 10**6))
def test_the_truth_scores_1_and_one_wrong_word_is_noticed(index: int) -> None:
    scene = WORLD.scene("train", index, phrases=False)
    reference = Reference(scene.text, objects=scene.objects)
    right = truth(scene.text, reference)
    claimed = bool(scene.caption.relations)
    assert right == {"true captions": 1, "names right": 1, "counts right": 1, "relations right": claimed}
    for kind, lower in (("noun", "counts right"), ("count", "counts right"), ("relation", "relations right")):
        wrong = hard_negative(scene.caption, scene, kind, WORLD, np.random.default_rng(index))  # type: ignore[arg-type]
        if wrong:
            found = truth(wrong.text, reference)
            assert found["true captions"] == 0 and found[lower] < right[lower], (scene.text, wrong.text)


@pytest.mark.parametrize("names", [  # "houses" are a concept as well, and "bird" is one
    ("house", "house", "houses", "houses"), ("musical notes", "book", "book", "books"), ("black bird", "bird"),
    ("green apple", "green apple"), ("blue book", "green book", "book"),
])  # fmt: skip
def test_a_true_caption_is_true_whatever_else_its_words_may_mean(names: tuple[str, ...]) -> None:
    concepts = tuple(map(EVERY.names.index, names))
    held_out = EVERY.held_out & {*combinations(sorted({*concepts}), 2)}
    for i in range(12):
        scene = EVERY.scene("unseen_combinations" if held_out else "train", i, concepts=concepts, phrases=False)
        found = truth(scene.text, Reference(scene.text, objects=scene.objects))
        assert (found["true captions"], found["names right"], found["counts right"]) == (1, 1, 1), scene.text
        assert truth(scene.text, Reference(scene.text, objects=scene.objects[1:]))["true captions"] == 0


def test_a_caption_must_mention_every_object_once_and_by_its_whole_name() -> None:
    scene = EVERY.scene("train", 0, concepts=(EVERY.names.index("black bird"),), phrases=False)
    for text in ("a bird", "a black bird", "a blue bird", "two black birds"):
        assert truth(text, Reference("", objects=scene.objects))["true captions"] == (text == "a black bird"), text
    whole = next(s for i in range(99) if not (s := WORLD.scene("test", i, 2)).caption.relations)
    reference = Reference(whole.text, objects=whole.objects)
    first = whole.objects[0].name
    for text in (f"a {first}", f"{whole.text}, {whole.text}", f"{whole.text} zzz", "", "left of of left"):
        assert truth(text, reference)["true captions"] == 0, text
    assert truth("", reference) == dict.fromkeys((m.name for m in TRUTH), 0) and BLEU.value([""], [reference]) == 0
    scenes = (WORLD.scene("test", i, 3) for i in range(9999))
    scene = next(s for s in scenes if len({o.name for o in s.objects}) == 2)
    (two, _), (one, _) = Counter(o.name for o in scene.objects).most_common()
    for last, right in ((one, 1), (two, 0)):  # a group that is mentioned twice does not stand for another object
        found = truth(f"two {plural(two)} and a {last}", Reference("", objects=scene.objects))
        assert found["true captions"] == right


@given(pairs)
def test_words_are_scored_as_cocos_scorers_do(rows: list[tuple[str, list[str]]]) -> None:

    said, references = [text for text, _ in rows], [Reference(*captions) for _, captions in rows]
    given_, made = {i: captions for i, (_, captions) in enumerate(rows)}, {i: [t] for i, t in enumerate(said)}
    assume(any(len(text.split()) >= 4 for text in said))  # else COCO's divides one small constant by another
    bleu = Bleu(4).compute_score(given_, made, verbose=0)[0][3]
    assert BLEU.value(said, references) == pytest.approx(bleu, abs=1e-3 if bleu < 1e-3 else 1e-6)
    assert CIDER.value(said, references) == pytest.approx(Cider().compute_score(given_, made)[0], abs=1e-9)
