"""The explorable and the page that learns: numbers are their studies', and the page computes what PyTorch does."""

from __future__ import annotations

import base64
import json
import re
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import javascript
import make_explorable
import make_watched_runs
import numpy as np
import pytest
import torch
from learning_twin import FUSED, Twin
from page import DECODE, sent

import xfm
from xfm.cli import main
from xfm_widgets import site
from xfm_widgets.learning_page import drawings
from xfm_widgets.page_model import page_model

ROOT = Path(__file__).resolve().parents[2]
STORY: dict[str, Any] = json.loads(site.NUMBERS.read_text("utf-8"))
FIRST_SCREEN = 1_500_000  # bytes


def test_the_watched_runs_differ_by_the_stop_alone_and_the_stop_stops_it() -> None:
    committed = json.loads((ROOT / "studies" / "watched_runs.json").read_text("utf-8"))["arms"]
    configs = make_watched_runs.configs()
    stopped, free = (configs[arm].replace({"name": "pair"}) for arm in ("xfm", "no stop"))
    assert stopped != free and stopped.replace({"flow": free.flow}) == free
    assert {run["seed"] for run in committed.values()} == {STORY["watched"]["seed"]}
    for probe, loss in product(committed["xfm"]["probes"], ("itm", "imlm", "bbp")):
        assert not any(norm for name, norm in probe["norm"].get(loss, {}).items() if name.startswith("language"))


@pytest.mark.full
def test_the_committed_numbers_are_what_the_script_writes_of_the_studies() -> None:
    assert json.loads(json.dumps(make_explorable.numbers())) == STORY
    for effect in STORY["effects"]:
        assert effect["effect"] == pytest.approx(fmean(ours - theirs for _, ours, theirs in effect["seeds"]))
        assert len(effect["seeds"]) == effect["n"] == 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@pytest.fixture(scope="module")
def story(lab: xfm.Lab) -> dict[str, Any]:
    return site.story_of(lab)


def test_a_removed_object_is_gone_and_nothing_else_changes(story: dict[str, Any], lab: xfm.Lab) -> None:
    scene = story["scene"]
    assert len(lab.tokenizer.encode(scene["caption"], 64)) == len(scene["caption"].split()) + 2, "a piece a word"
    whole = lab.scene(STORY["pair"]["index"], concepts=tuple(STORY["pair"]["concepts"])).image
    assert scene["image"] == whole.tobytes()
    side = len(whole)
    for name, (cx, cy, w, h) in zip(scene["names"], scene["boxes"], strict=True):
        without = np.frombuffer(scene["without"][name]["image"], np.uint8).reshape(whole.shape)
        changed = np.argwhere((without != whole).any(-1)) + 0.5
        low, high = np.array([cy - h / 2, cx - w / 2]) * side - 1, np.array([cy + h / 2, cx + w / 2]) * side + 1
        assert len(changed) and (changed >= low).all() and (changed <= high).all()
        assert lab.inputs(without, scene["caption"]).score() < lab.inputs(whole, scene["caption"]).score()


INNER = Path(__file__).with_name("inner_numbers.js").read_text("utf-8")


def test_a_dot_product_is_what_the_encoder_s_attention_is_made_of(story: dict[str, Any], lab: xfm.Lab) -> None:
    scene = story["scene"]
    payload = sent(page_model(lab.model, lab.tokenizer))
    given = {"payload": payload, "caption": scene["caption"], "image": sent({"weights": scene["image"]})["weights"]}
    worst = javascript.run(DECODE + INNER, given)
    assert {name: len(layers) for name, layers in worst.items()} == {"language": 3, "fusion": 2, "vision": 3}
    assert max(map(max, worst.values())) < 1e-4


# ---- the page that learns: its gradients are torch's, its steps a twin's, and the stop stops what it says
ALL = ("mlm", "mim", "itc", "itm", "imlm", "bbp")
SCRIPT = Path(__file__).with_name("learning_page.js").read_text("utf-8")


def page(ask: str, **data: Any) -> Any:
    return javascript.run(SCRIPT, {"ask": ask, "drawings": drawings(), "seed": 7, **data})


def floats(text: str, shape: Any = -1) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32).reshape(shape)


def settings(losses: tuple[str, ...] = ALL, stopped: bool = True, guidance: str = "self") -> dict[str, Any]:
    return {"losses": losses, "isStopped": stopped, "guidance": guidance}


def equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Gradients of all parameters, or none, within 1e-4 of each parameter's largest."""
    for name, gradient in expected.items():
        assert (found[name] is None) == (gradient is None), name
        if gradient is not None:
            most = 1e-4 * np.abs(gradient).max() + 1e-7
            np.testing.assert_allclose(floats(found[name], gradient.shape), gradient, 0, most, err_msg=name)


def test_a_step_draws_what_the_twin_draws() -> None:
    found, twin = page("draws"), Twin([], drawings(), 7)
    twin.done = 3
    batch = twin.batch()
    np.testing.assert_array_equal(floats(found["pixels"], (16, 16, 192)), batch["pixels"].numpy())
    np.testing.assert_array_equal(floats(found["boxes"], (-1, 4)), batch["boxes"].numpy())
    assert found["items"] == batch["items"]
    for name in ("captions", "phrases"):
        assert found[name] == batch[name].ravel().tolist()
    assert found["hidden"] == np.flatnonzero(batch["hidden"].numpy()).tolist()
    for name in ("masked", "texts"):
        assert found[name]["ids"] == batch[name][0].ravel().tolist()
        assert found[name]["places"] == batch[name][1].tolist()


@pytest.mark.parametrize("guidance", ["self", "pixels"])
def test_every_losss_gradient_is_torchs(guidance: str) -> None:
    found = page("gradients", settings=settings(guidance=guidance))
    twin = Twin(found["specs"], drawings(), 7)
    losses = twin.losses(False, guidance)
    for name, loss in losses.items():
        assert found["losses"][name] == pytest.approx(loss.item(), abs=1e-5)
        equal(found["each"][name], twin.gradients(loss))
    equal(found["each"]["itm+imlm"], twin.gradients(losses["itm"] + losses["imlm"]))
    equal(found["joint"], twin.gradients(torch.stack([*twin.losses(True, guidance).values()]).sum()))


@pytest.mark.parametrize("stopped, guidance", [(True, "self"), (False, "pixels"), (True, "frozen")])
def test_the_first_ten_steps_are_the_twins(stopped: bool, guidance: str) -> None:
    chosen = settings(stopped=stopped, guidance=guidance)
    found = page("steps", settings=chosen)
    twin = Twin(found["specs"], drawings(), 7)
    for step in found["steps"]:
        assert step["losses"] == pytest.approx(twin.step(stopped, guidance, ALL), abs=1e-4)
    for name, weights in twin.p.items():
        expected = weights.detach().numpy()
        np.testing.assert_allclose(floats(found["weights"][name], expected.shape), expected, 0, 1e-4, err_msg=name)


def test_the_stop_keeps_fusion_losses_out_of_the_language_encoder() -> None:
    for name, (stopped, opened) in page("stop", fused=FUSED).items():
        language = [p for p in stopped["joint"] if p.startswith("language.")]
        assert all(stopped["joint"][p] is None for p in language), "no path"
        assert any(np.abs(floats(stopped["each"][p])).max() > 1e-3 for p in language), f"{name}, measured"
        assert stopped["each"] == opened["each"] == opened["joint"]
        others = {p: g for p, g in opened["joint"].items() if p not in language}
        assert others == {p: g for p, g in stopped["joint"].items() if p not in language}


def test_what_no_gradient_reaches_does_not_move() -> None:
    """Adam's averages alone would move it."""
    found = page("steps", settings=settings(("itm", "imlm", "mim")), first=["mlm"])
    still = {name for name, weights in found["weights"].items() if weights == found["before"][name]}
    assert still >= {n for n, *_ in found["specs"] if n.startswith(("language.", "mlm.", "itc.", "bbp."))}
    assert not any(n.startswith(("fusion.", "vision.0.", "itm.")) for n in still)
