"""Gradient flow's numbers: a probe's record, by encoder, under any share."""

import math

import pytest

import xfm_widgets as xw
from xfm.config import ConfigError, FlowConfig

LANGUAGE = {"language embeddings": 3.0, "language layer 0": 4.0}
RECORD = {"step": 5, "held_back": {"itc": 0.0, "itm": 2.0}, "norm": {
    "mlm": LANGUAGE | {"vision": None, "fusion": None},
    "itc": LANGUAGE | {"vision": 2.0, "fusion": None},
    "itm": {"language embeddings": None, "vision": 1.0, "vision mask token": 0.0, "fusion": 6.0},
    "mim": {"vision": 7.0, "vision mask token": 0.0, "language embeddings": None, "fusion": None},
}}  # fmt: skip


def test_norms_are_those_of_whole_encoders_and_what_was_held_back_is_what_would_flow():
    view = xw.GradientFlow([RECORD])
    assert view.flowing()["mlm"] == {"language": 5.0, "vision": None, "fusion": None}
    assert view.flowing()["itm"] == {"language": None, "vision": 1.0, "fusion": 6.0}
    view.share = 0.25
    assert view.flowing()["itm"]["language"] == pytest.approx(0.5)
    table = view.data().set_index(["objective", "encoder"])["gradient norm, whole"]
    assert table["itm", "language"] == 2.0 and math.isnan(table["mlm", "vision"])


def test_a_dose_that_was_trained_with_is_undone():
    dosed = {"step": 0, "held_back": {"itm": 1.5}, "norm": {"itm": {"language layer 0": 0.5, "fusion": 1.0}}}
    view = xw.GradientFlow([dosed], FlowConfig({"itc": 1.0, "itm": 0.25, "imlm": 0.0, "bbp": 0.0}))
    assert view.share == 0.25 and view.flowing()["itm"]["language"] == pytest.approx(0.5)
    view.share = 1.0
    assert view.flowing()["itm"]["language"] == pytest.approx(2.0)


def test_only_measured_targets_have_numbers():
    view = xw.GradientFlow({"self": [RECORD], "pixels": [RECORD | {"norm": {"mim": {"vision": 9.0}}}]})
    assert view.flowing()["mim"]["vision"] == 7.0
    view.mim_target = "pixels"
    assert view.flowing() == {"mim": {"language": None, "vision": 9.0, "fusion": None}}
    view.mim_target = "frozen"
    assert view.flowing()["mim"]["vision"] is None
    view.figure()
    with pytest.raises(ConfigError, match="there are self, frozen"):
        xw.GradientFlow({"pixel": [RECORD]})


@pytest.mark.parametrize(("reached", "kind"), [
    ({"language layer 0": 1.0}, "text"), ({"vision": 1.0}, "image"), ({"fusion": 1.0}, "fusion"),
    ({"language layer 0": 1.0, "vision": 1.0}, "contrast"),
])  # fmt: skip
def test_a_seventh_loss_is_shown_as_what_its_gradients_say(reached, kind):
    norms = dict.fromkeys(("language layer 0", "vision", "fusion")) | reached
    view = xw.GradientFlow([RECORD, {"step": 6, "norm": {"new": norms}, "held_back": {}}], step=1)
    assert view.objectives == ["mlm", "mim", "itc", "itm", "new"] and list(view.flowing()) == ["new"]
    kinds = [(one["name"], one["kind"]) for one in view.payload["objectives"]]
    assert kinds == [("mlm", "text"), ("mim", "image"), ("itc", "contrast"), ("itm", "fusion"), ("new", kind)]
