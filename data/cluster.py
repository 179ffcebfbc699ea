"""Buckets of photos on Dask: processes of this machine, or a running cluster. Used by preprocess.py alone."""

import contextlib
import itertools
import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from importlib.util import find_spec

import dask
from distributed import Client, Future, LocalCluster, WorkerPlugin, as_completed
from distributed.scheduler import KilledWorker
from tqdm import tqdm

from data.buckets import Job, run_bucket
from data.photos import Photo
from data.preprocess_report import Summary

# buckets handed out per worker: one in work, the others on their way
AHEAD = 3
ENVIRONMENT = "start `dask scheduler` and `dask worker` in this project's environment, its folder in PYTHONPATH"
GONE = "the scheduler is gone; start again to go on from here"
# Dask makes workers return memory to the system at once; to fetch it again for every photo cost a third of the time
KEEP_MEMORY = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 256 * 2**20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
}
# of a bucket in which the storage failed; those of dead workers are Dask's own affair
RETRIES = 2


def run_buckets(client: Client, job: Job, buckets: list[list[Photo]], splits: dict[str, str] | None) -> Summary:
    """Do all buckets, a few handed out at a time, and sum up as they finish, with a progress bar.

    splits: photo -> split of the dataset's own lists. Raises RuntimeError when the cluster is lost or unfit, OSError
    when the output cannot be written.
    """
    total = Summary()
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
        for future in running:
            if interrupted.is_set():
                raise KeyboardInterrupt
            total.merge(_result(future))
            bar.update(sizes.pop(future.key))
            hand_out()
    return total


@contextlib.contextmanager
def _noted_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets beside raising KeyboardInterrupt, which Python swallows in a destructor or a
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


def _result(future: Future) -> Summary:
    try:
        return future.result()
    except KilledWorker as error:
        raise RuntimeError(
            f"workers keep dying, perhaps for lack of memory; start again with fewer --workers ({error})"
        ) from None
    except CancelledError:
        raise RuntimeError(GONE) from None
    except OSError:
        # the bucket's own: its output could not be written
        if future.status == "error":
            raise
        # the connection broke while the result was on its way
        raise RuntimeError(GONE) from None
    # of a worker that joined later
    except ModuleNotFoundError as error:
        raise RuntimeError(f"a worker lacks {error.name}: {ENVIRONMENT}") from None


@contextlib.contextmanager
def connect(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """A Dask client of the cluster at `scheduler`, or of `workers` processes of this machine (None: one a core).

    Raises ValueError for a scheduler that does not answer. Waits for the first worker of one that has none yet.
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
                print(f"no worker at {scheduler} yet: waiting for the first", flush=True)
                client.wait_for_workers(1)
            _check_code(client)
            yield client
        return
    with _local_cluster(workers or os.cpu_count()) as cluster, Client(cluster) as client:
        client.register_plugin(IgnoreInterrupts())
        try:
            yield client
        except KeyboardInterrupt:
            # Dask's, on tasks cut short: nothing that the user does not know
            logging.disable(logging.CRITICAL)
            raise


def _local_cluster(workers: int) -> LocalCluster:
    # no dashboard, and no quarrel about its port with other runs on this machine
    options = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    # what ends a run is said once, by preprocess.py: workers would add a traceback for each bucket
    options |= {"silence_logs": logging.CRITICAL}
    with dask.config.set(KEEP_MEMORY):
        return LocalCluster(n_workers=workers, threads_per_worker=1, **options)


def _check_code(client: Client) -> None:
    """Raises RuntimeError for a cluster that cannot import this project: its workers would die of the first task."""
    found = {"scheduler": client.run_on_scheduler(find_spec, "data"), **client.run(find_spec, "data")}
    if lacking := [name for name, spec in found.items() if spec is None]:
        raise RuntimeError(f"--scheduler: {', '.join(lacking)} lacks this code: {ENVIRONMENT}")


class IgnoreInterrupts(WorkerPlugin):
    """Ctrl-C goes to every process of a terminal, but it is the client that ends the workers."""

    def setup(self, worker) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
