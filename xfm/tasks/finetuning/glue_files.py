"""Tables as GLUE's files have them: tab-separated, a header as a rule, and no quoting: quotes are characters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...base.fields import nearest
from ...base.strings import shown
from ...config import ConfigError
from ...files.readers.records import utf8_lines

BROKEN = 0.001  # share of a training file's rows that may have another number of cells: QQP's has such


def rows(
    path: Path, texts: Sequence[str], label: str, header: Sequence[str] = (), training: bool = False
) -> Iterator[tuple[str, dict[str, str]]]:
    """(file:line, cells by column) of each row. `texts`, `label`: columns that are needed; `header`: of a file that has
    none.

    Of a `training` file a thousandth of the rows may be broken (another number of cells, or no text): they are left out
    and warned of. ConfigError, which names file and line, for more of them, for any elsewhere, for a column that is
    missing, and for no rows at all. A row with one text of two stays, as QQP has some, and is warned of.
    """
    lines = _lines(path)
    names = [name.strip() for name in header or next(lines, (0, ""))[1].split("\t")]
    for name in (*texts, label):
        if name not in names:
            hint = nearest(name, names, before="; ")
            raise ConfigError(f"{path}:1: has no column {name!r}; the header has {shown(names)}{hint}")
    broken, partly, count = list[str](), list[str](), 0
    for number, line in lines:
        cells, count = line.split("\t"), count + 1
        row = dict(zip(names, cells, strict=False))
        empty = [name for name in texts if not row.get(name, "").strip()]
        if len(cells) != len(names):
            wanted = f"must have {len(names)}: {', '.join(names)}, with a tab between two"
            broken.append(f"{path}:{number}: has {len(cells)} cells; {wanted}")
        elif len(empty) == len(texts):
            verb = "is" if len(empty) == 1 else "are"
            broken.append(f"{path}:{number}: {' and '.join(empty)} {verb} empty; write a text, or take the row out")
        else:
            partly += [f"{path}:{number}: {name} is empty" for name in empty]
            yield f"{path}:{number}", row
        if broken and not training:
            break
    if broken and (not training or len(broken) > BROKEN * count):
        raise ConfigError(broken[0])
    if broken:
        warnings.warn(f"{len(broken)} of {count:,} rows are left out, as {broken[0]}", stacklevel=2)
    if partly:
        warnings.warn(f"{len(partly)} of {count:,} rows have one text alone, as {partly[0]}", stacklevel=2)
    if not count:
        raise ConfigError(f"{path}: has no rows")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of those that are not empty; a carriage return inside a line ends none."""
    try:
        for number, line in enumerate(utf8_lines(path, newline="\n"), 1):
            if bare := line.rstrip("\r\n"):
                yield number, bare
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
