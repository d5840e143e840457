"""Writes docs/api.md: every public name of `xfm` and `xfm_widgets`, from the `__all__` of its module and its docstring.

    python scripts/api_docs.py            # writes docs/api.md
    python scripts/api_docs.py --lacking  # lists public names without a docstring

Only source text is read, so the page does not depend on versions of Python or of libraries.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from xfm.base.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
PACKAGES = {"xfm": ROOT / "xfm", "xfm_widgets": ROOT / "widgets" / "xfm_widgets"}
HEAD = """# Public names

Every name in an `__all__`, module by module, with its signature and the first paragraph of its docstring.
Made by `python scripts/api_docs.py`; a test keeps it complete.
"""


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    source: str
    tree: ast.Module

    @property
    def names(self) -> list[str] | None:
        """`__all__`; None where the module has none."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                if isinstance(node.value, ast.List):
                    return [ast.literal_eval(element) for element in node.value.elts]
                return list(import_module(self.name).__all__)  # computed, as in xfm.explain
        return None

    @property
    def definitions(self) -> dict[str, ast.stmt]:
        """The last definition of each name at module level."""
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                named = [n for target in targets for n in ast.walk(target)]  # also of `A, B = ...`
                found |= {n.id: node for n in named if isinstance(n, ast.Name)}
        return found

    def absolute(self, node: ast.ImportFrom) -> str:
        """The module that a `from ... import` names."""
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
        base = package[: len(package) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])


@cache
def modules() -> dict[str, Module]:
    """Every module of both packages, by dotted name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            name = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            source = path.read_text("utf-8")
            found[name] = Module(name, path, source, ast.parse(source))
    return dict(sorted(found.items()))


def home(module: Module, name: str) -> tuple[Module, ast.stmt] | Module | None:
    """Where a public name is defined: its module and definition, or the module that it names; None outside both."""
    if name in module.definitions:
        return module, module.definitions[name]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _target(module.absolute(node), alias.name)
    lazy = getattr(import_module(module.name), "_HOME", {})
    if name not in lazy:
        return None
    return _target(f"{module.name}.{lazy[name]}", name) if lazy[name] else modules()[f"{module.name}.{name}"]


def _target(source: str, name: str) -> tuple[Module, ast.stmt] | Module | None:
    if f"{source}.{name}" in modules():
        return modules()[f"{source}.{name}"]
    return home(modules()[source], name) if source in modules() else None


def first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def comment(module: Module, node: ast.stmt) -> str:
    """What stands behind, or in comment lines above, an assignment or a field; or in a string below it."""
    lines = module.source.splitlines()
    body = next((b for b in _bodies(module.tree) if node in b), [])
    after = body[body.index(node) + 1] if node in body and body.index(node) + 1 < len(body) else None
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
        return first_paragraph(after.value.value)
    trailing = _comments(module).get(node.end_lineno or 0) or _comments(module).get(node.lineno, "")
    if trailing:
        return "" if trailing.startswith(("fmt:", "type:", "noqa", "pyright:")) else trailing.removeprefix("... ")
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("#: "))
    return " ".join(above)


@cache
def _comments(module: Module) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(module.source).readline)
    return {t.start[0]: t.string.lstrip("#: ") for t in tokens if t.type == tokenize.COMMENT}


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            yield body


def description(module: Module, node: ast.stmt) -> str:
    """The first paragraph of a docstring; of a constant, its comment."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return first_paragraph(ast.get_docstring(node))
    return comment(module, node)


def signature(node: ast.stmt, name: str) -> str:
    if isinstance(node, ast.FunctionDef):
        arguments = re.sub(r"^self(, )?|^cls(, )?", "", ast.unparse(node.args))
        return f"{name}({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
    if isinstance(node, ast.ClassDef):
        start = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        if start:
            return f"class {signature(start, name).removesuffix(' -> None')}"
        bases = ", ".join(map(ast.unparse, node.bases))
        return f"class {name}({bases})" if bases else f"class {name}"
    if isinstance(node, ast.AnnAssign):
        return f"{name}: {ast.unparse(node.annotation)}"
    value = ast.unparse(node.value) if isinstance(node, ast.Assign) else ""
    return f"{name} = {value if len(value) <= 100 else value[:96] + ' ...'}"


def members(module: Module, node: ast.ClassDef) -> Iterator[str]:
    """A line for each public field, property and documented method of a class."""
    for child in node.body:
        name = child.target.id if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name) else ""
        if name and not name.startswith("_"):
            said = comment(module, child)
            value = f" = {ast.unparse(child.value)}" if isinstance(child, ast.AnnAssign) and child.value else ""
            yield f"* `{signature(child, name)}{value}`" + (f": {said}" if said else "")
        if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            said = description(module, child)
            decorators = {ast.unparse(d) for d in child.decorator_list}
            shown = child.name if decorators & {"property", "cached_property"} else signature(child, child.name)
            if said:
                yield f"* `{shown}`: {said}"


def entry(module: Module, name: str) -> list[str]:
    """What stands in a module's section for one of its names."""
    defined = home(module, name)
    if defined is None:
        raise SystemExit(f"{module.name}.__all__: {name!r} is neither defined in the packages nor imported from them")
    if isinstance(defined, Module):
        return [f"* `{name}`: the module [`{defined.name}`](#{anchor(defined.name)})"]
    where, node = defined
    if where is not module and where.names and getattr(node, "name", name) in where.names:
        return [f"* `{name}`: see [`{where.name}`](#{anchor(where.name)})"]
    said = description(where, node)
    lines = [f"* `{signature(node, name)}`" + (f": {said}" if said else "")]
    return lines + [f"  {line}" for line in members(where, node)] if isinstance(node, ast.ClassDef) else lines


def anchor(heading: str) -> str:
    return heading.replace(".", "").lower()


def lacking() -> list[str]:
    """Public functions, classes and modules without a docstring. A constant needs a comment only where it is no type,
    table or number that says what it is."""
    found = []
    for module in modules().values():
        for name in module.names or ():
            defined = home(module, name)
            if isinstance(defined, Module):
                text = ast.get_docstring(defined.tree)
            elif defined and isinstance(defined[1], ast.FunctionDef | ast.ClassDef):
                text = description(*defined)
            else:
                text = "a constant" if defined else ""
            if not text:
                found.append(f"{module.name}.{name}")
    return found


def page() -> str:
    lines = [HEAD]
    for module in modules().values():
        if module.names is None:
            continue
        lines += ["", f"## {module.name}", "", first_paragraph(ast.get_docstring(module.tree)), ""]
        lines += [line for name in module.names for line in entry(module, name)]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    return text.rstrip() + "\n"


if __name__ == "__main__":
    if "--lacking" in sys.argv:
        print("\n".join(lacking()))
    else:
        write_atomically(PAGE, page())
        print(PAGE.relative_to(ROOT))
