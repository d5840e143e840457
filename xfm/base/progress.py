"""How far something long is: a bar in a terminal, and elsewhere, in a log say, a line every tenth."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class Progress:
    """`total` of a `unit`, of which some may be `done` already."""

    def __init__(self, name: str, total: int, done: int = 0, unit: str = "step") -> None:
        self.name, self.total, self.done, self.unit = name, total, done, unit
        self.bar = tqdm(desc=name, total=total, initial=done, unit=unit) if sys.stderr.isatty() else None
        self.began, self.tenth = time.monotonic(), done * 10 // max(total, 1)

    def update(self, note: str = "") -> None:
        """One more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update()
        elif (tenth := self.done * 10 // self.total) > self.tenth:
            self.tenth, seconds = tenth, time.monotonic() - self.began
            line = f"{self.name}: {self.done:,} of {self.total:,} {self.unit}s, {seconds:.0f} s{note and ', '}{note}"
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
