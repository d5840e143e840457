"""Packs the drawings of the other families into xfm/data/world/drawings/, from their packages on the npm registry.

    npm pack @iconify-json/noto@1.2.9 @iconify-json/twemoji@1.2.5 @iconify-json/fluent-emoji-flat@1.2.6
    python scripts/pack_styles.py FOLDER_OF_THE_THREE_FILES

For maintainers; all others have the result. Of each package only the concepts' drawings are kept, found by their code
points; a family that lacks one is refused. index.json says which versions are packed, with the SHA-256 of both files.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import sys
from pathlib import Path
from tarfile import TarFile
from typing import Any

import tyro

from xfm.data.world import openmoji
from xfm.data.world.styles import FOLDER

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{} {} {} {}">{}</svg>'
)
MOST = 2_500_000  # bytes of all families


def drawings(package: Path) -> dict[str, str]:
    """Code of a concept -> SVG, of an Iconify package. Exits, naming them, where concepts are missing."""
    with TarFile.gzopen(str(package), "r") as archive:
        characters, icons = (_json(archive, f"package/{name}.json") for name in ("chars", "icons"))
    name_of = {_plain(code): name for code, name in characters.items()}
    codes = sorted(c.code for c in openmoji.concepts())
    if missing := [code for code in codes if name_of.get(_plain(code)) not in icons["icons"]]:
        sys.exit(f"{package}: {len(missing)} concepts are missing: {', '.join(missing)}")
    found = {code: icons["icons"][name_of[_plain(code)]] for code in codes}
    return {
        code: _square(icon["body"], *(icon.get(s, icons[s]) for s in ("width", "height")))
        for code, icon in found.items()
    }


def _square(body: str, width: float, height: float) -> str:
    """The SVG of a drawing in the middle of a square."""
    side = max(width, height)
    return SVG.format(*(f"{x:g}" for x in ((width - side) / 2, (height - side) / 2, side, side)), body)


def _json(archive: TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file
    return json.load(file)


def _plain(code: str) -> str:
    """A code point sequence as all agree on it: lower-case, without the variation selector."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def main(folder: tyro.conf.Positional[Path]) -> None:
    index, total = json.loads((FOLDER / "index.json").read_text("utf-8")), 0
    for name, about in index.items():
        package = folder / f"{about['package'].strip('@').replace('/', '-')}-{about['version']}.tgz"
        svgs = json.dumps(drawings(package), ensure_ascii=False, separators=(",", ":")).encode()
        packed = lzma.compress(svgs, preset=9 | lzma.PRESET_EXTREME)
        (FOLDER / f"{name}.json.xz").write_bytes(packed)
        total += len(packed)
        digests = {"package_sha256": package.read_bytes(), "sha256": packed}
        index[name] = about | {key: hashlib.sha256(data).hexdigest() for key, data in digests.items()}
        print(f"{name}: {len(packed):,} bytes")
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if total > MOST:
        sys.exit(f"{total:,} bytes are too many for the package: at most {MOST:,}")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
