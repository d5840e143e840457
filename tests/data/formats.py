"""Own data in every format that the readers know: twelve pictures with what the format can say of them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from photographs import coco as coco_of
from photographs import photographs, table, write_json

BOX = [6, 4, 30, 20]


def sheet(name: str, delimiter: str = ",", box: str = '"6, 4, 30, 20"') -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        rows = [(n, f"picture {i}", f"thing {i}", box) for i, n in enumerate(photographs(folder))]
        return table(folder, [*map(delimiter.join, rows)], delimiter.join(("image", "caption", "phrase", "box")), name)

    return make


def jsonl(folder: Path) -> str:
    rows = [{"image": name, "caption": f"picture {i}", "phrase": f"thing {i}", "box": BOX}
            for i, name in enumerate(photographs(folder))]  # fmt: skip
    (folder / "a.jsonl").write_text("\n\n".join(map(json.dumps, rows)), "utf-8")
    return str(folder / "a.jsonl")


def refcoco(folder: Path) -> str:
    splits = ["train"] * 8 + ["val"] * 2 + ["testA", "testB"]
    refs = [{"file_name": "x.jpg", "image_id": i, "ann_id": i, "split": s, "sentences": [{"sent": f"thing {i}"}]}
            for i, s in enumerate(splits)]  # fmt: skip
    images = [{"id": i, "file_name": n} for i, n in enumerate(photographs(folder / "images"))]
    write_json(folder / "refs.json", refs)
    boxes = [{"id": i, "bbox": BOX} for i in range(12)]
    write_json(folder / "instances.json", {"images": images, "annotations": boxes})
    return str(folder / "refs.json")


def visual_genome(folder: Path) -> str:
    photographs(folder / "VG_100K_2", 12, "{}.jpg")
    for name in photographs(folder / "VG_100K", 6, "{}.jpg"):
        (folder / "VG_100K_2" / name).unlink()
    box = {"x": 6, "y": 4, "width": 30, "height": 20}
    tree = [{"id": i, "regions": [{"phrase": f"thing {i}", "image_id": i, **box}]} for i in range(12)]
    write_json(folder / "region_descriptions.json", tree)
    return f"vg:{folder}"


def coco(folder: Path) -> str:
    return coco_of(folder, *[[[6, 4, 36, 4, 36, 24]]] * 12)


def karpathy(folder: Path) -> str:
    splits = ["train"] * 6 + ["restval"] * 2 + ["val"] * 2 + ["test"] * 2
    images = [{"filename": n, "filepath": "val2014", "split": splits[i], "sentences": [{"raw": f"picture {i}"}]}
              for i, n in enumerate(photographs(folder / "images/val2014"))]  # fmt: skip
    write_json(folder / "dataset.json", {"images": images})
    return str(folder / "dataset.json")


def labels(folder: Path) -> str:
    for name in photographs(folder / "owl")[: len(photographs(folder / "red_fox", 6))]:
        (folder / "owl" / name).unlink()
    return str(folder)


def texts(folder: Path) -> str:
    (folder / "a.txt").write_text("\n".join(f"picture {i}\n" for i in range(12)), "utf-8")
    return str(folder / "a.txt")


def tar_of(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def shards(folder: Path) -> str:
    files: list[dict[str, bytes]] = [{}, {}]
    for i, name in enumerate(photographs(folder)):
        kind, text = ("txt", f"picture {i}") if i % 2 else ("json", json.dumps({"caption": f"picture {i}"}))
        files[i // 6] |= {f"s{i}.png": (folder / name).read_bytes(), f"s{i}.{kind}": text.encode()}
    for shard in range(2):
        tar_of(folder / f"part-{shard:03}.tar", files[shard])
    return str(folder / "part-{000..001}.tar")


def of_pictures(folder: Path, first: int, count: int) -> Any:
    """A dataset of the package `datasets`."""
    datasets = pytest.importorskip("datasets")
    names = photographs(folder, first + count)[first:]
    pictures = [{"bytes": (folder / name).read_bytes(), "path": None} for name in names]
    columns = {"image": pictures, "caption": [f"picture {first + i}" for i in range(count)]}
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    rows = datasets.table.InMemoryTable.from_pydict(columns, schema=features.arrow_schema)
    return datasets.Dataset(rows, fingerprint="made")


def saved(folder: Path) -> str:
    of_pictures(folder / "pictures", 0, 12).save_to_disk(str(folder / "saved"))
    return str(folder / "saved")


EVERYTHING, PAIRS = {"pairs", "regions", "boxes", "images", "texts"}, {"pairs", "images", "texts"}
FORMATS: dict[str, tuple[Callable[[Path], str], set[str]]] = {
    "csv": (sheet("captions.csv"), EVERYTHING), "tsv": (sheet("captions.tsv", "\t", "6 4 30 20"), EVERYTHING),
    "jsonl": (jsonl, EVERYTHING), "coco": (coco, EVERYTHING | {"masks"}), "txt": (texts, {"texts"}),
    "refcoco": (refcoco, {"regions", "boxes", "images"}), "vg": (visual_genome, {"regions", "boxes", "images"}),
    "folder": (labels, PAIRS), "karpathy": (karpathy, PAIRS), "hf": (saved, PAIRS), "shards": (shards, PAIRS),
}  # fmt: skip
