"""Files of the published form: `xfm import-checkpoint`, `xfm export-checkpoint`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from ..base.strings import printable


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
    """Write a finished run as a file of the published form; of an imported run, the file that it was made of; a
    clip_like one as open_clip's weights, with their config beside them."""

    run_folder: tyro.conf.Positional[Path]
    out: Path
    """The file to make."""

    def run(self) -> None:
        from ..published.export_checkpoint import export_checkpoint

        export_checkpoint(self.run_folder, self.out)
        print(printable(self.out))
