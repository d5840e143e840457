"""The rules of the house that its readers rely on, read off the source, so this file imports nothing of `xfm`."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import house  # noqa: E402
from house import imports, room_of, upward  # noqa: E402

XFM = ROOT / "xfm"
RECORDS = ("benchmarks", "studies", "xfm/pretrained")  # these name the versions that ran
NOTEBOOKS = {"ipywidgets", "IPython", "ipykernel", "anywidget", "notebook", "nbformat", "xfm_widgets"}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MODULES = sorted(p for p in XFM.rglob("*.py") if p != XFM / "__init__.py")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def package_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT).parent.parts


def test_imports_go_one_way_between_rooms_that_have_a_place() -> None:
    found = [f"{path}:{line}: {room_of(path)} may not import {name}" for path, line, name in house.edges()]
    assert not found, "\n".join(found)
    lacking = {room_of(path) for path in MODULES} - {*house.ROOMS, "pretrained"}
    assert not lacking, f"give {lacking} a place in scripts/house.py: what may it import, and who may import it?"
    for package, room, source, expected in (
        ("xfm", "flow", "def f():\n    from . import train, base", ["xfm.train"]),
        ("xfm", "flow", "from .model.batch import Pairs\nfrom .model import XFM\nimport torch", []),
        ("xfm.model", "model", "from ..flow import Flow\nfrom .blocks import Block", ["xfm.flow.Flow"]),
        ("xfm.data", "data", "import xfm, xfm.cli, xfm.model.batch", ["xfm", "xfm.cli"]),
    ):
        assert [name for _, name in upward(source, tuple(package.split(".")), room)] == expected


def files() -> list[Path]:
    """Every file that is, or would be, committed; without git all but hidden folders, runs and builds."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    paths = [p for p in ROOT.rglob("*") if p.is_file()]
    skipped = re.compile(r"[.]|(runs|build|dist|__pycache__)$")
    return [p for p in paths if not any(map(skipped.match, p.relative_to(ROOT).parts[:-1]))]


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of `xfm` and of the views that it imports, wherever in the file."""
    packages = {"xfm": XFM, "xfm_widgets": ROOT / "widgets" / "xfm_widgets"}
    paths = {
        ".".join((name, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): path
        for name, folder in packages.items()
        for path in folder.rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        named = {name for _, name in imports(read(path), tuple(package))}
        # `from .a import b` names a.b: the module a.b where that is one, else the module a
        graph[module] = {name if name in paths else name.rpartition(".")[0] for name in named} & set(paths) - {module}
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that import each other, directly or by way of others."""
    reach: dict[str, set[str]] = {}
    for module in graph:
        todo, reach[module] = list(graph[module]), set()
        while todo:
            if (new := todo.pop()) not in reach[module]:
                reach[module].add(new)
                todo += graph.get(new, ())
    found = {frozenset({m, *(o for o in reach[m] if m in reach[o])}) for m in graph if m in reach[m]}
    return [set(circle) for circle in found]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not circles(import_graph())
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}], "a circle is seen"


def test_the_library_knows_no_notebook_unpickles_nothing_and_keeps_captum_in_one_room() -> None:
    found = []
    for path in XFM.rglob("*.py"):
        for line, name in imports(read(path), package_of(path)):
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


KERNELS_CODE = {"page_weights.js: import("}  # of a view's own kernel's code, as the host imports the view's


def test_views_make_no_html_of_text_and_ask_no_network() -> None:
    scripts = [*(ROOT / "widgets" / "xfm_widgets" / "static").rglob("*.*s")]
    assert {"frame.js", "shared.css", "gradient_flow.js", "page_xfm.js"} <= {path.name for path in scripts}
    found = [f"{p.name}: {m.group()}" for p in scripts for m in UNSAFE.finditer(read(p))]
    assert set(found) == KERNELS_CODE and len(found) == 1, "\n".join(found)


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


TEXT = {"open": 1, "read_text": 0, "write_text": 1, "fdopen": 1, "TemporaryFile": 0, "NamedTemporaryFile": 0}
OTHERS = {"Image", "Run", "TaskRun", "cls"}  # whose `open` is another


def encodings_left_open(source: str) -> list[int]:
    """Lines that read or write text in whatever encoding the locale has: no `encoding`, by name or in its place."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = getattr(getattr(function, "value", None), "id", "")
        if name not in TEXT or owner in OTHERS:
            continue
        strings = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        mode = [k.value.value for k in node.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)]
        binary = name not in ("read_text", "write_text") and any("b" in m and len(m) <= 3 for m in strings + mode)
        binary |= name.endswith("TemporaryFile") and not mode and not strings  # their default
        said = any(k.arg == "encoding" for k in node.keywords) or "utf-8" in strings
        if not (binary or said):
            found.append(node.lineno)
    return found


def test_text_files_are_utf_8_whatever_the_locale() -> None:
    paths = [p for f in ("xfm", "widgets", "benchmarks", "studies", "scripts") for p in (ROOT / f).rglob("*.py")]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in paths for line in encodings_left_open(read(path))]
    assert not found, "say encoding='utf-8':\n" + "\n".join(found)
    for source in ("open(p, 'a+')", "p.read_text(errors='replace')", "p.write_text('abc')", "NamedTemporaryFile('w')"):
        assert encodings_left_open(source) == [1]
    for source in ("open(p, mode='rb')", "p.open(encoding='utf-8')", "p.read_text('utf-8')", "NamedTemporaryFile()"):
        assert encodings_left_open(source) == []


def test_no_file_is_tied_to_one_machine() -> None:
    home = re.compile(r"(?<![\w.$}~)*-])(/(work|root|home/\w+|Users/\w+)/|/tmp/ipyk[e]rnel_|[A-Z]:\\+Users\\)")
    build = re.compile(r"\.\d+[+](cpu|cu\d+)\b")  # a version that PyPI does not serve
    texts = {path: data.decode(errors="replace") for path in files() if b"\0" not in (data := path.read_bytes())}
    assert {ROOT / "pyproject.toml", XFM / "flow.py"} <= set(texts)
    found = []
    for path, text in texts.items():
        record = any(path.is_relative_to(ROOT / f) for f in RECORDS)
        for pattern in (home,) if record else (home, build):
            found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in pattern.finditer(text)]
    assert not found, "\n".join(found)
