"""Turns the errors of a run into an exit code and one line for the user."""

import errno
import os

from training.devices import on_jax


class Interrupted(Exception):
    """Somebody asked the run to stop; its state is saved."""


class TrainingFailed(Exception):
    """The run cannot go on; the last good state is kept."""


def explain(error: BaseException, batch_size: int = 0) -> tuple[int, str]:
    """(exit code, one line) for every known error; raises the others again. batch_size: the run's."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, KeyboardInterrupt):
        return 1, "interrupted before the first step"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return 2, f"the disk is full; the last saved state is intact: free some space, then use --resume ({text})"
    if isinstance(error, Interrupted):
        return 1, text
    if isinstance(error, (ValueError, OSError, TrainingFailed)):
        return 2, text
    if on_jax():
        raise error
    return _explain_tensorflow(error, text, batch_size)


def _explain_tensorflow(error: BaseException, text: str, batch_size: int) -> tuple[int, str]:
    from tensorflow import errors

    if isinstance(error, (errors.ResourceExhaustedError, MemoryError)):
        return 2, f"out of memory; lower --batch-size, which is {batch_size} (or --filters, --blocks)"
    if isinstance(error, errors.OpError) and "BrokenProcessPool" in str(error):
        return 2, "a process that makes batches was killed, perhaps for lack of memory; free some, then use --resume"
    # raised where batches are made
    if isinstance(error, errors.InvalidArgumentError) and "ValueError: " in text:
        return 2, text.partition("ValueError: ")[2]
    # what TensorFlow raises in the other workers depends on the call that they are in
    lost = (errors.UnavailableError, errors.AbortedError, errors.InternalError, errors.DeadlineExceededError)
    if os.environ.get("TF_CONFIG") and isinstance(error, lost):
        return 2, f"another worker is gone; start all of them again with --resume ({text})"
    raise error
