"""Small picture files for tests: `photographs(folder, n)` writes n different ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 60, 40


def photograph(number: int) -> Image.Image:
    """(40, 60): noise of its own around a level of its own."""
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 100, (HEIGHT // 4, WIDTH // 4, 3), np.uint8) + np.uint8(number * 37 % 150)
    return Image.fromarray(noise.repeat(4, 0).repeat(4, 1))


def photographs(folder: Path, count: int = 12, name: str = "{}.png") -> list[str]:
    names = [name.format(i) for i in range(count)]
    for i, file in enumerate(names):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        photograph(i).save(folder / file)
    return names


def table(folder: Path, rows: list[str], header: str = "image,caption", name: str = "captions.csv") -> str:
    (folder / name).write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return str(folder / name)


def captions(folder: Path, count: int = 12) -> str:
    return table(folder, [f"{name},picture number {i}" for i, name in enumerate(photographs(folder, count))])


def write_json(path: Path, tree: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), "utf-8")


def coco(folder: Path, *segmentations: Any, box: tuple[int, ...] = (6, 4, 30, 20), **image: Any) -> str:
    """COCO's files of 12 pictures with captions, each with one object; the segmentations are of the first ones."""
    names = photographs(folder / "train2017")
    images = [{"id": 100 + i, "file_name": name, **image} for i, name in enumerate(names)]
    objects: list[dict[str, Any]] = [{"image_id": 100 + i, "category_id": 7 + i, "bbox": box} for i in range(12)]
    for one, segmentation in zip(objects, segmentations, strict=False):
        one["segmentation"] = segmentation
    texts = [{"image_id": 100 + i, "caption": f"picture {i}"} for i in range(12)]
    classes = [{"id": 7 + i, "name": f"thing {i}"} for i in range(12)]
    write_json(folder / "annotations/captions_train2017.json", {"images": images, "annotations": texts})
    instances = {"images": images, "annotations": objects, "categories": classes}
    write_json(folder / "annotations/instances_train2017.json", instances)
    return f"coco:{folder}"


def shout(folder: Path) -> None:
    """Writes the suffixes of all files in a folder in capitals."""
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        file.rename(file.with_suffix(file.suffix.upper()))
