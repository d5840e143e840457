"""The views on a model of another library, and whose picture it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xfm_widgets as xw
from xfm.base.fields import ConfigError

TEXT = "a photo of a lion"


@pytest.mark.parametrize("name", ["small-clip", "small-sigmoid", "small-resnet", "hugging face"])
def test_views_of_one_picture(guest: Any, picture: np.ndarray, name: str, tmp_path: Path) -> None:
    lab = guest(name)
    traces = xw.TraceExplorer(lab.trace(picture, TEXT, "itc"), credit="Picture: mine")
    assert traces.message == ""
    for choice, value in (("map", "language"), ("map", "vision"), ("heads", "head"), ("heads", "rollout")):
        setattr(traces, choice, value)
        assert getattr(traces, choice) == value and len(traces.data()) > 0 and traces.figure().axes
    words = [lab.inputs(picture, TEXT), lab.inputs(picture, TEXT, among=["a car", "a dog"])]
    found = xw.AttributionLab.of(words, ["generic attention", "saliency"])
    assert found.message == "" and found.payload["units"] == {"itc": "cosine", "class among 3": "log-probability"}
    word = xw.AttributionLab.of(lab.inputs(picture, TEXT, "word lion"), ["saliency"])
    assert word.payload["units"] == {"itc by lion": "cosine"}
    found.removed_words = [4]
    assert set(found.scores["after"]) == {"itc", "class among 3"} and found.scores["after"] != found.scores["before"]
    for view, credit in ((traces, "Picture: mine"), (found, "")):
        page = view.to_html(tmp_path / "view.html").read_text()
        assert "OpenMoji" not in page and credit in page, "a picture of one's own has a credit of its own"


@pytest.mark.parametrize("name", ["small-sigmoid", "small-convnext", "hugging face"])
def test_retrieval(guest: Any, picture: np.ndarray, name: str) -> None:
    lab = guest(name)
    images, texts = [picture, 255 - picture, picture[::-1]], ["a lion", "a car", "two dogs"]
    pairs = lab.retrieval_set(images, texts)
    expected = [[lab.inputs(image, text).score() for text in texts] for image in images]
    np.testing.assert_allclose(pairs.similarity, expected, atol=1e-5)
    view = xw.RetrievalExplorer(pairs)
    assert len(view.data()) == 3 and view.figure().axes and view.itm() is None
    with pytest.raises(ConfigError, match="texts"):
        lab.retrieval_set(images, texts[:2])


def test_what_is_hidden_is_not_guessed_and_the_view_says_why(guest: Any, picture: np.ndarray) -> None:
    lab = guest("small-clip")
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, picture, TEXT)
    assert "never trained to guess" in view.message and "small-clip" in view.message
    view.hidden_patches = [0, 1]
    assert view.answer["words"] == [] and view.figure().axes
    view._open('{"view": "MaskPlayground", "choices": {"patch": 1}}')
    assert view.patch == 1 and "never trained to guess" in view.message, "that stays true"
