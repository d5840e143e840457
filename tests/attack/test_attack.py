"""The attack: kills, races, damage, hostile strings and messages, drawn anew until the time of their class is up.

Less than a minute in all; `XFM_ATTACK=long` takes an hour, and writes what was tried and what held to the file that
XFM_ATTACK_OUT names. Every attempt is a function of XFM_ATTACK_SEED, its class and its number, which a failure names.
"""

import gc
import json
import os
import random
import re
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import hostile
import numpy as np
import pandas as pd
import psutil
import pytest
from hostile_pictures import BAD, GOOD
from html_page import Page
from study.conftest import made_up
from train import drive
from train.conftest import copied, equal, plain, vouch
from train.drive import process, received

from widgets import test_hostile_choices as views
from xfm import recipes
from xfm.base.files import TEMPORARY, FileError, write_atomically
from xfm.base.images import prepare
from xfm.cli import main
from xfm.config import ConfigError, RunConfig, from_json
from xfm.plots import charts
from xfm.runs.manifest import MANIFEST
from xfm.runs.run import WEIGHTS
from xfm.runs.run_lock import HOLDER
from xfm.study import Study, StudyError
from xfm.tasks import evaluate, evaluate_run
from xfm.train import Run, pretrain

pytestmark = pytest.mark.full
SEED = os.environ.get("XFM_ATTACK_SEED", "0")
SECONDS = 400 if os.environ.get("XFM_ATTACK") == "long" else 4  # a class
LEAST = 3  # attempts, on a machine however slow


class Attack:
    """Attempts of one class: `for draw in attack: with attack.attempt(...): ...`; each has a folder, `root`."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.tried, self.failures = name, folder, 0, list[str]()

    @property
    def root(self) -> Path:
        return self.folder / str(self.tried)

    def __iter__(self) -> Iterator[random.Random]:
        began = time.monotonic()
        while self.tried < LEAST or time.monotonic() - began < SECONDS:
            root = self.root
            yield random.Random(f"{SEED}/{self.name}/{self.tried}")
            shutil.rmtree(root, ignore_errors=True)

    @contextmanager
    def attempt(self, what: object) -> Iterator[None]:
        """It holds where nothing is raised."""
        try:
            yield
        except Exception:
            self.failures.append(f"attempt {self.tried} ({what}):\n{traceback.format_exc()}")
        finally:
            self.tried += 1

    def report(self, path: Path) -> None:
        fresh = {"seed": SEED, "seconds": SECONDS, "classes": {}}
        known = json.loads(path.read_text("utf-8")) if path.exists() else fresh
        known["classes"][self.name] = {"tried": self.tried, "held": self.tried - len(self.failures)}
        write_atomically(path, json.dumps(known, indent=1) + "\n")


@pytest.fixture
def attack(request, tmp_path):
    """Named after the test: `test_kills` -> "kills". Fails at the end, with everything that did not hold."""
    made = Attack(request.node.name.removeprefix("test_").replace("_", " "), tmp_path)
    yield made
    if out := os.environ.get("XFM_ATTACK_OUT"):
        made.report(Path(out))
    assert made.tried >= LEAST
    assert not made.failures, f"{len(made.failures)} of {made.tried} did not hold\n\n" + "\n".join(made.failures[:5])


REFUSED = (ConfigError, FileError, StudyError)  # what `xfm` ends with in a line; a RunError is a FileError
VALUES = [None, True, -1, 0, 10**9, 10**400, 1e308, float("nan"), float("inf"), "", "x", "\ud800", [], [[]], {},
          "9" * 9999]  # fmt: skip


def forged(data: bytes, draw: random.Random) -> bytes:
    """JSON, lines of it, or torch's: with one value that does not belong there."""
    try:
        return json.dumps(changed(json.loads(data), draw)).encode()
    except ValueError:
        if b"\n" not in data:
            return draw.randbytes(9)
        lines = data.split(b"\n")
        at = draw.randrange(len(lines))
        lines[at] = forged(lines[at], draw)
        return b"\n".join(lines)


def changed(tree: Any, draw: random.Random) -> Any:
    if isinstance(tree, dict | list) and tree and draw.random() < 0.9:
        key = draw.choice([*tree] if isinstance(tree, dict) else range(len(tree)))
        if isinstance(tree, dict) and draw.random() < 0.1:
            return {k: v for k, v in tree.items() if k != key}
        tree[key] = changed(tree[key], draw)
        return tree
    return draw.choice(VALUES)


def flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 8])):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def zeroed(data: bytes, draw: random.Random) -> bytes:
    """With a block that a power cut left empty."""
    at = draw.randrange(len(data))
    return data[:at] + bytes(len(data[at : at + 4096])) + data[at + 4096 :]


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": flipped,
    "cut": lambda data, draw: data[: draw.randrange(len(data))],
    "grown": lambda data, draw: data + draw.randbytes(draw.randrange(1, 4000)),
    "zeroed": zeroed,
    "replaced": lambda data, draw: draw.randbytes(draw.randrange(2000)),
    "forged": forged,
}


def spoil(path: Path, draw: random.Random) -> str:
    data, way = path.read_bytes() or b"\0", draw.choice([*DAMAGE, "gone", "folder"])
    path.unlink()
    if way in DAMAGE:
        path.write_bytes(DAMAGE[way](data, draw))
    elif way == "folder":
        path.mkdir()
    return way


def contents(folder: Path) -> dict[str, bytes | None]:
    return {p.name: p.read_bytes() if p.is_file() else None for p in folder.iterdir() if p.name != ".lock"}


@pytest.fixture(scope="module")
def runs(trained, stopped_once, tmp_path_factory):
    """A finished one with its evaluation, and one left after 10 of 12 steps."""
    whole = copied(trained, tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xfm.tasks.evaluation.evaluate", lambda *given, **named: evaluate(*given, tasks="mlm"))
        evaluate_run(whole.folder)
    return [whole, stopped_once]


READERS: dict[str, Callable[[Run], Any]] = {
    "records": lambda run: run.metrics(),
    "words": lambda run: run.tokenizer().backend.to_str(),
    "weights": lambda run: run.model().state_dict(),
    "results": lambda run: run.done and (run.folder / "evaluation.json").is_file() and evaluate_run(run.folder),
}


def test_damaged_runs(attack, runs):
    """Of every file: what is read is what was saved, unless somebody forges the manifest as well; then it is still
    refused by name, or read. A resume of a damaged run changes nothing."""
    saved = [{name: read(run) for name, read in READERS.items()} for run in runs]
    for draw in attack:
        which = draw.randrange(2)
        root, source = attack.root, runs[which]
        folder = copied(source, root).folder
        path = folder / draw.choice(sorted(p.name for p in folder.iterdir() if p.name != ".lock"))
        with attack.attempt(f"{path.name} of run {which}"):
            how = spoil(path, draw)
            forging = path.name != MANIFEST and path.is_file() and draw.random() < 0.5
            if forging:
                vouch(Run(folder, source.config))
            for name, read in READERS.items():
                try:
                    found = read(Run.open(folder))
                except REFUSED as error:
                    assert str(folder) in str(error), error
                else:
                    gone = how == "gone" and path.name in ("metrics.jsonl", "DONE", "evaluation.json", WEIGHTS)
                    assert forging or gone or equal(found, saved[which][name]), (how, name)
            before = contents(folder)
            try:
                steps = [record["step"] for record in pretrain(source.config, root)]
            except REFUSED:
                assert contents(folder) == before, how
            else:
                assert forging or how == "gone" or steps in ([10, 11], [*range(12)]), (how, steps)
                if path.name != WEIGHTS:  # of a finished run it is not read here
                    assert forging or equal(Run.open(folder).model().state_dict(), saved[0]["weights"]), how


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    return made_up(Study("s", "smoke+stage1", ["xfm", "no_mim"], range(3), root=root, runs=root / "runs"), {})


def test_damaged_studies(attack, study):
    def used() -> None:
        loaded = Study.load(study.folder, study.runs)
        for read in (loaded.missing, loaded.probes, loaded.to_latex, lambda: loaded.to_markdown("all"), loaded.figure):
            read()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        used()
        good = contents(study.folder)
        for draw in attack:
            path = study.folder / draw.choice([name for name, data in good.items() if data is not None])
            with attack.attempt(path.name):
                spoil(path, draw)
                before = contents(study.folder)
                try:
                    used()
                except REFUSED as error:
                    assert len(str(error)) < 3000
                assert contents(study.folder) == before
            if path.is_dir():
                path.rmdir()
            path.write_bytes(good[path.name] or b"")


MESSAGES = 200  # a view
GROWTH = 200 << 20  # bytes: a leak of one value a message would be more
NAMED = (ConfigError, FileError, ValueError)  # ValueError: of a source


def value(draw: random.Random, deep: int = 3) -> Any:
    kind = draw.randrange(8 if deep else 6)
    if kind < 2:
        return draw.choice(views.JSON)
    if kind < 4:
        return draw.choice([draw.randint(-3, 9), draw.uniform(-2, 2), draw.getrandbits(70), text(draw)[:2000]])
    if kind < 6:
        return draw.choice([None, True, False, "lion", "itm"])
    inner = [value(draw, deep - 1) for _ in range(draw.randrange(4))]
    return inner if kind == 6 else {text(draw)[:50]: each for each in inner}


def text(draw: random.Random) -> str:
    parts = [draw.choice([*hostile.STRINGS.values()]) for _ in range(draw.choice([1, 1, 2, 3]))]
    joined = draw.choice(["", " ", "\n", "lion"]).join(part[: draw.choice([20, 200, 200_000])] for part in parts)
    return joined if draw.random() < 0.9 else "".join(chr(draw.randrange(0x110000)) for _ in range(20))


def test_messages(attack):
    """To every view, as traits and as messages of its own; it says what it holds, and its memory does not grow."""
    made, process = {name: make("lion") for name, make in views.MAKE.items()}, psutil.Process()
    before = 0
    for draw in attack:
        name = draw.choice([*made])
        view = made[name]
        for _ in range(MESSAGES):
            with attack.attempt(name):
                if draw.random() < 0.3:
                    asked = draw.choice(["refresh", "trace", "whole", "pause", text(draw)[:9]])
                    view._handle_custom_msg(draw.choice([{"do": asked, "of": value(draw)}, value(draw)]), [])
                else:
                    traits = draw.choices([*view.traits(sync=True)], k=3)
                    view.set_state({trait: value(draw) for trait in traits})
        with attack.attempt(f"{name}, afterwards"):
            views.sound(view)
            gc.collect()
            now = process.memory_info().rss
            before = before or now
            assert now - before < GROWTH, f"{(now - before) >> 20} MiB more"


def as_page(said: str, folder: Path) -> None:
    make = views.MAKE[random.Random(said).choice([*views.MAKE])]
    pages = [Page(make(text).to_html(folder / "page.html").read_text("utf-8")).tags for text in (said, "lion")]
    scripts = [[tag for tag in tags if tag in ("script", "iframe", "img", "object")] for tags in pages]
    assert scripts[0] == scripts[1]


def as_figure(said: str, folder: Path) -> None:
    figure = charts.lines(pd.DataFrame({said: [0.1, 0.2]}), said, said, said)
    assert figure.bytes("png")[:4] == b"\x89PNG" and ElementTree.fromstring(figure.bytes("svg")) is not None


def as_name(said: str, folder: Path) -> None:
    run = Run.of(config := recipes.get("smoke").replace({"name": said}), folder / "runs")
    run.make()
    run.claim()
    assert Run.open(run.folder).config == config == from_json(config.to_json())
    assert run.folder.resolve().is_relative_to((folder / "runs").resolve())


def as_argument(said: str, folder: Path) -> None:
    for words in (["runs", said], ["evaluate", said], ["study", said], ["pretrain", f"smoke+{said}"]):
        try:
            main(words)
        except SystemExit as end:
            assert isinstance(end.code, int) or all(map(str.isprintable, str(end.code).split("\n")))


PLACES = (as_page, as_figure, as_name, as_argument)


def test_texts(attack, tmp_path, capsys, monkeypatch):
    """Wherever a text comes in: taken as it is, or refused by name; and only as text in what is written."""
    monkeypatch.chdir(tmp_path)
    for draw in attack:
        said, place = text(draw), draw.choice(PLACES)
        with attack.attempt(f"{place.__name__} {said[:80]!r}"):
            try:
                place(said, tmp_path)
            except NAMED as error:
                assert len(str(error)) < 2000 and all(line.isprintable() for line in str(error).split("\n"))
            finally:
                capsys.readouterr()


TYPES = [np.uint8, np.uint16, np.int64, np.float16, np.float32, np.float64, np.complex64, bool, object, "U3", "M8[s]"]


def picture(draw: random.Random) -> Any:
    kind = draw.randrange(3)
    if kind == 0:
        shape = [draw.choice([0, 1, 3, 4, 8, 33]) for _ in range(draw.randint(0, 4))]
        array = np.array(np.random.default_rng(draw.getrandbits(30)).uniform(-1, 3, shape)).astype(draw.choice(TYPES))
        array = array[::-1].T if draw.random() < 0.3 and array.ndim == 2 else array
        array.setflags(write=draw.random() < 0.5)
        return array
    if kind == 1:
        data = bytearray(draw.choice([*GOOD.values(), *BAD.values()]))
        for _ in range(draw.randrange(9) if data else 0):
            data[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(data[: draw.choice([len(data), draw.randint(0, len(data))])])
    return draw.choice([None, 5, [], {}, "", text(draw), Path(text(draw).replace("\0", "")), b"", object(), [[1, 2]]])


def test_pictures(attack):
    for draw in attack:
        given = picture(draw)
        with attack.attempt(f"{type(given).__name__} {getattr(given, 'shape', '')} {getattr(given, 'dtype', '')}"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow's, of a TIFF that was cut
                    found = prepare(given, 8)
            except ConfigError as error:
                assert len(str(error)) < 2000
            else:
                assert found.shape == (8, 8, 3) and found.dtype == np.uint8


ENDINGS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
BUSY = r"RunBusy: .* is training this run.*"
OTHER = r"RunError: .*(holds a run of another config|is of a run with the config).*"


def finish(config: RunConfig, root: Path) -> Run:
    list(pretrain(config, root))
    return Run.of(config, root)


def test_kills(attack, config, trained, processes, assert_same):
    """At a random write or after a random time, one to three times; then it goes on to the same weights."""
    for draw in attack:
        root = attack.root
        changed = config.replace({"train.save_every": draw.choice([1, 2, 5])})
        plan = [draw.choice([draw.randrange(1, 60), draw.uniform(0, 0.5)]) for _ in range(draw.randint(1, 3))]
        with attack.attempt(plan):
            for kill in plan:
                way = (drive.die_at, kill) if isinstance(kill, int) else (drive.train,)
                with process(processes, *way, changed, root) as (_, reports):
                    if isinstance(kill, int):
                        received(reports)
                    else:
                        reports.poll(60)  # it has begun
                        time.sleep(kill)
                run = Run.of(changed, root)
                if run.has(MANIFEST):
                    assert run.damaged() == []
            run = finish(changed, root)
            for left in (*run.folder.glob(TEMPORARY), run.folder / HOLDER):  # of a kill in a finished run's last write
                left.unlink(missing_ok=True)
            assert_same(run.folder, trained.folder)


def test_signals(attack, config, trained, processes, assert_same):
    """To end, several and of several kinds, at random moments, to the process or to its group with its loaders."""
    for draw in attack:
        root, sent = attack.root, [draw.choice(ENDINGS[1:]) for _ in range(draw.randint(1, 4))]
        changed = config.replace({"data.workers": draw.choice([0, 0, 1])})
        group = draw.random() < 0.5
        with attack.attempt((sent, group)):
            with process(processes, drive.train, changed, root) as (child, reports):
                reports.poll(60)
                for number in sent:
                    time.sleep(draw.uniform(0, 0.1))
                    if child.is_alive():
                        (os.killpg if group else os.kill)(child.pid, number)
                received(reports)
                child.join(60)
                assert not child.is_alive()
            run = Run.of(changed, root)
            assert run.damaged() == []
            assert len(run.metrics()) >= 1, "a step that was done is saved"
            assert_same(finish(changed, root).folder, trained.folder)


def test_races(attack, config, tmp_path, processes):
    """Two or three processes, one name, of equal or of other configs, at about one moment."""
    for draw in attack:
        root = attack.root
        rates = [draw.choice([9e-4, 1e-4]) for _ in range(draw.randint(2, 3))]
        asked = [config.replace({"train.lr": rate, "train.steps": 2, "train.warmup": 0}) for rate in rates]
        with attack.attempt(rates):
            with ExitStack() as stack:
                channels = []
                for each in asked:
                    channels.append(stack.enter_context(process(processes, drive.train, each, root))[1])
                    time.sleep(draw.choice([0, 0, draw.uniform(0, 0.05)]))
                ended = [received(reports) for reports in channels]
            ran = [i for i, sent in enumerate(ended) if sent[-1:] == [1]]
            assert ran and len({rates[i] for i in ran}) == 1, ended
            for said in (sent[0] for i, sent in enumerate(ended) if i not in ran):
                assert re.fullmatch(f"{BUSY}|{OTHER}", str(said), re.DOTALL), said
            run = Run.of(asked[ran[0]], root)
            assert run.damaged() == [] and run.done and [r["rate"] for r in run.metrics()][:1] == [rates[ran[0]]]
            alone = finish(asked[ran[0]], tmp_path / f"alone {rates[ran[0]]}")
            assert (run.folder / WEIGHTS).read_bytes() == (alone.folder / WEIGHTS).read_bytes()
            assert [*map(plain, run.metrics())] == [*map(plain, alone.metrics())]


def test_loaders(attack, config, trained, processes, assert_same):
    """A loader process killed at a random moment, by a signal that it cannot refuse or by itself."""
    for draw in attack:
        root, changed = attack.root, config.replace({"data.workers": draw.choice([1, 2])})
        number = draw.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
        with attack.attempt((number, changed.data.workers)):
            with process(processes, drive.train_and_say, changed, root) as (child, reports):
                sent = [reports.recv()]
                time.sleep(draw.uniform(0, 0.15))
                for pid in drive.children_of(child.pid)[: draw.randint(1, 2)]:
                    drive.kill(pid, number)
                sent += received(reports)
            ends = sent[-1]
            assert ends == 11 or re.match(r"LoaderFailed: (step \d+|before a step): a loader process ", str(ends)), sent
            assert Run.of(changed, root).damaged() == []
            assert_same(finish(changed, root).folder, trained.folder)
