"""Batches: their shapes, their keys, the curriculum, and that processes and resumes agree."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from xfm.config import RunConfig
from xfm.data import dataset
from xfm.data.batch_loader import loader, packed, unpacked
from xfm.data.source import ItemKey
from xfm.data.streams import Streams, region_patches
from xfm.data.tokenizer import Tokenizer
from xfm.data.world.grammar import is_true
from xfm.data.world.parsing import parse
from xfm.data.world.scenes import Scene
from xfm.model.batch import PAD, Batch, Pairs, TokenBatch, tree_map

TYPES = (torch.uint8, torch.bool, torch.int64, torch.float32, torch.float64)


def tensors(tree: object) -> list[Tensor]:
    found: list[Tensor] = []
    tree_map(lambda t: found.append(t) or t, tree)
    return found


def drawn(streams: Streams, stream: str, step: int, count: int) -> list[Scene]:
    method = {"pairs": "pair"}.get(stream, stream)
    return [getattr(source, method)(key) for source, key in streams.items(stream, step, count)]


def same(a: object, b: object) -> bool:
    pairs = zip(tensors(a), tensors(b), strict=True)
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def test_words_hide_what_their_labels_say(config: RunConfig, tokenizer: Tokenizer) -> None:
    for stream in (s for s in Streams(config, tokenizer)[7].values() if hasattr(s, "tokens")):
        words = stream.tokens
        assert torch.equal(words.mask, words.ids != 1) and torch.equal(words.masked_ids == 1, words.ids == 1)
        learnt = words.labels != -100
        assert bool(learnt.any(1).all()) and torch.equal(words.masked_at == 0, ~learnt)
        assert torch.equal(words.ids.gather(1, words.masked_at)[learnt], words.labels[learnt])
        elsewhere = torch.ones_like(words.mask).scatter(1, words.masked_at, False)
        elsewhere[:, 0] = True
        assert torch.equal(words.ids[elsewhere], words.masked_ids[elsewhere])


def test_captions_and_regions_belong_to_their_pictures(config: RunConfig, tokenizer: Tokenizer) -> None:
    streams = Streams(config.replace({"data.regions": 40, "data.region_images": 9}), tokenizer)
    pairs = streams.pairs(9)
    for scene, image, ids in zip(drawn(streams, "pairs", 9, 6), pairs.image, pairs.tokens.ids.tolist(), strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), scene.image)
        assert tokenizer.decode([i for i in ids if i not in (0, 1, 2)]) == scene.caption.text
    scenes, regions = drawn(streams, "regions", 2, 9), streams.regions(2)
    assert 0 < int(regions.is_image.sum()) < 20
    for r, owner in enumerate(regions.owner.tolist()):
        scene = scenes[owner]
        text = tokenizer.decode(regions.tokens.ids[r][regions.tokens.mask[r]].tolist())
        if regions.is_image[r]:
            assert text == scene.caption.text and bool(regions.patches[r].all())
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
@pytest.mark.parametrize("size", [0, 13])
def test_a_stream_does_not_move_the_others(config, tokenizer, changed: str, size: int) -> None:
    before = Streams(config, tokenizer)[50]
    after = Streams(config.replace({f"data.{changed}": size}), tokenizer)[50]
    assert (changed in after) == (size > 0)
    assert all(same(before[name], after[name]) for name in before if name != changed)
    if size and changed == "texts":
        words, more, first = before["texts"].tokens, after["texts"].tokens, len(before["texts"].tokens.ids)
        assert same(more.ids[:first][more.mask[:first]], words.ids[words.mask])
    elif size and changed != "regions":
        first = len(before[changed].image)
        assert same(after[changed].image[:first], before[changed].image)
        assert same(after[changed].image_mask[:first], before[changed].image_mask)


def test_masks_of_captions_move_nothing_else(config: RunConfig, tokenizer: Tokenizer) -> None:
    before = Streams(config, tokenizer)[50]
    masks = Streams(config.replace({"data.mask.caption_share": 0.1}), tokenizer)[50]
    assert same(before["texts"], masks["texts"]) and same(before["images"], masks["images"])
    assert same(before["pairs"].image_mask, masks["pairs"].image_mask)
    assert same(before["pairs"].tokens.ids, masks["pairs"].tokens.ids)
    assert before["pairs"].tokens.labels.shape != masks["pairs"].tokens.labels.shape


def test_seed_step_and_split_move_everything(config: RunConfig, tokenizer: Tokenizer) -> None:
    before = Streams(config, tokenizer)[5]
    seeded = Streams(config.replace({"seed": 1}), tokenizer)[5]
    for other in (seeded, Streams(config, tokenizer)[6], Streams(config, tokenizer, "test")[5]):
        for name in ("pairs", "images", "regions"):
            assert not torch.equal(before[name].image, other[name].image)
        assert before["texts"].tokens.ids.tolist() != other["texts"].tokens.ids.tolist()
    assert same(before, Streams(config, tokenizer)[5])


def test_curriculum(config: RunConfig, tokenizer: Tokenizer) -> None:
    config = config.replace({"data.single_until": 0.3, "data.full_from": 0.6})
    streams = Streams(config, tokenizer)

    def numbers(of: Streams, *steps: int, stream: str = "pairs") -> set[int]:
        return {len(s.objects) for step in range(*steps) for s in drawn(of, stream, step, 24)}

    world, steps = dataset(config).world, (0, 29, 30, 39, 40, 50, 59, 60, 99)
    asked = [world.curriculum(ItemKey("train", 0, step, 0, step / 100)) for step in steps]
    assert asked == [(1, 1), (1, 1), (1, 2), (1, 2), (1, 3), (1, 4), (1, 4), None, None]
    assert numbers(streams, 25, 28) == {1} and numbers(streams, 30, 34) == {1, 2}
    assert numbers(streams, 1, stream="regions") == numbers(streams, 60, 64) == {1, 2, 3, 4}  # the pairs' alone
    first, again = ([s.objects[0].concept for s in drawn(streams, "pairs", step, 150)] for step in (4, 5))
    assert sorted(first[:100]) == list(range(100)) != again[:100]  # each at most once, here all
    assert numbers(Streams(config, tokenizer, "unseen_combinations"), 4) == {2, 3, 4}, "in training alone"
    without = config.replace({"data.single_until": 0.0, "data.full_from": 0.0})
    assert numbers(Streams(without, tokenizer), 4) == {1, 2, 3, 4}


def test_streams_travel_to_other_processes_and_the_loader_resumes(config: RunConfig, tokenizer: Tokenizer) -> None:
    config = config.replace({"train.steps": 4, "data.workers": 1})
    streams = Streams(config, tokenizer)
    batches: list[Batch] = list(loader(Streams(config, tokenizer)))
    assert len(batches) == len(streams) == 4
    assert all(same(batch, streams[step]) for step, batch in enumerate(batches))
    resumed = list(loader(Streams(config.replace({"data.workers": 0}), tokenizer), start=2))
    assert len(resumed) == 2 and all(same(a, b) for a, b in zip(batches[2:], resumed, strict=True))
    sent = pickle.dumps(streams)  # what has been loaded stays here
    assert len(sent) < 1_000_000 and same(pickle.loads(sent)[3], batches[3])
    spawned = DataLoader(streams, batch_size=None, sampler=[3], num_workers=1, multiprocessing_context="spawn")
    assert same(next(iter(spawned)), batches[3])


@st.composite
def made(draw: st.DrawFn) -> Tensor:
    """Of any of the types of a batch, also empty or turned, so that its numbers are not in the order of its memory."""
    shape, kind = draw(st.lists(st.integers(0, 5), max_size=3)), draw(st.sampled_from(TYPES))
    numbers = torch.randint(0, 200, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))).to(kind)
    return numbers.T if numbers.ndim == 2 and draw(st.booleans()) else numbers


@given(st.lists(made(), max_size=5), made(), st.none() | made())
def test_a_packed_batch_is_one_block_and_comes_out_as_it_went_in(several, one: Tensor, false: Tensor | None) -> None:
    tokens = TokenBatch(one, *(tensor.clone() for tensor in [one] * 4))
    pack = packed(tree := {"several": several, "pairs": Pairs(one, tokens, one, false)})
    assert pack.memory.is_shared() and all(t.is_meta for t in tensors(pack.form))
    out = unpacked(pack)
    assert same(out, tree) and (out["pairs"].false_ids is None) == (false is None)  # type: ignore[union-attr]
    assert all(t.data_ptr() % t.element_size() == 0 and t.is_contiguous() for t in tensors(out))
    block = pack.memory.untyped_storage().data_ptr()
    assert all(t.untyped_storage().data_ptr() == block for t in tensors(out))


def test_a_wrong_size_or_share_is_refused_by_its_field(config: RunConfig, tokenizer: Tokenizer) -> None:
    texts = {"data.sources": ("wordnet",), "data.pairs": 0, "data.relation_negatives": 0.5}
    with pytest.raises(ValueError, match=r"data\.relation_negatives = 0\.5: must be 0: wordnet"):
        Streams(config.replace(texts), tokenizer)
    with pytest.raises(ValueError, match=r"4096 ids.* is 5000"):
        Streams(config.replace({"model.text.vocabulary": 5000}), tokenizer)


def test_relation_negatives_are_false_and_leave_the_rest_of_the_batch_as_it_is(config, tokenizer) -> None:
    plain = config.replace({"data.pairs": 24, "data.caption_tokens": 40})
    share = plain.replace({"data.relation_negatives": 1.0})
    without, streams = Streams(plain, tokenizer), Streams(share, tokenizer)
    scenes = drawn(streams, "pairs", 2, 24)
    pairs, before = streams[2]["pairs"], without[2]["pairs"]
    length = before.tokens.ids.shape[1]
    assert before.false_ids is None and pairs.false_ids.shape == pairs.tokens.ids.shape
    for name in ("ids", "masked_ids", "mask"):
        assert torch.equal(getattr(pairs.tokens, name)[:, :length], getattr(before.tokens, name))
    assert not pairs.tokens.mask[:, length:].any() and (pairs.tokens.ids[:, length:] == PAD).all()
    assert torch.equal(pairs.tokens.labels, before.tokens.labels) and torch.equal(pairs.image_mask, before.image_mask)
    assert all(same(streams[2][name], without[2][name]) for name in ("regions", "images", "texts"))
    changed = 0
    for scene, ids, false in zip(scenes, pairs.tokens.ids, pairs.false_ids, strict=True):
        said, other = tokenizer.decode(ids.tolist()), tokenizer.decode(false.tolist())
        assert (other != said) == bool(scene.caption.relations)
        if other != said:
            changed += 1
            claims = parse(other)
            assert claims.whole and not is_true(claims.claims, scene.objects) and is_true(scene.caption, scene.objects)
    assert changed > 3
    some = Streams(plain.replace({"data.relation_negatives": 0.5}), tokenizer)
    counts, everything = (
        sum(int((made[step]["pairs"].false_ids != made[step]["pairs"].tokens.ids).any(1).sum()) for step in range(3))
        for made in (some, streams)
    )
    assert 0 < counts < everything
