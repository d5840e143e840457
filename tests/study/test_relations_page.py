"""studies/relations/README.md says what its table has."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from xfm.study import Study
from xfm.study.statistics import mean_interval

from .conftest import told

FOLDER = Path(__file__).parents[2] / "studies" / "relations"
PAGE = " ".join((FOLDER / "README.md").read_text("utf-8").split())
EVERY = pd.read_csv(FOLDER / "results.csv").fillna({"encoder": "", "position": ""})
TABLE = EVERY[EVERY["run"] == "demo"]
SAID = [  # condition, encoder, layer, position; with its interval or not
    ("right picture", "", -1, "", True, "forced choice"),
    ("another picture", "", -1, "", False, "forced choice"),
    ("no picture", "", -1, "", False, "forced choice"),
    ("mirrored picture, of what it shows", "", -1, "", True, "forced choice"),
    ("subject alone", "", -1, "", True, "forced choice"),
    ("object alone", "", -1, "", False, "forced choice"),
    ("the subject's half, no model", "", -1, "", False, "forced choice"),
    ("right picture", "", -1, "", True, "accuracy"),
    ("wrong picture", "", -1, "", False, "accuracy"),
    ("most frequent of its length, no model", "", -1, "", True, "accuracy"),
    ("phrases with a relation", "", -1, "", False, "share"),
    ("phrases with a place", "", -1, "", False, "share"),
    ("relation", "vision", 3, "all patches", True, "accuracy"),
    ("relation", "fusion", 1, "mask", True, "accuracy"),
    ("relation", "fusion", 2, "mask", True, "accuracy"),
    ("relation", "fusion", 1, "<s>", True, "accuracy"),
    ("relation", "fusion", 2, "<s>", True, "accuracy"),
    ("relation, untrained", "fusion", 1, "<s>", False, "accuracy"),
    ("relation, untrained", "fusion", 2, "<s>", False, "accuracy"),
    ("control", "fusion", 2, "mask", False, "accuracy"),
    ("control, untrained", "fusion", 2, "mask", False, "accuracy"),
    ("fit", "fusion", 2, "<s>", True, "accuracy"),
    ("fit", "fusion", 2, "relation word", False, "accuracy"),
    ("fit", "fusion", 2, "all tokens", True, "accuracy"),
    ("linear head", "fusion", 2, "<s>", False, "accuracy"),
    ("MLP head", "fusion", 2, "<s>", True, "accuracy"),
    ("linear head", "fusion", 2, "relation word", False, "accuracy"),
    ("MLP head", "fusion", 2, "relation word", False, "accuracy"),
    ("linear head", "fusion", 2, "all tokens", True, "accuracy"),
    ("MLP head", "fusion", 2, "all tokens", True, "accuracy"),
    ("linear head, untrained", "fusion", 2, "all tokens", False, "accuracy"),
    ("MLP head, untrained", "fusion", 2, "all tokens", False, "accuracy"),
    ("ITM as it is, caption", "", -1, "", True, "accuracy"),
    ("restored", "language", 3, "relation", True, "share"),
    ("restored", "language", 3, "<s>", True, "share"),
    ("restored", "fusion", 1, "relation", True, "share"),
    ("restored", "fusion", 1, "<s>", True, "share"),
    ("restored", "fusion", 1, "other words", False, "share"),
]


@pytest.mark.parametrize(("condition", "encoder", "layer", "position", "interval", "metric"), SAID)
def test_the_page_has_the_table_s_numbers(condition, encoder, layer, position, interval, metric) -> None:
    keys = {"condition": condition, "encoder": encoder, "layer": layer, "position": position, "metric": metric}
    (row,) = TABLE[(TABLE[list(keys)] == pd.Series(keys)).all(axis=1)].itertuples()
    said = f"{100 * row.value:.1f} %" + (f" [{100 * row.low:.1f}, {100 * row.high:.1f}]" if interval else "")
    assert said.replace("-", "−") in PAGE


def test_the_vision_encoder_has_the_relation_at_every_layer() -> None:
    boxes = TABLE[(TABLE["position"] == "both boxes") & TABLE["condition"].str.startswith("relation")]
    assert len(boxes) == 8 and (boxes["value"] > 0.9995).all() and "100.0 % at every layer" in PAGE


WITH = EVERY[EVERY["run"].str.contains("/") & (EVERY["split"] == "test")]  # the runs of `negatives`
CHOSEN = ("ITM as it is, caption", "")


def of_runs(share: float, condition: str, position: str) -> pd.Series:
    """A number of the runs with this share of exchanged relations, by seed, in per cent."""
    place = (WITH["condition"] == condition) & (WITH["position"] == position) & (WITH["relation_negatives"] == share)
    return 100 * WITH[place & WITH["layer"].isin([-1, 2])].set_index("seed")["value"].sort_index()


def over(values: pd.Series) -> tuple[float, float, float]:
    """Mean and t interval over the seeds."""
    assert values.index.tolist() == [*range(100, 112)]
    mean, low, high = mean_interval(values.to_numpy())
    return mean, low, high


def said(values: pd.Series) -> str:
    return "{:.1f} % [{:.1f}, {:.1f}]".format(*over(values))


def differ(one: pd.Series, other: pd.Series, form: str = "{:+.1f} points ({:+.1f} to {:+.1f})") -> str:
    return form.format(*over(one - other)).replace("-", "−")


@pytest.fixture(scope="module")
def negatives() -> pd.DataFrame:
    study = Study.load(FOLDER.parent / "negatives")
    assert not len(study.missing()) and [*study.spec.seeds] == [*range(100, 112)]
    assert study.spec.variants["all"] == {"data.relation_negatives": 1.0}
    config = study.spec.configs["all"]
    joined = config.train.steps - int(config.objectives["itm"].start * config.train.steps)
    stated = TABLE.set_index("condition").loc["captions with a relation", "value"]
    assert joined == 1128 and round(joined * config.data.fusion_batch * stated, -2) == 11400
    assert (
        "11,400 exchanged captions (24 pairs" in PAGE and "42 % of whose captions" in PAGE and f"{stated:.2f}" == "0.42"
    )
    return study.effects().set_index("metric")


def test_the_first_hypothesis_is_not_shown(negatives: pd.DataFrame) -> None:
    taught, plain = (of_runs(share, *CHOSEN) for share in (1, 0))
    assert f"{said(taught)} with them, which passes the 53 %" in PAGE and over(taught)[2] > 53
    assert f"and in {said(plain)} without: a difference of {differ(taught, plain)}" in PAGE and over(plain)[1] > 50
    two, one = (of_runs(share, "ITM as it is, picture", "") for share in (1, 0))
    found = f"{two.mean():.1f} % and {one.mean():.1f} % {differ(two, one, '({:+.1f}, {:.1f} to {:.1f}, uncorrected)')}"
    assert found in PAGE
    asked = negatives.loc["matching (relation exchanged), ITM, accuracy"]
    answers = f"answers {100 * asked['mean']:.1f} % and {100 * asked['mean_against']:.1f} %"
    assert f"{answers} {told(asked, '({:+.1f}, {:.1f} to {:.1f}, uncorrected)')}" in PAGE


def test_the_second_hypothesis_fails(negatives: pd.DataFrame) -> None:
    mean, token = ({share: of_runs(share, "linear head", at) for share in (0, 1)} for at in ("all tokens", "<s>"))
    first = f"finds {said(mean[0])} without such negatives and {mean[1].mean():.1f} % with"
    assert f"{first}, one on `<s>` {token[0].mean():.1f} % and {token[1].mean():.1f} %" in PAGE
    results = " ".join((FOLDER.parents[1] / "docs/results.md").read_text("utf-8").split())
    assert f"in twelve runs of the studies' shorter regime one finds {mean[0].mean():.1f} %" in results
    apart = differ(mean[0], token[0]), differ(mean[1], token[1], "{:+.1f} ({:+.1f} to {:+.1f})")
    assert ": {} and {}.".format(*apart) in PAGE and all(over(mean[s] - token[s])[1] < 0 for s in (0, 1))
    word = {share: of_runs(share, "MLP head", "relation word") for share in (0, 1)}
    empty = of_runs(0, "MLP head, untrained", "relation word").mean()
    assert f"has {said(word[0])} there (untrained {empty:.1f} %), {word[1].mean():.1f} %" in PAGE
    fused = WITH[(WITH["encoder"] == "fusion") & (WITH["layer"] == 2) & (WITH["part"] == "probe")]
    probe, untrained = (
        100
        * fused.query("condition == @of and position == '<s>' and relation_negatives == 0").set_index("seed")["value"]
        for of in ("relation", "relation, untrained")
    )
    assert f"masked relation has {said(probe)} at `<s>` (untrained {untrained.mean():.1f} %)" in PAGE


def test_the_third_hypothesis_holds_and_the_price_is_what_the_study_measured(negatives: pd.DataFrame) -> None:
    ranked = negatives.loc["image to text, ITM re-ranked, R@1"]
    assert ranked["verdict"] == "worse" and f"to {100 * ranked['mean']:.1f} %; names" in PAGE
    assert told(ranked, "falls by {:.2f} points ({:.2f} to {:.2f}, Holm <holm>)", sign=-1) in PAGE
    names = negatives.loc["matching (name exchanged), ITM, accuracy"]
    levels = f"noticed in {100 * names['mean']:.1f} % instead of {100 * names['mean_against']:.1f} %"
    fall = told(names, "{:.1f} points, {:.1f} to {:.1f}", sign=-1)
    assert f"{levels} (uncorrected −{fall})" in PAGE
    loss = negatives.loc["validation/pairs/itm"]
    assert f"{loss['mean']:.3f} nats where without them it is {loss['mean_against']:.3f}" in PAGE
    same = ("language, loss (nats)", "naming, accuracy", "image to text, ITC, R@1", "text to image, ITC, R@1")
    assert (negatives.loc[[*same], "verdict"] == "no difference shown").all()


def test_the_notebook_says_what_the_runs_have(negatives: pd.DataFrame) -> None:
    text = (FOLDER.parents[1] / "notebooks/12_relations.ipynb").read_text("utf-8")
    head = {(at, share): of_runs(share, "linear head", at).mean() for at in ("all tokens", "<s>") for share in (0, 1)}
    assert [round(head["all tokens", 0]), round(head["<s>", 0])] == [52, 51] and "head finds 52 %" in text
    assert round(of_runs(0, "MLP head", "relation word").mean()) == 61 and "relation, 61 %" in text
    asked = [*CHOSEN], ["ITM as it is, picture", ""], ["MLP head", "<s>"], ["MLP head", "all tokens"]
    most = max(abs(over(of_runs(1, *of) - of_runs(0, *of))[0]) for of in asked)
    evaluated = negatives.loc["matching (relation exchanged), ITM, accuracy", "effect"]
    assert max(most, 100 * evaluated) < 3.005 and "none of it by more than three points" in text
    ranked = negatives.loc["image to text, ITM re-ranked, R@1"]
    assert round(-ranked["effect"] / ranked["mean_against"], 1) == 0.2 and "cost a fifth of what ITM alone" in text


def test_what_was_explored_is_said_as_it_was() -> None:
    runs = EVERY[(EVERY["split"] == "validation") & (EVERY["condition"] == CHOSEN[0])].set_index("relation_negatives")
    half, none = (
        f"{100 * r.value:.1f} % [{100 * r.low:.1f}, {100 * r.high:.1f}]" for r in runs.loc[[0.5, 0.0]].itertuples()
    )
    assert (runs["seed"] == 1).all() and f"first in {half} and in {none} without" in PAGE
    pairs = Study.load(FOLDER.parent / "negatives-exploration").pairs()
    assert {*zip(pairs["variant"], pairs["seed"], strict=True)} == {(v, s) for v in ("half", "all") for s in (0, 1)}
    differences = pairs.groupby("metric")["difference"].apply(list).to_dict()
    assert max(differences["image to text, ITM re-ranked, R@1"]) < -0.05
    assert max(map(abs, differences["matching (relation exchanged), ITM, accuracy"])) < 0.04
