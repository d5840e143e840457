"""Where relations are lost: questions by the scenes' truth, and measures against loops and planted answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from relations import Row, Sizes, draw_questions, masked, measure_relations, pictures, probes
from relations.patched_relations import patching_rows
from relations.relation_questions import Question
from relations.states import layer_states

from xfm import plots
from xfm.data.world.grammar import is_true
from xfm.model import ImageTokens
from xfm.tasks import EvalContext


@pytest.fixture(scope="module")
def questions(model, config, tokenizer) -> list[Question]:
    return draw_questions(EvalContext(model, config, tokenizer), "test", 24)


def test_captions_are_true_and_false_and_of_the_mirrored_picture_the_other_way(context, questions) -> None:
    decode, mask = context.tokenizer.decode, context.tokenizer.mask_id
    for q, other in zip(questions, pictures(context, questions, "mirrored"), strict=True):
        assert is_true(q.scene.caption, q.scene.objects) and not is_true(q.exchanged, q.scene.objects)
        assert is_true(q.exchanged, other.objects) and not is_true(q.scene.caption, other.objects)
        moved = "y" if q.axis == "horizontal" else "x"
        for before, after in zip(q.scene.objects, other.objects, strict=True):
            assert getattr(before, moved) == getattr(after, moved) and before.name == after.name
        (true, false), (subject, object_) = q.ids, q.things
        words = {name: decode([true[i] for i in places]) for name, places in q.spans.items()}
        assert words == {"subject": subject.name, "relation": q.scene.caption.relations[0].word, "object": object_.name}
        assert len(true) == len(false) and true[: q.place] == false[: q.place] and true[q.place] != false[q.place]
        for i in range(len(true)):
            assert q.masked[i] == (mask if i in q.spans["relation"] else true[i])
            assert true[i] == false[i] or i in q.spans["relation"]
    assert pd.Series([(q.axis, q.label) for q in questions]).value_counts().tolist() == [6] * 4


def test_the_lead_of_the_true_relation_is_a_loop(context: EvalContext, questions: list[Question]) -> None:
    found = masked.relation_lead(context, questions, pictures(context, questions, "right"))
    for q, value in zip(questions, found, strict=True):
        mask = torch.ones(1, len(q.masked), dtype=torch.bool)
        image = ImageTokens.of_pictures(context.patch_states([q.scene]))
        fused = context.model.fusion(context.model.text(torch.tensor([q.masked]), mask), mask, image, torch.tensor([0]))
        logits = context.model.objectives["imlm"].logits(fused[0]).double().log_softmax(-1)
        expected = sum(logits[i, q.ids[0][i]] - logits[i, q.ids[1][i]] for i in q.spans["relation"])
        assert value == pytest.approx(float(expected), abs=2e-5)


def test_states_are_those_of_the_encoders_and_a_probe_finds_what_is_planted(context, questions) -> None:
    ids, scenes, every = [q.masked for q in questions], [q.scene for q in questions], torch.arange(len(questions))
    states, model = layer_states(context, scenes, ids), context.model
    assert [len(states[name]) for name in ("vision", "language", "fusion")] == [3, 3, 2]  # and what enters each
    torch.testing.assert_close(model.vision.norm(states["vision"][-1]), context.patch_states(scenes))
    text, mask = context.text_states(ids)
    torch.testing.assert_close(states["language"][-1][mask], text[mask])
    assert torch.equal(states["fusion"][0], states["language"][-1])
    fused = context.fuse(ids, scenes, every, every, lambda hidden, _: hidden[:, 0])
    torch.testing.assert_close(states["fusion"][-1][:, 0], fused)
    sign = torch.tensor([(1.0 - 2 * q.label) * (1.0 if q.axis == "vertical" else -1.0) for q in questions])
    planted = torch.cat([torch.randn(24, 6, generator=torch.Generator().manual_seed(0)), sign[:, None]], 1)
    for axis in ("horizontal", "vertical"):
        assert probes._by_axis(planted, questions, planted, questions, axis, "relation").tolist() == [1] * 12
    labels = {(q.things[0].name, probes._label(q, "control")) for q in questions}  # of a name always the same
    assert len(labels) == len({name for name, _ in labels}) and len({label for _, label in labels}) == 2


def test_patching_restores_all_where_itm_reads_and_nothing_elsewhere(context, questions) -> None:
    rows = patching_rows(context, questions[:4])
    share = [r for r in rows if r.condition == "restored"]
    assert len(share) == (2 + 1) * 6
    for row in share:
        if row.position == "all" or (row.encoder, row.position) == ("fusion", "<s>"):  # its only layer: <s> is ITM's
            assert row.value == pytest.approx(1, abs=1e-4)
        elif row.encoder == "fusion":
            assert row.value == pytest.approx(0, abs=1e-6)
        assert row.low - 1e-9 <= row.value <= row.high + 1e-9 and row.layer >= 1
    difference, size = (r for r in rows if r.condition != "restored")
    assert abs(difference.value) <= size.value and size.value > 0


@pytest.mark.full
def test_all_of_it_is_measured_and_drawn(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCENES", "COUNTED"):
        monkeypatch.setattr(masked, name, 40)
    table = pd.DataFrame(measure_relations(context, Sizes(24, 8, 4)), columns=Row._fields)
    assert set(table["part"]) == {"data", "masked", "masked, as evaluated", "head", "probe", "patching"}
    assert np.isfinite(table[["value", "low", "high"]].to_numpy(float)).all()
    assert not table.duplicated(["part", "condition", "metric", "encoder", "layer", "position"]).any()
    asked = table[table["part"] == "probe"]
    assert not context.model.training and table.query("part == 'masked'")["baseline"].max() == pytest.approx(0.5)
    several = plots.probe_layers(pd.concat([asked, asked.assign(value=asked["value"] + 0.1)]))
    line, band = several.axes[0].lines[0].get_ydata(), several.axes[0].collections[0].get_paths()[0]
    assert line[0] == pytest.approx(100 * asked["value"].iloc[0] + 5) and len(band.vertices) > 4
