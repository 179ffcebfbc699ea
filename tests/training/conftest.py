"""Runs of a few steps spend their time on tracing graphs and drawing curves. Graphs are run in test_steps.py and in the
slow tests, curves are drawn in test_journal.py."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="package", autouse=True)
def brisk():
    tf.config.run_functions_eagerly(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.journal.draw_curves", lambda rows, offsets, path: path.touch())
        yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def graphs():
    """As in use."""
    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(True)
