"""The data that a fine-tuning was made of are known by what they are, wherever they lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from photographs import photograph, photographs, write_json

from xfm.config_utils import ConfigError
from xfm.downstream.own import contents


def karpathy(folder: Path) -> Path:
    names = photographs(folder / "images", 8)
    images = [{"filename": name, "sentences": [{"raw": f"picture {name}"}], "split": "train"} for name in names]
    write_json(folder / "dataset.json", {"images": images})
    return folder / "dataset.json"


@pytest.mark.parametrize("whole", [True, False])
def test_a_picture_that_changes_makes_other_data(whole: bool, tmp_path: Path) -> None:
    file = karpathy(tmp_path / "a")
    data = file.parent if whole else file
    before = contents(data)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert contents(tmp_path / "b" / data.relative_to(tmp_path / "a")) == before
    picture = tmp_path / "a/images/3.png"
    photograph(3).resize((30, 20)).save(picture)
    assert contents(data) != before
    shutil.copy(tmp_path / "b/images/3.png", picture)
    assert contents(data) == before
    picture.rename(picture.with_name("other.png"))
    assert contents(data) != before


def test_a_word_that_changes_makes_other_data_and_a_stranger_does_not(tmp_path: Path) -> None:
    file = karpathy(tmp_path)
    before = contents(file)
    photograph(20).save(tmp_path / "images/stranger.png")
    assert contents(file) == before
    tree = json.loads(file.read_text("utf-8"))
    tree["images"][0]["sentences"][0]["raw"] = "another"
    write_json(file, tree)
    assert contents(file) != before


def test_what_is_no_data_is_left_to_the_task(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]", "utf-8")
    assert contents(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"data = '.*none': no such file or folder"):
        contents(tmp_path / "none")
