"""A model that knows scores 1, one that guesses scores chance, and the questions are what they say they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor
from torchvision.ops import box_iou

from xfm import seeding
from xfm.data.synthetic.grammar import is_true, plural, templates
from xfm.data.synthetic.scenes import Scene, World
from xfm.evaluation import EvalContext, find_result
from xfm.evaluation.result import Result
from xfm.evaluation.tasks import grounding, hard_negatives, language, masked_words, naming, retrieval
from xfm.objectives.bbp import corners
from xfm.recipes import LEVELS

WORLD = World()


@dataclass(frozen=True)
class Oracle(EvalContext):
    """Knows everything about the scenes: what a perfect model would say."""

    def image_features(self, scenes: Sequence[Scene]) -> Tensor:
        single = all(len(s.objects) == 1 for s in scenes)
        return torch.stack([direction(s.objects[0].name if single else s.caption.text) for s in scenes])

    def text_features(self, texts: Sequence[str]) -> Tensor:
        names = sorted((*WORLD.names, *WORLD.unseen_names), key=len)
        said = [[n for n in names if f" {n} " in f" {text} "] for text in texts]
        templates = all(len(text.split()) < 8 and n for text, n in zip(texts, said, strict=True)) and len(texts) > 256
        return torch.stack([direction(n[-1] if templates else t) for t, n in zip(texts, said, strict=True)])

    def matches(self, scenes: Sequence[Scene], texts: Sequence[str], picture: Tensor, text: Tensor) -> Tensor:
        return torch.tensor([float(scenes[p].caption.text == texts[t]) for p, t in zip(picture, text, strict=True)])

    def boxes(self, scenes: Sequence[Scene], phrases: Sequence[str], owner: Tensor) -> Tensor:
        known = [{p.text: o.box for p, o in zip(s.phrases, s.objects, strict=True)} for s in scenes]
        return torch.tensor([known[i][phrase] for i, phrase in zip(owner.tolist(), phrases, strict=True)])

    def guesses(self, scenes, masked, places, picture, text) -> tuple[Tensor, Tensor]:
        """Reads the picture's own caption at the places."""
        read = np.zeros((len(scenes), self.config.data.caption_tokens), int)
        for row, ids in zip(read, self.encode([s.caption.text for s in scenes]), strict=True):
            row[: len(ids)] = ids
        most = max(map(len, places))
        at = np.array([[*p, *[0] * (most - len(p))] for p in places])
        tokens = torch.from_numpy(read[picture[:, None], at[text]])[..., None].repeat(1, 1, 3)
        return tokens, torch.ones(tokens.shape)


@dataclass(frozen=True)
class Guesser(EvalContext):
    """Knows nothing; answers by a draw."""

    def image_features(self, scenes: Sequence[Scene]) -> Tensor:
        return torch.randn(len(scenes), 64, generator=seeding.generator("image", len(scenes)))

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return torch.randn(len(texts), 64, generator=seeding.generator("text", len(texts)))

    def matches(self, scenes: Sequence[Scene], texts: Sequence[str], picture: Tensor, text: Tensor) -> Tensor:
        return torch.randn(len(text), generator=seeding.generator("match"))


def direction(text: str) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(64, generator=seeding.generator(text)), dim=0)


def oracle(subject: EvalContext, kind: type[EvalContext] = Oracle) -> EvalContext:
    return kind(subject.model, subject.config, subject.tokenizer, subject.split, subject.seed)


def values(results: list[Result], condition: str) -> set[float]:
    return {r.value for r in results if r.condition == condition}


def test_who_knows_retrieves_everything(subject: EvalContext) -> None:
    results = retrieval.score(oracle(subject))
    sure = [r for r in results if "random" not in r.task]
    for condition in ("ITC", "ITM re-ranked", "ITC + ITM"):
        assert values(sure, condition) == {1.0}
    assert max(values(sure, "ITC, shuffled pairs")) < 0.05
    for r in results:
        assert r.n == 256 and r.baseline == pytest.approx(int(r.metric[2:]) / 256) and r.low <= r.value <= r.high
    for r in results:
        if "random" in r.task:
            assert r.upper_bound is not None and 0.9 < r.upper_bound <= 1 and r.value > 0.9


def test_who_guesses_is_at_chance(subject: EvalContext) -> None:
    guesser = oracle(subject, Guesser)
    for r in hard_negatives.score(guesser):  # a dozen: one in twenty intervals misses
        assert r.baseline == 0.5 and abs(r.value - 0.5) < 4 * 0.5 / r.n**0.5, r
    for r in (*retrieval.score(guesser), *naming.score(guesser)):
        if r.metric != "R@1":  # one right of 256: the bootstrap knows little of so rare an event
            assert r.baseline is not None and r.low <= r.baseline <= r.high, r


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.integers(2, 48), st.sampled_from(["train", "test", "unseen_combinations"]))
def test_every_caption_of_the_gallery_is_true_of_one_picture_only(start: int, size: int, split) -> None:
    scenes = retrieval.checked_gallery(lambda i: WORLD.scene(split, start + i), size)
    truth = np.array([[is_true(t.caption, s.objects) for t in scenes] for s in scenes])
    assert (truth == np.eye(size, dtype=bool)).all()


def test_a_gallery_that_cannot_be_checked_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "ATTEMPTS", 9)
    scene = WORLD.scene("test", 0)
    with pytest.raises(RuntimeError, match="in 9 draws captions tell only 1 of 2 pictures apart"):
        retrieval.checked_gallery(lambda i: scene, 2)


@pytest.mark.parametrize("k", [1, 5])
def test_recall_is_sklearns(k: int) -> None:
    scores = torch.randn(40, 40, generator=seeding.generator("scores")) + 2 * torch.eye(40)
    assert (retrieval.ranks(scores) < k).mean() == top_k_accuracy_score(np.arange(40), scores.numpy(), k=k)


def test_a_tie_is_no_hit() -> None:
    assert (retrieval.ranks(torch.zeros(8, 8)) == 7).all()


def test_reranking_moves_the_best_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "RERANKED", 3)
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]])
    again = torch.tensor([[-3.0, 4.0, 1.0, 99.0, torch.nan]])
    order = retrieval.rerank(scores, again).argsort(1, descending=True)
    assert order.tolist() == [[1, 2, 0, 3, 4]]


def test_odds_are_asked_for_the_best_of_either_side_alone(
    subject: EvalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "RERANKED", 2)
    scores = torch.randn(6, 6, generator=seeding.generator("odds"))
    asked = ~retrieval.matching(oracle(subject), subject.scenes("any", 6), scores).isnan()
    for i in range(6):
        for j in range(6):
            near = (scores[i] > scores[i, j]).sum() < 2 or (scores[:, j] > scores[i, j]).sum() < 2
            assert asked[i, j] == near


def test_the_ceiling_is_what_guessing_among_equals_gives() -> None:
    equal = torch.eye(4).bool()
    equal[0, 1] = equal[0, 2] = equal[1, 0] = True
    assert retrieval.upper_bound(equal, 1) == pytest.approx((1 / 3 + 1 / 2 + 1 + 1) / 4)
    assert retrieval.upper_bound(equal, 2) == pytest.approx((2 / 3 + 1 + 1 + 1) / 4)


def test_an_equal_caption_is_true_and_leaves_nothing_out() -> None:
    scenes = [WORLD.scene("test", i, 2, concepts=c) for i, c in enumerate([(3,), (3,), (3, 5)])]
    equal = retrieval.equals(scenes)
    assert equal.diagonal().all() and not equal[2, 0] and not equal[2, 1] and not equal[0, 2]
    sized = [bool(s.caption.things[0].size) for s in scenes]
    assert equal[0, 1] == (not sized[1] or scenes[0].objects[0].size == scenes[1].objects[0].size)


def test_who_knows_grounds_everything(subject: EvalContext) -> None:
    results = grounding.score(oracle(subject))
    for task in ("grounding", "grounding (several objects)"):
        assert find_result(results, task, "acc@0.5").value == 1
        assert find_result(results, task, "mean IoU").value == pytest.approx(1)
    assert (
        find_result(results, "grounding (several objects)", "acc@0.5", "swapped phrase").value == 0
    )  # boxes do not overlap
    assert (
        find_result(results, "grounding", "acc@0.5").n
        > find_result(results, "grounding (several objects)", "acc@0.5").n
        > 800
    )


def test_the_controls_of_grounding(subject: EvalContext) -> None:
    scenes = subject.scenes("grounding", 60)
    _, owner, true = grounding.sought(scenes)
    each = [len(s.objects) for s in scenes]
    assert torch.allclose(grounding.any_object(owner, true), 1 / torch.tensor(each, dtype=torch.float)[owner])
    other = grounding.swapped(owner)
    assert (owner[other] == owner).all() and sorted(other.tolist()) == list(range(len(owner)))
    assert ((other == torch.arange(len(owner))) == (torch.tensor(each)[owner] == 1)).all()


def test_the_best_constant_box_is_the_best_of_the_grid() -> None:
    boxes = torch.tensor([[0.3, 0.3, 0.3, 0.3]] * 3 + [[0.7, 0.7, 0.4, 0.4]] * 2)
    best = grounding.best_constant(boxes)
    assert grounding.right(grounding.iou_of(best.expand(5, 4), boxes)).tolist() == [1, 1, 1, 0, 0]


def test_iou_is_torchvisions() -> None:
    a, b = torch.rand(2, 20, 4, generator=seeding.generator("boxes")) * 0.5 + 0.1
    assert torch.allclose(grounding.iou_of(a[:, None], b), box_iou(corners(a), corners(b)), atol=1e-6)


def test_grounding_by_size_and_number_splits_the_phrases(subject: EvalContext) -> None:
    results = grounding.score(oracle(subject))
    whole = find_result(results, "grounding", "acc@0.5").n
    parts = {r.condition: r.n for r in results if r.task == "grounding (by size and number)"}
    assert parts.keys() == {"big object", "small object", "alone", "one of 2", "one of 3", "one of 4"}
    assert parts["big object"] + parts["small object"] == whole
    assert sum(n for name, n in parts.items() if "object" not in name) == whole
    harder = {r.condition: r for r in results if r.task == "grounding (harder pictures)"}
    assert harder.keys() == set(grounding.HARDER) and {r.value for r in harder.values()} == {1.0}


def test_harder_pictures_are_those_of_the_levels(subject: EvalContext) -> None:
    calm, hard = subject.scenes("grounding", 5), subject.on(LEVELS["cluttered"]).scenes("grounding", 5)
    assert all((a.image != b.image).any() for a, b in zip(calm, hard, strict=True))
    assert subject.on({}).scenes("grounding", 1)[0].content == calm[0].content


def test_who_knows_tells_the_twins_apart(subject: EvalContext) -> None:
    rich = oracle(subject.on(LEVELS["rich"]))
    results = hard_negatives.score(rich)
    assert {r.task for r in results} == {f"matching ({word} exchanged)" for word in hard_negatives.KINDS.values()}
    assert values(results, "ITM") == values(results, "ITC") == {1.0}
    assert values(results, "ITM, another picture") == {0.5}  # no text is the other picture's
    assert {
        r.task for r in hard_negatives.score(oracle(subject))
    } == {  # plain captions name no colour and nothing absent
        f"matching ({word} exchanged)" for word in ("name", "size", "count", "relation")
    }


@pytest.mark.parametrize("kind", hard_negatives.KINDS)
def test_a_twin_is_false_and_the_other_picture_shows_nothing_of_it(subject: EvalContext, kind) -> None:
    rich = subject.on(LEVELS["rich"])
    scenes = rich.scenes("matching", 150, objects=(2, 4))
    found = hard_negatives.twins(rich, scenes, kind)
    assert len(found) > 5 and all(twin.caption != twin.false for twin in found)
    for twin in found:
        caption = scenes[twin.scene].caption
        assert twin.caption == caption.text
        assert {t.name for t in caption.things}.isdisjoint(o.name for o in scenes[twin.other].objects)


def test_equal_scores_tell_nothing() -> None:
    assert hard_negatives.told(np.array([1.0, 0.0, 0.0, 1.0, 2.0, 2.0])).tolist() == [1.0, 0.0, 0.5]


def test_the_classifier_is_the_mean_over_templates(subject: EvalContext) -> None:
    names = ["dog", "umbrella", "mice"]
    naive = []
    for name in names:
        mean = subject.text_features(templates(name)).mean(0)
        naive.append(mean / mean.norm())
    torch.testing.assert_close(naming.classes(subject, names), torch.stack(naive, 1))


def test_who_knows_names_everything(subject: EvalContext) -> None:
    results = naming.score(oracle(subject))
    assert [(r.task, r.value, r.n, r.baseline, r.split) for r in results] == [
        ("naming", 1.0, 400, 0.01, "test"),
        ("naming (unseen concepts)", 1.0, 400, 0.02, "unseen_concepts"),
    ]


def test_who_knows_fills_every_blank_with_the_right_picture_alone(subject: EvalContext) -> None:
    results = masked_words.score(oracle(subject))
    assert {r.value for r in results if r.condition == "right picture"} == {1.0}
    names = {r.condition: r for r in results if r.task == "masked names"}
    assert names["wrong picture"].value == names["no picture"].value == 0
    assert names["right - wrong"].low == names["right - none"].low == 1
    assert {r.task for r in results} == set(masked_words.KINDS.values()) - {
        "masked colours"
    }  # plain captions have none


@pytest.mark.parametrize("kind", masked_words.KINDS)
def test_a_blank_hides_exactly_one_span(subject: EvalContext, kind) -> None:
    subject = subject.on(LEVELS["rich"])
    scenes = subject.scenes("imlm", 200)
    found = masked_words.blanks(subject, scenes, kind)
    assert len(found) > 20 and len({b.scene for b in found}) == len(found)
    for b in found:
        caption = scenes[b.scene].caption
        ids = subject.tokenizer.encode(caption.text, 1 << 30)
        assert (b.start, b.end, kind) in caption.spans and b.kind == kind
        assert [i for i, (a, t) in enumerate(zip(b.masked, ids, strict=True)) if a != t] == b.places
        assert {b.masked[p] for p in b.places} == {subject.tokenizer.mask_id}
        assert [ids[p] for p in b.places] == b.tokens
        assert subject.tokenizer.decode(b.tokens) == caption.text[b.start : b.end]
        left = subject.tokenizer.decode([t for i, t in enumerate(ids) if i not in b.places])
        assert left.replace(" ", "") == (caption.text[: b.start] + caption.text[b.end :]).replace(" ", "")
        said = {thing.name for thing in caption.things}
        assert said.isdisjoint(o.name for o in scenes[b.other].objects)
        if kind == "noun":
            word = caption.text[b.start : b.end]
            assert [word in (t.name, plural(t.name)) for t in caption.things].count(True) == 1


def test_a_caption_that_was_cut_has_no_blank_at_its_end(subject: EvalContext) -> None:
    short = Oracle(subject.model, subject.config.replace({"data.caption_tokens": 6}), subject.tokenizer)
    for b in masked_words.blanks(short, subject.scenes("imlm", 100), "noun"):
        assert len(b.masked) <= 6 and b.places[-1] < 5


def test_no_picture_is_other_where_all_show_the_same() -> None:
    scenes = [WORLD.scene("test", i, concepts=(3,)) for i in range(3)]
    assert masked_words.stranger(scenes, 0) is None
    assert masked_words.stranger([*scenes, WORLD.scene("test", 0, concepts=(4,))], 1) == 3


def test_the_language_controls_are_counted_on_training_sentences(subject: EvalContext, few: None) -> None:
    accuracy, loss = language.score(subject)
    counts = np.bincount(language.training_tokens(subject), minlength=subject.tokenizer.vocabulary) + 1
    ids = language.encoded(subject, [s.text for s in subject.source.sentences("test")], 40, "language")
    _, _, labels, sentence = language.predictions(subject, ids)
    labels = labels.numpy()
    assert accuracy.baseline == pytest.approx((labels == counts.argmax()).mean())
    assert loss.baseline == pytest.approx(-np.log(counts / counts.sum())[labels].mean())
    assert accuracy.n == loss.n == len(labels) and len(set(sentence.tolist())) == 40
    assert abs(loss.value - np.log(subject.tokenizer.vocabulary)) < 1  # untrained: about uniform


def test_sentences_are_drawn_once_each(subject: EvalContext) -> None:
    texts = [s.text for s in subject.source.sentences("test")]
    ids = language.encoded(subject, texts, 500, "language")
    assert len({tuple(i) for i in ids}) == 500
