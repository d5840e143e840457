"""Few questions: the evaluation in seconds, for tests of what does not depend on their number."""

from xfm import report
from xfm.tasks import baselines, language_finetuning
from xfm.tasks.world import (
    concept_recognition,
    drawing_styles,
    exchanged_words,
    grounding,
    language,
    lexnames,
    masked_words,
    object_naming,
    retrieval,
    sentence_pairs,
)

FEW = {
    report: {"_QUESTIONS": (8,)},
    retrieval: {"SIZE": 24},
    grounding: {"SCENES": 24, "HARD_SCENES": 8},
    exchanged_words: {"SCENES": 40},
    masked_words: {"SCENES": 40},
    object_naming: {"EACH": 1},
    language: {"SENTENCES": 40, "COUNTED": 200},
    lexnames: {"TRAIN": 400, "TEST": 100},
    sentence_pairs: {"TRAIN": 100, "TEST": 60},
    language_finetuning: {"STEPS": 3},
    drawing_styles: {"SCENES": 12},
    baselines: {"ITERATIONS": 3, "PENALTIES": (1.0, 0.1)},
    concept_recognition: {"TRAIN": 3, "TRAIN_UNSEEN": 3, "TEST": 2, "SCENES_TRAIN": 1, "SCENES_TEST": 40,
             "SCENES_PATCHES": 40},
}  # fmt: skip


def ask_few(put=setattr) -> None:
    """By `put` (a monkeypatch's `setattr`, to have it undone)."""
    for module, sizes in FEW.items():
        for name, n in sizes.items():
            put(module, name, n)
