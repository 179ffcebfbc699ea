"""The `tf.data` pipeline of training: batches made by worker processes, in order, ahead of the device.

    step number -> positions of the stream -> worker process (read, augment, degrade) -> uint8 batch -> prefetch

The damage is OpenCV and Python code, which threads of one process would run one after another; processes do not. The
order is that of the step numbers, whichever process is first.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import numpy as np

from data.pairs import Pairs

# batches made in advance, per worker
AHEAD = 4

# of this worker process
_pairs: Pairs | None = None


class Batches:
    """Makes batches of `pairs` in `workers` processes; 0 makes them in the calling thread. A context manager.

    The processes are spawned, not forked: forking a process that runs TensorFlow's threads can hang.
    """

    def __init__(self, pairs: Pairs, workers: int) -> None:
        self.pairs, self.workers, self._pool = pairs, workers, None
        if workers:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(pairs,))

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def make(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """`Pairs.batch`, made by a worker; waits for it."""
        if self._pool is None:
            return self.pairs.batch(first, size)
        return self._pool.submit(_make_batch, first, size).result()

    def stream(self, first_step: int, steps: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(lq, hr) of steps first_step .. steps - 1, made ahead."""
        firsts = (step * batch_size for step in range(first_step, steps))
        if self._pool is None:
            yield from (self.pairs.batch(first, batch_size) for first in firsts)
            return
        ahead = deque(
            self._pool.submit(_make_batch, first, batch_size) for first in islice(firsts, AHEAD * self.workers)
        )
        while ahead:
            batch = ahead.popleft().result()
            ahead.extend(self._pool.submit(_make_batch, first, batch_size) for first in islice(firsts, 1))
            yield batch

    def dataset(self, first_step: int, steps: int, batch_size: int, shares: int = 1, own: range = range(1)):
        """The same as a tf.data.Dataset.

        The global batch of `batch_size` is cut into `shares` equal parts, one per replica; the dataset yields the parts
        `own` of every step, one after another (`shares=1`: the whole batch).
        """
        import tensorflow as tf

        part = batch_size // shares
        lq_shape, hr_shape = (each.shape for each in self.pairs.batch(0, 1))

        def positions(number):
            step, place = number // len(own) + first_step, number % len(own) + own.start
            return step * batch_size + place * part

        def load(number):
            lq, hr = tf.numpy_function(self._load, [positions(number), part], (tf.uint8, tf.uint8), stateful=False)
            return tf.ensure_shape(lq, (part, *lq_shape[1:])), tf.ensure_shape(hr, (part, *hr_shape[1:]))

        numbers = tf.data.Dataset.range((steps - first_step) * len(own))
        # one batch in the making and one waiting, for each process
        parallel = max(1, 2 * self.workers)
        return numbers.map(load, num_parallel_calls=parallel, deterministic=True).prefetch(AHEAD * len(own))

    def _load(self, first, size):
        return self.make(int(first), int(size))


def _start_worker(pairs: Pairs) -> None:
    """In a new process: keep the pairs, one thread for OpenCV, and end when the training process ends."""
    global _pairs
    import cv2

    _pairs = pairs
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process; the training process decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers, and they would wait for it for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _make_batch(first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    return _pairs.batch(first, size)
