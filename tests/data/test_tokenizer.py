"""Tokens: ids, spans, padding, files; and the sentences of WordNet, split without leaks and of the right sense."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfm.config import ConfigError
from xfm.data import wordnet
from xfm.data.source import SPLITS
from xfm.data.tokenizer import Tokenizer, train
from xfm.data.world.grammar import plural
from xfm.data.world.scenes import World

CORPUS = """
from xfm.data.tokenizer import train
from xfm.data.wordnet import sentences
print(train((s.text for s in sentences("test")[:1500]), 600).backend.to_str())
"""


def test_special_ids_names_and_sentences_that_come_back(tokenizer: Tokenizer) -> None:
    assert [tokenizer.backend.token_to_id(t) for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, 4095]
    assert tokenizer.vocabulary == 4096 and tokenizer.encode("a <mask> dog", 9)[2] == tokenizer.mask_id == 4095
    for sentence in wordnet.sentences("test")[::40]:
        assert tokenizer.decode(tokenizer.encode(sentence.text, 512)) == sentence.text
    for name in (*World().names, *map(plural, World().names)):
        ids = tokenizer.encode(f"a {name}", 9)
        assert len(ids) == 4 and tokenizer.decode(ids[2:3]) == name, "a single token"
        assert tokenizer.encode(name, 9)[1] == ids[2]  # also where a text begins


@given(st.text(max_size=40))
def test_any_text_comes_back_lower_cased(tokenizer: Tokenizer, text: str) -> None:
    text = "x " + "".join(c for c in text if c not in "<>")
    ids = tokenizer.encode(text, 512)
    assert ids[0] == 0 and ids[-1] == 2 and min(ids[1:-1]) > 3
    assert tokenizer.decode(ids) == "".join(c.lower() for c in text).strip()


def test_long_texts_are_cut(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode("a dog and a cat and a fish", 512)
    assert tokenizer.encode("a dog and a cat and a fish", 5) == [*whole[:4], 2]
    ids, mask = tokenizer.pad([[0, 5, 2], [0, 5, 6, 7, 2]])
    assert ids.tolist() == [[0, 5, 2, 1, 1], [0, 5, 6, 7, 2]] and ids.dtype == torch.int64
    assert mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]


def test_spans_find_their_tokens(tokenizer: Tokenizer) -> None:
    for i in range(50):
        caption = World().scene("train", i).caption
        ids, ranges = tokenizer.encode_with_spans(caption.text, caption.spans)
        assert ids == tokenizer.encode(caption.text, 512)
        for (start, end, _), (a, b) in zip(caption.spans, ranges, strict=True):
            assert tokenizer.decode(ids[a:b]) == caption.text[start:end]
    ids, ranges = tokenizer.encode_with_spans("a hedgehog and a dog", [(2, 10, "noun"), (17, 20, "noun")], longest=5)
    assert len(ids) == 5 and ranges[0][0] == 2 and ranges[1][0] == ranges[1][1]  # the dog was cut off


@pytest.mark.full
def test_training_is_deterministic_and_refuses_bad_sizes() -> None:
    run = [sys.executable, "-c", CORPUS]
    first, second = (subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second != ""
    with pytest.raises(ValueError, match=r"model.text.vocabulary = 500: must be at most 265, which the corpus gives"):
        train(iter(["a dog"]), 500)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def small() -> str:
    return train(iter(["a dog and a cat"] * 3), 266).backend.to_str()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_with_anything_anywhere_is_a_tokenizer_or_an_error_that_names_it(small, tmp_path, data) -> None:
    node, place = (tree := json.loads(small)), None
    while isinstance(node, dict | list) and node and (place is None or data.draw(st.booleans())):
        place = data.draw(st.sampled_from([*node] if isinstance(node, dict) else range(len(node))))
        parent, node = node, node[place]
    parent[place] = data.draw(VALUES)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tree))
    try:
        tokenizer = Tokenizer.load(path)
    except ValueError as error:
        assert str(path) in str(error) and len(str(error)) < 600 + len(str(path))
    else:
        assert tokenizer.encode("A cat, a dog: ñandú \0", 9)[0] == 0 and tokenizer.vocabulary == 266


OTHERS = [b"[" * 100_000, b'"' + b"x" * 10_000_000, b'{"version": "1.0"}', b"[1]", b"null", b"\x00", b"", b"\xff\xfe"]


def test_a_file_of_another_kind_is_an_error_that_names_it(small: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    refused = dict.fromkeys(OTHERS, "not a tokenizer of this toolkit")
    refused[small.replace('"<pad>"', '"<gap>"').encode()] = "'<gap>': must be '<pad>'"
    cuts = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    refused[json.dumps(json.loads(small) | {"truncation": cuts}).encode()] = "by itself: .*truncation"
    for content, said in refused.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"tokenizer\.json.*{said}") as error:
            Tokenizer.load(path)
        assert len(str(error.value)) < 600


@pytest.mark.parametrize("text", [None, b"a dog", "\ud800", ["x" * 10_000_000]])
def test_what_is_no_text_is_refused_by_name(text: Any, tokenizer: Tokenizer) -> None:
    for encode in (lambda: tokenizer.encode(text, 9), lambda: tokenizer.encode_with_spans(text, [])):
        with pytest.raises(ConfigError, match=r"^text = .*: must be a string") as error:
            encode()
        assert len(str(error.value)) < 400


def test_splits_share_neither_synset_nor_text() -> None:
    parts = [wordnet.sentences(split) for split in SPLITS[:3]]
    sizes, synsets = [*map(len, parts)], [{s.synset for s in part} for part in parts]
    assert sum(sizes) > 150_000 and sizes[1] / sum(sizes) == pytest.approx(0.05, abs=0.005)
    assert len({s.text for part in parts for s in part}) == sum(sizes)
    assert len(set().union(*synsets)) == sum(map(len, synsets)) and len({s.lexname for s in parts[0]}) == 45


def test_hypernyms_are_wordnets_and_glosses_of_the_pictured_sense() -> None:
    above, texts = wordnet.hypernyms(), wordnet.definitions()
    lines = [line for name in ("noun", "verb") for line in (wordnet.folder() / f"data.{name}").read_text().splitlines()]
    assert sum(map(len, above.values())) == sum(line.partition("|")[0].count(" @ ") for line in lines)
    horse = next(s for s in texts.values() if s.text.startswith("solid-hoofed herbivorous"))
    assert [texts[s].text[:14] for s in above[horse.synset]] == ["hoofed mammals"]
    everything = wordnet.ancestors(horse.synset)
    assert set(above[horse.synset]) < everything and len(everything) == 14 and horse.synset not in everything
    assert all(parent in everything for s in everything for parent in above.get(s, ()))
    glosses = wordnet.concept_glosses(World())
    assert len(glosses) == 98
    starts = {"carrot": "orange root", "mouse": "any of numerous small rodents", "star": "a celestial body"}
    assert {name: glosses[name].text[: len(start)] for name, start in starts.items()} == starts
