"""The page that learns: every gradient is torch's, its steps are a twin's, and the stop stops what it says."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import javascript
import numpy as np
import pytest
import torch
from learning_twin import FUSED, Twin

from xfm_widgets.learning_page import drawings

ALL = ("mlm", "mim", "itc", "itm", "imlm", "bbp")
SCRIPT = Path(__file__).with_name("learning_page.js").read_text("utf-8")


def page(ask: str, **data: Any) -> Any:
    return javascript.run(SCRIPT, {"ask": ask, "drawings": drawings(), "seed": 7, "plain": False, **data})


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


@pytest.mark.parametrize("plain", [False, True], ids=["WebAssembly", "JavaScript"])
@pytest.mark.parametrize("guidance", ["self", "pixels"])
def test_every_losss_gradient_is_torchs(guidance: str, plain: bool) -> None:
    found = page("gradients", settings=settings(guidance=guidance), plain=plain)
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
    named = {name for name, *_ in found["specs"]}
    assert still >= {n for n in named if n.startswith(("language.", "mlm.", "itc.", "bbp."))}
    assert not still & {n for n in named if n.startswith(("fusion.", "vision.0.", "itm."))}
