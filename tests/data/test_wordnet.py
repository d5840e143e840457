"""Sentences: cleaned, split without leaks, and the right sense of what is pictured."""

from pathlib import Path

import pytest

from xfm.data import wordnet
from xfm.data.source import SPLITS
from xfm.data.world.scenes import World


def test_splits_share_neither_synset_nor_text() -> None:
    parts = [wordnet.sentences(split) for split in SPLITS[:3]]
    sizes = [len(part) for part in parts]
    assert sum(sizes) > 150_000 and sizes[1] / sum(sizes) == pytest.approx(0.05, abs=0.005)
    texts, synsets = ([{getattr(s, field) for s in part} for part in parts] for field in ("text", "synset"))
    assert len(set().union(*texts)) == sum(sizes)
    assert len(set().union(*synsets)) == sum(map(len, synsets))
    assert len({s.lexname for s in parts[0]}) == 45


def test_parsing_of_one_line(tmp_path: Path) -> None:
    pointers = "004 @ 02374149 n 0000 ~ 02374451 n 0000 @ 00015388 n 0000 @i 00000001 n 0000"
    glosses = '(zoology) solid-hoofed `pal\'; "He RODE  it home"; "no"'
    line = f"02374451 05 n 02 horse 0 Equus_caballus 0 {pointers} | {glosses}"
    verb = "00403798 30 v 01 puncture 0 001 + 07314658 n 0101 02 + 08 00 + 11 00 | (no)\n"
    for name in wordnet.FILES.values():
        (tmp_path / name).write_text(
            "  1 licence @ here\n" + {"data.noun": f"{line}  \n", "data.verb": verb}.get(name, "")
        )
    (tmp_path / "lexnames").write_text("".join(f"{i:02}\tname.{i}\t1\n" for i in range(45)))
    definition = wordnet.Sentence("a solid-hoofed 'pal'", "name.5", "n02374451", "definition")
    example = wordnet.Sentence("he rode it home", "name.5", "n02374451", "example")
    assert list(wordnet.parse(tmp_path)) == [example]  # two words are no sentence
    assert list(wordnet.parse_hypernyms(tmp_path)) == [["n02374451", "n02374149", "n00015388"]]
    (tmp_path / "data.noun").write_text(f"{line}\n".replace("solid-hoofed", "a solid-hoofed"))
    assert list(wordnet.parse(tmp_path)) == [definition, example]


def test_hypernyms_are_wordnets() -> None:
    above, texts = wordnet.hypernyms(), wordnet.definitions()
    lines = [line for name in ("noun", "verb") for line in (wordnet.folder() / f"data.{name}").read_text().splitlines()]
    assert sum(map(len, above.values())) == sum(line.partition("|")[0].count(" @ ") for line in lines)
    assert {s[0] for s in above} == {"n", "v"}
    horse = next(s for s in texts.values() if s.text.startswith("solid-hoofed herbivorous"))
    assert [texts[s].text[:14] for s in above[horse.synset]] == ["hoofed mammals"]
    everything = wordnet.ancestors(horse.synset)
    assert set(above[horse.synset]) < everything and len(everything) == 14
    assert all(parent in everything for s in everything for parent in above.get(s, ()))
    assert horse.synset not in everything


def test_glosses_are_of_the_pictured_sense() -> None:
    glosses = wordnet.concept_glosses(World())
    assert len(glosses) == 98
    starts = {"carrot": "orange root", "mouse": "any of numerous small rodents", "kite": "plaything",
              "star": "a celestial body", "drum": "a musical percussion", "crocodile": "large voracious"}  # fmt: skip
    assert {name: glosses[name].text[: len(start)] for name, start in starts.items()} == starts
    with pytest.raises(ValueError, match=r"'unseen_concepts'.*'train', 'validation', 'test'"):
        wordnet.sentences("unseen_concepts")
