"""The page: a template filled with plain data. Whatever comes from data is text there, never HTML."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..base.numbers import count, duration, listed, number, percent, significant
from ..config import RunConfig
from ..data import dataset
from ..data.skipped_items import count_skipped
from ..diagnostics.gradient_table import GradientTable, module_names
from ..model import XFM
from ..plots.palette import TOKENS
from ..runs.run import Record
from ..tasks import Result
from ..tasks.evaluation import headline, shortfall
from . import run_sentences
from .run_figures import ReportFigure

_HERE = Path(__file__).parent
_LEAD = 150  # characters
_SECTIONS = {"model": "The model and its training", "training": "Learning curves", "throughput": "Throughput",
             "evaluation": "Evaluation", "examples": "Examples, right and wrong", "gradients": "Gradients",
             "limits": "What this does not tell", "licences": "Licences and citation"}  # fmt: skip


def page(
    template: str,
    title: str,
    sections: Mapping[str, str],
    abstract: Sequence[str],
    figures: Mapping[str, Sequence[ReportFigure]],
    **values: Any,
) -> str:
    """The HTML of a page: `sections` by their id, in order; `figures` by section; `values` for its own template."""
    script = (_HERE / "report.js").read_text("utf-8")
    order = [figure.name for section in figures.values() for figure in section]
    values |= {"title": title, "abstract": abstract, "figures": figures, "version": version("xfm-lab"),
               "style": TOKENS + (_HERE / "report.css").read_text("utf-8"), "script": script,
               "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
               "sections": {name: (i, title) for i, (name, title) in enumerate(sections.items(), 1)},
               "number": {name: i for i, name in enumerate(order, 1)}}  # fmt: skip
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    """The templates of this folder, each compiled once."""
    jinja = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters |= {f.__name__: f for f in (count, duration, number, percent, significant)}
    return jinja


def render(
    config: RunConfig,
    environment: Mapping[str, Any],
    model: XFM,
    records: Sequence[Record],
    results: Sequence[Result],
    gradients: Mapping[str, GradientTable],
    figures: Mapping[str, Sequence[ReportFigure]],
) -> str:
    """The HTML of a run's report; `figures` by section."""
    parameters: Counter[str] = Counter()
    module_of = module_names(model)
    for name, parameter in model.named_parameters():
        parameters[re.sub(r"^language layer \d+$", "language layers", module_of[name])] += parameter.numel()
    families: dict[str, dict[str, list[Result]]] = {}
    for r in results:
        families.setdefault(r.family, {}).setdefault(r.task, []).append(r)
    split = results[0].split if results else "test"
    recipe, differing = run_sentences.departures(config)
    seconds, waited = (sum(r[name] for r in records) for name in ("seconds", "waited"))
    data = dataset(config)
    values = {"config": config, "environment": environment, "losses": run_sentences.losses(config), "recipe": recipe,
              "parameters": parameters, "differing": differing, "command": run_sentences.command(config),
              "speed": {"steps": len(records), "seconds": seconds, "waited": waited}, "families": families,
              "left_out": count_skipped(records), "split": split, "gradients": gradients,
              "data": listed([source.name for source in data.sources]), "licences": data.licences,
              "optimizers": run_sentences.optimizers(config.train), "drawn": "relations" in data.provides}  # fmt: skip
    values |= {"bars": headline(results), "lead": shortfall(results, _LEAD)}
    abstract = [run_sentences.abstract(config, parameters.total(), seconds)]
    title = f"{config.name}: X-FM trained on {values['data']} for {count(config.train.steps, 'step')}"
    return page("report.html.jinja", title, _SECTIONS, abstract, figures, **values)
