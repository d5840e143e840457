"""Lexicographer files: training and test share no synset, and who knows the file is always right."""

from dataclasses import replace

import numpy as np
import pytest

from xfm.tasks import EvalContext, language_finetuning
from xfm.tasks.world import lexnames

pytestmark = pytest.mark.usefixtures("few")


def test_other_seeds_ask_about_other_sentences(context: EvalContext) -> None:
    own, other = (lexnames._sample(replace(context, seed=seed), "test", 50) for seed in (0, 1))
    assert own != other and own == lexnames._sample(context, "test", 50)


def test_sentences_learnt_and_asked_share_no_synset(context: EvalContext) -> None:
    own = replace(context, split="train")
    tested = lexnames._sample(own, "train", 2000)
    synsets = {s.synset for s in tested}
    trained = lexnames._sample(own, "train", 3000, synsets)
    assert len(tested) == 2000 and len(trained) == 3000 and synsets.isdisjoint(s.synset for s in trained)
    assert len({s.text for s in trained}) == 3000


def test_who_knows_the_file_is_always_right(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [s for split in ("train", "test") for s in context.source.sentences(split)]
    names = sorted({s.lexname for s in everything})
    place, codes = {s.text: names.index(s.lexname) for s in everything}, np.eye(45)
    monkeypatch.setattr(lexnames, "TRAIN", 3000)
    monkeypatch.setattr(language_finetuning, "features", lambda _, samples: codes[[place[text] for (text,) in samples]])
    monkeypatch.setattr(language_finetuning, "finetune", lambda *args: np.array(["noun.artifact"] * len(args[3])))
    results = {r.condition: r for r in lexnames.score(context)}
    learnt = {s.lexname for s in lexnames._sample(context, "train", 3000)}
    asked = [s.lexname for s in lexnames._sample(context, "test", 100)]
    known = np.mean([name in learnt for name in asked])
    assert known > 0.98 and results["linear probe"].value == pytest.approx(known)
    assert results["fine-tuned"].value == pytest.approx(np.mean([name == "noun.artifact" for name in asked]))
    assert results["bag of words"].value > results["bag of words"].baseline + 0.1  # words do tell the file
