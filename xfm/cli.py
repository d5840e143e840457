"""The command `xfm`: pretrain, finetune, study, evaluate, runs, data preview and check, import-, export-checkpoint."""

from __future__ import annotations

import io
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from . import recipes
from .config import ConfigError, RunConfig
from .data.own import EMBEDDED
from .data.readers import READERS
from .data.sizing import own
from .data.source import Split
from .downstream.config import FinetuneConfig
from .downstream.config import recipe as finetuning
from .downstream.tasks import TASKS
from .lab import CHECKPOINTS, checkpoints
from .objectives import OBJECTIVES
from .progress import Progress
from .text import printable
from .train.signals import Terminated

__all__ = ["main", "parse"]

if TYPE_CHECKING:
    from .evaluation import Evaluation
    from .train import Run

ROOT = Path("runs")
SAVED = "what was saved stays"


def print_results(results: Evaluation) -> None:
    """The table, and a line for each task that the data cannot serve."""
    from .evaluation import format_lines

    print("\n".join([format_lines(results), *(f"skipped: {reason}" for reason in results.skipped.values())]))


@dataclass(frozen=True)
class Pretrain:
    """Train a recipe, evaluate it, and write its report. A finished run opens at once, an unfinished one goes on."""

    recipe: tyro.conf.Positional[str]
    """Recipe and changes: demo, pretrained, small, base, smoke; demo+no_stop_gradient, demo+stage1+no_guidance, ...
    "own --data captions.csv photos/ ..." picks sizes for your own data (docs/your-own-data.md)."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    """Every field of the recipe can be changed, as in --train.steps 2000."""
    root: Path = ROOT
    """Where run folders lie."""
    dry_run: bool = False
    """Train nothing: print parameters, tokens, FLOPs, memory, and the time to expect on this machine."""
    gpus: int = 0
    """With --dry-run: what so many GPUs would take, each with a batch as the config says ..."""
    gpu_flops: float = 312e12
    """... of so many FLOP/s at their peak (an A100 in bf16; an H100 has 989e12) ..."""
    mfu: float = 0.3
    """... of which training reaches this share."""

    def run(self) -> None:
        if self.dry_run:
            from .train.cluster import Cluster
            from .train.estimate import estimate

            cluster = Cluster(self.gpus, self.gpu_flops, self.mfu) if self.gpus else None
            print(f"{self.config.name}: a step is counted and twenty are timed; no run is made ...")
            print(estimate(self.config, cluster))
        else:
            self.train()

    def train(self) -> None:
        from .evaluation import evaluate_run
        from .report import gradient_tables, write_report
        from .train import Run, pretrain
        from .train.left_out import said_of

        run = Run.of(self.config, self.root)
        folder = run.folder
        print(f"{self.config.name}: {self.config.train.steps} steps into {folder}")
        bars: dict[str, Progress] = {}  # a warm start has its own
        for record in pretrain(self.config, self.root):
            name, done = record["run"], record["step"]
            if name not in bars:
                bars[name] = Progress(name, record["of"], done)
            bars[name].update(f"loss {record['loss']:.2f}")
        for bar in bars.values():
            bar.close()
        seconds, waited = (sum(r.get(what, 0.0) for r in run.metrics()) for what in ("seconds", "waited"))
        share = waited / max(seconds, 1e-9)
        print(f"Trained in {seconds:.0f} s, {share:.1%} of them waiting for data. Now the test split ...")
        if said := said_of(run.metrics()):
            print(said)
        print_results(evaluate_run(folder, progress=True))
        print("Now the gradients and the report ...", flush=True)
        gradients = gradient_tables(run)
        for title, table in gradients.items():
            print(f"\nGradients, {title}:\n{table}")
        print(f"\nReport: {write_report(run, gradients)} (its figures lie beside it, under figures/)")
        print("\nGo on: `make lab` opens the notebooks; `xfm pretrain demo+no_stop_gradient` ablates the stop, and")
        print("`xfm --help` shows what else there is (.venv/bin/xfm, where make installed it).")


@dataclass(frozen=True)
class Finetune:
    """Fine-tune a finished run on a task, and say what the test split says. A finished one opens at once, an unfinished
    one goes on."""

    config: Annotated[FinetuneConfig, tyro.conf.arg(name="")]
    """Every field can be changed, as in --train.steps 600."""
    root: Path = ROOT
    """Where run folders lie."""
    controls: bool = False
    """Also what the number must beat: the same without pre-training, without pictures, without texts."""

    def run(self) -> None:
        from .downstream.config import controls
        from .downstream.finetune import train_to_end
        from .downstream.task_run import TaskRun
        from .evaluation import format_lines

        results = []
        for config in [self.config, *(controls(self.config) if self.controls else ())]:
            print(f"{config.task}: {config.train.steps} steps into {TaskRun.of(config, self.root).folder}")
            results += train_to_end(config, self.root, progress=True).results()
        print(format_lines(results))


@dataclass(frozen=True)
class Evaluate:
    """Print what a finished run has learnt: every number with n, baseline, upper bound and a 95 % interval."""

    run_folder: tyro.conf.Positional[Path]
    tasks: tuple[str, ...] = ("all",)
    """Some of them: language, vision, vision-language, or retrieval, grounding, ...; then nothing is written.
    "downstream": fine-tuned on every task of the embedded data, a run of its own each, beside the same without
    pre-training, laid out as the paper's main table."""
    again: bool = False
    """Measure again, where evaluation.json is there already."""
    fetch: bool = False
    """Fetch the run's remote shards from the address that its config names."""

    def run(self) -> None:
        from .data.web import allow
        from .evaluation import evaluate_run
        from .train import Run

        if self.fetch:
            allow(Run.open(self.run_folder).config.data.sources)
        if self.tasks == ("downstream",):
            return self._fine_tune(Run.open(self.run_folder))
        print_results(evaluate_run(self.run_folder, self.tasks, self.again, progress=True))

    def _fine_tune(self, run: Run) -> None:
        """The run that the paper's table has in a line."""
        from .downstream.table import EMBEDDED, finetuned, table
        from .evaluation import format_lines

        root = ROOT if self.run_folder.parent.parent == CHECKPOINTS.parent else self.run_folder.parent.parent
        kinds = {"pretrained": False, "no pre-training": True}
        rows = {name: finetuned(run, EMBEDDED, root, scratch, progress=True) for name, scratch in kinds.items()}
        print(format_lines([result for results in rows.values() for result in results]))
        print(f"\n{table(rows)}")


@dataclass(frozen=True)
class Study:
    """Run an ablation study, or what is missing of it; print its effects, leave its figures, tables and report."""

    what: tyro.conf.Positional[str]
    """Its name under --root, its folder, or its spec.json (`xfm.study.Study(...)` writes one)."""
    workers: int = 1
    """Processes that train at the same time, one thread each; 0 trains nothing and draws what is there anew."""
    root: Path = Path("studies")
    """Where studies lie: spec.json and results.csv of each."""
    runs: Path = ROOT
    """Where run folders lie."""

    def run(self) -> None:
        from .study import command

        command(self.what, self.workers, self.root, self.runs)


@dataclass(frozen=True)
class Runs:
    """List the runs: how far they are, and where; of one that cannot be opened, why."""

    root: tyro.conf.Positional[Path] = ROOT
    compare: bool = False
    """Put what the finished ones have learnt side by side (where they are evaluated; `xfm evaluate RUN_FOLDER`)."""
    verify: bool = False
    """Read every file and compare it with the run's manifest.json; exit status 1 where one is damaged."""

    def run(self) -> None:
        from .config import RunConfig
        from .evaluation import Result, compare_results, evaluate_run
        from .study.naming import readable
        from .train import Run

        folders = sorted(path.parent for path in self.root.glob("*/seed*/config.json"))
        if not folders:
            print(f"no runs under {printable(self.root)}; `xfm pretrain demo` makes one")
        broken, evaluated, configs = 0, dict[str, list[Result]](), dict[str, RunConfig]()
        for folder in folders:
            try:
                said = self.state(folder)
                if self.compare and (folder / "evaluation.json").exists():
                    name = printable(folder.relative_to(self.root))
                    evaluated[name], configs[name] = evaluate_run(folder), Run.open(folder).config
            except (RuntimeError, ConfigError, OSError) as error:
                said, broken = f"broken: {error}", broken + 1
            print(f"{printable(folder)}  {printable(said)}")
        if evaluated:
            names = readable(configs)
            print("\n" + compare_results({names[folder]: results for folder, results in evaluated.items()}))
        if broken and self.verify:
            sys.exit(f"xfm: {broken} of {len(folders)} runs are damaged")

    def state(self, folder: Path) -> str:
        """RunError for a run that cannot be opened or, where it is to be verified, has a damaged file."""
        from .train import Run
        from .train.left_out import said_of
        from .train.manifest import damaged

        run = Run.open(folder)
        if self.verify and (found := damaged(folder)):
            raise found[0]
        records = run.metrics()
        done = "done" if run.done else f"{len(records)} of {run.config.train.steps} steps"
        loss = records[-1].get("loss") if records else None
        skipped = f"; {said}" if (said := said_of(records)) else ""
        whole = "; every file is whole" if self.verify else ""
        return done + (f"  loss {loss:.3f}" if isinstance(loss, int | float) else "") + skipped + whole


@dataclass(frozen=True)
class Preview:
    """Draw a contact sheet of the data: pictures, captions, boxes with their phrases, of every split."""

    recipe: tyro.conf.Positional[str] = "demo"
    out: Path = Path("preview.png")
    split: Split | None = None
    """Only this one, and more of it."""
    seed: int = 0

    def run(self) -> None:
        from .data.synthetic.preview import preview

        print(preview(recipes.get(self.recipe), self.out, self.split, self.seed))


@dataclass(frozen=True)
class DataCheck:
    """Read your own data once, whole: counts, what is wrong with which line, and a verdict; exit status 1 where no
    training can start. The page beside it has all findings and a contact sheet."""

    paths: tyro.conf.Positional[tuple[str, ...]]
    """What `data.sources` takes: captions.csv, a folder, coco:DIR, "shards/{000..031}.tar", ..."""
    out: Path = Path("data-check.html")
    """The page; of several paths, numbered."""

    def run(self) -> None:
        from .data.check import check
        from .data.check_page import write_page

        unusable = 0
        for i, spec in enumerate(self.paths):
            found = check(spec, progress=sys.stderr.isatty())
            print(_lines(found.lines()))
            print(
                write_page(found, self.out.with_stem(f"{self.out.stem}-{i + 1}") if len(self.paths) > 1 else self.out)
            )
            unusable += not found.usable
        if unusable:
            sys.exit(f"xfm: {unusable} of {len(self.paths)} cannot be trained on")


@dataclass(frozen=True)
class ImportCheckpoint:
    """Make a run folder of the authors' file: what it lists is all that was unused, missing or interpolated."""

    file: tyro.conf.Positional[Path]
    """The published PyTorch file, such as xfm_1b3.th. No code in it is run."""
    tokenizer: Path
    """A folder with RoBERTa's vocab.json and merges.txt, or its tokenizer.json."""
    out: Path
    """The run folder to make, such as runs/xfm_1b3/seed0."""
    image_size: int = 0
    """Pixels a side; the relative position tables are interpolated to it. 0: the file's own."""
    text_heads: int = 0
    """Heads of the text and fusion encoder; 0: one for 64 of their width, as every RoBERTa has them."""

    def run(self) -> None:
        from .train.checkpoint import import_checkpoint

        print(import_checkpoint(self.file, self.tokenizer, self.out, self.image_size, self.text_heads))


@dataclass(frozen=True)
class ExportCheckpoint:
    """Write a finished run as a file of the published form; of an imported run, the file that it was made of; a
    clip_like one as open_clip's weights, with their config beside them."""

    run_folder: tyro.conf.Positional[Path]
    out: Path
    """The file to make."""

    def run(self) -> None:
        from .train.export import export_checkpoint

        export_checkpoint(self.run_folder, self.out)
        print(printable(self.out))


COMMANDS = {
    "study": Study,
    "evaluate": Evaluate,
    "runs": Runs,
    "data preview": Preview,
    "data check": DataCheck,
    "import-checkpoint": ImportCheckpoint,
    "export-checkpoint": ExportCheckpoint,
}
USAGE = """usage: xfm pretrain RECIPE[+CHANGE...] [--train.steps 2000 --seed 3 ...]
       xfm pretrain own --data PATH...
       xfm finetune TASK RUN_FOLDER [--controls --train.steps 600 ...]
       xfm study NAME|FOLDER|SPEC [--workers 2]
       xfm evaluate RUN_FOLDER
       xfm runs [ROOT] [--verify]
       xfm data preview [RECIPE] [--out FILE]
       xfm data check PATH... [--out FILE]
       xfm import-checkpoint FILE --tokenizer DIR --out RUN
       xfm export-checkpoint RUN --out FILE

Each explains itself with --help. Recipes: {recipes}. Changes: {changes}. Tasks: {tasks}."""


def main(argv: list[str] | None = None) -> None:
    """The command `xfm`. Errors that a user can mend end it with a line, not a traceback, and exit status 1; a signal
    ends it with 128 and its number, as shells have it."""
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no dash and no umlaut
    try:
        parse(argv).run()
    except (ConfigError, RuntimeError, OSError) as error:
        sys.exit(f"xfm: {_lines(error)}")
    except KeyboardInterrupt as interrupt:
        print(f"xfm: interrupted; {_lines(interrupt) or SAVED}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Terminated as terminated:
        print(f"xfm: terminated; {_lines(terminated.said) or SAVED}", file=sys.stderr)
        raise


def _lines(said: object) -> str:
    """Of a message, which may quote names and texts of others; its own lines stay."""
    return "\n".join(map(printable, str(said).split("\n")))


Command = Pretrain | Finetune | Study | Evaluate | Runs | Preview | DataCheck | ImportCheckpoint | ExportCheckpoint


def parse(argv: list[str]) -> Command:
    """The command of an argument list. The recipe is looked up first: its values are the defaults of the options."""
    if argv[:2] == ["pretrain", "own"]:
        paths, rest = _own_data(argv[2:])
        sized = own(paths)
        print(f"own: {sized.picked}\n{sized.expect}")
        default = Pretrain("own", _with_losses(sized.config, rest))
        return tyro.cli(Pretrain, prog="xfm pretrain", args=["own", *rest], default=default)
    if argv[:1] == ["pretrain"]:
        recipe = next((a for a in argv[1:2] if not a.startswith("-")), "demo")
        default = Pretrain(recipe, _with_losses(recipes.get(recipe), argv))
        return tyro.cli(Pretrain, prog="xfm pretrain", args=argv[1:] if len(argv) > 1 else [recipe], default=default)
    if argv[:1] == ["finetune"]:
        return _finetune(argv[1:])
    for name, command in COMMANDS.items():
        words = name.split()
        if argv[: len(words)] == words:
            return tyro.cli(command, prog=f"xfm {name}", args=argv[len(words) :])
    names = {"recipes": recipes.RECIPES, "changes": recipes.changes(), "tasks": TASKS}
    usage = USAGE.format(**{what: ", ".join(each) for what, each in names.items()})
    if argv in (["-h"], ["--help"]):
        print(usage)
        sys.exit(0)
    sys.exit(usage)


def _finetune(argv: list[str]) -> Finetune:
    """The task and the run are words; the recipe for both is the default of the options."""
    named = [*(word for word in argv[:2] if not word.startswith("-"))]
    if len(named) < 2 and not {"-h", "--help"} & {*argv}:
        sys.exit(f"usage: xfm finetune TASK RUN_FOLDER [options]; tasks: {', '.join(TASKS)}")
    task, folder = [*named, *(next(iter(TASKS)), "demo")[len(named) :]]
    path = CHECKPOINTS / folder if folder in checkpoints() else Path(folder)
    default = Finetune(finetuning(task, path))
    return tyro.cli(Finetune, prog="xfm finetune TASK RUN_FOLDER", args=argv[len(named) :], default=default)


def _own_data(argv: list[str]) -> tuple[list[str], list[str]]:
    """The words behind --data up to the next option, and the rest. Paths become absolute, so that the run is found from
    anywhere."""
    if "--data" not in argv:
        return [], argv
    start = argv.index("--data")
    end = next((i for i in range(start + 1, len(argv)) if argv[i].startswith("--")), len(argv))
    return [_absolute(spec) for spec in argv[start + 1 : end]], argv[:start] + argv[end:]


def _absolute(spec: str) -> str:
    form, colon, path = spec.partition(":")
    if spec in EMBEDDED:
        return spec
    return f"{form}:{Path(path).absolute()}" if colon and form in READERS else str(Path(spec).absolute())


def _with_losses(config: RunConfig, argv: list[str]) -> RunConfig:
    """The config with an entry, switched off, for each further loss that the options name: they set its fields."""
    options = [option.replace("text-gradient", "text_gradient") for option in argv]
    groups = {"objectives.{}.weight": config.objectives, "flow.text_gradient.{}": config.flow.text_gradient}
    fields = [
        field.format(loss)
        for field, known in groups.items()
        for loss in OBJECTIVES
        if loss not in known
        and any(option.startswith(f"--{field.format(loss).removesuffix('weight')}") for option in options)
    ]
    return config.replace(dict.fromkeys(fields, 0.0))


if __name__ == "__main__":
    main()
