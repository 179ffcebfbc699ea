"""Buckets of photos on Dask: processes of this machine, or a running cluster. Used by preprocess.py alone."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from multiprocessing import resource_tracker

import dask
from distributed import Client, Future, LocalCluster, Nanny, WorkerPlugin, as_completed
from distributed.core import Status
from distributed.scheduler import KilledWorker
from tqdm import tqdm

from data.buckets import Job, code_checksum, run_bucket
from data.console import held_back, say
from data.photos import Photo
from data.preprocessing import Summary

# buckets handed out per worker: one in work, the others on their way
AHEAD = 3
ENVIRONMENT = "start `dask scheduler` and `dask worker` in this project's environment, its folder in PYTHONPATH"
GONE = "the scheduler is gone; start again to go on from here"
NO_WORKERS = "no worker is left at --scheduler; start some, then start again to go on from here"
DYING = "workers keep dying, perhaps for lack of memory; start again with fewer --workers"
# between two looks for finished buckets, and between two looks at the workers
POLL_S, WATCH_S = 0.05, 1
# without any worker that can work
PATIENCE_S = 20
# for the first worker of a cluster that has none yet
FIRST_WORKER_S = 30
NO_WORKERS_YET = f"no worker came to --scheduler within {FIRST_WORKER_S} s; start some, then start again"
# for a result on its way
RESULT_S = 5
# Dask makes workers return memory to the system at once; fetching it again for every photo cost a third of the time
KEEP_MEMORY = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 256 * 2**20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
}
# of a bucket in which the storage failed; Dask itself handles those of dead workers
RETRIES = 2


def run_buckets(client: Client, job: Job, buckets: list[list[Photo]], splits: dict[str, str] | None) -> Summary:
    """Do all buckets, a few handed out at a time, and sum up as they finish, with a progress bar.

    splits: photo -> split of the dataset's own lists. Raises RuntimeError when the cluster is lost or unfit, OSError
    when the output cannot be written.
    """
    total, watch = Summary(), WorkerWatch(client)
    waiting = iter(enumerate(buckets))
    # of the buckets handed out, by task
    sizes = {}
    with tqdm(total=sum(map(len, buckets)), unit="photo", desc="photos") as bar, _noted_interrupt() as interrupted:
        running = as_completed(loop=client.loop)

        def hand_out():
            """Keep every worker busy, also those that join later."""
            free = AHEAD * max(1, _worker_count(client)) - len(sizes)
            for number, bucket in itertools.islice(waiting, max(0, free)):
                own = splits and {photo.source: splits[photo.source] for photo in bucket if photo.source in splits}
                future = client.submit(run_bucket, job, number, bucket, own, pure=False, retries=RETRIES)
                sizes[future.key] = len(bucket)
                running.add(future)

        hand_out()
        while not running.is_empty():
            if interrupted.is_set():
                raise KeyboardInterrupt
            if not running.has_ready():
                watch.look()
                time.sleep(POLL_S)
                continue
            future = next(running)
            total.merge(_result(future, watch))
            watch.note_progress()
            bar.update(sizes.pop(future.key))
            hand_out()
    return total


class WorkerWatch:
    """Notices when work has stopped: no worker is left, or all die before they finish anything."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workers: set[str] = set()
        self._most = self._deaths = 0
        self._looked = self._able = time.monotonic()

    def note_progress(self) -> None:
        self._deaths, self._able = 0, time.monotonic()

    def look(self) -> None:
        """Raises RuntimeError when no more progress can be expected."""
        now = time.monotonic()
        if now - self._looked < WATCH_S:
            return
        self._looked = now
        workers = _workers(self._client)
        # a worker that is started again has another address
        self._deaths += len(self._workers - workers.keys())
        self._workers = set(workers)
        self._most = max(self._most, len(workers))
        if any(map(_can_work, workers.values())):
            self._able = now
        # a cluster may be made smaller, but not by more workers than it had; of those, one may have been unlucky
        if self._deaths > self._most + 1:
            raise RuntimeError(DYING)
        if now - self._able > PATIENCE_S:
            raise RuntimeError(DYING if workers or self._client.cluster else NO_WORKERS)


def _can_work(worker: dict) -> bool:
    """Not one that Dask has paused for lack of memory while it had nothing in work."""
    return worker["status"] == "running" or bool(worker.get("metrics", {}).get("executing"))


def _workers(client: Client) -> dict[str, dict]:
    """What the scheduler knows of each worker, by address."""
    try:
        return client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    except OSError:
        raise RuntimeError(GONE) from None


@contextlib.contextmanager
def _noted_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets in addition to raising KeyboardInterrupt, which Python swallows in a destructor or a
    callback."""
    interrupted = threading.Event()

    def note(*_):
        interrupted.set()
        raise KeyboardInterrupt

    # where no signal arrives
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _worker_count(client: Client) -> int:
    try:
        return len(client.nthreads())
    except OSError:
        raise RuntimeError(GONE) from None


def _result(future: Future, watch: WorkerWatch) -> Summary:
    try:
        while True:
            try:
                return future.result(timeout=RESULT_S)
            except asyncio.TimeoutError:
                # the storage's, not this one's
                if future.status == "error":
                    raise
                # the result was lost with its worker, and is made again where there is another
                watch.look()
    except KilledWorker as error:
        raise RuntimeError(f"{DYING} ({error})") from None
    except CancelledError:
        raise RuntimeError(GONE) from None
    except OSError:
        # the bucket's own: its output could not be written
        if future.status == "error":
            raise
        # the connection broke while the result was on its way
        raise RuntimeError(GONE) from None
    # of a worker that joined later
    except (ImportError, AttributeError) as error:
        raise RuntimeError(f"a worker lacks this code ({error}): {ENVIRONMENT}") from None


@contextlib.contextmanager
def connect(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """A Dask client of the cluster at `scheduler`, or of `workers` processes of this machine (None: one a core).

    Raises ValueError for a scheduler that does not answer, RuntimeError where no worker comes, or none stays. Waits a
    little for the first worker of a scheduler that has none yet.
    """
    if scheduler:
        try:
            client = Client(scheduler, timeout=15)
        except OSError as error:
            raise ValueError(
                f"--scheduler {scheduler}: no answer ({error}); is `dask scheduler` running there?"
            ) from None
        with client:
            if not client.nthreads():
                say(f"no worker at {scheduler} yet: waiting up to {FIRST_WORKER_S} s for the first")
                _wait_for_first(client)
            _check_code(client)
            yield client
        return
    with _local_cluster(workers or os.cpu_count()) as cluster, Client(cluster) as client:
        _prepare_workers(client)
        try:
            yield client
        except KeyboardInterrupt:
            # Dask's, on interrupted tasks, of which the user knows
            logging.disable(logging.CRITICAL)
            raise


def _wait_for_first(client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER_S)
    except asyncio.TimeoutError:
        raise RuntimeError(NO_WORKERS_YET) from None
    except OSError:
        raise RuntimeError(GONE) from None


def _prepare_workers(client: Client) -> None:
    """Raises RuntimeError where the workers that were just started are gone."""
    try:
        client.register_plugin(IgnoreInterrupts())
        alive = client.nthreads()
    except OSError:
        alive = {}
    if not alive:
        raise RuntimeError(DYING)


class QuickNanny(Nanny):
    """Dask lets a process that is still starting come up before it ends it, which took 15 s on a busy machine."""

    async def close(self, *args, **kwargs) -> str:
        process = self.process
        closing = asyncio.ensure_future(super().close(*args, **kwargs))
        # from then on it starts no other one
        await asyncio.sleep(0)
        if process is not None and process.status == Status.starting and process.pid:
            os.kill(process.pid, signal.SIGTERM)
        return await closing


def _local_cluster(workers: int) -> LocalCluster:
    # no dashboard, whose port could clash with other runs on this machine
    options = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    # preprocess.py says once why a run ends; workers would add a traceback for each bucket
    options |= {"silence_logs": logging.CRITICAL}
    try:
        # broken off while its processes start, Dask would end with a traceback
        with dask.config.set(KEEP_MEMORY), held_back(), _without_interrupts():
            return LocalCluster(n_workers=workers, threads_per_worker=1, worker_class=QuickNanny, **options)
    except KeyboardInterrupt:
        # Dask's, on workers that Ctrl-C ended, too
        logging.disable(logging.CRITICAL)
        raise


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started here, and by threads that are, leave Ctrl-C, which reaches all of a terminal, to this
    one. They would print a traceback while they start."""
    # it would unblock the signal
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_code(client: Client) -> None:
    """Raises RuntimeError for a cluster that has not exactly this code: its workers would fail at the first task, or
    make other tiles."""

    # a function inside a function is sent as it is; others are sent by name, and looked for there
    def checksum() -> str | None:
        try:
            from data.buckets import code_checksum
        except ImportError:
            return None
        return code_checksum()

    found = {"the scheduler": client.run_on_scheduler(checksum), **client.run(checksum)}
    if lacking := [name for name, code in found.items() if code is None]:
        raise RuntimeError(f"--scheduler: {', '.join(lacking)} lacks this code: {ENVIRONMENT}")
    if differing := [name for name, code in found.items() if code != code_checksum()]:
        raise RuntimeError(
            f"--scheduler: {', '.join(differing)} has another version of this code, or of NumPy, OpenCV or Pillow: the "
            f"tiles would differ; {ENVIRONMENT}"
        )


class IgnoreInterrupts(WorkerPlugin):
    """Ctrl-C goes to every process of a terminal, but it is the client that ends the workers."""

    def setup(self, worker) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
