"""Evaluates a run, with few questions, in a process of its own that has done other work before, where torch has so many
threads: `python again.py FOLDER THREADS`."""

import runpy
import sys
from pathlib import Path

import torch

from xfm import Run
from xfm.tasks import evaluate, evaluate_run

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).parents[1] / "few.py"))["ask_few"]()
    folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    run = Run.open(folder)
    evaluate(run.model(), run.config, run.tokenizer(), seed=1, tasks=["pairs", "naming"])
    evaluate_run(folder, again=True)
    assert torch.get_num_threads() == int(threads)
