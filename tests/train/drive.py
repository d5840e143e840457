"""What the tests' processes do. Each sends its steps through `reports`, or what ended it."""

import ctypes
import multiprocessing
import os
import resource
import shutil
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch
from filelock import FileLock

from xfm import pretrain
from xfm.config import RunConfig
from xfm.data import wordnet
from xfm.data.world import styles
from xfm.train import Run, RunError, Terminated, loop, step
from xfm.train.step import Training


def train(config: RunConfig, root: Path, reports: Connection) -> None:
    """In a process group of its own, as a terminal's Ctrl-C reaches one."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests: nohup, or a shell's &
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    multiprocessing.set_start_method("fork", force=True)  # of loader processes, as anywhere on Linux
    try:
        for record in pretrain(config, root):
            reports.send(record["step"])
    except (KeyboardInterrupt, RunError) as error:
        reports.send(f"{type(error).__name__}: {error}")
    except Terminated as ended:
        reports.send(f"Terminated: {ended.said}")
        raise


def die_at(call: int, config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; killed just before the `call`-th time that a file is fsynced or replaced."""
    calls = 0

    def counted(function):
        def wrapper(*args):
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)

        return wrapper

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    train(config, root, reports)


def signals(place: str, numbers: list[int], config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; signals come in the middle of step 7, before it changes the weights, or between its update and record;
    while step 3 is saved, one before each fsync; or while the caller does something with the record of step 6."""
    left = iter(numbers)
    weights_at, update, fsync = loop.weights_at, Training.update, os.fsync

    def one(*given: object) -> None:
        if number := next(left, 0):
            os.kill(os.getpid(), number)

    def weights(config: RunConfig, now: int):
        if place == "save" and now == 3:
            one()
            os.fsync = lambda file: one() or fsync(file)
        if place == "step" and now == 7:
            [*map(one, numbers)]
        return weights_at(config, now)

    def updated(state: Training) -> None:
        update(state)
        if place == "update" and state.done == 8:
            [*map(one, numbers)]

    loop.weights_at, Training.update = weights, updated
    if place != "between":
        return train(config, root, reports)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for record in pretrain(config, root):
        reports.send(record["step"])
        if record["step"] == 6:
            one()
            sum(range(1000))  # a signal is heard between two instructions
            reports.send("went on")
    return None


def hold(config: RunConfig, root: Path, reports: Connection) -> None:
    """One step, then nothing until the other side says so."""
    records = pretrain(config, root)
    reports.send(next(records)["step"])
    reports.recv()


def lock_unsigned(path: Path, reports: Connection) -> None:
    """As a process that has just locked a run and not said who it is."""
    lock = FileLock(path)  # held until this process ends
    lock.acquire()
    reports.send("locked")
    reports.recv()


def train_and_say(config: RunConfig, root: Path, reports: Connection) -> None:
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.5  # s; else 5
    try:
        train(config, root, reports)
    except Exception as error:
        reports.send(f"{type(error).__name__}: {error}")


def children_of(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def process(processes, function, *args) -> Iterator[tuple]:
    ours, theirs = processes.Pipe()
    child = processes.Process(target=function, args=(*args, theirs))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()


def received(reports: Connection) -> list:
    sent = []
    while True:
        try:
            sent.append(reports.recv())
        except EOFError:
            return sent


NEW_MOUNTS, NEW_USERS, PRIVATE = 0x00020000, 0x10000000, 0x00044000
CAPABILITIES, OVERRIDE = 0x20080522, 1  # the version of capset's structures; CAP_DAC_OVERRIDE
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: object) -> None:
    if getattr(libc, name)(*args):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def small_disk(folder: Path, size: int) -> None:
    """A file system of `size` bytes at `folder`, for this process alone. OSError where a container forbids it."""
    ids = os.getuid(), os.getgid()
    try:
        call("unshare", NEW_MOUNTS)
    except OSError:  # not root, or without root's rights
        call("unshare", NEW_USERS | NEW_MOUNTS)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        for kind, number in zip(("uid", "gid"), ids, strict=True):
            Path(f"/proc/self/{kind}_map").write_text(f"0 {number} 1", encoding="ascii")
    call("mount", None, b"/", None, PRIVATE, None)
    call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode())


@contextmanager
def room(disk: Path | None, left: int) -> Iterator[None]:
    """Only `left` bytes can be written: somebody else fills the disk, or (None) no file may grow larger."""
    if disk is None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        file.write(bytes(max(os.statvfs(disk).f_bfree * os.statvfs(disk).f_frsize - left, 0)))
    try:
        yield
    finally:
        ballast.unlink()


def obey_permissions() -> None:
    """Root, too, may from now on write only what permissions let it."""
    if os.geteuid() == 0 and hasattr(libc, "capset"):
        header, sets = (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        call("capget", header, sets)  # effective, permitted, inheritable; of low and high bits
        for i in (0, 1):
            sets[i] &= ~(1 << OVERRIDE)
        call("capset", header, sets)


def protect(folder: Path, on: bool = True) -> None:
    """Folder and files may not be written, or may be again."""
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o555 if on else 0o755) if path.is_dir() else 0o444 if on else 0o644)


def steps(records: Iterator[dict]) -> tuple[list[int], str]:
    done = []
    try:
        done.extend(record["step"] for record in records)
    except Exception as error:
        return done, f"{type(error).__name__}: {error}"
    return done, ""


def disk_full(config: RunConfig, root: Path, reports: Connection) -> None:
    """The disk fills up again and again in mid-training. Sends what each run did; the last one's folder is copied."""
    disk, root = root / "disk", root / "copy"
    disk.mkdir()
    mounted = True
    try:
        small_disk(disk, 32 << 20)
    except OSError:  # in a container that may not mount, file sizes are what can run out
        mounted = False
    folder = Run.of(config, disk).folder
    reports.send("No space left on device" if mounted else "File too large")
    records = pretrain(config, disk)
    next(records), next(records)
    weights = (folder / "model.safetensors").stat().st_size
    for left in (0, 100_000, weights + 200_000):  # for nothing, for records, for records and weights
        kept = (folder / "state.pt").read_bytes()
        with room(disk if mounted else None, left):
            outcome = steps(records)
            same = (folder / "state.pt").read_bytes() == kept
        reports.send((*outcome, same, sorted(path.name for path in folder.iterdir())))
        records = pretrain(config, disk)
        reports.send(next(records)["step"])
    reports.send(steps(records))
    shutil.copytree(disk, root)


def read_only(config: RunConfig, finished: Path, root: Path, reports: Connection) -> None:
    """A run that becomes read-only in mid-training, and a finished one that is."""
    from xfm.tasks import evaluation as evaluation  # slow, and needed here alone

    obey_permissions()
    records, folder = pretrain(config, root), Run.of(config, root).folder
    next(records), next(records), next(records)
    folder.chmod(0o555)
    reports.send(steps(records))
    protect(folder)
    reports.send(steps(pretrain(config, root)))
    reports.send([record["step"] for record in Run.open(folder).metrics()])
    protect(folder, False)
    reports.send(steps(pretrain(config, root)))

    protect(finished)
    run, real = Run.open(finished), evaluation.evaluate
    reports.send(steps(pretrain(run.config, finished.parents[1])))
    reports.send((len(run.metrics()), run.model().training, run.tokenizer().vocabulary))
    evaluation.evaluate = lambda *given, **named: real(*given, **{**named, "tasks": "mlm"})  # one task is enough
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        results = evaluation.evaluate_run(finished)
    reports.send(([result.metric for result in results], [str(warning.message) for warning in said]))
    protect(finished, False)


def cache_deleted(config: RunConfig, root: Path, folder: Path, reports: Connection) -> None:
    """Trains from a cache of its own, which goes while its processes use it. Sends the files that came back."""
    os.environ["XFM_CACHE"] = str(folder)
    forget_data()
    levels = step.constant_levels
    step.constant_levels = lambda *given: (levels(*given), forget_data())[0]  # the loaders start with nothing
    records = pretrain(config, root)
    next(records)
    shutil.rmtree(folder.rename(f"{folder}.gone"))  # at once: a loader may be writing into it
    reports.send(steps(records))
    reports.send(sorted(path.name for path in folder.iterdir()))


def forget_data() -> None:
    for function in (styles.pictures, wordnet.sentences, wordnet.definitions):
        function.cache_clear()


def no_memory(config: RunConfig, root: Path, reports: Connection) -> None:
    """The process may hardly grow when, after two steps, a larger one comes; then it may again."""
    records, before = pretrain(config, root), resource.getrlimit(resource.RLIMIT_AS)
    next(records), next(records)
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (32 << 20), before[1]))
    outcome = steps(records)
    resource.setrlimit(resource.RLIMIT_AS, before)
    reports.send(outcome)
    reports.send(steps(pretrain(config, root)))


def no_shared_memory(config: RunConfig, root: Path, reports: Connection) -> None:
    """Two steps, and then the loaders of the next call have room for their locks in /dev/shm, and for no batch."""
    said = "unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)"

    def full(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(said)

    records = pretrain(config, root)
    next(records), next(records)
    records.close()
    try:
        small_disk(Path("/dev/shm"), 128 << 10)
    except OSError:  # in a container that may not mount; what torch says with the mount
        torch.Tensor.share_memory_ = full
    reports.send(steps(pretrain(config, root)))
