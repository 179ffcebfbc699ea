import errno

import pytest
import tensorflow as tf

from training.devices import explain


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "run/state.npz"), "disk is full"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "lower --batch-size, which is 32"),
        (tf.errors.ResourceExhaustedError(None, None, "events.out; No space left on device"), "disk is full"),
        (tf.errors.UnknownError(None, None, "BrokenProcessPool: A process was terminated"), "batches was killed"),
        (
            tf.errors.InvalidArgumentError(None, None, "ValueError: a.png cannot be read\nTraceback"),
            "a.png cannot be read",
        ),
    ],
)
def test_known_troubles_are_explained(error, words):
    code, text = explain(error, batch_size=32)
    assert code == 2
    assert words in text
    assert "\n" not in text


def test_unknown_troubles_are_not_hidden():
    with pytest.raises(RuntimeError, match="a fault of ours"):
        explain(RuntimeError("a fault of ours"))
