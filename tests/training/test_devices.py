import errno

import pytest
import tensorflow as tf

from training import devices
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


@pytest.mark.parametrize(("bfloat16_s", "chosen", "times"), [(1.0, "float32", "0.5"), (0.2, "mixed_bfloat16", "2.5")])
def test_the_trial_takes_the_faster_precision_and_says_why(monkeypatch, bfloat16_s, chosen, times):
    monkeypatch.setattr(devices, "_seconds_of_a_convolution", {"float32": 0.5, "bfloat16": bfloat16_s}.get)
    said = f"the CPU has no AMX; in a trial its AVX512-BF16 was {times} times as fast as float32"
    assert devices._by_trial() == (chosen, said)
