"""Every example of docs/your-own-data.md is read as it stands, in the order of the page."""

import pickle
import re
from pathlib import Path

import pytest
from photographs import photograph

from xfm.config import LATER
from xfm.files.readers import READERS, collected

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/your-own-data.md").read_text("utf-8")
BLOCKS = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
SECTIONS = [s for s in re.split(r"^## ", PAGE, flags=re.M)[1:] if "xfm data check" in s and "```" in s]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    for i, name in enumerate(dict.fromkeys(re.findall(r"[\w/]+/\d\.(?:jpg|png)", PAGE))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photograph(i).resize((120, 80)).save(folder / name)
    return folder


@pytest.mark.parametrize("section", SECTIONS, ids=[s.split("\n")[0] for s in SECTIONS])
def test_an_example_is_read_without_a_complaint(section: str, folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    specs = []
    for language, path, block in BLOCKS.findall(section):
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(block, "utf-8")
        elif language == "python":
            if "datasets" in block:
                pytest.importorskip("datasets")
            try:
                exec(block, {})
            except pickle.PicklingError:  # of a fingerprint, where datasets 5.2 does not know the Python or the pyarrow
                monkeypatch.setattr("datasets.fingerprint.Hasher.hash", lambda *_: "0" * 16)
                exec(block, {})
        else:
            specs += re.findall(r"^xfm data check (\S+)$", block, re.M)
    assert len(specs) == 1
    records, problems = collected(specs[0])
    assert records and not problems and all(record.captions or record.phrases or record.picture for record in records)
    assert all(record.picture is None or record.picture.read() for record in records)


def test_every_format_has_an_example_and_every_field_a_place() -> None:
    specs = re.findall(r"^xfm data check (\S+)$", PAGE, re.M)
    shown = {spec.split(":")[0] if ":" in spec else spec.split(".")[-1] for spec in specs}
    assert shown - {"tar"} | {"shards", "tsv"} == set(READERS) and "tar" in shown, "a TSV reads as a CSV"
    of_the_drawn_world = {"styles", "relation_negatives"}
    assert all(f"`data.{field}`" in PAGE for field in {*LATER["data"]} - of_the_drawn_world)
