"""What every test file shares: where the real material lies, and quiet, single-purpose TensorFlow."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from data.console import prepare_libraries

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# the tests check numbers, which a GPU rounds otherwise
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
prepare_libraries()

# in the background of a shell script it is ignored, and programs leave it so
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of real photos and VGG weights beside the repository; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real material at {SHARED}")
    return SHARED


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers for each test, whatever ran before it."""
    return np.random.default_rng(0)
