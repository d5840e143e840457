"""Pictures that a training cannot use are counted in its records: each once, over its processes and its resumes."""

import multiprocessing
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from photographs import captions, photographs, table

from xfm import recipes
from xfm.cli import main
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
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
    made = table(tmp_path / "data", rows, "image,caption,split")
    for i in DAMAGED:
        (tmp_path / f"data/{i}.png").write_bytes(b"damaged" * (i + 1))
    return made


def counted(records: list[dict]) -> list[tuple[Any, Any]]:
    return [(r.get("skipped"), r.get("left_out")) for r in records]


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_records_count_each_picture_once_whatever_the_processes_and_resumes(spec, tmp_path, capsys, quiet) -> None:
    whole = list(pretrain(config(spec), tmp_path / "whole"))
    found = skipped_items(whole)[spec]
    assert set(found) == {f"captions.csv:{i + 2}" for i in DAMAGED}, "training has met all of them"
    assert all("no picture that can be read" in why for why in found.values())
    new = [len(r.get("left_out", {}).get(spec, {})) for r in whole]
    assert [r.get("skipped", 0) for r in whole] == [sum(new[: i + 1]) for i in range(STEPS)] and sum(new) == 5
    assert counted(Run.of(config(spec), tmp_path / "whole").metrics()) == counted(whole)
    run = Run.of(config(spec), tmp_path / "whole")
    assert (said := count_skipped(run.metrics())).startswith(f"5 pictures could not be used (first: {spec}: captions.")
    main(["runs", str(tmp_path / "whole")])
    assert f"; {said}" in capsys.readouterr().out
    assert "5 pictures could not be used (first: " in write_report(run).read_text("utf-8")
    weights = run.model().state_dict()
    for name, workers, left_at in (("two", 2, None), ("resumed", 0, 3), ("resumed by two", 2, 1)):
        root, changed = tmp_path / name, config(spec, **{"data.workers": workers})
        records = [] if left_at is None else list(islice(pretrain(changed, root), left_at))
        records += list(pretrain(changed, root))
        assert counted(records) == counted(whole), name
        again = Run.of(changed, root).model().state_dict()
        assert all(torch.equal(t, weights[key]) for key, t in again.items()), name
    assert not multiprocessing.active_children()


def test_foreign_records_are_no_fault_and_what_is_said_is_text_that_a_terminal_may_have() -> None:
    for told in (None, 5, [], "x", {"a": None}, {"a": 5}, {"a": []}, {}, {"a": {}}):
        assert count_skipped([{"left_out": told}, {}]) == ""
    said = count_skipped([{"left_out": {"\x1b[2Ja": {"b\u202e": "c" * 5000}}}])
    assert said.isprintable() and len(said) < 1000 and said.startswith("1 picture could")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_trainer_warns_and_stops_of_what_all_processes_have_missed(workers: int, spec: str, tmp_path: Path) -> None:
    """Also of what was missed before it was left."""
    limit = 4.5 / COUNT  # the fifth ends it
    changed = config(spec, **{"data.workers": workers, "data.unreadable": limit})
    seen: list[dict] = []
    with pytest.warns(UserWarning, match=r"cannot be used so far") as warned, pytest.raises(ConfigError) as error:
        for record in pretrain(changed, tmp_path / "runs"):
            seen.append(record)
    told = [str(w.message) for w in warned if "so far" in str(w.message)]
    assert [next(n for n in (1, 2, 4) if f": {n} of 40 pictures" in said) for said in told] == [1, 2, 4]
    told_last = "5 of 40 pictures cannot be used, more than data.unreadable = 0.1125 allows: captions.csv:"
    assert told_last in str(error.value)
    assert "\n" not in str(error.value) and max((r.get("skipped", 0) for r in seen), default=0) <= 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ConfigError, match=r"5 of 40 pictures cannot be used.*raise data.unreadable, or mend them"):
            list(pretrain(changed, tmp_path / "runs"))
        more = changed.replace({"data.unreadable": 0.5})
        goes_on = list(pretrain(more, tmp_path / "runs"))
        assert goes_on[0]["step"] == len(seen) and goes_on[-1]["skipped"] >= 5
        assert Run.open(Run.of(more, tmp_path / "runs").folder).config == more, "and so it is evaluated"


def test_what_regions_cannot_use_other_streams_can(tmp_path: Path, quiet) -> None:
    """And whether a process has met it as a region before changes nothing: a resume is exact. Nothing is wrong with a
    picture whose box the middle square hides, so it is none of those left out."""
    rows = [f'{name},,thing {i},"0, 0, 4, 4"' for i, name in enumerate(photographs(tmp_path, 20))]  # left of the square
    rows[4:] = [row.replace('"0, 0, 4, 4"', '"20, 10, 9, 9"') for row in rows[4:]]
    made = table(tmp_path, rows, "image,caption,phrase,box")
    met, fresh = FileSource(made, 48, 0.5), FileSource(made, 48, 0.5)
    keys = [ItemKey("train", 0, step, i) for step in range(4) for i in range(16)]
    first = [met.regions(key) for key in keys]
    assert all((met.image(key) == fresh.image(key)).all() for key in keys)
    assert all((met.regions(key).image == before.image).all() for key, before in zip(keys, first, strict=True))
    shown = {region.text for example in first for region in example.regions}
    assert len(shown) > 5 and not shown & {f"thing {i}" for i in range(4)}
    assert met.missed() == met.skipped == {}


def test_a_source_without_faults_has_nothing_to_tell_and_one_with_tells_again(tmp_path: Path, quiet) -> None:
    """What is known to be unreadable is told by the process that meets it next: another one counts."""
    spec = captions(tmp_path / "data", 20)
    keys = [ItemKey("train", 0, step, i) for step in range(4) for i in range(16)]
    data = dataset(config(spec, **{"data.sources": [spec, "openmoji"]}))
    for source in data.sources:
        source.pair(keys[0])
    assert data.missed() == {} and data.skipped == {spec: {}}
    for i in range(4):
        (tmp_path / f"data/{i}.png").write_bytes(b"no picture %d" % i)
    source = FileSource(spec, 48, 0.5)
    for _ in range(2):
        for key in keys:
            source.pair(key)
        assert source.missed() == source.skipped != {}
