"""Training, watched while it runs and afterwards: curves of several runs over each other; pause, resume, stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from xfm.plots import Figure
from xfm.plots.curve_records import HELD_OUT
from xfm.train import Run

from . import figures
from .choices import Flag, Option, Place, Places, Share, told
from .curve_panels import Named, curves_of, panels_of
from .json_values import table
from .pausable_work import Background, Work, hear_between_cells, hear_page
from .run_curves import GROUPS, Curves, Record, curves_for, described, has_panel, of_run, order, stamp
from .view import View, shorten

if TYPE_CHECKING:
    import pandas as pd

EVERY = 0.25  # s between two messages to the browser, at least


class TrainingMonitor(View):
    """Loss, accuracy, gradient and speed curves of run folders, and of a training that it runs in a thread.

    TrainingMonitor("runs/a/seed0", run_b)                      # finished, or still written to by whomever
    TrainingMonitor(live=xfm.pretrain(config))                  # .start() .stop(), .paused = True; or the buttons
    TrainingMonitor(Run.of(config, "runs"), live=lambda: xfm.pretrain(config))   # starts again after a stop

    Stopping closes the generator between two steps, upon which `pretrain` saves. What training raises stands in
    `message`. While another cell runs the curves go on; clicks may have to wait for its end, as the kernel has them
    wait, but not for that of `wait()`. Observers of `step`, `standing`, `done` and `running` are called in the
    training's thread.
    """

    group = Option(GROUPS, "losses")  # what is shown
    smooth = Share(0.04, most=0.5)  # the running mean's width, a share of the steps
    logarithmic = Flag(False)
    cursor = Place(-1)  # the step whose values are read out; -1: the last
    hidden = Places()  # runs that are not drawn, from 0; more may come
    step = told(traitlets.Int(0))  # steps done, of the training that runs here
    paused = Flag(False).tag(kept=False)  # set it to pause and to go on
    standing = told(traitlets.Bool(False))  # a pause holds: its step is done, and the training stands still
    running = told(traitlets.Bool(False))
    done = told(traitlets.Bool(False))  # the training came to its end
    news = told(traitlets.Dict())  # the points since the last message

    def __init__(self, *runs: Run | str | Path, live: Work | None = None, **traits: Any) -> None:
        """Shows the curves of runs, and trains one in the background.

        Args:
            runs: runs or their folders.
            live: records with run, step and of, as `pretrain` yields them, or a callable that returns such an iterable;
                they go on with the curves of an opened run that is not finished.
        """
        self._lock, self._failed, self._live = threading.RLock(), "", live
        self._work = Background(self._see, self._stand, self._ended)
        self._folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
        self._curves = [Curves.of(r) if isinstance(r, Run) else Curves("", str(r)) for r in runs]
        self._again: Curves | None = None  # a finished run whose records come once more
        self._stamps: list[Any] = [()] * len(runs)
        self._shape: Any = None  # what cannot change without everything being sent
        self._version, self._due, self._at = 0, 0.0, 0
        super().__init__(**traits)
        self.refresh()

    # ---- training

    def start(self) -> None:
        """Trains, or goes on after a pause; after a stop where `live` is a callable."""
        if self.running:
            self.paused = False
        elif self._live is None:
            self.message = "Nothing to train. To start again after a stop: live=lambda: xfm.pretrain(config)"
        else:
            live, self._live = self._live, self._live if callable(self._live) else None
            self._failed, self.message, self.paused = "", "", False
            self.tell(done=False, running=True)
            self._again = None
            hear_between_cells(self._between_cells, True)
            self._work.start(live)

    def stop(self) -> None:
        """After the step that is being done; does not wait for it: `wait` does."""
        self._work.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Until the training has ended or was stopped, and saved; buttons go on working. False: it still runs after
        these seconds, or is paused."""
        self._work.wait(seconds, hear_page)
        return not self.running

    def _between_cells(self, *_: Any) -> None:
        hear_page()

    @traitlets.observe("paused")
    def _pause(self, change: Any) -> None:
        self._work.pause(change["new"])

    def _stand(self, still: bool) -> None:
        if still:
            self._publish(rests=True)
        self.tell(standing=still)

    def _see(self, record: Record) -> None:
        with self._lock:
            curves, self._again = curves_for(record, self._curves, self._again)
            curves.add(record)
            self._at = record["step"] + 1
        try:
            if time.monotonic() >= self._due:
                self.refresh()
                self._due = time.monotonic() + EVERY
        except Exception as error:  # of an observer: the training goes on
            self._failed = f"{type(error).__name__}: {shorten(error)}"

    def _ended(self, error: Exception | None, whole: bool) -> None:
        self._failed = f"{type(error).__name__}: {shorten(error)}" if error else self._failed
        with self._lock:
            for curves in self._curves:
                curves.state = {"live": "finished" if whole else "stopped"}.get(curves.state, curves.state)
        self.tell(running=False)
        hear_between_cells(self._between_cells, False)
        with self._lock:
            self.paused = False
        self.tell(done=whole)
        self.refresh()

    # ---- what the browser gets

    def refresh(self) -> None:
        """Reads the run folders again that have changed."""
        problems = [self._failed] if self._failed else []
        with self._lock:
            for i, folder in enumerate(self._folders):
                try:
                    self._read(i, folder)
                except Exception as error:  # no run, or not yet
                    problems.append(shorten(error))
        self.message = "\n".join(problems)
        self._publish()

    def _read(self, i: int, folder: Path) -> None:
        now = stamp(folder)
        if now == self._stamps[i] or (self._curves[i].name and not (folder / "config.json").exists()):  # not begun
            return
        run = Run.open(folder)
        if self._curves[i].state == "live":  # its records come from the training itself
            self._curves[i].probed(run.probes())
        else:
            self._curves[i] = of_run(run)
        self._stamps[i] = now

    def _publish(self, rests: bool = False) -> None:
        """Sends what is new; everything, where that is not all that has changed."""
        with self._lock:
            for curves in self._curves:
                if rests or curves.state != "live":
                    curves.flush()
            shape = [self._live is None, *((c.label, c.state, c.of_steps, len(c.points)) for c in self._curves)]
            everything, self._shape = shape != self._shape or any(c.whole for c in self._curves), shape
            news = [curves.take() for curves in self._curves]
            if any(news) or everything:
                self._version += 1
                if everything:
                    self.tell(payload=self._all())
                else:
                    self.tell(news={"runs": news, "version": self._version})
        self.tell(step=self._at)

    def _publish_all(self) -> None:
        with self._lock:
            self._publish()  # so that no page gets a point twice
            self.tell(payload=self._all())

    def _labels(self) -> list[str]:
        """The runs' names, with their folders where two have the same."""
        names = [curves.label for curves in self._curves]
        places = [f" ({folder})" for folder in self._folders] + [" (live)"] * (len(names) - len(self._folders))
        return [n + place * (names.count(n) > 1) for n, place in zip(names, places, strict=True)]

    def _keys(self) -> list[str]:
        """Of the panels: curves that are there, and those that are to come, so that each has its place."""
        keys = {key for curves in self._curves for key in (*curves.points, *curves.plan.keys)}
        return sorted(filter(has_panel, keys), key=order)

    def _all(self) -> dict[str, Any]:
        runs = [c.described(name) for name, c in zip(self._labels(), self._curves, strict=True)]
        live, panels = self._live is not None or bool(self._work.thread), [described(key) for key in self._keys()]
        return {"version": self._version, "runs": runs, "groups": list(GROUPS), "live": live, "panels": panels}

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        if key is None:  # a page, or a file, that begins
            self._publish_all()
        return super().get_state(key, drop_defaults)

    def set_state(self, sync_data: Any) -> None:
        with self._lock:  # traitlets holds notifications meanwhile, of all threads, and may lose one
            super().set_state(sync_data)

    def tell(self, **traits: Any) -> None:
        with self._lock:
            super().tell(**traits)

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        own = {"whole": self._publish_all, "start": self.start, "stop": self.stop, "refresh": self.refresh}
        return {name: lambda _, act=act: act() for name, act in own.items()}

    # ---- the same as a figure, as a table

    def _visible(self) -> list[Named]:
        each = enumerate(zip(self._labels(), self._curves, strict=True))
        return [named for i, named in each if i not in self.hidden]

    def data(self) -> pd.DataFrame:
        """The points of the group that is shown: run, curve, held_out, step (steps done), value."""
        with self._lock:
            rows = [(run, title, key.startswith(HELD_OUT), int(x), y)
                    for key, title, run, points in curves_of(self._visible(), self.group)
                    for x, y in points]  # fmt: skip
        return table(rows, ["run", "curve", "held_out", "step", "value"])

    def figure(self) -> Figure:
        with self._lock:
            panels = panels_of(self._visible(), self._keys(), self.group)
        return figures.compare_runs(panels, self.smooth, self.logarithmic, f"Training: {self.group}{self._progress()}")

    def _progress(self) -> str:
        """What the figure's title says of a training that has not come to its end."""
        ended = all(curves.state == "finished" for curves in self._curves)
        if self.done or ended or not (self._live or self._work.thread):
            return ""
        steps = max((c.of_steps for c in self._curves if c.state in ("live", "not begun", "stopped")), default=0)
        of = f" of {steps}" if steps else ""
        return f", step {self._at}{of}" if self._at else ", not begun yet"
