"""Files for and of others: `xfm site`, `xfm data check`, `xfm import-checkpoint`, `xfm export-checkpoint`."""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import tyro

from ..base.fields import ConfigError, require
from ..base.strings import printable
from .results import lines


@dataclass(frozen=True)
class Site:
    """Write ten screens on how the model learns into a folder, with the bundled model, and open them in the browser.
    The folder works from disk and on any static host; nothing is fetched."""

    folder: tyro.conf.Positional[Path] = Path("xfm-site")
    open: bool = True
    """Open the browser."""

    def run(self) -> None:
        site = import_module("xfm_widgets.site")  # late: the views stand above this package, in the same wheel
        address = site.write_site(self.folder).resolve().as_uri()
        print(address)
        if self.open:
            webbrowser.open_new_tab(address)


@dataclass(frozen=True)
class DataCheck:
    """Read your own data once, whole: counts, what is wrong with which line, and a verdict; exit status 1 where no
    training can start. The page beside it has all findings and a contact sheet."""

    paths: tyro.conf.Positional[tuple[str, ...]]
    """What `data.sources` takes: captions.csv, a folder, coco:DIR, "shards/{000..031}.tar", ..."""
    out: Path = Path("data-check.html")
    """The page; of several paths, numbered."""

    def run(self) -> None:
        from ..check.source_check import check, write_page

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


@dataclass(frozen=True)
class ImportCheckpoint:
    """Make a run folder of the authors' file: what it lists is all that was unused, missing or interpolated."""

    file: tyro.conf.Positional[Path]
    """The published PyTorch file, such as xfm_1b3.th. No code in it is run."""
    tokenizer: Path
    """A folder with RoBERTa's vocab.json and merges.txt, or its tokenizer.json."""
    out: Path
    """The run folder to make, such as runs/xfm_1b3/seed0."""
    image_size: int = 0
    """Pixels a side; the relative position tables are interpolated to it. 0: the file's own."""
    text_heads: int = 0
    """Heads of the text and fusion encoder; 0: one for 64 of their width, as every RoBERTa has them."""

    def run(self) -> None:
        from ..published.import_checkpoint import import_checkpoint

        print(import_checkpoint(self.file, self.tokenizer, self.out, self.image_size, self.text_heads))


@dataclass(frozen=True)
class ExportCheckpoint:
    """Write a finished run as a file of the published form; of an imported run, the file that it was made of."""

    run_folder: tyro.conf.Positional[Path]
    out: Path
    """The file to make."""

    def run(self) -> None:
        from ..published.export_checkpoint import export_checkpoint

        export_checkpoint(self.run_folder, self.out)
        print(printable(self.out))
