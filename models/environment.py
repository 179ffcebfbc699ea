"""What TensorFlow is told through its environment, which it reads once, when it is loaded."""

import os

DEFAULTS = {
    "TF_CPP_MIN_LOG_LEVEL": "2",  # errors alone
    # oneDNN's kernels: by itself TensorFlow takes them on CPUs with AVX512-VNNI or better alone (release notes of 2.9), but
    # with AVX2, too, they are the faster ones
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


def prepare_tensorflow() -> None:
    """To be called before TensorFlow or Keras is first imported. What is set already stays."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
