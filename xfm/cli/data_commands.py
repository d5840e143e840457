"""What is learnt from: `xfm data preview`, `xfm data check`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from .. import recipes
from ..base.fields import ConfigError, require
from ..config.data import Split
from .printing import lines


@dataclass(frozen=True)
class Preview:
    """Draw a contact sheet of the data: pictures, captions, boxes with their phrases, of every split."""

    recipe: tyro.conf.Positional[str] = "demo"
    out: Path = Path("preview.png")
    split: Split | None = None
    """Only this one, and more of it."""
    seed: int = 0

    def run(self) -> None:
        from ..plots.preview import preview

        print(preview(recipes.get(self.recipe), self.out, self.split, self.seed))


@dataclass(frozen=True)
class DataCheck:
    """Read your own data once, whole: counts, what is wrong with which line, and a verdict; exit status 1 where no
    training can start. The page beside it has all findings and a contact sheet."""

    paths: tyro.conf.Positional[tuple[str, ...]]
    """What `data.sources` takes: captions.csv, a folder, coco:DIR, "shards/{000..031}.tar", ..."""
    out: Path = Path("data-check.html")
    """The page; of several paths, numbered."""

    def run(self) -> None:
        from ..check.check_page import write_page
        from ..check.source_check import check

        require(bool(self.paths), "PATH", "", "at least one: xfm data check captions.csv")
        unusable = 0
        for i, spec in enumerate(self.paths):
            try:
                found = check(spec, progress=sys.stderr.isatty())
            except ConfigError as error:  # the others are still read
                print(lines(f"{spec}: not usable: {error}"), file=sys.stderr)
                unusable += 1
                continue
            print(lines(found.lines()))
            print(
                write_page(found, self.out.with_stem(f"{self.out.stem}-{i + 1}") if len(self.paths) > 1 else self.out)
            )
            unusable += not found.usable
        if unusable:
            sys.exit(f"xfm: {unusable} of {len(self.paths)} cannot be trained on")
