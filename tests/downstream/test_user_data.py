"""User data of every task in its real format: read, trained on, and refused with the place of what is broken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import own_data
import pytest
import torch
from downstream.conftest import CPU, FORMATS, SPLITS, opened, short
from hypothesis import given
from hypothesis import strategies as st
from own_data import ROWS, edit, said, write
from photographs import shout

from xfm.base.fields import ConfigError
from xfm.tasks.finetuning.config import FinetuneConfig
from xfm.tasks.finetuning.finetune import train_to_end
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.task import Trainable
from xfm.tasks.own.vqa import ANNOTATIONS, QUESTIONS


def read(name: str, path: Path) -> Any:
    return opened(FORMATS[name][0], path)


def items(task: Trainable) -> list[list[Any]]:
    return [[(item.texts, item.target) for item in task.items(split)] for split in SPLITS]


def config(name: str, path: Path) -> FinetuneConfig:
    return short(FORMATS[name][0], data=path, batch=3, train__steps=3, train__validate_every=3)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.full
def test_it_is_fine_tuned_on_to_the_end(name: str, made: dict[str, Path], tmp_path: Path, small: None) -> None:
    run = train_to_end(config(name, made[name]), tmp_path)
    results, answers = [r for r in run.results() if r.better], [*run.answers(), *run.answers("matched")]
    task = run.tuned().task
    metrics, parts = [m.name for m in task.measures()], {"mnli": [ROWS, ROWS // 2], "RefCOCO": [12, 6, 6]}
    sizes = parts.get(name, [task.size("test")] * len(metrics))
    assert [r.metric for r in results] == metrics * len(task.tests()) and [r.n for r in results] == sizes
    best = 10 if metrics[0] == "CIDEr" else 1
    assert all(-best <= r.low <= r.value <= r.high <= best for r in results) and len(answers) == sizes[0]
    if metrics[0] in ("accuracy", "soft accuracy", "acc@0.5", "CIDEr"):
        assert results[0].value == pytest.approx(best * np.mean([a["score"] for a in answers]))
    own = [(r.value, r.condition.partition(",")[0]) for r in run.results() if not r.better]
    assert [(r.baseline, r.baseline_name) for r in results[: len(own)]] == own


@pytest.mark.parametrize("name", FORMATS)
def test_suffixes_may_be_in_capitals_and_splits_share_nothing(name: str, tmp_path: Path) -> None:
    path = FORMATS[name][1](tmp_path)
    before = items(task := read(name, path))
    for split, shared in zip(SPLITS, ("validation", "test", "train"), strict=True):
        seen = [{i.images or i.texts[0] for i in task.items(s)} for s in (split, shared)]  # type: ignore[arg-type]
        assert all(seen) and not seen[0] & seen[1]
    shout(tmp_path)
    path = path if path.is_dir() else path.with_suffix(path.suffix.upper())
    assert items(read(name, path)) == before


# ---- what is broken


def gone(path: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / path).unlink()


def put(path: str, content: Any) -> Callable[[Path], Any]:
    return lambda folder: write(folder / path, content)


def moved(old: str, new: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / old).rename(folder / new)


def swapped(path: str, old: str, new: str) -> Callable[[Path], Any]:
    return lambda folder: write(folder / path, (folder / path).read_text("utf-8").replace(old, new, 1))


def entry(path: str, change: Any, rows: str = "", i: int = 2) -> Callable[[Path], Any]:
    """Of a list in JSON, or of JSON lines, another entry, or one with other fields."""

    def apply(folder: Path) -> None:
        text = (folder / path).read_text()
        of_lines = "\n{" in text
        tree = [*map(json.loads, text.splitlines())] if of_lines else json.loads(text)
        listed = (
            tree if isinstance(tree, list) else next(t for t in (tree.get(rows), *tree.values()) if type(t) is list)
        )
        listed[i] = listed[i] | change if isinstance(change, dict) else change
        write(folder / path, "\n".join(map(json.dumps, tree)) if of_lines else tree)

    return apply


Q, A, DEV = QUESTIONS.format("val"), ANNOTATIONS.format("val"), "data/dev.json"
TRAIN17, IN_TRAIN = "annotations/captions_train2017.json", "train/n01440764/0.jpg"
# what every reader refuses alike stands once; `test_no_value_of_a_field_breaks_anything` asks all of them
BROKEN: dict[str, list[tuple[Callable[[Path], Any], str]]] = {
    "sst2": [
        (swapped("train.tsv", "sentence", "sentense"), r"train\.tsv:1: has no column 'sentence'.*mean 'sentense'"),
        (put("dev.tsv", "sentence\tlabel\n"), r"dev\.tsv: has no rows"),
        (lambda f: (f / "dev.tsv").write_bytes(b"sentence\tlabel\ngood\t1\n\xff\t0\n"), r"dev\.tsv:3: byte 0xff"),
    ],
    "cola": [(swapped("train.tsv", "\ta bad", "\ta\tbad"), r"train\.tsv:1: has 5 cells; must have 4: source")],
    "mnli": [(gone("dev_mismatched.tsv"), r"has no dev_mismatched\.tsv")],
    "qnli": [(swapped("dev.tsv", "\tentailment", "\tentailed"), r"dev\.tsv:2: label = 'entailed'.*mean 'entailment'")],
    "stsb": [(swapped("train.tsv", "0.000", "nan"), r"train\.tsv:2: label = 'nan': must be a number from 0 to 5")],
    "qqp": [(swapped("dev.tsv", f"{said(505)}\t{said(5)}", "\t"), r"dev\.tsv:7: no text in question1 and question2")],
    "images": [
        (moved(IN_TRAIN, "train/0.jpg"), r"0\.jpg: lies in no class; move it into train/CLASS/"),
        (moved("test/n01440764", "test/n01440765"), r"test: class.* = 'n01440765'.*did you mean 'n01440764'"),
        (put(IN_TRAIN, "none"), r"0\.jpg'.*no picture that can be read"),
        (lambda f: (f / "train/n01440764/9.jpg").symlink_to(__file__), r"9\.jpg: .*leads out of the folder"),
        (moved(IN_TRAIN, "train/n01440764/0.HEIC"), r"0\.HEIC: pictures of this kind are not read; save it as PNG"),
    ],
    "VQA v2": [
        (gone(A), rf"{A}: no such file, from which the split 'validation' is read"), (put(Q, "{"), rf"{Q}: no JSON"),
        (put(Q, {"questions": []}), rf"{A}\[0\]: no question: question_id = 101000 is not in"),
        (entry(Q, 7), rf"{Q}\[2\]: no mapping: 7: must be a mapping.*mend the entry"),
        (entry(Q, {"question_id": 101000}), rf"{Q}\[2\]: question_id twice: .*{Q}\[0\]"),
    ],
    "VQA lists": [(put("val.json", []), r"val\.json: has nothing for the split 'validation'"),
                  (entry("val.json", {"image": "../x.png"}), r"\[2\]: outside the folder: image = '../x")],
    "NLVR2": [
        (put(DEV, "[1"), r"dev\.json:1: no JSON .*'\[1'; must be one JSON object a line"),
        (entry(DEV, {"label": "Maybe"}), r"dev\.json:3: unknown label: label = 'Maybe'"),
        (entry(DEV, {"directory": "../.."}), r"dev\.json:3: outside the folder"),
    ],
    "RefCOCO": [
        (gone("refs.json"), r"has \[\]; --data takes .*refs"), (put("refs2.json", []), r"\['refs.json', 'refs2.j"),
        (entry("refs.json", {"ann_id": 99}), r"refs\.json\[2\]: no box: box = None"),
        (entry("refs.json", {"sentences": ["a dog", "..."]}), r"refs\.json\[2\]: empty sentence: .*'\.\.\.'"),
        (entry("refs.json", {"bbox": (0, 35, 10, 9)}), r"refs\.json\[2\]: box outside.*60 x 40"),
    ],
    "COCO": [
        (entry(TRAIN17, {"caption": "..."}, "annotations"), r"2017\.json\[2\]: empty caption: .*only marks; mend"),
        (entry(TRAIN17, {"id": 9}, "images"), r"json: images\[2\]: id = 9: no caption is of this picture; add one"),
        (moved(TRAIN17, TRAIN17.replace("2017", "2014")), r"of the years 2014 and 2017, which share.*leave one year"),
    ],
    "Karpathy": [
        (lambda f: edit(f / "dataset.json", lambda t: [i.update(split="train") for i in t["images"]] and None),
         r"no picture of the split 'validation'.*\['train'\]"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name, breaks, says", [(name, *case) for name, cases in BROKEN.items() for case in cases])
def test_what_is_broken_is_refused_with_its_place(name, breaks, says, tmp_path) -> None:
    path = FORMATS[name][1](tmp_path / "data")
    breaks(tmp_path / "data")
    task = read(name, path)
    with pytest.raises(ConfigError, match=says) as error:
        for split in SPLITS:
            size = task.size(split)
            [task.item(split, i) for i in range(size if name == "images" else 0)]
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_broken_test_split_is_told_before_a_step(tmp_path: Path) -> None:
    folder = own_data.nlvr2(tmp_path / "data")
    (folder / "data/test1.json").unlink()
    with pytest.raises(ConfigError, match=r"test1\.json"):
        train_to_end(config("NLVR2", folder), tmp_path)
    assert not list(tmp_path.rglob("metrics.jsonl"))


@pytest.mark.parametrize("name, lengthens, says", [
    ("NLVR2", entry(DEV, {"sentence": "so " * 31}), r"1 of 6 sentences .* 30 words.*dev\.json:3 \(31 words\)"),
    ("VQA lists", entry("test.json", {"question": "so " * 51}), r"1 of 6 questions are cut to 50 .*test\.json\[2\]"),
    ("COCO", entry(TRAIN17, {"caption": "so " * 41}, "annotations"), r"1 of 12 captions are cut to 40 words, as .*png"),
])  # fmt: skip
def test_a_text_that_is_cut_is_counted(name: str, lengthens: Callable, says: str, tmp_path: Path) -> None:
    path = FORMATS[name][1](tmp_path)
    lengthens(tmp_path)
    with pytest.warns(UserWarning, match=says):
        items(read(name, path))


@pytest.mark.parametrize("name, raw", [
    ("VQA v2", "Is the dog's tail left-handed?"), ("NLVR2", "The left image has a dog."), ("RefCOCO", "The Big dog!"),
])  # fmt: skip
def test_what_is_asked_is_read_as_the_tests_are(name: str, raw: str, made: dict[str, Path]) -> None:
    task = start(config(name, made[name])).task
    item = task.items("test")[0]
    of_it, of_item = (task.batch([i], CPU) for i in (task.asked((raw,), item.images), item))
    assert torch.equal(of_it.ids, of_item.ids)
    assert all(torch.equal(a, b) for a, b in zip(of_it.images, of_item.images, strict=True))


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
value = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=5), plain, max_size=3)


@pytest.mark.parametrize("name, path, fields", [
    ("VQA v2", QUESTIONS.format("train"), ["question_id", "image_id", "question"]),
    ("VQA v2", ANNOTATIONS.format("train"), ["question_id", "answers"]),
    ("NLVR2", "data/train.json", ["identifier", "label", "sentence", "directory"]),
    ("RefCOCO", "refs.json", ["sentences", "split", "image_id", "ann_id", "bbox", "file_name", "segmentation"]),
    ("COCO", TRAIN17, ["image_id", "caption", "id", "file_name"]),
    ("Karpathy", "dataset.json", ["filename", "filepath", "sentences", "split"]),
])  # fmt: skip
@given(data=st.data())
def test_no_value_of_a_field_breaks_anything_but_by_a_config_error(name, path, fields, made, data) -> None:
    folder = made[name] if made[name].is_dir() else made[name].parent
    before, change = (folder / path).read_text(), {data.draw(st.sampled_from(fields)): data.draw(value)}
    entry(path, change, data.draw(st.sampled_from(("images", "annotations"))))(folder)
    try:
        read(name, made[name]).read("train")  # or it is read
    except ConfigError as error:
        assert folder.name in str(error)
    finally:
        (folder / path).write_text(before)
