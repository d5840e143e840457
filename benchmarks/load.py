"""How long the bundled checkpoint takes to open, and help to answer.

    python benchmarks/load.py [--repeats 5]

Opening, after imports: config, tokenizer and weights read, the model built, from cold objects. Help: a new process
each, warm, beside one that imports torch. Medians.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from measuring import in_turns, medians, options, seconds, write

import xfm

HELP = "import sys\nfrom xfm.cli import main\ntry:\n    main({})\nexcept SystemExit:\n    pass"
PROCESSES = {
    "xfm --help": HELP.format(["--help"]),
    "xfm pretrain --help": HELP.format(["pretrain", "--help"]),
    "torch": "import torch",
}


def opened() -> None:
    run = xfm.load("demo").run
    run.model(), run.tokenizer()


def process(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


if __name__ == "__main__":
    asked = options(__doc__, repeats=5)
    first = seconds(opened)
    again = medians(in_turns({"open": opened}, asked.repeats))["open"]
    helps = in_turns({name: partial(process, code) for name, code in PROCESSES.items()}, asked.repeats)
    write(asked, seconds=again, first=first, help_seconds=medians(helps))
