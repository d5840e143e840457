"""The data card: what is cheap to count agrees with the committed page; what is measured is measured right."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from xfm import recipes
from xfm.data.world import styles
from xfm.data.world.scenes import World

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "data-card.md"


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


card = script("data_card")


def rows() -> dict[str, list[str]]:
    lines = [line.split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    return {cells[0].strip("| "): [cell.strip(" |") for cell in cells[1:]] for cells in lines}


def test_the_committed_page_counts_what_the_code_counts() -> None:
    found = rows()
    names = found[""]
    assert names == ["demo", "demo+full_world+hard+rich"]
    for column, name in enumerate(names):
        for label, value in card.counted(recipes.get(name)).items():
            assert found[label][column] == value, f"make docs/data-card.md again, as it says: {label}"


def test_the_committed_page_tells_of_every_style() -> None:
    found = rows()
    for column, style in enumerate(styles.STYLES):
        for label, value in card.of_style(style).items():
            assert found[label][column] == value, label
    assert found["concepts missing"] == ["0"] * 4


def test_the_committed_page_names_what_is_required() -> None:
    text = PAGE.read_text("utf-8")
    for words in (
        "CC BY-SA 4.0",
        "WordNet",
        "python scripts/data_card.py demo demo+full_world+hard+rich",
        "photographs",
    ):
        assert words in text
    assert rows()["sentences in two splits"] == rows()["contents in two splits"] == ["0", "0"]
    assert "{" not in text


def test_shares_of_a_few_scenes_by_hand() -> None:
    world = World(16)
    scenes = {split: [world.scene(split, i, 1) for i in range(40)] for split in ("train", "test")}
    found = card.of_repeats(scenes)
    texts = {split: [s.caption.text for s in some] for split, some in scenes.items()}
    shared = sum(text in texts["train"] for text in texts["test"]) / 40
    assert found["captions of test that occur in train"] == f"{shared:.1%}" and 0 < shared < 1
    assert found["contents in two splits"] == "0"
    names = [s.objects[0].name for s in scenes["test"]]
    sizes = [s.caption.things[0].size for s in scenes["test"]]
    ambiguous = sum(
        any(names[i] == names[j] and sizes[i] in (None, scenes["test"][j].objects[0].size) for j in range(40) if j != i)
        for i in range(40)
    )
    label = f"captions true of another picture too, among {card.GALLERY} of test"
    assert found[label] == f"{ambiguous / 40:.1%}"
    pairs = [world.scene("train", i, 2) for i in range(60)]
    alike = sum(s.objects[0].name == s.objects[1].name for s in pairs)
    assert card.of_pictures(pairs)["scenes of several objects that repeat a concept"] == f"{alike / 60:.1%}"


def test_naive_bayes_learns_what_the_text_gives_away() -> None:
    known = [("is the apple red", "yes"), ("is the pear red", "no")] * 5
    assert card.text_only_accuracy(known, [("is an apple red", "yes"), ("a pear", "no")]) == 1
    assert card.text_only_accuracy(known, [("a pear", "yes")]) == 0
