"""Which command a list of arguments is, with the recipe that it names as the defaults of its options."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import tyro

from .. import recipes
from ..base.fields import require
from ..config import RunConfig
from .file_commands import DataCheck, ExportCheckpoint, ImportCheckpoint, Site
from .pretrain_command import Pretrain
from .results import Evaluate, Runs, Study

if TYPE_CHECKING:
    from .finetune_command import Finetune

Command: TypeAlias = (
    "Pretrain | Finetune | Study | Evaluate | Runs | Site | DataCheck | ImportCheckpoint | ExportCheckpoint"
)
COMMANDS = {
    "study": Study,
    "evaluate": Evaluate,
    "runs": Runs,
    "site": Site,
    "data check": DataCheck,
    "import-checkpoint": ImportCheckpoint,
    "export-checkpoint": ExportCheckpoint,
}
USAGE = """usage: xfm pretrain RECIPE[+CHANGE...] [--train.steps 2000 --seed 3 ...]
       xfm pretrain own --data PATH...
       xfm finetune TASK RUN_FOLDER [--controls --train.steps 600 ...]
       xfm study NAME|FOLDER|SPEC [--metrics | --plan | --workers 2 | --slurm partition=gpu ...]
       xfm evaluate RUN_FOLDER
       xfm runs [ROOT] [--verify]
       xfm site [FOLDER] [--no-open]
       xfm data check PATH... [--out FILE]
       xfm import-checkpoint FILE --tokenizer DIR --out RUN
       xfm export-checkpoint RUN --out FILE

Each explains itself with --help. Recipes: {recipes}.
Changes: no_stop_gradient, no_guidance, ... (docs/ablations.md). Tasks: xfm finetune lists them."""


def parse(argv: list[str]) -> Command:
    """The command of an argument list. The recipe is looked up first: its values are the defaults of the options."""
    if argv[:1] == ["pretrain"]:
        return _pretrain(_words(argv[1:]) or ["demo"])
    if argv[:1] == ["finetune"]:
        return _finetune(argv[1:])
    for name, command in COMMANDS.items():
        words = name.split()
        if argv[: len(words)] == words:
            return tyro.cli(command, prog=f"xfm {name}", args=argv[len(words) :])
    usage = USAGE.format(recipes=", ".join(recipes.RECIPES))
    if argv in (["-h"], ["--help"]):
        print(usage)
        sys.exit(0)
    sys.exit(usage)


def _pretrain(argv: list[str]) -> Pretrain:
    recipe = "demo" if argv[0].startswith("-") else argv[0]
    paths, rest = _own_data(argv)
    if recipe != "own":
        config = recipes.get(recipe)
        first = "behind the recipe 'own', the first word: xfm pretrain own --data ..."
        require(not paths, "--data", " ".join(paths), first)
    elif not paths and {"-h", "--help"} & {*rest}:
        config = recipes.demo()
    else:
        config = _sized(paths, rest)
    default = Pretrain(recipe, _with_losses(config, rest))
    command = tyro.cli(Pretrain, prog="xfm pretrain", args=rest, default=default)
    first = f"the first word, whose options follow it: xfm pretrain {command.recipe} {rest[0]} ..."
    require(command.recipe == recipe, "recipe", command.recipe, first)
    return command


def _sized(paths: list[str], rest: list[str]) -> RunConfig:
    """The recipe for user data, which is read with the option `data.unreadable`; parsing reports one that is none."""
    from ..files.sizing import own
    from ..model.replicas import launched

    unreadable = dict(pairwise([*rest, ""])).get("--data.unreadable", "")
    try:
        share = float(unreadable) if unreadable else None
    except ValueError:
        share = None
    sized = own(paths, unreadable=share)
    if not launched()[0]:
        print(f"own: {sized.picked}\n{sized.expect}")
    return sized.config


def _words(argv: list[str]) -> list[str]:
    """`--option=value` as two words."""
    return [word for each in argv for word in (each.split("=", 1) if each[:2] == "--" else (each,))]


def _finetune(argv: list[str]) -> Finetune:
    """The task and the run are words; the recipe for both, and for the data, shots and seed that the options name, is
    the default of the options. The data's path becomes absolute, so that they are found from anywhere."""
    from ..lab import run_folder
    from ..tasks import TRAINABLE
    from ..tasks.finetuning.config import recipe as finetuning
    from .finetune_command import Finetune

    named = [*(word for word in argv[:2] if not word.startswith("-"))]
    if len(named) < 2 and not {"-h", "--help"} & {*argv}:
        sys.exit(f"usage: xfm finetune TASK RUN_FOLDER [options]; tasks: {', '.join(TRAINABLE)}")
    task, folder = [*named, *(next(iter(TRAINABLE)), "demo")[len(named) :]]
    words = _words(argv[len(named) :])
    for i, (option, value) in enumerate(pairwise(words), 1):
        if option == "--data" and value[:2] not in ("", "--"):
            words[i] = str(Path(value).expanduser().absolute())
    given, run = dict(pairwise([*words, ""])), run_folder(folder)
    numbers = {name: int(n) for name in ("shots", "seed") if (n := given.get(f"--{name}", "")).isdecimal()}
    recipe = finetuning(task, run, data=given.get("--data", ""), published="--published" in words, **numbers)
    return tyro.cli(Finetune, prog="xfm finetune TASK RUN_FOLDER", args=words, default=Finetune(recipe))


def _own_data(argv: list[str]) -> tuple[list[str], list[str]]:
    """The words behind --data, up to the next option, and the rest. Paths become absolute, so that the run is found
    from anywhere."""
    if "--data" not in argv:
        return [], argv
    start = argv.index("--data")
    end = next((i for i in range(start + 1, len(argv)) if argv[i].startswith("-")), len(argv))
    return [_absolute(spec) for spec in argv[start + 1 : end]], argv[:start] + argv[end:]


def _absolute(spec: str) -> str:
    from ..data.source import is_remote
    from ..files.file_source import EMBEDDED
    from ..files.readers import READERS

    form, colon, path = spec.partition(":")
    if spec in EMBEDDED or is_remote(spec):
        return spec
    named, path = (f"{form}:", path) if colon and form in READERS else ("", spec)
    return named + str(Path(path).expanduser().absolute())


def _with_losses(config: RunConfig, argv: list[str]) -> RunConfig:
    """The config with an entry, switched off, for each further loss that the options name: they set its fields."""
    options = [option.replace("text-gradient", "text_gradient") for option in argv]
    if not any(option.startswith(("--objectives.", "--flow.text_gradient.")) for option in options):
        return config
    from ..objectives import OBJECTIVES  # brings torch

    groups = {"objectives.{}.weight": config.objectives, "flow.text_gradient.{}": config.flow.text_gradient}
    fields = [
        field.format(loss)
        for field, known in groups.items()
        for loss in OBJECTIVES
        if loss not in known
        and any(option.startswith(f"--{field.format(loss).removesuffix('weight')}") for option in options)
    ]
    return config.replace(dict.fromkeys(fields, 0.0))
