"""Every example of docs/your-own-data.md is read as it stands, in the order of the page."""

import pickle
import re
from pathlib import Path

import pytest
from photographs import photograph

from xfm.files.readers import READERS, collected, parse

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
            example = compile(block, section.split("\n")[0], "exec")
            try:
                exec(example, {})
            except (
                pickle.PicklingError
            ):  # of its fingerprint, where datasets 5.2 does not know the Python or the pyarrow
                monkeypatch.setattr("datasets.fingerprint.Hasher.hash", lambda *_: "0" * 16)
                exec(example, {})
        else:
            specs += re.findall(r"^xfm data check (\S+)$", block, re.M)
    assert len(specs) == 1
    records, problems = collected(specs[0])
    assert records and not problems and all(record.captions or record.phrases or record.picture for record in records)
    for record in records:
        assert record.picture is None or record.picture.read()


def test_every_format_has_an_example() -> None:
    endings = {
        "captions.csv": "csv",
        "captions.jsonl": "jsonl",
        "sentences.txt": "txt",
        "shard-{000..000}.tar": "shards",
    }
    specs = re.findall(r"^xfm data check (\S+)$", PAGE, re.M)
    shown = {endings.get(spec, spec.split(":")[0]) for spec in specs}
    assert shown | {"tsv"} == set(READERS), "a TSV is said to be as a CSV"
    assert parse("csv:" + str(ROOT / "docs/your-own-data.md"))[0] == "csv"


def test_every_field_stands_on_the_page() -> None:
    from xfm.config import LATER

    assert all(
        f"`data.{field}`" in PAGE for field in {*LATER["data"]} - {"styles", "relation_negatives"}
    )  # of the drawn world
