"""Annotations of known datasets in JSON: COCO, RefCOCO, Visual Genome, Karpathy's splits of Flickr30k and COCO."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...base.strings import shown
from ...config import ConfigError
from .masks import mask_of
from .records import Problem, Record, Root, Stored, Unusable, load_json, matching, required, spelt
from .row_checks import phrase, record, rows


def read_coco(path: Path, only: str = "*") -> Iterator[Record | Problem]:
    """DIR/annotations/captions_*.json and instances_*.json; the pictures of *_train2017.json lie in DIR/train2017, in
    DIR/images/train2017, in DIR/images, or in DIR. Instances become phrases: their class's name, with their box and
    their mask, where they have one; a crowd is no instance. `only`: files of such a name."""
    files = matching(path / "annotations", f"{only}.json") or matching(path, f"{only}.json")
    files = [file for file in files if file.name.startswith(("captions", "instances"))]
    if not files:
        raise ConfigError(f"{path}: has no captions_*.json and no instances_*.json, nor has its folder annotations")
    for file in files:
        tree = load_json(file)
        folders = image_folders(path, file.stem.partition("_")[2])
        pictures = _by_id(required(file, tree, "images"))
        classes = _by_id(tree.get("categories"))

        def make(where: str, row: Any, pictures: dict = pictures, classes: dict = classes, folders: Any = folders):
            image = _get(pictures, _field(row, "image_id"))
            picture = find(folders, _field(image, "file_name"))
            if "caption" in row:
                return record(where, picture, [row["caption"]])
            mask = mask_of(row.get("segmentation"), image.get("width"), image.get("height"))
            name = _get(classes, row.get("category_id")).get("name")
            return record(where, picture, (), [(name, row.get("bbox"), mask)])

        given = _numbered(file, required(file, tree, "annotations"))
        instances = ((at, row) for at, row in given if not (isinstance(row, dict) and row.get("iscrowd")))
        yield from rows(instances, make)


def read_refcoco(path: Path) -> Iterator[Record | Problem]:
    """FILE.json: the refs, a list (or under "refs"), each with sentences ({"sent": ...} or texts), split, file_name or
    image_id, and bbox or ann_id; what has only ids is looked up in instances.json beside it, and masks, too. Pictures:
    as for COCO."""
    tree = load_json(path)
    refs = tree if isinstance(tree, list) else required(path, tree, "refs")
    beside = spelt(path.with_name("instances.json"))
    instances = load_json(beside) if beside.is_file() else {}
    if not isinstance(instances, dict):
        raise ConfigError(f"{beside}: a {type(instances).__name__}: must be a mapping of images and annotations")
    images, objects = (_by_id(instances.get(name)) for name in ("images", "annotations"))
    folders = image_folders(path.parent)

    def make(where: str, ref: Any) -> Record:
        texts = [s.get("sent", s.get("raw")) if isinstance(s, dict) else s for s in _list(ref, "sentences")]
        if not texts:
            raise Unusable("no sentences", "sentences = []: must have one or more")
        image, instance = _get(images, ref.get("image_id")), _get(objects, ref.get("ann_id"))
        picture = find(folders, image.get("file_name") or ref.get("file_name"))
        segmentation = ref.get("segmentation") or instance.get("segmentation")
        mask = mask_of(segmentation, image.get("width"), image.get("height"))
        box = ref.get("bbox") or instance.get("bbox")
        return record(where, picture, (), [(text, box, mask) for text in texts], ref.get("split", ""))

    yield from rows(_numbered(path, refs), make)


def read_visual_genome(path: Path) -> Iterator[Record | Problem]:
    """DIR/region_descriptions.json; picture 7 is VG_100K/7.jpg or VG_100K_2/7.jpg, or lies in images or DIR itself."""
    file = spelt(path / "region_descriptions.json")
    tree = load_json(file)
    if not isinstance(tree, list):
        raise ConfigError(f"{file}: {shown(type(tree).__name__)}: must be a list of pictures with regions")
    roots = [Root(path / name) for name in ("VG_100K", "VG_100K_2", "images", "") if (path / name).is_dir()]

    def each() -> Iterator[tuple[str, Any]]:
        for where, row in _numbered(file, tree):
            listed = row.get("regions") if isinstance(row, dict) else None
            regions = [*map(_region, listed if isinstance(listed, list) else ())]
            yield from ((f"{where}.regions[{i}]", r) for i, r in enumerate(regions) if isinstance(r, Unusable))
            yield where, (row, [r for r in regions if not isinstance(r, Unusable)])

    def make(where: str, given: Any) -> Record:
        row, regions = given
        first = next((r for r in _list(row, "regions") if isinstance(r, dict)), {})
        number = row.get("id", row.get("image_id", first.get("image_id")))
        return record(where, find(roots, f"{number}.jpg"), (), regions)

    yield from rows(each(), make)


def _region(region: Any) -> tuple[object, object] | Unusable:
    """Text and box; one that cannot be used costs no other of its picture."""
    try:
        text, box = _field(region, "phrase"), [region.get(side) for side in ("x", "y", "width", "height")]
        phrase(text, box)
    except Unusable as error:
        return Unusable(error.kind, error.what, part=True)
    return text, box


def read_karpathy(path: Path) -> Iterator[Record | Problem]:
    """FILE.json: images, each with filename (and filepath), sentences with raw, and split, which is kept."""
    images = required(path, load_json(path), "images")
    folders = image_folders(path.parent)

    def make(where: str, row: Any) -> Record:
        name = _field(row, "filename")
        inner = row.get("filepath", "")
        texts = [s.get("raw") if isinstance(s, dict) else s for s in _list(row, "sentences")]
        picture = find(folders, f"{inner}/{name}" if inner else name)
        return record(where, picture, texts, (), row.get("split", ""))

    yield from rows(_numbered(path, images), make)


def image_folders(path: Path, split: str = "") -> list[Root]:
    """Where the pictures of a dataset may lie, the likeliest first."""
    inner = ([split, f"images/{split}"] if split else []) + ["images", ""]
    return [Root(path / name) for name in inner if (path / name).is_dir()]


def find(roots: list[Root], name: Any) -> Stored:
    """The picture, from the first folder that has it."""
    for root in roots[:-1]:
        try:
            return root.picture(name)
        except Unusable as error:
            if error.kind != "no such file":
                raise
    return roots[-1].picture(name)


def _field(row: Any, name: str) -> Any:
    if not isinstance(row, dict) or name not in row:
        raise Unusable("no row", f"{shown(row)}: has no {name!r}")
    return row[name]


def _list(row: Any, name: str) -> list:
    if not isinstance(entries := _field(row, name), list):
        raise Unusable(f"no {name}", f"{name} = {shown(entries)}: must be a list")
    return entries


def _by_id(entries: Any) -> dict[Any, dict]:
    """The objects of a list by their field `id`, where that is a number or a text."""
    objects = (e for e in (entries if isinstance(entries, list) else ()) if isinstance(e, dict))
    return {entry["id"]: entry for entry in objects if isinstance(entry.get("id"), int | float | str)}


def _get(table: dict[Any, dict], number: Any) -> dict:
    """The entry of that id; {} where there is none."""
    return table.get(number, {}) if isinstance(number, int | float | str) else {}


def _numbered(file: Path, entries: list) -> Iterator[tuple[str, Any]]:
    return ((f"{file.name}[{i}]", entry) for i, entry in enumerate(entries))
