"""What a study shows: figures, tables, its report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from ..base.fields import one_of
from ..base.files import explain_os_error, write_atomically
from ..plots import Figure
from ..plots.effect_intervals import forest, nothing, paired_seeds
from ..plots.effect_map import effect_map
from ..plots.pareto import pareto
from ..plots.probe_figures import probes
from ..plots.variance_components import spread
from ..report.run_figures import drawn
from ..runs.run import Record
from . import (
    code_pin,
    conclusions,
    formatting,
    spread_words,
    store,
    study_sentences,
)
from .analyses import Analyses
from .effects import unpaired
from .report import render, report_figures
from .results_csv import StudyError
from .variants import cell, grid_cells

__all__ = ["Telling"]


class Telling(Analyses):
    """The part of a Study that shows what its tables have."""

    @abstractmethod
    def effects(self, against: str = "") -> pd.DataFrame: ...
    @abstractmethod
    def pairs(self, against: str = "") -> pd.DataFrame: ...
    @abstractmethod
    def probes(self) -> dict[str, list[list[Record]]]: ...
    @abstractmethod
    def missing(self) -> pd.DataFrame: ...
    @abstractmethod
    def _finished(self) -> set[tuple[str, int]]: ...

    def figure(
        self,
        kind: Literal["effects", "seeds", "map", "pareto", "spread", "probes"] = "effects",
        metrics: formatting.Metrics = "",
        against: str = "",
    ) -> Figure:
        """effects: of each metric the variants' effects, seeds as dots, intervals. seeds: of each metric the values, a
        line a seed. map: of one metric, over a two-way grid, the effect in each cell. pareto: of two or three metrics,
        each against each, every variant's difference to the reference, and which are on the front. spread: of each
        metric how much the runs of each variant vary, beside the reference's. probes: what objectives do to the
        encoders over the steps, where runs were probed (it has no metrics).

        `metrics`: "primary", "all", or keys; primary ones where there are any. ConfigError for an unknown one. Where
        there is nothing to draw yet the figure says so.
        """
        one_of("figure", kind, ("effects", "seeds", "map", "pareto", "spread", "probes"))
        title, against = f"{self.spec.name} ({self.spec.kind})", against or self.spec.reference
        if kind == "probes":
            return self._probes_figure(title)
        table, paired = self._table(against)
        if not (paired or (kind == "seeds" and len(table))):
            return nothing(self._no_pairs(), title)
        if kind == "spread":
            rows = self.spread(metrics)
            return spread(rows, list(self.spec.variants), self.spec.compared_with[0], f"{title}: how much runs vary")
        if kind == "pareto":
            return pareto(self.pareto(metrics), self.spec.compared_with[0], title)
        table = formatting.select(table, metrics)
        if kind == "effects":
            title = f"{title}: difference to {against}, 95 % intervals, paired by seed"
            return forest(table, self.pairs(against), list(self.spec.variants), title)
        if kind == "seeds":
            return paired_seeds(table, self.results(), list(self.spec.variants), f"{title}: every run")
        frame = grid_cells(table)
        return effect_map(frame, f"{title}: {cell(frame['variant'].iloc[0]).get('', 'variant')} − {against}")

    def _probes_figure(self, title: str) -> Figure:
        records = self.probes()
        if not records:
            return nothing('No probes yet: Study(..., changes={"train.probe_every": 100}) has some', title)
        with store.explained(self.folder / "probes.jsonl", "must be the training probe's records"):
            return probes(records, title=f"{title}: training probe, means over the seeds, 95 % intervals")

    def _table(self, against: str) -> tuple[pd.DataFrame, bool]:
        """The effects and True; where there are no pairs yet the means of what there is, and False."""
        table = self.effects(against)
        if len(table[table["n"] > 0]):
            return table, True
        against = against or self.spec.reference
        return unpaired(self.results(), against, self.spec.primary, self.metrics(), self.levels()), False

    def _no_pairs(self) -> str:
        return study_sentences.no_pairs(self.spec, len(self._finished()))

    def to_markdown(self, metrics: formatting.Metrics = "", against: str = "") -> str:
        """The effects as a Markdown table; primary metrics bold, units in the first column. Where there are no pairs
        yet it says so, with a table of the means that there are. Of a study that asks how much runs vary
        (Spec.of_spread) the standard deviations."""
        table, paired = self._table(against)
        if (spread := self._spread(paired)) is not None:
            return formatting.as_markdown(spread_words.cells(spread), [False] * len(spread))
        text = formatting.to_markdown(formatting.select(table, metrics)) if len(table) else ""
        return text if paired else f"{self._no_pairs()}\n\n{text}"

    def to_latex(self, metrics: formatting.Metrics = "", against: str = "") -> str:
        """The same as a LaTeX tabular of the package booktabs."""
        table, paired = self._table(against)
        if (spread := self._spread(paired)) is not None:
            return formatting.as_latex(spread_words.cells(spread), [False] * len(spread))
        text = formatting.to_latex(formatting.select(table, metrics)) if len(table) else ""
        return text if paired else f"% {self._no_pairs()}\n{text}"

    def answer(self, question: str, hypotheses: Sequence[tuple[str, str]] = ()) -> None:
        """Writes down what came of the study, for its report, in the place of what was written before: an answer in
        words to its question, and to each hypothesis of the spec, in their order, whether it held ("holds", "holds in
        part", "does not hold", "not decided") and why. ConfigError for anything else. StudyError where a study that
        confirms has runs to do: it is read once, when it is whole."""
        given = conclusions.of_pairs(hypotheses)
        conclusions.require_answers(question, given, self.spec.hypotheses)
        if self.spec.confirms and (left := self._to_do()):
            raise StudyError(f"{self.folder}: runs to do: {left}; a study that confirms is read when it is whole")
        conclusions.write(self.folder, conclusions.Answers(question, given, conclusions.digest(self.results())))

    def answers(self) -> pd.DataFrame:
        """What `answer` wrote, a row a hypothesis: hypothesis, held, why; none where nothing is written yet. StudyError
        where answers.json holds something else."""
        found = conclusions.read(self.folder, self.spec.hypotheses)
        rows = zip(self.spec.hypotheses, found.hypotheses, strict=True) if found else []
        return pd.DataFrame([(asked, *answer) for asked, answer in rows], columns=["hypothesis", "held", "why"])

    def _to_do(self) -> int:
        return len(self.missing()) - len(self.failed())

    def report(self, path: str | Path = "", against: str = "") -> Path:
        """Writes one self-contained page (report.html in the study's folder, unless `path` says where): what was asked
        and how, what admitted the metrics and what could be found, the effects in words, figures and a table, what came
        of the hypotheses (`answer`), what happened inside, what would change our mind, what it does not tell."""
        return self._write(path, against)[0]

    def save(self, against: str = "") -> list[Path]:
        """Writes the report, the figures (PNG, PDF) and the tables of all metrics (Markdown, LaTeX), and returns the
        files."""
        report, figures = self._write("", against, ("png", "pdf"))
        folder = self.folder / "figures"
        with explain_os_error(folder):
            folder.mkdir(exist_ok=True)
        files: dict[Path, bytes | str] = {folder / name: content for name, content in figures.items()}
        files |= {folder / "effects.md": self.to_markdown("all", against)}
        files |= {folder / "effects.tex": self.to_latex("all", against)}
        for file, content in files.items():
            write_atomically(file, content)
        return [*files, report]

    def _further(self) -> list[str]:
        """Sentences on more than one effect at a time."""
        ranks = study_sentences.ranks(self.mean_ranks())
        return [
            *study_sentences.interactions(self),
            *study_sentences.mended(self),
            *study_sentences.front(self),
            *ranks,
        ]

    def _spread(self, paired: bool) -> pd.DataFrame | None:
        """Of a study that asks for it, of the metrics that were learnt."""
        if not (self.spec.of_spread and paired):
            return None
        return self.spread(self._learnt(self._counted()) or "all")

    def _made(self) -> Path:
        """The folder, which a study that was never run has not."""
        with explain_os_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder

    def _write(self, path: str | Path, against: str, kinds: Sequence[str] = ()) -> tuple[Path, dict[str, bytes]]:
        """Writes the report, and returns its path and its figures as files of these kinds: contents by name."""
        (table, paired), against, probed = self._table(against), against or self.spec.reference, bool(self.probes())
        spread = self._spread(paired)
        told = None if spread is None else spread_words.tell(spread, self.median_shares(), self.spec.reference)
        sections = report_figures(self.spec, table, against, self.figure, paired, probed, told and told.metrics)
        sections, files = drawn(sections, kinds)
        target = Path(path) if path else self._made() / "report.html"
        code = code_pin.sentences(code_pin.read(self.folder))
        code += code_pin.precisions(self.spec, self.folder, self._finished())
        admitted = self.admission() if self.spec.confirmatory else None
        more = self._further() if paired and not told else []
        fields = self.by_field()
        fields = fields if paired and (fields == "").drop(columns="baseline").to_numpy().any() else fields.iloc[:0]
        came = conclusions.read(self.folder, self.spec.hypotheses)
        note = study_sentences.answered(self.spec, came, self._to_do(), conclusions.digest(self.results()))
        runs = len(self._finished())
        page = render(self.spec, table, sections, runs, self.missing(), code, admitted, more, fields, came, note, told)
        write_atomically(target, page)
        return target, files
