"""The page: a template filled with plain data. Whatever comes from data is text there, never HTML."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..config import RunConfig
from ..diagnostics.gradient_table import GradientTable, module_names
from ..evaluation import Result
from ..model import XFM
from ..train.run import Record
from . import describe, reproduce, summary
from .figures import ReportFigure

HERE = Path(__file__).parent
SECTIONS = {"words": "The model and its training, in words", "training": "Learning curves", "throughput": "Throughput",
            "evaluation": "Evaluation", "examples": "Examples, right and wrong", "gradients": "Gradients",
            "limits": "What this does not tell", "licences": "Licences and citation"}  # fmt: skip


def page(
    template: str,
    title: str,
    sections: Mapping[str, str],
    abstract: Sequence[str],
    plates: Mapping[str, Sequence[ReportFigure]],
    **values: Any,
) -> str:
    """The HTML of a page: `sections` by their id, in order; `plates` by section; `values` for its own template."""
    script = (HERE / "report.js").read_text("utf-8")
    jinja = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters["percent"] = describe.percent
    order = [plate.name for some in plates.values() for plate in some]
    return jinja.get_template(template).render(
        title=title,
        abstract=abstract,
        plates=plates,
        version=version("xfm-lab"),
        style=(HERE / "report.css").read_text("utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        sections={name: (i, title) for i, (name, title) in enumerate(sections.items(), 1)},
        number={name: i for i, name in enumerate(order, 1)},
        **values,
    )


def render(
    config: RunConfig,
    environment: Mapping[str, Any],
    model: XFM,
    records: Sequence[Record],
    results: Sequence[Result],
    gradients: Mapping[str, GradientTable],
    plates: Mapping[str, Sequence[ReportFigure]],
) -> str:
    """The HTML of a run's report; `plates` by section."""
    parameters = modules(model)
    recipe, differing = reproduce.departures(config)
    seconds = sum(r["seconds"] for r in records)
    return page(
        "report.html.jinja",
        f"{config.name}, seed {config.seed}",
        SECTIONS,
        summary.abstract(config, results, sum(parameters.values()), seconds),
        plates,
        config=config,
        environment=environment,
        description=describe.describe(config),
        objectives=describe.objective_rows(config),
        parameters=parameters,
        recipe=recipe,
        differing=differing,
        command=reproduce.command(config),
        speed=speed(config, records),
        families=families(results),
        split=results[0].split,
        gradients=gradients,
    )


def modules(model: XFM) -> dict[str, int]:
    """Parameters by module, as the gradient table has them, the language encoder's layers together."""
    counts: dict[str, int] = {}
    module_of = module_names(model)
    for name, parameter in model.named_parameters():
        module = module_of[name]
        module = "language layers" if module.startswith("language layer ") else module
        counts[module] = counts.get(module, 0) + parameter.numel()
    return counts


def speed(config: RunConfig, records: Sequence[Record]) -> dict[str, str]:
    """Numbers of the whole run, by what they are."""
    seconds, waited = (sum(r[name] for r in records) for name in ("seconds", "waited"))
    d, steps = config.data, len(records)
    samples = d.pairs + d.regions + d.images + d.texts
    tokens = (d.pairs + d.regions) * d.caption_tokens + d.texts * d.text_tokens
    pictures = d.pairs + d.images + (d.region_images if d.regions else 0)
    return {
        "time": describe.spoken(seconds),
        "steps a second": f"{steps / seconds:.2f}",
        "waiting for data": describe.percent(waited / seconds),
        "samples a step": f"{samples:,}",
        "samples a second": f"{samples * steps / seconds:,.0f}",
        "pictures a step": f"{pictures:,}, of {config.model.vision.patches:,} patches",
        "tokens a step": f"at most {tokens:,}",
    }


def families(results: Sequence[Result]) -> list[tuple[str, list[tuple[str, list[Result]]]]]:
    """Results by family and task, in their order."""
    return [
        (family, [(task, list(rows)) for task, rows in groupby(some, lambda r: r.task)])
        for family, some in groupby(sorted_by_family(results), lambda r: r.family)
    ]


def sorted_by_family(results: Sequence[Result]) -> list[Result]:
    order = list(dict.fromkeys(r.family for r in results))
    tasks = list(dict.fromkeys(r.task for r in results))
    return sorted(results, key=lambda r: (order.index(r.family), tasks.index(r.task)))
