"""User data of every task in its real format, a few items of each: headers, columns and what is odd about them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xfm.base import seeding
from xfm.tasks.own.vqa import ANNOTATIONS, QUESTIONS

ROWS = 24  # of a table of GLUE
NUMBER = 6  # pictures of a split of COCO
JUDGED, ENTAILED = ("entailment", "neutral", "contradiction"), ("entailment", "not_entailment")
COLOURS = {"n01440764": (200, 30, 30), "n01443537": (30, 200, 30), "Tench, tinca": (30, 30, 200)}  # of the classes


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    tree = json.loads(path.read_text())
    write(path, change(tree) or tree)


def picture(path: Path, seed: int, size: tuple[int, int] = (60, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


# ---- language
def said(i: int) -> str:
    return f'a {"good" if i % 2 else "bad"} film number {i}, "quoted with one mark only'


def _glue_row(task: str, i: int, o: int) -> tuple[str, ...]:
    """Row i of train, or of dev, whose texts (o) are others."""
    one, label, parses = said(i + o), str(i % 2), ("( a parse )",) * 4
    unlike = said(i + o + i % 2)
    return {
        "cola": ("gj04", label, "" if i % 2 else "*", one),
        "sst2": (one + " ", label),
        "mrpc": (label, "1", "2", one, unlike),
        "stsb": (str(i), "main-news", "headlines", "2014", "0001", "none", "none", one, unlike, f"{i % 6:.3f}"),
        "qqp": (str(i), "1", "2", one, "" if i == 3 else said(i), label),
        "qnli": (str(i), f"which film is number {i + o}?", said(i), ENTAILED[i % 2]),
        "rte": (str(i), one, said(i), ENTAILED[i % 2]),
        "mnli": (str(i), "1", "1n", "fiction", *parses, one, said(i), *[JUDGED[i % 3]] * (6 if o else 2)),
    }[task]


HEADERS = {
    "cola": "", "sst2": "sentence label", "mrpc": "\ufeffQuality;#1 ID;#2 ID;#1 String;#2 String",
    "stsb": "index genre filename year old_index source1 source2 sentence1 sentence2 score",
    "qqp": "id qid1 qid2 question1 question2 is_duplicate",
    "qnli": "index question sentence label", "rte": "index sentence1 sentence2 label",
    "mnli": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
    " sentence1 sentence2 label1 {}gold_label",
}  # fmt: skip


def glue(task: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    devs = ("dev_matched", "dev_mismatched") if task == "mnli" else ("dev",)
    for name in ("train", *devs):
        header = HEADERS[task].format("label2 label3 label4 label5 " if name in devs else "")
        header = header.replace(";" if task == "mrpc" else " ", "\t")
        rows = range(ROWS // (1 + ("mis" in name)))
        lines = ["\t".join(_glue_row(task, i, 500 * (name in devs))) for i in rows]
        (folder / f"{name}.tsv").write_bytes("".join(f"{line}\n" for line in [header, *lines] if line).encode())
    return folder


# ---- pictures
def classes(folder: Path, each: int, first: int = 0) -> Path:
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(first, first + each):
            rng = np.random.default_rng(seeding.seed(name, i))
            pixels = np.clip(np.array(colour) + rng.integers(-30, 30, (40, 56, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.{('jpg', 'png', 'JPEG')[i % 3]}")
    return folder


def images(folder: Path) -> Path:
    for part, first in (("train", 0), ("val", 100), ("test", 200)):
        classes(folder / part, 4, first)
    return folder


# ---- pictures with texts
def vqa_v2(folder: Path) -> Path:
    """Of each split six pictures with two questions each."""
    for split, first in (("train", 1), ("val", 101)):
        questions, annotations = [], []
        for image in range(first, first + 6):
            picture(folder / f"{split}2014" / f"COCO_{split}2014_{image:012d}.jpg", image)
            for k, (text, answer) in enumerate((("Is the dog's tail left-handed?", "yes"), ("How many?", "two"))):
                both = {"image_id": image, "question_id": image * 1000 + k}
                questions.append(both | {"question": text})
                given = [{"answer": a, "answer_id": i + 1} for i, a in enumerate([answer] * 7 + ["no", "The cat", ""])]
                annotations.append(both | {"multiple_choice_answer": answer, "answers": given})
        write(folder / QUESTIONS.format(split), {"info": {}, "data_type": "mscoco", "questions": questions})
        write(folder / ANNOTATIONS.format(split), {"info": {}, "annotations": annotations})
    return folder


def vqa_simple(folder: Path, answered: bool = True) -> Path:
    for n, split in enumerate(("train", "val", "test")):
        rows = [{"question_id": 10 * n + i, "image": f"pictures/{split}{i}.png", "question": "What color?"}
                for i in range(6)]  # fmt: skip
        for row in rows:
            picture(folder / row["image"], row["question_id"])
            row |= {"answer": ["Red", "red", "A dog"]} if answered or split != "test" else {}
        write(folder / f"{split}.json", rows)
    return folder


def nlvr2(folder: Path, inner: str = "data") -> Path:
    for split, at in (("train", "images/train/{}"), ("dev", "dev"), ("test1", "images/test1")):
        lines = []
        for s, pair in np.ndindex(3, 2):
            stem, directory = f"{split}-{s}-{pair}", 30 + s
            for side in (0, 1):
                picture(folder / at.format(directory) / f"{stem}-img{side}.png", 4 * s + 2 * pair + side)
            row = {"sentence": "The left image has a dog.", "identifier": f"{stem}-0", "label": str(pair == 0)}
            lines.append(json.dumps(row | ({"directory": directory} if split == "train" else {})))
        write(folder / inner / f"{split}.json", "\n".join(lines) + "\n")
    return folder


def refcoco(folder: Path) -> Path:
    refs, images, annotations = [], [], []
    for n, split in enumerate(("train", "val", "testA", "testB")):
        for number in range(10 * n, 10 * n + 3):
            name = f"COCO_train2014_{number:012d}.jpg"
            picture(folder / "images" / name, number)
            images.append({"id": number, "file_name": name, "width": 60, "height": 40})
            annotations.append({"id": 500 + number, "image_id": number, "bbox": [30.4, 4, 30.0, 20]})
            texts = [{"sent": "The Big dog!", "raw": "", "sent_id": 0}, {"sent": "woman on left"}]
            refs.append({"ann_id": 500 + number, "image_id": number, "split": split, "sentences": texts})
    write(folder / "refs.json", refs)
    write(folder / "instances.json", {"images": images, "annotations": annotations})
    return folder


def coco(folder: Path) -> Path:
    for part, first in (("train2017", 0), ("val2017", 100)):
        images = [{"id": first + i, "file_name": f"{first + i}.png"} for i in range(NUMBER)]
        for image in images:
            picture(folder / part / image["file_name"], image["id"], (30, 20))
        texts = [{"image_id": i["id"], "caption": f"Picture {i['id']}, {w}."} for i in images for w in ("a cat", "red")]
        write(folder / "annotations" / f"captions_{part}.json", {"images": images, "annotations": texts})
    return folder


def karpathy(folder: Path) -> Path:
    images = []
    for i, split in enumerate(["train", "restval", "val", "test"] * 4):
        picture(folder / "images" / f"{i}.png", i, (30, 20))
        texts = [{"raw": f"Caption {w} of {i}"} for w in ("one", "two")]
        images.append({"filename": f"{i}.png", "sentences": texts, "split": split})
    return write(folder / "dataset.json", {"images": images})
