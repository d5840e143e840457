"""What `pip install` brings: the wheel holds all of the library and nothing else, and works away from the checkout."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import xfm

pytestmark = pytest.mark.full
ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ((ROOT, "xfm"), (ROOT / "widgets", "xfm_widgets"))
IMPORT_ALL = """
import importlib, pkgutil, sys, xfm, xfm_widgets
names = [n for p in (xfm, xfm_widgets)
         for n in (p.__name__, *(m.name for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")))]
for name in names:
    file = importlib.import_module(name).__file__
    assert file.startswith(sys.argv[1]), (name, file)
print(*sorted(names))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as `python -m build` does."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel; what it needs is found in the present one, by a line in a .pth
    that does not follow the .pth files there, so that an editable checkout stays out of sight; after pip, which would
    think the wheel installed."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    (packages,) = home.glob("lib/python*/site-packages")
    present = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (packages / "present.pth").write_text("\n".join(present))
    return python


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    notes = {name for name in inside if ".dist-info/" in name}
    here = {p.relative_to(base) for base, name in PACKAGES for p in (base / name).rglob("*") if p.is_file()}
    left = {p for p in here if "__pycache__" in p.parts or any(part.startswith(".") for part in p.parts)}
    assert inside - notes == {p.as_posix() for p in here - left}
    licences = {Path(n).name for n in notes if "/licenses/" in n}
    families = ("noto", "twemoji", "fluent")
    assert {"LICENSE", "THIRD_PARTY_NOTICES.md", *(f"LICENSE-{name}.txt" for name in families)} <= licences
    (sdist,) = wheel.parent.glob("*.tar.gz")
    (citation,) = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    assert {wheel.name.split("-")[1], sdist.name.removesuffix(".tar.gz").split("-")[1], citation} == {xfm.__version__}
    with tarfile.open(sdist) as held:
        tops = {name.split("/")[1] for name in held.getnames()}
    assert tops == {"xfm", "widgets", "README.md", "LICENSE", "THIRD_PARTY_NOTICES.md", "CITATION.cff",
                    "pyproject.toml", "PKG-INFO", ".gitignore"}  # fmt: skip
    assert sdist.stat().st_size < 20e6


def test_modules_pictures_checkpoint_views_and_command_work_from_the_wheel(python: Path) -> None:
    home = python.parents[1]
    names = run(python, "-I", "-c", IMPORT_ALL, home, cwd=home).split()
    files = [p.relative_to(base).with_suffix("") for base, name in PACKAGES for p in (base / name).rglob("*.py")]
    assert names == sorted(".".join(f.parts).removesuffix(".__init__") for f in files)
    code = """import xfm, xfm_widgets as xw; from xfm.data.world import styles as s
print(*(len(s.svg(name)) for name in s.STYLES), xfm.load('demo').config.name, len(xw.GradientFlow([])._esm) > 9000)"""
    assert run(python, "-I", "-c", code, cwd=home).split() == ["853"] * 4 + ["pretrained", "True"]
    assert "pretrain" in run(python.parent / "xfm", "--help", cwd=home)


HELP = "from xfm.cli import main\ntry:\n    main({})\nexcept SystemExit as end:\n    assert not end.code"
WITHOUT = {  # training needs no libraries of figures, tables and statistics, and help needs no torch
    "import xfm.train": {"jinja2", "matplotlib", "pandas", "scipy", "sklearn", "statsmodels"},
    "import xfm.plots": {"matplotlib.pyplot", "IPython", "ipywidgets"},
    "from xfm import explain": {"captum", "matplotlib.pyplot", "xfm.explain.tracing"},
    HELP.format(["--help"]): {"torch", "pandas"},
    HELP.format(["pretrain", "demo", "--help"]): {"torch", "pandas"},
}


@pytest.mark.parametrize(("code", "without"), WITHOUT.items())
def test_an_import_brings_nothing_heavy_that_it_does_not_need(code: str, without: set[str], tmp_path: Path) -> None:
    said = run(sys.executable, "-c", f"{code}\nimport sys\nprint('imported', *sys.modules)", cwd=tmp_path)
    imported = {*said.rpartition("imported ")[2].split()}
    assert "xfm" in imported and not imported & without
