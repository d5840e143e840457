"""Joins ES modules into one, as anywidget and a page without a network need it: no bundler, no transformation.

Each module becomes a function that is called once and returns what it exports, behind those that it imports:

    const $numbers = (() => { ...; return { clamp }; })();
    const $frame = (() => { const { clamp } = $numbers; ...; return { frame }; })();

so no name can meet another module's. Understood are static imports of names from files of the views, and exports of
declarations, of names and of a default expression; anything else is refused, since it could not be joined faithfully.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BESIDE = re.compile(r"(?:\./|\.\./)(?:[\w-]+/)?[\w.-]+\.js")
IMPORT = re.compile(r'^import \{([^{}]*)\} from "([^"]+)";[^\S\n]*$', re.MULTILINE)
EXPORTED_NAMES = re.compile(r"^export \{([^{}]*)\};[^\S\n]*$", re.MULTILINE)
EXPORTED_DECLARATION = re.compile(r"^export (?=(?:async function|function|class|const)\*? +([\w$]+))", re.MULTILINE)
EXPORTED_DEFAULT = re.compile(r"^export default (?!async function|function|class)", re.MULTILINE)
LEFT = re.compile(
    r"^(?:import|export)\b.*|\bimport(?:\((?!url\))|\.meta).*|^await\b.*", re.MULTILINE
)  # url: of no file
DEFAULT = "$default"


class JoinError(ValueError):
    """Modules that cannot be joined."""


@dataclass(frozen=True)
class Module:
    path: Path
    body: str  # without its imports and the word `export`
    imports: tuple[tuple[Path, tuple[tuple[str, str], ...]], ...]  # file, (name there, name here), ...
    exports: dict[str, str]  # name outside: name inside


def join(*entries: Path) -> str:
    """One script of these modules and all that they import, each once and behind what it imports. JoinError for a
    cycle, a file that is not there, an address, a name that is not exported, and syntax that is not understood."""
    ordered: dict[Path, Module] = {}
    for entry in entries:
        visit(entry.resolve(), ordered, ())
    names = [constant(path) for path in ordered]
    if twice := {name for name in names if names.count(name) > 1}:
        raise JoinError(f"two modules would both be {', '.join(sorted(twice))}")
    return "\n".join(map(wrapped, ordered.values()))


def export(entry: Path, name: str = "default") -> str:
    """What a joined module exports, as an expression in the script of `join`."""
    return f"{constant(entry)}.{name}"


def constant(path: Path) -> str:
    return "$" + re.sub(r"\W", "_", path.stem)


def visit(path: Path, ordered: dict[Path, Module], above: tuple[Path, ...]) -> None:
    if path in above:
        raise JoinError(f"a cycle: {' → '.join(p.name for p in (*above[above.index(path) :], path))}")
    if path in ordered:
        return
    if not path.is_file():
        raise JoinError(f"{path.name}, which {above[-1].name if above else 'the call'} imports, is not there")
    module = parse(path)
    for imported, names in module.imports:
        visit(imported, ordered, (*above, path))
        for name, _ in names:
            if name not in ordered[imported].exports:
                raise JoinError(f"{path.name} imports {name}, which {imported.name} does not export")
    ordered[path] = module


@cache
def parse(path: Path) -> Module:
    source = path.read_text("utf-8")
    imports = []
    for match in IMPORT.finditer(source):
        names, target = match.groups()
        if not BESIDE.fullmatch(target):
            raise JoinError(
                f"{path.name} imports {target!r}: must be a file of the views, as ./name.js or ../folder/name.js"
            )
        imports.append(((path.parent / target).resolve(), tuple(renamed(names))))
    exports = {name: name for name in EXPORTED_DECLARATION.findall(source)}
    for names in EXPORTED_NAMES.findall(source):
        exports |= {outside: inside for inside, outside in renamed(names)}
    body = EXPORTED_NAMES.sub("", EXPORTED_DECLARATION.sub("", IMPORT.sub("", source)))
    body, defaults = EXPORTED_DEFAULT.subn(f"const {DEFAULT} = ", body)
    if defaults:
        exports["default"] = DEFAULT
    if left := LEFT.search(body):
        raise JoinError(f"{path.name}: {left.group().strip()!r} is more than join() understands")
    return Module(path, body.strip(), tuple(imports), exports)


def renamed(names: str) -> list[tuple[str, str]]:
    """ "a, b as c" as [(a, a), (b, c)]"""
    pairs = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        before, _, after = name.partition(" as ")
        pairs.append((before.strip(), (after or before).strip()))
    return pairs


def wrapped(module: Module) -> str:
    taken = [
        f"const {{ {', '.join(pair(*names) for names in some)} }} = {constant(path)};" for path, some in module.imports
    ]
    given = ", ".join(pair(outside, inside) for outside, inside in module.exports.items())
    lines = [f"const {constant(module.path)} = (() => {{", *taken, module.body, f"return {{ {given} }};", "})();"]
    return "\n".join(lines)


def pair(outside: str, inside: str) -> str:
    return outside if outside == inside else f"{outside}: {inside}"
