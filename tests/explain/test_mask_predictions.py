"""Predictions for masked words and patches against the losses of a training batch with the same mask."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explain.conftest import CONFIG, SCENE, TOKENIZER

from xfm.base.fields import ConfigError
from xfm.config import RunConfig
from xfm.explain.mask_predictions import masked_predictor
from xfm.flow import Flow
from xfm.model import XFM
from xfm.model.batch import Images, Pairs, Texts, TokenBatch
from xfm.objectives import build

PATCHES = CONFIG.model.vision.patches
IDS = TOKENIZER.encode(SCENE.caption.text, 999)
HIDDEN = np.arange(PATCHES) % 3 == 0
PLACES = [2, len(IDS) - 2]
PIECES = np.isin(np.arange(len(IDS)), PLACES)
NOTHING = np.zeros(PATCHES, bool), np.zeros(len(IDS), bool)


def made(config: RunConfig = CONFIG) -> XFM:
    model = build(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 2 and "positions" not in name:
                p.mul_(2)
    return model.train()


def flow(model: XFM, config: RunConfig, kind: type, patches: np.ndarray = HIDDEN) -> Flow:
    ids, at = torch.tensor([IDS]), torch.tensor([PLACES])
    masked = ids.index_fill(1, at[0], TOKENIZER.mask_id)
    words = TokenBatch(ids, torch.ones_like(ids, dtype=torch.bool), masked, at, ids[:, at[0]])
    image = torch.from_numpy(SCENE.image.copy()).permute(2, 0, 1)[None]
    mask = torch.from_numpy(patches)[None]
    batch = {Pairs: Pairs(image, words, mask), Texts: Texts(words), Images: Images(image, mask)}[kind]
    objective = {Pairs: "imlm", Texts: "mlm", Images: "mim"}[kind]
    return Flow(model.eval(), batch, config.flow, (objective,), (0,))


def test_guesses_have_the_losses_of_imlm_and_mlm():
    model = made()
    answer = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)(NOTHING[0], PIECES)
    assert model.training and model.text.dropout.training  # modes are left as they were
    assert [w["place"] for w in answer["words"]] == PLACES
    assert [w["piece"] for w in answer["words"]] == [TOKENIZER.decode([IDS[p]]) for p in PLACES]
    for side, objective, kind in (("with", "imlm", Pairs), ("without", "mlm", Texts)):
        loss = model.objectives[objective](flow(model, CONFIG, kind)).loss.item()
        assert -np.log([w[side]["truth"] for w in answer["words"]]).mean() == pytest.approx(loss, rel=1e-4)
    hidden = flow(model, CONFIG, Texts).masked_text[0, PLACES[0]]
    likely = model.objectives["mlm"].head(hidden, model.text.word.weight).softmax(-1)  # type: ignore[operator]
    best = likely.argsort(descending=True)[:5].tolist()
    found = answer["words"][0]["without"]["guesses"]
    assert [p for _, p in found] == pytest.approx(likely[best].tolist(), rel=1e-4)
    assert found[0][0] == (TOKENIZER.decode(best[:1]) or TOKENIZER.backend.id_to_token(best[0]))


def test_the_picture_is_seen_as_it_is_shown():
    model = made()
    predict = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)
    seen, unseen = predict(NOTHING[0], PIECES)["words"][0], predict(~NOTHING[0], PIECES)["words"][0]
    assert seen["without"] == unseen["without"] and seen["with"]["truth"] != unseen["with"]["truth"]
    ends = predict(NOTHING[0], ~NOTHING[1])
    assert [w["place"] for w in ends["words"]] == [*range(1, len(IDS) - 1)]  # <s> and </s> stay
    assert predict(*NOTHING)["words"] == []


@pytest.mark.parametrize("target", ["self", "pixels"])
def test_agreement_is_with_what_mim_must_predict(target):
    config = CONFIG.replace({"flow.mim_target": target})
    model = made(config)
    answer = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)(HIDDEN, NOTHING[1])
    own = flow(model, config, Images)
    predicted = model.objectives["mim"].head(own.masked_patches)[0]  # type: ignore[operator]
    expected = F.cosine_similarity(predicted, own.mim_target.patches[0], dim=-1).detach().numpy()
    np.testing.assert_allclose(answer["agreement"][HIDDEN], expected[HIDDEN], rtol=1e-4, atol=1e-5)
    assert np.isnan(answer["agreement"][~HIDDEN]).all()
    assert answer["target"] == {"self": "outputs", "pixels": "pixels"}[target]
    pixels = replace(own, config=CONFIG.replace({"flow.mim_target": "pixels"}).flow).mim_target.patches[0]
    np.testing.assert_allclose(answer["pixels"], pixels.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_without_a_head_or_with_anothers_target_says_so():
    model = made()
    del model.objectives["imlm"]
    model.objectives["mim"].head = torch.nn.Linear(CONFIG.model.vision.width, 7)
    answer = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)(HIDDEN, PIECES)
    assert answer["agreement"] is None and answer["target"] is None
    assert answer["words"][0]["with"] is None and answer["words"][0]["without"]["truth"] > 0
    with pytest.raises(ConfigError, match=r"image = 'cat.png': no such file"):
        masked_predictor(model, TOKENIZER, "cat.png", SCENE.caption.text)
