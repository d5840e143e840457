"""How long the bundled checkpoint takes to open.

    python benchmarks/load.py [--repeats 5]

After imports: config, tokenizer and weights read, the model built, from cold objects. The median.
"""

from __future__ import annotations

from measuring import in_turns, medians, options, write

import xfm


def opened() -> None:
    run = xfm.load("demo").run
    run.model()
    run.tokenizer()


if __name__ == "__main__":
    asked = options(__doc__, repeats=5)
    write(asked, seconds=medians(in_turns({"open": opened}, asked.repeats))["open"])
