"""What other people's libraries are told through the environment, which each reads once, when it is loaded.

TensorFlow: how to log, and which kernels to take. ONNX Runtime, Gradio and the Hugging Face hub: to send nothing. ONNX
Runtime looks up a host of its maker some seconds after a session opens, and `disable_telemetry_events()` does not stop
it; the variable does, if it is there before the import.
"""

import os

DEFAULTS = {
    # errors alone
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # oneDNN's kernels: by itself TensorFlow takes them on CPUs with AVX512-VNNI or better alone (release notes of 2.9),
    # but with AVX2, too, they are the faster ones
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
SILENCE = {"ORT_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def prepare_libraries() -> None:
    """To be called before TensorFlow, Keras, ONNX Runtime, rapidocr or Gradio is first imported.

    Of the defaults, what is set already stays. Silence is not a default: the documents promise it.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(SILENCE)
