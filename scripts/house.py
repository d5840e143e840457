"""The house: storeys, rooms, line budgets and import edges of `xfm`, read off the source; `make lint` runs it.

    python scripts/house.py

Exit status 1 where a room is over its budget, an import points upward, a name stands twice, a file, a function, a
nesting or a signature is larger than `LIMITS`, a page or a message has a phrase that a reader of the field stops at, or
the locals that say nothing have become more. Line counts include blank lines and comments.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

__all__ = ["AFTERNOON", "STOREYS", "budget_faults", "edges", "imports", "lines", "oversized", "repeated", "upward"]

ROOT = Path(__file__).resolve().parents[1]
XFM = ROOT / "xfm"
# A room imports what stands above it in its storey, and any storey before. Room: its budget in lines.
STOREYS: dict[str, dict[str, int]] = {
    "the bench: train the paper's model": {
        "base": 800, "config": 560, "model": 1450, "interop": 700, "interventions": 420, "flow": 110,
        "objectives": 840, "recipes": 480, "data": 2250, "runs": 800, "diagnostics": 350, "train": 1500,
    },
    "looking and measuring": {
        "files": 1300, "published": 300, "explain": 2300, "tasks": 4500, "guests": 700, "plots": 1600,
    },
    "desks": {"check": 350, "study": 2400, "report": 1200, "lab": 240, "cli": 460},
}  # fmt: skip
# What is still over its budget: its lines, which may only become fewer.
CEILINGS = {
    "base": 875,
    "model": 1540,
    "data": 3392,
    "runs": 1082,
    "diagnostics": 375,
    "train": 1558,
    "files": 1914,
    "explain": 2712,
    "tasks": 6565,
    "plots": 2432,
    "study": 4146,
    "lab": 250,
    "cli": 626,
    "tools": 4913,
}
EXEMPT = {  # from LIMITS, each for a reason
    "attention_capture.py:_scaled_dot_product": "torch's own signature",
}
ROOMS = [room for storey in STOREYS.values() for room in storey]
AFTERNOON = ("config", "model", "flow", "objectives", "recipes", "train/loop", "train/optimizer")  # the core, to read
AFTERNOON_LINES = 3900
PHRASES = re.compile(
    r"\b(one's own|a coin|comes? along|is said|told apart|way out|of the way back|without looking)\b", re.IGNORECASE
)
SAY_NOTHING = {*"own found known said each parts drawn left kept asked some told".split()}  # as names of locals
MOST_SAY_NOTHING = 203  # assignments: fewer with every change, never more
VIEWS, SITE, TOOLS, TESTS = 5300, 300, 3600, 26000  # lines: views; the site's pages; studies/, scripts/, benchmarks/
LIMITS = {"lines of a file": 250, "lines of a function": 50, "levels": 4, "arguments": 7}


def modules() -> list[Path]:
    return sorted(path for path in XFM.rglob("*.py") if path != XFM / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(XFM).parts[0].removesuffix(".py")


def lines(*paths: Path) -> int:
    """Lines of Python in files and folders."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    return sum(len(file.read_text("utf-8").splitlines()) for file in files)


def imports(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import, also of those in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*parts, *filter(None, [node.module])))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def upward(source: str, package: tuple[str, ...], room: str) -> list[tuple[int, str]]:
    """Imports of later rooms, of unknown ones, and of names of `xfm/__init__.py`, which imports everything."""
    allowed = ROOMS[: ROOMS.index(room) + 1]
    ours = [(line, name) for line, name in imports(source, package) if name.split(".")[0] == "xfm"]
    return [(line, name) for line, name in ours if [*name.split("."), ""][1] not in allowed]


def edges() -> list[tuple[Path, int, str]]:
    """Every import edge that points upward: file, line, what it names."""
    found = []
    for path in modules():
        package = path.relative_to(ROOT).parent.parts
        found += [(path, *edge) for edge in upward(path.read_text("utf-8"), package, room_of(path))]
    return found


def oversized(paths: list[Path]) -> list[str]:
    """Files and functions over LIMITS, a sentence each."""
    found = []
    for path in paths:
        where, source = path.relative_to(ROOT), path.read_text("utf-8")
        sizes = [(f"{where}", "lines of a file", len(source.splitlines()))]
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                a, at = node.args, f"{where}:{node.lineno} {node.name}"
                arguments = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs) if x.arg not in ("self", "cls")]
                sizes.append((at, "lines of a function", (node.end_lineno or node.lineno) - node.lineno + 1))
                sizes += [(at, "levels", _depth(node)), (at, "arguments", len(arguments))]
                if f"{path.name}:{node.name}" in EXEMPT:
                    sizes = sizes[:-3]
        found += [f"{at}: {size} {what}, not at most {LIMITS[what]}" for at, what, size in sizes if size > LIMITS[what]]
    return found


def _depth(node: ast.AST) -> int:
    """How deep statements are nested; `elif` is as deep as its `if`, a nested function counts anew."""
    nests = ast.If | ast.For | ast.While | ast.With | ast.Try | ast.Match
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and [child] == node.orelse
        deepest = max(deepest, _depth(child) + (isinstance(child, nests) and not is_elif))
    return deepest


def repeated() -> dict[str, list[str]]:
    """File names that stand in more than one folder. A view's script has its module's name: that is the view."""
    static = ROOT / "widgets" / "xfm_widgets" / "static"
    views = {path.stem for path in static.glob("*.css")}
    files = [*modules(), *static.parent.rglob("*.py"), *(p for p in static.rglob("*.js") if p.stem not in views)]
    named = [path for path in files if not path.stem.startswith("__")]
    counts = Counter(path.stem for path in named)
    return {stem: [str(p.relative_to(ROOT)) for p in named if p.stem == stem] for stem, n in counts.items() if n > 1}


def phrases() -> list[str]:
    """Where code, pages, notebooks and views have a phrase of PHRASES. The line `# stored` names what files hold."""
    kinds = ("*.py", "*.md", "*.js", "*.ipynb", "*.jinja")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", *kinds], capture_output=True, text=True, check=True)
    found = []
    for name in listed.stdout.split():
        if name.startswith(("tests/", "widgets/tests/")) or name == "scripts/house.py" or not (ROOT / name).exists():
            continue
        if name.startswith(("xfm/pretrained/", "studies/")):  # records: they keep the words of their day
            continue
        lines = (ROOT / name).read_text("utf-8").splitlines()
        found += [f"{name}:{n}: {m[0]!r}" for n, line in enumerate(lines, 1)
                  if not line.endswith("# stored") for m in PHRASES.finditer(line)]  # fmt: skip
    return found


def say_nothing() -> int:
    """How many assignments are to a name of SAY_NOTHING."""
    views = (ROOT / "widgets" / "xfm_widgets").rglob("*.py")
    trees = [ast.parse(path.read_text("utf-8")) for path in (*modules(), *views)]
    names = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return sum(node.id in SAY_NOTHING and isinstance(node.ctx, ast.Store) for node in names)


def sizes() -> dict[str, tuple[int, int]]:
    """What has a budget: its lines and its budget."""
    rooms = {
        room: (lines(*XFM.glob(f"{room}.py"), XFM / room), most) for s in STOREYS.values() for room, most in s.items()
    }
    core = [path for name in AFTERNOON for path in (XFM / name, XFM / f"{name}.py") if path.exists()]
    views = ROOT / "widgets" / "xfm_widgets"
    site = [views / "site.py", views / "learning_page.py"]
    return rooms | {
        "the afternoon": (lines(*core), AFTERNOON_LINES),
        "views": (lines(views) - lines(*site), VIEWS),
        "site": (lines(*site), SITE),
        "tools": (lines(*(ROOT / name for name in ("studies", "scripts", "benchmarks"))), TOOLS),
        "tests": (lines(ROOT / "tests"), TESTS),
    }


def budget_faults() -> list[str]:
    """What is over its budget, or over its ceiling where it is over the budget still."""
    limits = {name: (n, max(most, CEILINGS.get(name, 0))) for name, (n, most) in sizes().items()}
    return [f"{name}: {n:,} lines, not at most {most:,}" for name, (n, most) in limits.items() if n > most]


def faults() -> dict[str, list[str]]:
    """All that `make lint` refuses, by kind."""
    count = say_nothing()
    more = [f"{count} assignments, not more than {MOST_SAY_NOTHING}"] if count > MOST_SAY_NOTHING else []
    return {
        "over budget": budget_faults(),
        "imports that point upward": [f"{p.relative_to(ROOT)}:{n}: {name} stands above" for p, n, name in edges()],
        "names that stand twice": [f"{stem}: {', '.join(where)}" for stem, where in repeated().items()],
        "over size": oversized([*modules(), *(ROOT / "widgets" / "xfm_widgets").rglob("*.py")]),
        "phrases": phrases(),
        "locals that say nothing": more,
    }


def main() -> int:
    found = sizes()
    for storey, rooms in STOREYS.items():
        total, budget = (sum(found[room][i] for room in rooms) for i in (0, 1))
        print(f"{storey}: {total:,} of {budget:,} lines")
        print("\n".join(f"  {room:14} {found[room][0]:6,} of {found[room][1]:6,}" for room in rooms))
    print(f"xfm/: {lines(XFM):,} lines")
    print("\n".join(f"{name}: {n:,} of {most:,} lines" for name, (n, most) in found.items() if name not in ROOMS))
    refused = faults()
    for what, rows in refused.items():
        print(f"{what}: {len(rows)}", *rows, sep="\n  ")
    print(f"locals that say nothing: {say_nothing()} of at most {MOST_SAY_NOTHING}")
    return int(any(refused.values()))


if __name__ == "__main__":
    sys.exit(main())
