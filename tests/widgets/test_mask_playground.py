"""The mask playground: what is asked when, what a random mask is, and what failing or partial answers leave."""

from pathlib import Path
from typing import Any

import numpy as np
import offline_pages
import pytest
from explain.conftest import CONFIG, SCENE, TOKENIZER

import xfm_widgets as xw
from xfm.config import ConfigError, MaskConfig
from xfm.explain.mask_predictions import masked_predictor
from xfm.explain.token_axes import TokenAxis

WORDS = TokenAxis(("<s>", "a", "lion", "here", "</s>"), (-1, 0, 1, 2, -1), ("a", "lion", "here"))
IMAGE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


class Predict:
    """Remembers what it was asked."""

    def __init__(self, **changes: Any):
        self.asked: list[tuple[list[int], list[int]]] = []
        self.changes = changes

    def __call__(self, patches: np.ndarray, pieces: np.ndarray) -> dict[str, Any]:
        self.asked.append((np.flatnonzero(patches).tolist(), np.flatnonzero(pieces).tolist()))
        beside = {"guesses": [("lion", 0.9), ("cat", 0.1)], "truth": 0.9}
        one = {"with": beside, "without": None}
        words = [{"place": int(i), "piece": WORDS.pieces[i]} | one for i in np.flatnonzero(pieces)]
        agreement = np.where(patches, 0.5 * np.arange(4), np.nan)
        pixels = np.zeros((4, 48))
        pixels[1, 16 * 1 + 4 * 2 + 3] = 9.0  # of the second patch green, row 2, column 3
        return {"words": words, "agreement": agreement, "pixels": pixels, "target": "outputs"} | self.changes


def test_each_mask_is_asked_once_and_the_answer_is_of_it():
    predict = Predict()
    view = xw.MaskPlayground(IMAGE, WORDS, 2, predict)
    view.hidden_patches = [1, 2]
    view.hidden_pieces = [2]
    assert predict.asked == [([], []), ([1, 2], []), ([1, 2], [2])]
    assert view.answer["of"] == {"patches": [1, 2], "pieces": [2]}
    sent = np.frombuffer(view.answer["agreement"], "<f4")
    assert sent[1:3].tolist() == [0.5, 1.0] and np.isnan(sent[[0, 3]]).all()
    picture = np.frombuffer(view.pixels, np.uint8).reshape(8, 8, 3)
    assert np.argwhere(picture == 255).tolist() == [[2, 7, 1]] and (picture == 127).sum() == 8 * 8 * 3 - 1
    table = view.data()
    guess = table.query("part == 'word piece'").iloc[0]
    assert guess[["piece", "guess", "rank", "probability", "picture"]].tolist() == ["lion", "lion", 1, 0.9, True]
    assert table.query("part == 'patch'")["agreement"].tolist() == [0.5, 1.0]
    assert view.figure().texts[0].get_text() == "2 of 4 patches and 1 word piece hidden"


def test_a_random_mask_hides_as_pretraining_does_and_asks_once():
    predict = Predict()
    view = xw.MaskPlayground(IMAGE, WORDS, 2, predict, MaskConfig(image_patches=3, smallest_block=1, caption_share=0.4))
    view.hide_at_random(5)
    assert len(view.hidden_patches) == 3 and len(view.hidden_pieces) == 2 and len(predict.asked) == 2
    assert not {0, 4} & set(view.hidden_pieces)
    drawn = [(view.hidden_patches, view.hidden_pieces)]
    view.hidden_patches, view.hidden_pieces = [], []
    assert view.answer["words"] == []
    for seed in (5, *[None] * 8):
        view.hide_at_random(seed)
        drawn.append((view.hidden_patches, view.hidden_pieces))
    assert drawn[0] == drawn[1] and any(one != drawn[0] for one in drawn[2:])
    assert xw.MaskPlayground(np.zeros((140, 140, 3), np.uint8), WORDS, 14, None)._mask.image_patches == 75


def test_what_fails_or_is_not_given_is_said(tmp_path: Path):
    wrong = xw.MaskPlayground(IMAGE, WORDS, 2, Predict(agreement=np.zeros(9)))
    assert "agreement.shape = (9,): must be (4,)" in wrong.message
    alone = xw.MaskPlayground(IMAGE, TokenAxis(("x",), (0,), ("x",)), 1, None)
    alone.hide_at_random()
    assert "predict" in alone.message and alone.hidden_patches == [0] and alone.hidden_pieces == []
    alone.to_html(tmp_path / "a.html")
    with pytest.raises(ConfigError, match="3 patches a side"):
        xw.MaskPlayground(IMAGE, WORDS, 3, None)


def test_of_a_model_it_shows_its_guesses_in_a_given_sentence_and_in_the_readers(model, tmp_path: Path):
    view = xw.MaskPlayground.of(model, TOKENIZER, SCENE.image, SCENE.caption.text, CONFIG.data.mask)
    given = view.drawn["pieces"]
    view.hide_at_random(0)
    assert len(view.hidden_patches) == CONFIG.data.mask.image_patches
    assert_it_guesses(view, masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text))
    page = view.to_html(tmp_path / "a.html").read_text("utf-8")
    assert offline_pages.state(page)["answer"]["of"] == {"patches": view.hidden_patches, "pieces": view.hidden_pieces}
    assert len(page.encode()) < 140_000 + 3 * len(SCENE.image.tobytes())
    view.typed = "a red car"
    assert view.drawn["pieces"] != given and len(view.drawn["owner"]) == len(view.drawn["pieces"])
    assert view.hidden_pieces == []
    view.hidden_pieces = [2]
    assert_it_guesses(view, masked_predictor(model, TOKENIZER, SCENE.image, "a red car"))
    view.typed = "very " * 200
    assert "must be of at most" in view.message or "tokens" in view.message
    view.typed = ""
    assert view.drawn["pieces"] == given and view.message == ""
    view.show(np.full((90, 60, 3), 77, np.uint8))
    assert view.credit == "" and view.drawn["pieces"] == given and view.drawn["crisp"], "its square, at a screen's size"
    alone = xw.MaskPlayground(IMAGE, WORDS, 2, Predict())
    alone.typed = "a lion"
    assert "has no model. Make it with MaskPlayground.of(...)" in alone.message


def assert_it_guesses(view: xw.MaskPlayground, predict: Any) -> None:
    expected = predict(*view.hidden())
    np.testing.assert_allclose(np.frombuffer(view.answer["agreement"], "<f4"), expected["agreement"], rtol=1e-5)
    assert [word["place"] for word in view.answer["words"]] == view.hidden_pieces
    found, asked = view.answer["words"][0], expected["words"][0]
    assert found["piece"] == asked["piece"] and found["with"]["truth"] == pytest.approx(asked["with"]["truth"])
