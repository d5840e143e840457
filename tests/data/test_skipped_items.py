"""Pictures that cannot be used: each hostile one is shown right, or refused by name and counted once."""

import multiprocessing
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_pictures import BAD, BASE, GOOD
from photographs import photographs, table

from xfm import recipes
from xfm.base.images import prepare
from xfm.cli import main
from xfm.config import ConfigError, RunConfig
from xfm.data.skipped_items import count_skipped, skipped_items
from xfm.data.source import ItemKey
from xfm.files.file_source import FileSource
from xfm.report import write_report
from xfm.train import Run, pretrain

STEPS = 6
SMALL = {"model.text.vocabulary": 270, "train.steps": STEPS, "train.warmup": 1, "train.save_every": 2,
         "train.validate_every": 3, "data.regions": 0, "data.unreadable": 0.5, "name": "own"}  # fmt: skip
COUNT, DAMAGED = 40, (3, 8, 15, 22, 30)


def config(spec: str, **changes: Any) -> RunConfig:
    return recipes.smoke().replace({**SMALL, "data.sources": [spec], **changes})


@pytest.fixture
def spec(tmp_path: Path) -> str:
    """Of 40 pictures 5 are damaged, all of them for training."""
    splits = {1: "test", 11: "test", 2: "validation", 12: "validation"}
    names = photographs(tmp_path / "data", COUNT)
    rows = [f"{name},picture number {i},{splits.get(i, 'train')}" for i, name in enumerate(names)]
    for i in DAMAGED:
        (tmp_path / f"data/{i}.png").write_bytes(b"damaged" * (i + 1))
    return table(tmp_path / "data", rows, "image,caption,split")


def counted(records: list[dict]) -> list[tuple[Any, Any]]:
    return [(r.get("skipped"), r.get("left_out")) for r in records]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_records_count_each_picture_once_whatever_the_processes_and_resumes(spec, tmp_path, capsys) -> None:
    whole = list(pretrain(config(spec), tmp_path / "whole"))
    found = skipped_items(whole)[spec]
    assert set(found) == {f"captions.csv:{i + 2}" for i in DAMAGED}, "training has met all of them"
    assert all("no picture that can be read" in why for why in found.values())
    new = [len(r.get("left_out", {}).get(spec, {})) for r in whole]
    assert [r.get("skipped", 0) for r in whole] == [sum(new[: i + 1]) for i in range(STEPS)] and sum(new) == 5
    run = Run.of(config(spec), tmp_path / "whole")
    assert counted(run.metrics()) == counted(whole)
    assert (said := count_skipped(run.metrics())).startswith(f"5 pictures could not be used (first: {spec}: captions.")
    main(["runs", str(tmp_path / "whole")])
    assert f"; {said}" in capsys.readouterr().out
    assert "5 pictures could not be used (first: " in write_report(run).read_text("utf-8")
    weights = run.model().state_dict()
    for workers, left_at in ((0, 3), (2, 1)):
        root, changed = tmp_path / f"{workers}", config(spec, **{"data.workers": workers})
        records = [*islice(pretrain(changed, root), left_at), *pretrain(changed, root)]
        assert counted(records) == counted(whole), workers
        again = Run.of(changed, root).model().state_dict()
        assert all(torch.equal(t, weights[key]) for key, t in again.items()), workers
    assert not multiprocessing.active_children()


def test_foreign_records_are_no_fault_and_what_is_said_is_text_that_a_terminal_may_have() -> None:
    for told in (None, 5, [], "x", {"a": None}, {"a": 5}, {"a": []}, {}, {"a": {}}):
        assert count_skipped([{"left_out": told}, {}]) == ""
    said = count_skipped([{"left_out": {"\x1b[2Ja": {"b\u202e": "c" * 5000}}}])
    assert said.isprintable() and len(said) < 1000 and said.startswith("1 picture could")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_trainer_warns_and_stops_of_what_all_processes_have_missed(workers: int, spec: str, tmp_path: Path) -> None:
    """Also of what was missed before it was left."""
    changed = config(spec, **{"data.workers": workers, "data.unreadable": 4.5 / COUNT})  # the fifth ends it
    seen: list[dict] = []
    with pytest.warns(UserWarning, match=r"cannot be used so far") as warned, pytest.raises(ConfigError) as error:
        seen.extend(pretrain(changed, tmp_path / "runs"))
    told = [str(w.message) for w in warned if "so far" in str(w.message)]
    assert [next(n for n in (1, 2, 4) if f": {n} of 40 pictures" in said) for said in told] == [1, 2, 4]
    assert "5 of 40 pictures cannot be used, more than data.unreadable = 0.1125 allows: capt" in str(error.value)
    assert "\n" not in str(error.value) and max((r.get("skipped", 0) for r in seen), default=0) <= 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ConfigError, match=r"5 of 40 pictures cannot be used.*raise data.unreadable, or mend them"):
            list(pretrain(changed, tmp_path / "runs"))
        goes_on = list(pretrain(changed.replace({"data.unreadable": 0.5}), tmp_path / "runs"))
        assert goes_on[0]["step"] == len(seen) and goes_on[-1]["skipped"] >= 5


SIDE = 48
WANTED = prepare(BASE, SIDE).astype(int)
GREYS = ("L.png", "L.jpg", "LA.png", "1.png", "I;16.png", "I;16.tif", "F.tif")


@pytest.mark.parametrize("name", GOOD)
def test_a_strange_picture_is_shown_right(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(GOOD[name])
    image = prepare(tmp_path / name, SIDE)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
    if name.startswith("exif"):
        turns, mirrored = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}[int(name[4])], name[4] in "2457"
        wanted = np.rot90(np.fliplr(WANTED) if mirrored else WANTED, turns)
        assert np.abs(image.astype(int) - wanted).mean() < 12
    elif name.startswith("mode") and name.split()[1] in GREYS:
        assert np.ptp(image.astype(int), axis=-1).max() <= 1  # grey
        if not name.startswith("mode 1"):
            assert np.abs(image.mean(-1) - WANTED @ [0.299, 0.587, 0.114]).mean() < 12
    elif "x" not in name.split(".")[0].split() and not name.startswith(("mode LAB", "mode 1")):
        far = 45 if ".gif" in name or "P" in name or "palette" in name or name == "mode YCbCr.jpg" else 12
        assert np.abs(image.astype(int) - WANTED).mean() < far, name


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_whole_picture_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(ConfigError, match=r"^image") as error, warnings.catch_warnings():
        warnings.simplefilter("error")  # a decoder that only warns would be quietly wrong
        prepare(tmp_path / name, SIDE)
    assert len(str(error.value)) < 600


def test_a_source_leaves_out_what_is_no_picture_and_counts_it(tmp_path: Path) -> None:
    names = photographs(tmp_path, 12)
    for name, content in (GOOD | BAD).items():
        (tmp_path / name).write_bytes(content)
        names.append(name)
    rows = [f'"{name}",what {i} shows' for i, name in enumerate(names)]
    source = FileSource(table(tmp_path, rows), SIDE, unreadable=0.9)
    with pytest.warns(UserWarning, match=r"\d+ of \d+ pictures cannot be used so far, the last: captions.csv:\d+: im"):
        shown = [source.pair(ItemKey("train", 0, step, i)) for step in range(12) for i in range(12)]
    bad = {f"what {names.index(name)} shows" for name in BAD}
    assert not {e.text for e in shown} & bad and len({e.text for e in shown}) > 30
    for example in shown[::9]:
        own = prepare(tmp_path / names[int(example.text.split()[1])], SIDE)
        assert np.array_equal(example.image, own)  # its own picture, not another's
