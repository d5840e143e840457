"""Tables as GLUE's files have them: tab-separated, a header as a rule, and no quoting: quotes are characters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...base.fields import nearest
from ...base.strings import brief, shown
from ...config import ConfigError

__all__ = ["rows"]

BROKEN = 0.001  # share of a training file's rows that may have another number of cells: QQP's has such


def rows(
    path: Path, needed: Sequence[str], header: Sequence[str] = (), training: bool = False
) -> Iterator[tuple[str, dict[str, str]]]:
    """(file:line, cells by column) of each row. `header`: of a file that has none.

    Of a `training` file a thousandth of the rows may be broken: they are left out and warned of. ConfigError, which
    names file and line, for more of them, for any elsewhere, for a column that is missing, and for no rows at all.
    """
    lines = _lines(path)
    names = [name.strip() for name in header or next(lines, (0, ""))[1].split("\t")]
    for name in needed:
        if name not in names:
            hint = nearest(name, names, before="; ")
            raise ConfigError(f"{path}:1: has no column {name!r}; the header has {shown(names)}{hint}")
    broken, count = list[str](), 0
    for number, line in lines:
        cells, count = line.split("\t"), count + 1
        if len(cells) == len(names):
            yield f"{path}:{number}", dict(zip(names, cells, strict=True))
        else:
            broken.append(f"{path}:{number}: has {len(cells)} cells; must have {len(names)}: {', '.join(names)}")
            if not training:
                break
    if broken and (not training or len(broken) > BROKEN * count):
        raise ConfigError(f"{broken[0]}, with a tab between two")
    if broken:
        warnings.warn(f"{len(broken)} of {count:,} rows are left out, as {broken[0]}", stacklevel=2)
    if not count:
        raise ConfigError(f"{path}: has no rows")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of those that are not empty; a carriage return inside a line ends none."""
    number = 0
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if bare := line.rstrip("\r\n"):
                    yield number, bare
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not in UTF-8 after line {number} ({brief(error)}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
