"""Hard negatives are false of the picture, and a perfect model prefers the caption."""

import pytest
from evaluation.stubs import oracle, values

from xfm.recipes import LEVELS
from xfm.tasks import EvalContext
from xfm.tasks.world import exchanged_words


def test_who_knows_prefers_every_caption(context: EvalContext) -> None:
    rich = oracle(context.with_data(LEVELS["rich"]))
    results = exchanged_words.score(rich)
    assert {r.task for r in results} == set(exchanged_words.TASKS.values())
    assert values(results, "ITM") == values(results, "ITC") == {1.0}
    assert values(results, "ITM, another picture") == {0.5}  # no text is the other picture's
    plain = {r.task for r in exchanged_words.score(oracle(context))}  # these name no colour and nothing absent
    assert plain == {f"matching ({word} exchanged)" for word in ("name", "size", "count", "relation")}


@pytest.mark.parametrize("kind", exchanged_words.TASKS)
def test_the_unrelated_picture_shows_nothing_of_the_caption(context: EvalContext, kind) -> None:
    rich = context.with_data(LEVELS["rich"])
    scenes = rich.scenes("matching", 150, objects=(2, 4))
    pairs = exchanged_words.draw_negatives(rich, scenes, kind)
    assert len(pairs) > 5 and all(pair.caption != pair.negative for pair in pairs)
    for pair in pairs:
        caption = scenes[pair.scene].caption
        assert pair.caption == caption.text
        assert {t.name for t in caption.things}.isdisjoint(o.name for o in scenes[pair.unrelated].objects)
