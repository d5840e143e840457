"""The explorable: every number is its study's, the folder is complete, and the page computes what PyTorch does."""

from __future__ import annotations

import csv
import json
import math
import re
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import javascript
import make_explorable
import make_watched_runs
import numpy as np
import page_values
import pytest
from page import DECODE, sent

import xfm
from xfm.cli import main
from xfm.study import Study
from xfm_widgets import site
from xfm_widgets.page_model import page_model

ROOT = Path(__file__).resolve().parents[2]
STORY: dict[str, Any] = json.loads(site.NUMBERS.read_text("utf-8"))
FIRST_SCREEN = 1_500_000  # bytes
FLOATS = ("mean", "mean_against", "baseline", "step_0", "effect", "low", "high", "p_holm", "margin", "p_equivalent")


@cache
def effects(study: str) -> Any:
    return Study.load(ROOT / "studies" / study).effects().set_index(["variant", "metric"])


# ---- numbers


@pytest.mark.full
def test_effects_are_rows_of_their_studies_and_their_seeds_are_the_tables() -> None:
    for effect in STORY["effects"]:
        row = effects(effect["study"]).loc[(effect["arm"], effect["metric"])]
        for name in FLOATS:
            expected = float(row[name])
            assert effect[name] == (pytest.approx(expected) if math.isfinite(expected) else None), name
        family = page_values.family().get((effect["arm"], effect["metric"])) if row["role"] == "primary" else None
        assert effect["p_family"] == (pytest.approx(family) if family is not None else None)
        assert all(effect[name] == row[name] for name in ("baseline_name", "verdict", "better", "unit"))
        with open(ROOT / "studies" / effect["study"] / "results.csv", encoding="utf-8", newline="") as file:
            runs = {(r["variant"], r["seed"]): r for r in csv.DictReader(file) if not r["level"]}
        assert len(effect["seeds"]) == effect["n"] == 12
        for seed, *values in effect["seeds"]:
            found = [runs[variant, str(int(seed))][effect["metric"]] for variant in (effect["arm"], "xfm")]
            assert values == pytest.approx([float(cell) for cell in found])
        assert effect["effect"] == pytest.approx(fmean(ours - theirs for _, ours, theirs in effect["seeds"]))


def test_the_watched_runs_are_the_committed_ones_and_differ_by_the_stop_alone() -> None:
    committed = json.loads((ROOT / "studies" / "watched_runs.json").read_text("utf-8"))["arms"]
    shown, configs = STORY["watched"], make_watched_runs.configs()
    assert {*shown["arms"]} == {*committed} == {*configs}
    stopped, free = (configs[arm].replace({"name": "pair"}) for arm in ("xfm", "no stop"))
    assert stopped != free and stopped.replace({"flow": free.flow}) == free
    for loss, begin in {"itm": "joins", "imlm": "joins", "bbp": "joins", "mim": "guided"}.items():
        assert stopped.objectives[loss].start == shown[begin] / stopped.train.steps
    assert shown["of"] == stopped.train.steps >= max(shown["steps"])
    for arm, run in committed.items():
        assert run["seed"] == shown["seed"] and [one["step"] for one in run["probes"]] == shown["steps"]
        for name in ("language", "boxes"):
            assert shown["arms"][arm][name] == [one[name] for one in run["measured"]]
            assert all(low <= mean <= high for mean, low, high in shown["arms"][arm][name])
    for probe in committed["xfm"]["probes"]:
        for loss in ("itm", "imlm", "bbp"):
            norms = probe["norm"].get(loss, {})
            assert not any(norms[module] for module in norms if module.startswith("language")), "the stop stops it"
    assert {len(cosines) for maps in shown["guidance"].values() for cosines in maps} == {36}


@pytest.mark.full
def test_the_committed_numbers_are_what_the_script_writes() -> None:
    assert json.loads(json.dumps(make_explorable.numbers())) == STORY


# ---- the folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `xfm site --no-open` writes it."""
    path = tmp_path_factory.mktemp("site") / "class"
    main(["site", "--no-open", str(path)])
    return path


def test_the_command_prints_the_link_and_opens_no_browser(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open_new_tab", opened.append)
    monkeypatch.setattr(site, "write_site", lambda path: folder / "index.html")
    main(["site", "--no-open", str(tmp_path)])
    link = capsys.readouterr().out.strip()
    assert link == (folder / "index.html").as_uri() and not opened
    main(["site", str(tmp_path)])
    assert opened == [link]


def test_the_first_screen_is_light_and_its_policy_names_its_one_script_and_style(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"index.html", "learn.html", "model.js"}
    page, model = ((folder / name).read_text("utf-8") for name in ("index.html", "model.js"))
    assert len(page.encode()) <= FIRST_SCREEN < len(model.encode()), "the weights are not in the first screen"
    assert model.startswith("xfmModel({") and "model.js" in page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    for tag, head in (("style", "<style>"), ("script", '<script type="module">')):
        (content,) = re.findall(f"{head}(.*?)</{tag}>", page, re.S)
        assert f"{tag}-src '{site.digest(content)}'" in policy
    assert "unsafe-inline" not in policy and "unsafe-eval'" not in policy.replace("wasm-unsafe-eval'", "")
    assert not re.search(r"(?:src|href)=[\"']?https?:", page)


# ---- what the page computes


@pytest.fixture(scope="module")
def story(lab: xfm.Lab) -> dict[str, Any]:
    return site.story_of(lab)


def test_every_word_of_the_caption_is_one_piece(story: dict[str, Any], lab: xfm.Lab) -> None:
    caption = story["scene"]["caption"]
    assert caption == STORY["pair"]["caption"]
    assert len(lab.tokenizer.encode(caption, 64)) == len(caption.split()) + 2 == len(STORY["pair"]["unigram"])


def test_a_removed_object_is_gone_and_nothing_else_changes(story: dict[str, Any], lab: xfm.Lab) -> None:
    scene = story["scene"]
    whole = lab.scene(STORY["pair"]["index"], concepts=tuple(STORY["pair"]["concepts"])).image
    assert scene["image"] == whole.tobytes()
    side = len(whole)
    for name, (cx, cy, w, h) in zip(scene["names"], scene["boxes"], strict=True):
        without = np.frombuffer(scene["without"][name]["image"], np.uint8).reshape(whole.shape)
        changed = np.argwhere((without != whole).any(-1)) + 0.5
        assert len(changed) > 0
        low, high = np.array([cy - h / 2, cx - w / 2]) * side - 1, np.array([cy + h / 2, cx + w / 2]) * side + 1
        assert (changed >= low).all() and (changed <= high).all()
        assert lab.inputs(without, scene["caption"]).score() < lab.inputs(whole, scene["caption"]).score()


INNER = Path(__file__).with_name("inner_numbers.js").read_text("utf-8")


def test_a_dot_product_is_what_the_encoder_s_attention_is_made_of(story: dict[str, Any], lab: xfm.Lab) -> None:
    scene = story["scene"]
    payload = sent(page_model(lab.model, lab.tokenizer))
    given = {"payload": payload, "caption": scene["caption"], "image": sent({"weights": scene["image"]})["weights"]}
    worst = javascript.run(DECODE + INNER, given)
    assert {name: len(layers) for name, layers in worst.items()} == {"language": 3, "fusion": 2, "vision": 3}
    assert max(map(max, worst.values())) < 1e-4
