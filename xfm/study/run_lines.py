"""Files of a study with a line a run, or a run and step, in JSON: what outlasts the run folders beside results.csv."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.files import append_json_lines, write_atomically
from ..base.strings import parse_json, shown
from ..runs.run import Record
from . import study_json

__all__ = ["Lines", "rounded"]

_DIGITS = 4  # significant ones
_KEY = {"variant": str, "seed": int}  # of every record: whose run it is


@dataclass(frozen=True)
class Lines:
    """One such file. StudyError, which names it and the way out, for what it cannot hold."""

    path: Path
    what: str  # the records are
    fields: Mapping[str, type]  # of each, beside variant and seed

    def append(self, key: tuple[str, int], records: Sequence[Record]) -> None:
        """Adds the records of a run, and waits until they are on the disk."""
        variant, seed = key
        append_json_lines(self.path, [{"variant": variant, "seed": seed, **rounded(record)} for record in records])

    def keep(self, keys: Collection[tuple[str, int]]) -> None:
        """Drops the records of all other runs."""
        records = self.read()
        kept = [record for record in records if (record["variant"], record["seed"]) in keys]
        if len(kept) < len(records):
            write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept))

    def read(self) -> list[Record]:
        """All records; lines that a kill tore are left out."""
        records = []
        with self.explained():
            try:
                lines = self.path.read_text("utf-8", errors="replace").split("\n")
            except FileNotFoundError:
                return []
            for number, line in enumerate(lines, 1):
                try:
                    record = parse_json(line)
                except ValueError:  # torn
                    continue
                if not isinstance(record, dict):
                    raise TypeError(f"line {number}: {shown(record)} is no record")
                for field, kind in (_KEY | dict(self.fields)).items():
                    if type(record.get(field)) is not kind:
                        raise TypeError(f"line {number}: {field} = {shown(record.get(field))}: must be {kind.__name__}")
                records.append(record)
        return records

    def explained(self) -> AbstractContextManager[None]:
        """What is wrong with the records, or their reading, becomes a StudyError that names the file and the way
        out."""
        return study_json.explained(self.path, f"must be {self.what}", "Put a good copy back, or delete it")


def rounded(value: Any) -> Any:
    """Numbers to four significant digits, within dicts and lists."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value
