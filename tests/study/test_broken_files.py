"""Whatever is in a study's files, or written as one, ends in an error that names the file and what is wrong."""

import json
import shutil
import warnings

import pytest
from study.conftest import made_up

from xfm.base.files import FileError
from xfm.config import ConfigError
from xfm.study import Spec, Study, StudyError, code_pin, command
from xfm.study.preregistration import require_fresh

NAMED = (ConfigError, StudyError, FileError)
DEEP = "[" * 100_000
LONG, HUGE = "x" * 1_000_000, 10**400
FILES = ["spec.json", "results.csv", "metrics.json", "failed.json", "probes.csv", "curves.csv", "machines.csv",
         "answers.json"]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    study = Study("s", "smoke+stage1", ["xfm", "no_mim"], range(3), root=root, runs=root / "runs")
    return made_up(study, {})


@pytest.fixture
def study(base, tmp_path):
    return Study.load(shutil.copytree(base.folder, tmp_path / "s"), tmp_path / "runs")


def refused(study, *words: str) -> None:
    with warnings.catch_warnings(), pytest.raises(NAMED) as error:
        warnings.simplefilter("ignore")
        loaded = Study.load(study.folder, study.runs)
        for read in (loaded.effects, loaded.probes, loaded.curves, loaded.answers):
            read()
        loaded.figure("probes")
        code_pin.precisions(loaded.spec, loaded.folder, [])
        require_fresh(Spec("t", "smoke", {"xfm": {}}, (9,), explored=("s",)), study.folder.parent)
    told = str(error.value)
    assert len(told) < 3000 and all(word in told for word in words), told


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["a folder", "a loop of links", "no text"])
def test_a_file_that_cannot_be_read_is_named(study, name, kind):
    path = study.folder / name
    path.unlink(missing_ok=True)
    {"a folder": path.mkdir, "no text": lambda: path.write_bytes(b"\xff\xfe\x00\n1\n"),
     "a loop of links": lambda: path.symlink_to(path.name)}[kind]()  # fmt: skip
    refused(study, name)


@pytest.mark.parametrize("name", FILES[:-1])  # the last is written by who reads
def test_what_cannot_be_written_is_named_before_anything_is_trained(tmp_path, name):
    study = Study("s", "smoke+stage1", ["xfm", "no_mim"], range(2), root=tmp_path, runs=tmp_path / "runs")
    (study.folder / name).mkdir(parents=True)
    with pytest.raises(NAMED, match=name):
        study.run()
    assert not (tmp_path / "runs").exists()


ROW = {"variant": "xfm", "seed": 0, "fingerprint": "0", "why": "x"}
KNOWN = {"better": "higher", "unit": "%", "baseline": 0.5, "baseline_name": "chance", "family": "vision", "n": 9}
HINT = "Put a good copy back"
FAULTS = [  # file, content, what the error says beside the file's name
    *(("spec.json", text, "") for text in ("", "[]", DEEP, "{}", "\x00")),
    *(("failed.json", text, HINT) for text in (DEEP, "1", "[null]")),
    *(("failed.json", [ROW | {field: 1.5}], f"{field} = ") for field in ROW),
    *(("metrics.json", {"naming, accuracy": row}, HINT) for row in (None, [], {}, KNOWN | {"more": 1})),
    *(("metrics.json", {"m": KNOWN | {"baseline": v}}, "baseline = ") for v in ("x", HUGE, float("inf"))),
    *(("metrics.json", {"m": KNOWN | {name: 5}}, f"{name} = ") for name in ("baseline_name", "unit", "better")),
    *((name, text, message) for name in ("probes.csv", "curves.csv") for text, message in (
        ("variant,seed,step\nxfm,x,1", "seed = 'x'"), ("variant,seed,step\nxfm,0,1.5", "step = 1.5"),
        ("seed,step\n0,1", "variant = None"), ("variant,seed,step\nxfm,0", "must be of 3 cells"))),
    ("probes.csv", "variant,seed,step,norm\nxfm,0,1,1", "object"),
    ("probes.csv", "variant,seed,step,norm,norm/mlm\nxfm,0,1,1,2", "paths in a record"),
    ("curves.csv", f"variant,seed,step,loss\nxfm,0,1,{'9' * 500}", "a number or nothing"),
    ("machines.csv", "variant,seed,precision\nxfm,0,16", "precision = 16"),
    *(("results.csv", text, HINT) for text in ("a,b\n1,2", "variant,seed\nxfm,0", f'"{LONG}"')),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), FAULTS, ids=map(str, range(len(FAULTS))))
def test_a_file_of_another_content_is_refused(study, name, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (study.folder / name).write_text(f"{text}\n" if name.endswith(".csv") else text)
    refused(study, name, message)


NAMES = ["x" * 300, "é" * 150, "a/b", "..", "", "a\nb", "\x1b[2J", "\ud800", "-x", " a", LONG, 1]


@pytest.mark.parametrize("name", NAMES, ids=map(str, range(len(NAMES))))
def test_a_name_that_is_no_folders_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"name = .*: must be (a folder's name|of type str)") as error:
        Study(name, "smoke", ["xfm"], root=tmp_path)
    assert len(str(error.value)) < 500
    if isinstance(name, str) and name not in ("", ".."):
        with pytest.raises(NAMED) as error:
            command(name, 0, tmp_path)
        assert len(str(error.value)) < 3000 or name == LONG
    with pytest.raises(ConfigError, match=r"explored\[0\] = "):
        Spec("s", "smoke", {"xfm": {}}, (0,), explored=(name,))


@pytest.mark.parametrize("field", ["variants", "seeds", "primary", "tasks", "explored", "hypotheses", "changes"])
@pytest.mark.parametrize("value", [1, object(), [None]])
def test_a_study_written_wrongly_is_a_config_error(tmp_path, field, value):
    with pytest.raises(ConfigError):
        Study(**{"name": "s", "recipe": "smoke", "variants": ["xfm"], "root": tmp_path} | {field: value})
