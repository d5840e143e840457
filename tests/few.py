"""Few questions: the evaluation in seconds, for tests of what does not depend on their number."""

from importlib import import_module

FEW = {
    "report": {"_QUESTIONS": (8,)},
    "tasks.world.retrieval": {"SIZE": 24},
    "tasks.world.grounding": {"SCENES": 24, "HARD_SCENES": 8},
    "tasks.world.exchanged_words": {"SCENES": 40},
    "tasks.world.masked_words": {"SCENES": 40},
    "tasks.world.object_naming": {"EACH": 1},
    "tasks.world.language": {"SENTENCES": 40, "COUNTED": 200},
    "tasks.world.lexnames": {"TRAIN": 400, "TEST": 100},
    "tasks.world.sentence_pairs": {"TRAIN": 100, "TEST": 60},
    "tasks.language_finetuning": {"STEPS": 3},
    "tasks.world.drawing_styles": {"SCENES": 12},
    "tasks.baselines": {"ITERATIONS": 3, "PENALTIES": (1.0, 0.1)},
    "tasks.world.concept_recognition": {"TRAIN": 3, "TRAIN_UNSEEN": 3, "TEST": 2, "SCENES_TRAIN": 1, "SCENES_TEST": 40,
                                        "SCENES_PATCHES": 40},
}  # fmt: skip


def ask_few(put=setattr) -> None:
    """By `put` (a monkeypatch's `setattr`, to have it undone)."""
    for module, sizes in FEW.items():
        for name, n in sizes.items():
            put(import_module(f"xfm.{module}"), name, n)
