"""Masked words: exactly one span is masked, and a perfect model needs the right picture."""

import pytest
from evaluation.stubs import WORLD, Oracle, oracle

from xfm.data.world.grammar import plural
from xfm.recipes import LEVELS
from xfm.tasks import EvalContext
from xfm.tasks.world import masked_words


def test_who_knows_predicts_every_word_with_the_right_picture_alone(context: EvalContext) -> None:
    results = masked_words.score(oracle(context))
    assert {r.value for r in results if r.condition == "right picture"} == {1.0}
    names = {r.condition: r for r in results if r.task == "masked names"}
    assert names["wrong picture"].value == names["no picture"].value == 0
    assert names["right - wrong"].value == names["right - none"].value == 1
    assert min(names["right - wrong"].low, names["right - none"].low) > 0.99
    assert {r.task for r in results} == set(masked_words.KINDS.values()) - {"masked colours"}  # plain ones


@pytest.mark.parametrize("kind", masked_words.KINDS)
def test_exactly_one_span_is_masked(context: EvalContext, kind) -> None:
    context = context.with_data(LEVELS["rich"])
    scenes = context.scenes("imlm", 200)
    spans = masked_words.mask_spans(context, scenes, kind)
    assert len(spans) > 20 and len({b.scene for b in spans}) == len(spans)
    for b in spans:
        caption = scenes[b.scene].caption
        ids = context.tokenizer.encode(caption.text, 1 << 30)
        assert (b.start, b.end, kind) in caption.spans and b.kind == kind
        assert [i for i, (a, t) in enumerate(zip(b.masked, ids, strict=True)) if a != t] == b.positions
        assert {b.masked[p] for p in b.positions} == {context.tokenizer.mask_id}
        assert [ids[p] for p in b.positions] == b.tokens
        assert context.tokenizer.decode(b.tokens) == caption.text[b.start : b.end]
        left = context.tokenizer.decode([t for i, t in enumerate(ids) if i not in b.positions])
        assert left.replace(" ", "") == (caption.text[: b.start] + caption.text[b.end :]).replace(" ", "")
        names = {thing.name for thing in caption.things}
        assert names.isdisjoint(o.name for o in scenes[b.unrelated].objects)
        if kind == "noun":
            word = caption.text[b.start : b.end]
            assert [word in (t.name, plural(t.name)) for t in caption.things].count(True) == 1


def test_a_caption_that_was_cut_has_no_masked_span_at_its_end(context: EvalContext) -> None:
    short = Oracle(context.model, context.config.replace({"data.caption_tokens": 6}), context.tokenizer)
    for b in masked_words.mask_spans(short, context.scenes("imlm", 100), "noun"):
        assert len(b.masked) <= 6 and b.positions[-1] < 5


def test_no_picture_is_other_where_all_show_the_same() -> None:
    scenes = [WORLD.scene("test", i, concepts=(3,)) for i in range(3)]
    assert masked_words.unrelated_scene(scenes, 0) is None
    assert masked_words.unrelated_scene([*scenes, WORLD.scene("test", 0, concepts=(4,))], 1) == 3
