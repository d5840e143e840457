"""The rules of the house that its readers rely on, read off the source, so this file imports nothing of `xfm`."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import house  # noqa: E402
from house import imports, room_of, upward  # noqa: E402

XFM = ROOT / "xfm"
RECORDS = ("benchmarks/", "studies/", "xfm/pretrained/")  # these name the versions that ran
NOTEBOOKS = {"ipywidgets", "IPython", "ipykernel", "anywidget", "notebook", "nbformat", "xfm_widgets"}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MODULES = sorted(p for p in XFM.rglob("*.py") if p != XFM / "__init__.py")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_imports_go_one_way_between_rooms_that_have_a_place() -> None:
    found = [f"{path}:{line}: {room_of(path)} may not import {name}" for path, line, name in house.edges()]
    assert not found, "\n".join(found)
    lacking = {room_of(path) for path in MODULES} - {*house.ROOMS, "pretrained"}
    assert not lacking, f"give {lacking} a place in scripts/house.py: what may it import, and who may import it?"
    for package, room, source, expected in (
        ("xfm", "flow", "def f():\n    from . import train, base\nfrom .model import XFM\nimport torch", ["xfm.train"]),
        ("xfm.model", "model", "from ..flow import Flow\nfrom .blocks import Block", ["xfm.flow.Flow"]),
    ):
        assert [name for _, name in upward(source, tuple(package.split(".")), room)] == expected


def files() -> list[Path]:
    """Every file that is, or would be, committed; without git those of the folders of sources."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [ROOT / "pyproject.toml", *(p for f in ("xfm", "widgets", "docs") for p in (ROOT / f).rglob("*.[pjcm]*"))]


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of `xfm` and of the views that it imports, wherever in the file."""
    folders = {ROOT / "xfm": ROOT, ROOT / "widgets/xfm_widgets": ROOT / "widgets"}
    files = {path.relative_to(base): path for folder, base in folders.items() for path in folder.rglob("*.py")}
    paths = {".".join(name.with_suffix("").parts).removesuffix(".__init__"): path for name, path in files.items()}
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        named = {name for _, name in imports(read(path), tuple(package))}
        # `from .a import b` names a.b: the module a.b where that is one, else the module a
        graph[module] = {name if name in paths else name.rpartition(".")[0] for name in named} & set(paths) - {module}
    return graph


def test_no_module_imports_itself_by_way_of_others() -> None:
    TopologicalSorter(import_graph()).prepare()  # raises CycleError, with the circle


def test_the_library_knows_no_notebook_unpickles_nothing_and_keeps_captum_in_one_room() -> None:
    found = []
    for path in XFM.rglob("*.py"):
        for line, name in imports(read(path), path.relative_to(ROOT).parent.parts):
            top = name.split(".")[0]
            notebook = top in NOTEBOOKS or top.startswith("jupyter") or name.startswith("tqdm.notebook")
            if notebook or top in PICKLES or (top == "captum" and room_of(path) != "explain"):
                found.append(f"{path}:{line}: {name}")
        found += [f"{path}: {said}" for said in re.findall(r"weights_only ?= ?False|allow_pickle ?= ?True", read(path))]
    assert not found, "\n".join(found)


UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\(|new Function|"
    r"fetch\(|XMLHttpRequest|WebSocket|import\(|https?://(?!www\.w3\.org/2000/svg)"
)


def test_views_make_no_html_of_text_and_ask_no_network() -> None:
    scripts = [*(ROOT / "widgets" / "xfm_widgets" / "static").rglob("*.*s")]
    assert {"frame.js", "shared.css", "gradient_flow.js", "page_xfm.js"} <= {path.name for path in scripts}
    found = [f"{p.name}: {m.group()}" for p in scripts for m in UNSAFE.finditer(read(p))]
    assert found == ["page_weights.js: import("], "of a view's own kernel's code, as the host imports the view's"


def test_gradients_are_cut_in_flow_alone() -> None:
    rooms = ("model", "interventions", "objectives", "train")
    others = {XFM / "model" / "batch.py", XFM / "model" / "replicas.py"}  # numbers of reports; what replicas exchange
    found = [p for p in MODULES if room_of(p) in rooms and p not in others and re.search(r"\.detach_?\b", read(p))]
    assert not found and ".detach()" in read(XFM / "flow.py"), "detach belongs to flow.py, where the paper's cuts are"


def test_the_core_is_read_in_an_afternoon_and_what_is_read_first_is_short() -> None:
    found, most = house.sizes()["the afternoon"]
    assert 2000 < found <= most, f"{found} lines of {', '.join(house.AFTERNOON)}, not at most {most}"
    for name, most in (("flow.py", 110), ("train/loop.py", 165)):
        assert len(read(XFM / name).splitlines()) <= most, name


TEXT = re.compile(r"(?<!Image\.)(?<!Run\.)(?<!cls\.)\b(open|fdopen|read_text|write_text|(Named)?TemporaryFile)$")
SAID = re.compile(r"encoding=|'utf-8'|'[rwxa+]*b[+]?'|TemporaryFile\(\)")


def encodings_left_open(source: str) -> list[int]:
    """Lines that read or write text in whatever encoding the locale has: no `encoding`, by name or in its place."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [c.lineno for c in calls if TEXT.search(ast.unparse(c.func)) and not SAID.search(ast.unparse(c))]


def test_text_files_are_utf_8_whatever_the_locale() -> None:
    paths = [p for f in ("xfm", "widgets", "benchmarks", "studies", "scripts") for p in (ROOT / f).rglob("*.py")]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in paths for line in encodings_left_open(read(path))]
    assert not found, "say encoding='utf-8':\n" + "\n".join(found)
    assert encodings_left_open("open(p, 'a+')\np.write_text('abc')\nopen(p, mode='rb')\np.read_text('utf-8')") == [1, 2]


def test_no_file_is_tied_to_one_machine() -> None:
    home = re.compile(r"(?<![\w.$}~)*-])(/(work|root|home/\w+|Users/\w+)/|/tmp/ipyk[e]rnel_|[A-Z]:\\+Users\\)")
    build = re.compile(r"\.\d+[+](cpu|cu\d+)\b")  # a version that PyPI does not serve
    found = []
    for path in files():
        text = "" if b"\0" in (data := path.read_bytes()) else data.decode(errors="replace")
        record = path.relative_to(ROOT).as_posix().startswith(RECORDS)
        for pattern in (home,) if record else (home, build):
            found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in pattern.finditer(text)]
    assert not found and XFM / "flow.py" in files(), "\n".join(found)


@pytest.mark.parametrize(("folder", "megabytes"), [(".", 60), ("notebooks", 6), ("studies", 25)])
def test_a_checkout_is_light(folder: str, megabytes: int) -> None:
    sizes = {path: path.stat().st_size for path in files() if path.is_relative_to(ROOT / folder)}
    largest = [f"{size / 1e6:.1f} MB {path.relative_to(ROOT)}" for path, size in sizes.items() if size > 1e6]
    assert sum(sizes.values()) <= 1e6 * megabytes, "\n".join(largest)
