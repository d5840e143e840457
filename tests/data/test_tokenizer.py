"""Ids, spans, padding, files."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfm.config import ConfigError
from xfm.data.tokenizer import Tokenizer, train
from xfm.data.wordnet import sentences
from xfm.data.world.grammar import plural
from xfm.data.world.scenes import World

CORPUS = """
from xfm.data.tokenizer import train
from xfm.data.wordnet import sentences
made = train((s.text for s in sentences("test")[:1500]), 600).backend.to_str()
"""


def test_special_ids_names_and_sentences_that_come_back(tokenizer: Tokenizer, world: World) -> None:
    assert [tokenizer.backend.token_to_id(t) for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, 4095]
    assert (tokenizer.vocabulary, tokenizer.mask_id) == (4096, 4095) and tokenizer.encode("a <mask> dog", 9)[2] == 4095
    for sentence in sentences("test")[::40]:
        assert tokenizer.decode(tokenizer.encode(sentence.text, 512)) == sentence.text
    for name in (*world.names, *map(plural, world.names)):
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


def test_spans_find_their_tokens(tokenizer: Tokenizer, world: World) -> None:
    for i in range(50):
        caption = world.scene("train", i).caption
        ids, ranges = tokenizer.encode_with_spans(caption.text, caption.spans)
        assert ids == tokenizer.encode(caption.text, 512)
        for (start, end, _), (a, b) in zip(caption.spans, ranges, strict=True):
            assert tokenizer.decode(ids[a:b]) == caption.text[start:end]
    ids, ranges = tokenizer.encode_with_spans("a hedgehog and a dog", [(2, 10, "noun"), (17, 20, "noun")], longest=5)
    assert len(ids) == 5 and ranges[0][0] == 2 and ranges[1][0] == ranges[1][1]  # the dog was cut off


@pytest.mark.full
def test_training_is_deterministic_and_refuses_bad_sizes() -> None:
    names: dict[str, str] = {}
    exec(CORPUS, names)
    run = [sys.executable, "-c", CORPUS + "print(made)"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == names["made"].strip()
    for size, said in ((200, "at least 261"), (500, "at most 265, which the corpus gives")):
        with pytest.raises(ValueError, match=f"model.text.vocabulary = {size}: must be {said}"):
            train(iter(["a dog"]), size)


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
    tree = json.loads(small)
    node, place = tree, []
    while isinstance(node, dict | list) and node and (not place or data.draw(st.booleans())):
        place.append(data.draw(st.sampled_from([*node] if isinstance(node, dict) else range(len(node)))))
        parent, node = node, node[place[-1]]
    parent[place[-1]] = data.draw(VALUES)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tree))
    try:
        tokenizer = Tokenizer.load(path)
    except ValueError as error:
        assert str(path) in str(error) and len(str(error)) < 600 + len(str(path))
    else:
        assert tokenizer.encode("A cat, a dog: ñandú \0", 9)[0] == 0 and tokenizer.vocabulary == 266


OTHERS = [b"[" * 100_000, b'"' + b"x" * 10_000_000, b'{"version": "1.0"}', b"[1]", b"null", b"\x00", b"", b"\xff\xfe"]
FRAMES = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
          "add_prefix_space": True}  # fmt: skip
CUTS = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}


def test_a_file_is_read_again_and_one_of_another_kind_is_an_error_that_names_it(small: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(small, encoding="utf-8")
    assert Tokenizer.load(path).encode("a dog", 9) == Tokenizer(tokenizers.Tokenizer.from_str(small)).encode("a dog", 9)
    refused = dict.fromkeys(OTHERS, "not a tokenizer of this toolkit")
    refused[small.replace('"<pad>"', '"<gap>"').encode()] = "'<gap>': must be '<pad>'"
    for part, value in (("truncation", CUTS), ("post_processor", FRAMES)):
        refused[json.dumps(json.loads(small) | {part: value}).encode()] = f"by itself: .*{part}"
    for content, said in refused.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"tokenizer\.json.*{said}") as error:
            Tokenizer.load(path)
        assert len(str(error.value)) < 600


class PanicException(BaseException):
    """As the Rust library's: no Exception."""


def test_a_panic_of_the_library_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch) -> None:
    def from_str(text: str) -> None:
        raise raised

    (path := tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setattr(tokenizers, "Tokenizer", SimpleNamespace(from_str=from_str))
    raised = PanicException("index out of bounds")
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a tokenizer .*index out of bounds"):
        Tokenizer.load(path)
    raised = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.load(path)


@pytest.mark.parametrize("text", [None, b"a dog", "\ud800", ["x" * 10_000_000]])
def test_what_is_no_text_is_refused_by_name(text: Any, tokenizer: Tokenizer) -> None:
    for encode in (lambda: tokenizer.encode(text, 9), lambda: tokenizer.encode_with_spans(text, [])):
        with pytest.raises(ConfigError, match=r"^text = .*: must be a string") as error:
            encode()
        assert len(str(error.value)) < 400
