"""Batches: their shapes, their keys, the curriculum, and that processes and resumes agree."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from xfm.config import RunConfig
from xfm.data.batch_loader import loader, packed, unpacked
from xfm.data.streams import Streams, region_patches, vary_colours
from xfm.data.tokenizer import Tokenizer
from xfm.data.world.grammar import is_true
from xfm.data.world.parsing import readings
from xfm.data.world.scenes import Scene
from xfm.model.batch import PAD, Batch, Pairs, TokenBatch, tree_map

TYPES = (torch.uint8, torch.bool, torch.int64, torch.float32, torch.float64)


def tensors(tree: object) -> list[Tensor]:
    found: list[Tensor] = []
    tree_map(lambda t: found.append(t) or t, tree)
    return found


def drawn(streams: Streams, stream: str, step: int, count: int) -> list[Scene]:
    return [getattr(source, stream.replace("pairs", "pair"))(key) for source, key in streams.items(stream, step, count)]


def same(a: object, b: object) -> bool:
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_words_hide_what_their_labels_say_and_captions_and_regions_belong_to_their_pictures(config, tokenizer) -> None:
    for stream in (s for s in Streams(config, tokenizer)[7].values() if hasattr(s, "tokens")):
        words = stream.tokens
        assert torch.equal(words.mask, words.ids != 1) and torch.equal(words.masked_ids == 1, words.ids == 1)
        learnt = words.labels != -100
        assert bool(learnt.any(1).all()) and torch.equal(words.masked_at == 0, ~learnt)
        assert torch.equal(words.ids.gather(1, words.masked_at)[learnt], words.labels[learnt])
        elsewhere = torch.ones_like(words.mask).scatter(1, words.masked_at, False)
        elsewhere[:, 0] = True
        assert torch.equal(words.ids[elsewhere], words.masked_ids[elsewhere])
    streams = Streams(config.replace({"data.regions": 40, "data.region_images": 9}), tokenizer)
    pairs = streams.pairs(9)
    for scene, image, ids in zip(drawn(streams, "pairs", 9, 6), pairs.image, pairs.tokens.ids.tolist(), strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), scene.image)
        assert tokenizer.decode([i for i in ids if i not in (0, 1, 2)]) == scene.caption.text
    scenes, regions = drawn(streams, "regions", 2, 9), streams.regions(2)
    assert 0 < int(regions.is_image.sum()) < 20
    for r, scene in enumerate(scenes[owner] for owner in regions.owner.tolist()):
        text = tokenizer.decode(regions.tokens.ids[r][regions.tokens.mask[r]].tolist())
        if regions.is_image[r]:
            assert text == scene.caption.text and regions.patches[r].all()
            assert regions.box[r].tolist() == [0.5, 0.5, 1, 1]
        else:
            i = [p.text for p in scene.phrases].index(text)
            assert regions.box[r].tolist() == pytest.approx(scene.objects[i].box)
            covered = np.kron(regions.patches[r].view(6, 6).numpy(), np.ones((8, 8), bool))
            assert covered[scene.objects[i].mask].all()


@given(st.lists(st.tuples(*[st.integers(0, 47)] * 2, *[st.integers(0, 48)] * 2), min_size=1, max_size=5))
def test_region_patches_are_the_published_ones(corners: list[tuple[int, int, int, int]]) -> None:
    edges = np.array([(x, y, min(w, 48 - x), min(h, 48 - y)) for x, y, w, h in corners])
    for row, (x, y, w, h) in zip(region_patches(edges, 6, 8), edges.tolist(), strict=True):
        left, top = x // 8, y // 8
        right, bottom = max(-(-(x + w) // 8) - 1, left), max(-(-(y + h) // 8) - 1, top)
        naive = [top <= p // 6 <= bottom and left <= p % 6 <= right for p in range(36)]
        assert row.tolist() == naive


@pytest.mark.parametrize("changed", ["pairs", "regions", "images", "texts"])
def test_a_stream_does_not_move_the_others_nor_its_own_first_items(config, tokenizer, changed: str) -> None:
    before = Streams(config, tokenizer)[50]
    none, more = (Streams(config.replace({f"data.{changed}": size}), tokenizer)[50] for size in (0, 13))
    assert changed not in none and changed in more
    assert all(same(before[name], after[name]) for name in before if name != changed for after in (none, more))
    if changed in ("pairs", "images"):
        first = len(before[changed].image)
        assert same(more[changed].image[:first], before[changed].image)
        assert same(more[changed].image_mask[:first], before[changed].image_mask)


def test_colours_vary_in_training_alone_and_nothing_else_does(config: RunConfig, tokenizer: Tokenizer) -> None:
    coloured = config.replace({"data.augment.colour": 0.5})
    plain, varied = Streams(config, tokenizer)[3], Streams(coloured, tokenizer)[3]
    assert same(varied, Streams(coloured, tokenizer)[3])
    more = Streams(coloured.replace({"data.pairs": 2 * config.data.pairs}), tokenizer)[3]["pairs"].image
    for name in ("pairs", "regions", "images"):
        before, now = plain[name], varied[name]
        assert (now.image != before.image).flatten(1).any(1).all(), "every picture"
        assert same(replace(now, image=before.image), before)
    assert torch.equal(more[: config.data.pairs], varied["pairs"].image)
    assert same(Streams(coloured, tokenizer, "validation")[3], Streams(config, tokenizer, "validation")[3])
    grey, rng = np.full((8, 8, 3), 128, np.uint8), np.random.default_rng(0)
    means = [vary_colours(grey, 0.5, rng) for _ in range(200)]
    assert all(np.ptp(picture) == 0 for picture in means) and 64 <= np.min(means) < 70 and 186 < np.max(means) <= 192


def test_seed_step_and_split_move_everything(config: RunConfig, tokenizer: Tokenizer) -> None:
    before = Streams(config, tokenizer)[5]
    seeded = Streams(config.replace({"seed": 1}), tokenizer)[5]
    for other in (seeded, Streams(config, tokenizer)[6], Streams(config, tokenizer, "test")[5]):
        for name in ("pairs", "images", "regions"):
            assert not torch.equal(before[name].image, other[name].image)
        assert before["texts"].tokens.ids.tolist() != other["texts"].tokens.ids.tolist()
    assert same(before, Streams(config, tokenizer)[5])
    masks = Streams(config.replace({"data.mask.caption_share": 0.1}), tokenizer)[5]  # move nothing but themselves
    assert same(before["texts"], masks["texts"]) and same(before["images"], masks["images"])
    pairs, other = before["pairs"], masks["pairs"]
    assert same(pairs.image_mask, other.image_mask) and same(pairs.tokens.ids, other.tokens.ids)
    assert pairs.tokens.labels.shape != other.tokens.labels.shape
    with pytest.raises(ValueError, match=r"4096 ids.* is 5000"):
        Streams(config.replace({"model.text.vocabulary": 5000}), tokenizer)


def test_curriculum(config: RunConfig, tokenizer: Tokenizer) -> None:
    config = config.replace({"data.single_until": 0.3, "data.full_from": 0.6})
    streams = Streams(config, tokenizer)

    def numbers(of: Streams, *steps: int, stream: str = "pairs") -> set[int]:
        return {len(s.objects) for step in range(*steps) for s in drawn(of, stream, step, 24)}

    assert numbers(streams, 25, 28) == {1} and numbers(streams, 30, 34) == {1, 2} and 4 not in numbers(streams, 40)
    assert numbers(streams, 1, stream="regions") == numbers(streams, 60, 64) == {1, 2, 3, 4}  # the pairs' alone
    first, again = ([s.objects[0].concept for s in drawn(streams, "pairs", step, 150)] for step in (4, 5))
    assert sorted(first[:100]) == list(range(100)) != again[:100]  # each at most once, here all
    assert numbers(Streams(config, tokenizer, "unseen_combinations"), 4) == {2, 3, 4}, "in training alone"


def test_streams_travel_to_other_processes_and_the_loader_resumes(config: RunConfig, tokenizer: Tokenizer) -> None:
    config = config.replace({"train.steps": 4, "data.workers": 1})
    streams = Streams(config, tokenizer)
    batches: list[Batch] = list(loader(Streams(config, tokenizer)))
    assert len(batches) == len(streams) == 4
    assert all(same(batch, streams[step]) for step, batch in enumerate(batches))
    resumed = list(loader(Streams(config.replace({"data.workers": 0}), tokenizer), start=2))
    assert len(resumed) == 2 and all(same(a, b) for a, b in zip(batches[2:], resumed, strict=True))
    assert len(pickle.dumps(streams)) < 1_000_000  # what has been loaded stays here
    spawned = DataLoader(streams, batch_size=None, sampler=[3], num_workers=1, multiprocessing_context="spawn")
    assert same(next(iter(spawned)), batches[3])


# of any of the types of a batch, also empty, and turned, so that its numbers are not in the order of its memory
SHAPES = st.lists(st.integers(0, 5), max_size=3)
made = st.builds(
    lambda shape, kind: torch.randint(200, (2, *shape)).to(kind).movedim(0, -1), SHAPES, st.sampled_from(TYPES)
)


@given(st.lists(made, max_size=5), made, st.none() | made)
def test_a_packed_batch_is_one_block_and_comes_out_as_it_went_in(several, one: Tensor, false: Tensor | None) -> None:
    tokens = TokenBatch(one, *(tensor.clone() for tensor in [one] * 4))
    pack = packed(tree := {"several": several, "pairs": Pairs(one, tokens, one, false)})
    assert pack.memory.is_shared() and all(t.is_meta for t in tensors(pack.form))
    out = unpacked(pack)
    assert same(out, tree) and (out["pairs"].false_ids is None) == (false is None)  # type: ignore[union-attr]
    assert all(t.data_ptr() % t.element_size() == 0 and t.is_contiguous() for t in tensors(out))
    assert {t.untyped_storage().data_ptr() for t in tensors(out)} == {pack.memory.untyped_storage().data_ptr()}


def test_relation_negatives_are_false_and_leave_the_rest_of_the_batch_as_it_is(config, tokenizer) -> None:
    plain = config.replace({"data.pairs": 24, "data.caption_tokens": 40})
    without, some, streams = (
        Streams(plain.replace({"data.relation_negatives": share}), tokenizer) for share in (0.0, 0.5, 1.0)
    )
    pairs, before = streams[2]["pairs"], without[2]["pairs"]
    length = before.tokens.ids.shape[1]
    assert before.false_ids is None and pairs.false_ids.shape == pairs.tokens.ids.shape
    for name in ("ids", "masked_ids", "mask"):
        assert torch.equal(getattr(pairs.tokens, name)[:, :length], getattr(before.tokens, name))
    assert not pairs.tokens.mask[:, length:].any() and (pairs.tokens.ids[:, length:] == PAD).all()
    assert torch.equal(pairs.tokens.labels, before.tokens.labels) and torch.equal(pairs.image_mask, before.image_mask)
    assert all(same(streams[2][name], without[2][name]) for name in ("regions", "images", "texts"))
    for scene, ids, false in zip(drawn(streams, "pairs", 2, 24), pairs.tokens.ids, pairs.false_ids, strict=True):
        said, other = tokenizer.decode(ids.tolist()), tokenizer.decode(false.tolist())
        assert (other != said) == bool(scene.caption.relations)
        if other != said:
            claims = next(readings(other))
            assert claims.whole and not is_true(claims.claims, scene.objects) and is_true(scene.caption, scene.objects)
    changed = [int((each[2]["pairs"].false_ids != pairs.tokens.ids).any(1).sum()) for each in (some, streams)]
    assert 0 < changed[0] < changed[1]
