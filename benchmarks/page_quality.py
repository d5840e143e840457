"""What eight bits a weight cost: the shipped checkpoint on its test split, with its own weights and with those that a
page has.

    python benchmarks/page_quality.py

Test samples, and so the intervals, are the same for both; "difference" is the page's less the checkpoint's.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from measuring import options, write

import xfm
from xfm.tasks import evaluate
from xfm_widgets.page_model import as_in_page, page_model
from xfm_widgets.pages import script_json

TASKS = ("retrieval", "grounding", "imlm")
WAYS = ("text to image", "image to text")
SHOWN = {  # task, condition, metric
    *((way + kind, "ITC", "R@1") for way, kind in product(WAYS, ("", " (random gallery)"))),
    *((way, "ITM re-ranked", "R@1") for way in WAYS),
    *product(("grounding", "grounding (several objects)"), ("",), ("acc@0.5", "mean IoU")),
    ("grounding (harder pictures)", "hard", "acc@0.5"),
    ("masked names", "right picture", "accuracy"),
}

if __name__ == "__main__":
    asked = options(__doc__)
    lab: Any = xfm.load("demo")
    payload, rows = page_model(lab.model, lab.tokenizer), []
    both = (
        evaluate(model, lab.config, lab.tokenizer, tasks=TASKS, progress=True)
        for model in (lab.model, as_in_page(lab.model))
    )
    for own, page in zip(*both, strict=True):
        key = own.task, own.condition, own.metric
        assert key == (page.task, page.condition, page.metric)
        if key in SHOWN:
            row = dict(zip(("task", "condition", "metric"), key, strict=True))
            row |= {"checkpoint": own.value, "interval": [own.low, own.high], "page": page.value}
            rows.append(row | {"difference": page.value - own.value, "samples": own.n})
    size = {"weights": len(payload["weights"]), "as text in a page": len(script_json(payload))}
    write(asked, parameters=sum(p.numel() for p in lab.model.parameters()), bytes=size, quality=rows)
