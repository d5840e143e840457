"""A few lines of each of GLUE's files, in the formats as published: headers, columns and what is odd about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ROWS = 24
JUDGED = ("entailment", "neutral", "contradiction")


def table(path: Path, header: str, row: Callable[[int], tuple[str, ...]], rows: int = ROWS) -> None:
    lines = ["\t".join(row(i)) for i in range(rows)]
    path.write_bytes("".join(line + "\n" for line in [*([header] if header else []), *lines]).encode())


def said(i: int) -> str:
    return f'a {"good" if i % 2 else "bad"} film number {i}, "quoted with one mark only'


def write(task: str, folder: Path) -> Path:
    """The task's folder with train and dev files."""
    folder.mkdir(parents=True, exist_ok=True)
    entailed = ("entailment", "not_entailment")
    for part in ("train", "dev"):
        other = 0 if part == "train" else 500  # of other texts
        tables: dict[str, tuple[str, Callable[[int], tuple[str, ...]]]] = {
            "cola": ("", lambda i, o=other: ("gj04", str(i % 2), "" if i % 2 else "*", said(i + o))),
            "sst2": ("sentence\tlabel", lambda i, o=other: (said(i + o) + " ", str(i % 2))),
            "mrpc": (
                "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
                lambda i, o=other: (str(i % 2), "1", "2", said(i + o), said(i + o + i % 2)),
            ),
            "stsb": (
                "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
                lambda i, o=other: (
                    str(i), "main-news", "headlines", "2014", "0001", "none", "none", said(i + o), said(i + o + i % 2),
                    f"{i % 6:.3f}"
                ),
            ),
            "qqp": (
                "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
                lambda i, o=other: (str(i), "1", "2", said(i + o), "" if i == 3 else said(i), str(i % 2)),
            ),
            "qnli": (
                "index\tquestion\tsentence\tlabel",
                lambda i, o=other: (str(i), f"which film is number {i + o}?", said(i), entailed[i % 2]),
            ),
            "rte": (
                "index\tsentence1\tsentence2\tlabel",
                lambda i, o=other: (str(i), said(i + o), said(i), entailed[i % 2]),
            ),
        }  # fmt: skip
        if task == "mnli":
            names = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse "
            names += "sentence2_parse sentence1 sentence2 label1 "
            judges = "" if part == "train" else "label2 label3 label4 label5 "
            header = "\t".join((names + judges + "gold_label").split())

            def row(i: int, o: int = other, n: int = len(judges.split()) + 1) -> tuple[str, ...]:
                parses = ("( a parse )",) * 4
                return (str(i), "1", "1n", "fiction", *parses, said(i + o), said(i), *[JUDGED[i % 3]] * (n + 1))

            for name in ["train"] if part == "train" else ["dev_matched", "dev_mismatched"]:
                table(folder / f"{name}.tsv", header, row, ROWS // (1 + ("mis" in name)))
        else:
            table(folder / f"{part}.tsv", *tables[task])
    return folder
