"""Whatever is in a study's files, or written as one, ends in an error that names the file and what is wrong."""

from __future__ import annotations

import json
import time
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study.conftest import made_up

from xfm.base.files import FileError
from xfm.config import ConfigError
from xfm.study import Spec, Study, StudyError, code_pin, command, results_csv
from xfm.study.preregistration import require_fresh
from xfm.study.spec import PLAN

NAMED = (ConfigError, StudyError, FileError)
DEEP = "[" * 100_000
DEEP_DICT: dict = {}
for _ in range(500):
    DEEP_DICT = {"a": DEEP_DICT}
LONG = "x" * 10_000_000
HUGE = 10**400
WRONG = ["x", "", 1.5, -1, True, None, [], {}, [[1]], [None], ["x", 1], {"a": 1}, {"a": {}}, {"": {}}, HUGE, -HUGE,
         [HUGE], float("nan"), float("inf"), "\x1b[31m", "\ud800", "a/b", "../x", [DEEP_DICT], DEEP_DICT, [LONG], LONG,
         {"xfm": 1}, {"xfm": None}, {"xfm": [1]}, {"xfm": {"train.lr": "x"}}, {"xfm": {"train.lr": HUGE}},
         {"xfm": {"train.lr": None}}, {"xfm": {"train.lr": [1]}}, {"xfm": {"train": 1}}, {"xfm": {"train.lr": {}}},
         {"xfm": {LONG: 1}}, {LONG: {}}, {"xfm": {"train.steps": LONG}}, {"xfm": {"": 1}}, {"xfm": {".": 1}},
         {"xfm": {"seed": 2**62, "name": "\n"}}, {"a\rb": {}}, {"value": {}}, [2**63], [0, 0], [0.0]]  # fmt: skip
FILES = ["spec.json", "results.csv", "baselines.json", "failed.json", "probes.jsonl", "curves.jsonl", "machines.jsonl",
         "answers.json"]  # fmt: skip
FIELDS = ["name", "recipe", "variants", "seeds", "changes", "primary", "tasks", "confirmatory", "explored", *PLAN]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    study = Study("s", "smoke+stage1", ["xfm", "no_mim"], range(3), root=root, runs=root / "runs")
    return made_up(study, {})


@pytest.fixture
def study(base):
    kept = {path: path.read_bytes() for path in base.folder.iterdir() if path.is_file()}
    yield base
    for path, content in kept.items():
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)
    for path in [*base.folder.iterdir()]:
        if path not in kept and path.name != "figures":
            path.rmdir() if path.is_dir() else path.unlink()


def used(study) -> None:
    """Everything that reads the study's files."""
    loaded = Study.load(study.folder, study.runs)
    loaded.missing()
    loaded.effects()
    loaded.probes()
    loaded.curves()
    loaded.figure("probes")
    code_pin.precisions(loaded.spec, loaded.folder, [])
    loaded.answers()
    require_fresh(Spec("t", "smoke", {"xfm": {}}, (9,), explored=("s",)), study.folder.parent)


def refused(study, *names: str) -> None:
    with warnings.catch_warnings(), pytest.raises(NAMED) as error:
        warnings.simplefilter("ignore")
        used(study)
    said = str(error.value)
    assert len(said) < 3000, "a wrong value is not echoed whole"
    assert all(name in said for name in names), said


def survives(study) -> None:
    """It is either right or refused by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            used(study)
        except NAMED as error:
            assert len(str(error)) < 3000


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_spec_may_be_anything(study, field):
    path = study.folder / "spec.json"
    tree = json.loads(path.read_text())
    right = {"changes": [{}], "variants": [], "primary": [[]], "explored": [[]], "confirmatory": [], "tasks": [[]]}
    right |= {"gatekeeping": [True], "admission": [{}], "hypotheses": [[]]}
    right |= {key: [{}, {"a": 1}, {"xfm": 1}] for key in ("margins", "detectable")}
    right |= {key: ["", "x", "a/b", "../x"] for key in ("question", "would_change")}
    for value in WRONG:
        path.write_text(json.dumps(tree | {field: value}))
        if value in right.get(field, []):
            survives(study)
        else:
            refused(study, *["spec.json"] * (field != "variants"))  # of other variants results.csv has no rows


def test_bytes_that_are_no_text(study):
    for name in ("spec.json", "baselines.json", "failed.json"):
        content = (study.folder / name).read_bytes() if (study.folder / name).exists() else b""
        (study.folder / name).write_bytes(b"\xff\xfe\x00" + content)
        refused(study, name)
        (study.folder / name).write_bytes(content or b"[]")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["a folder", "a loop of links"])
def test_a_file_that_cannot_be_read_is_named(study, name, kind):
    path = study.folder / name
    path.unlink(missing_ok=True)
    if kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path.name)
    try:
        refused(study, name)
    finally:
        path.rmdir() if kind == "a folder" else path.unlink()


@pytest.mark.parametrize("name", FILES[:-1])  # the last is written by who reads
def test_what_cannot_be_written_is_named_before_anything_is_trained(tmp_path, name):
    study = Study("s", "smoke+stage1", ["xfm", "no_mim"], range(2), root=tmp_path, runs=tmp_path / "runs")
    (study.folder / name).mkdir(parents=True)
    with pytest.raises(NAMED, match=name):
        study.run()
    assert not (tmp_path / "runs").exists()


ROW = {"variant": "xfm", "seed": 0, "fingerprint": "0", "why": "x"}
KNOWN = {"value": 0.5, "name": "chance", "better": "higher", "unit": "%"}
PROBE = {"variant": "xfm", "seed": 0, "step": 0}
LINE = {"variant": "xfm", "seed": 0, "steps": [2, 4], "curves": {"texts/mlm": [7.1, None]}}
NO_STEPS = [[4, 2], [2, 2], [0, 1], [1.5, 2], ["2", 4], [True, 2], [None, 1], [1, HUGE], [[1], [2]], [-1, 1]]
NO_VALUES = [None, 1, "ab", {}, [1], [1, 2, 3], [1, "2"], [1, True], [1, [2]], [1, HUGE], DEEP_DICT, LONG]
OTHER = [None, 1.5, [], {}, True, DEEP_DICT]
NO_SPEC = ["", "{", "[]", "1", "null", '"x"', DEEP, '{"a":' * 5000, "{}", '{"name": "s"}', '{"seeds": [1e999]}', "\x00",
           '{"seeds": ' + "1" * 5000 + "}", '{"' + "k" * 10_000_000 + '": 1}', "\ufeff{}", "{'a': 1}"]  # fmt: skip
HINT = "Put a good copy back, or delete the file"
FAULTS = [  # file, content, what the error says beside the file's name
    *(("spec.json", text, "") for text in NO_SPEC),
    *(("failed.json", text, "") for text in (DEEP, "{}", "1", "null", "{", '"x"', "[1" + "0" * 5000 + "]")),
    *(("failed.json", [row], HINT) for row in (None, 1, 1.5, "x", [], {}, {"variant": "xfm", "seed": 0})),
    *(("failed.json", [ROW | {field: value}], HINT) for field in ROW for value in (None, 1.5, True, ["xfm"])),
    *(("baselines.json", {"naming, accuracy": row}, HINT) for row in (None, 1, "x", [], {})),
    *(("baselines.json", {"m": KNOWN | {"value": v}}, HINT) for v in ("x", True, HUGE, float("inf"), [1], LONG)),
    *(("baselines.json", {"m": KNOWN | {name: None}}, HINT) for name in ("name", "unit", "better")),
    *(("baselines.json", {"m": KNOWN | {"better": value}}, HINT) for value in ("up", ["higher"])),
    *(("probes.jsonl", PROBE | {field: value}, f"{field} = ") for field in PROBE for value in (*OTHER, DEEP)
      if (field, value) != ("variant", DEEP)),
    *(("probes.jsonl", {k: v for k, v in PROBE.items() if k != name}, f"{name} = None") for name in ("seed", "step")),
    ("probes.jsonl", PROBE, "norm"),
    ("probes.jsonl", PROBE | {"norm": 1}, "object"),
    *(("curves.jsonl", LINE | {field: value}, f"{field} = ") for field in LINE for value in (None, 1.5, True)),
    *(("curves.jsonl", LINE | {field: v}, f"{field} = ") for field in ("seed", "steps", "curves") for v in ("", LONG)),
    *(("curves.jsonl", LINE | {field: DEEP_DICT}, f"{field} = ") for field in ("variant", "seed", "steps")),
    *(("curves.jsonl", LINE | {"steps": steps}, "must be rising whole numbers from 1") for steps in NO_STEPS),
    *(("curves.jsonl", LINE | {"curves": {"texts/mlm": values}}, "'texts/mlm' = ") for values in NO_VALUES),
    ("curves.jsonl", LINE | {"curves": DEEP_DICT}, "must be a number or null for each of 2 steps"),
]  # fmt: skip
TORN = [DEEP, "{", "\x00", '{"variant": "xf', "", "[1]", "1", '{"seed": 0}', '{"variant": "xfm", "steps": [NaN']


@pytest.mark.parametrize(("name", "content", "message"), FAULTS, ids=map(str, range(len(FAULTS))))
def test_a_file_of_another_content_is_refused(study, name, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (study.folder / name).write_text(f"\n{text}\n" if name.endswith(".jsonl") else text)
    refused(study, name, message)


@pytest.mark.parametrize("text", TORN, ids=map(str, range(len(TORN))))
def test_a_torn_line_is_left_out(study, text):
    (study.folder / "probes.jsonl").write_text(f"{text}\n")
    (study.folder / "curves.jsonl").write_text(f"{text}\n{json.dumps(LINE)}\n")
    used(study)
    ((steps, values),) = Study.load(study.folder, study.runs).curves()["xfm"][0].values()
    assert (steps.tolist(), values.tolist()) == ([2], [7.1])


FP = "{fp}"
GOOD = ["xfm", "0", FP, "language", "m", "0.5", "7", "1.0"]


@pytest.mark.parametrize(
    ("at", "cell", "said"),
    [
        (1, "x", "seed must be of type int"),
        (1, "1.5", "seed must be"),
        (1, "-1", "seed must be"),
        (1, str(2**63), "seed must be"),
        (1, str(HUGE), "seed must be"),
        (1, "1" * 5000, "seed must be"),
        (1, "", "seed must be"),
        (3, "x", "family must be one of language, vision"),
        (5, "", "value must be of type float"),
        (5, "0,5", "value must be"),
        (6, str(2**63), "n must be of type int"),
        (6, str(HUGE), "n must be"),
        (6, "1e3", "n must be"),
        (7, "x", "seconds must be of type float"),
        (4, "m" * 131_073, "field larger than field limit"),
        (0, "z" * 131_000, "no variant of the spec"),
        (2, "z" * 131_000, "was measured with the config"),
    ],
)
def test_a_broken_row_is_named(study, at, cell, said):
    row = [part.replace(FP, study.spec.config("xfm", 0).fingerprint) for part in GOOD]
    row[at] = f'"{cell}"'
    study.table.write_text(study.table.read_text() + ",".join(row) + "\n")
    refused(study, "results.csv", said)


@pytest.mark.parametrize(
    "text", ["x", "a,b\n", "\n\n", "\x00\n", '"', "variant\r\n", "\ufeffvariant,seed\n", ",\n", LONG]
)
def test_results_of_another_content(study, text):
    study.table.write_text(text)
    survives(study)


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["results.csv", "spec.json", "baselines.json"])
def test_a_file_with_other_bytes_in_it_is_read_or_refused(study, name, data, at, gone):
    content = (study.folder / name).read_bytes()
    (study.folder / name).write_bytes(content[:at] + data + content[at + gone :])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Study.load(study.folder).effects()
    except NAMED:
        pass
    finally:
        (study.folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "é" * 150, "a/b", "a\\b", "..", ".", "", "a\nb", "a\x00b", "\x1b[2J", "\ud800", "-x", " a", LONG, 1,
     None],
    ids=map(str, range(16)),
)  # fmt: skip
def test_a_name_that_is_no_folders_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"name = .*: must be a folder's name") as error:
        Study(name, "smoke", ["xfm"], root=tmp_path)
    assert len(str(error.value)) < 500
    if isinstance(name, str) and name not in ("", ".", ".."):
        with pytest.raises(NAMED) as error:
            command(name, 0, tmp_path)
        assert len(str(error.value)) < 3000 or name == LONG
    with pytest.raises(ConfigError, match=r"explored\[0\] = "):
        Spec("s", "smoke", {"xfm": {}}, (0,), explored=(name,))


@pytest.mark.parametrize("field", ["variants", "seeds", "primary", "tasks", "explored", "changes"])
@pytest.mark.parametrize("value", [1, 1.5, object(), [1], [None], {1: 2}, [object()], b"x"])
def test_a_study_written_wrongly_is_a_config_error(tmp_path, field, value):
    if (field, repr(value)) in [("seeds", "[1]"), ("seeds", "b'x'"), ("seeds", "{1: 2}")]:
        return
    with pytest.raises(ConfigError):
        Study(**{"name": "s", "recipe": "smoke", "variants": ["xfm"], "root": tmp_path} | {field: value})


@pytest.fixture(scope="module")
def million(tmp_path_factory, base):
    path = tmp_path_factory.mktemp("million") / "results.csv"
    fingerprint, header = base.spec.config("xfm", 0).fingerprint, base.table.read_text().partition("\n")[0]
    lines = [f"xfm,0,{fingerprint},language,metric {i},0.{i},7,\n" for i in range(100_000)]
    path.write_text(f"{header}\n{''.join(lines) * 10}xfm,0,{fingerprint},language,last,0.5,7,1.0\n")
    return path


def test_a_million_rows_are_refused_at_once(million, base):
    began = time.monotonic()
    with pytest.raises(StudyError, match=r"results.csv: has \d+ MiB: must be at most 32"):
        results_csv.read(million, base.spec)
    assert time.monotonic() - began < 0.5


def test_the_most_that_is_read_is_read_whole(million, base, tmp_path):
    lines = million.read_text().splitlines(keepends=True)
    path = tmp_path / "results.csv"
    path.write_text("".join([*lines[:100_001], lines[-1]]))
    found = results_csv.read(path, base.spec)
    assert len(found) == len({*found["metric"]}) == 100_001 and [*found["value"]][-1] == 0.5
    lines[70_000] = lines[70_000].replace(",7,", ",seven,")
    path.write_text("".join([*lines[:100_001], lines[-1]]))
    with pytest.raises(StudyError, match=r"metric 69999,0.69999,seven,': n must be of type int"):
        results_csv.read(path, base.spec)
