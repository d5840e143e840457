"""What studies/README.md says of the shipped studies is in their data."""

import re
from pathlib import Path

from xfm.study import Study

STUDIES = Path(__file__).parents[2] / "studies"
PAGE = (STUDIES / "README.md").read_text("utf-8")
CONFIRM = {"insulation", "general", "negatives", "guidance", "mends", "elsewhere"}


def test_the_page_is_an_index_of_at_most_2500_words_beside_its_tables():
    text = re.sub(r"<!-- table .*?<!-- end -->|<!--.*?-->|\]\([^)]*\)", " ", PAGE, flags=re.S)
    assert len(re.findall(r"\S*\w\S*", text)) <= 2500


def test_which_studies_can_confirm_and_with_which_seeds():
    specs = {path.parent.name: Study.load(path.parent).spec for path in STUDIES.glob("*/spec.json")}
    assert {name for name, spec in specs.items() if spec.kind == "confirmatory"} == CONFIRM
    for name, spec in specs.items():
        seeds = f"{min(spec.seeds)}–{max(spec.seeds)}"
        assert re.search(rf"^\| \[`{name}`\]\({name}\) \| {spec.kind} \| {seeds}\W", PAGE, re.M), name


def test_every_question_of_the_index_has_its_section():
    headings = re.findall(r"^#+ (.+)$", PAGE, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert {*re.findall(r"\]\(#([^)]+)\)", PAGE)} <= anchors
    answered = {*re.findall(r"^\*\*\[`[\w-]+`\]\(([\w-]+)\)", PAGE, re.M)}
    assert answered >= CONFIRM
