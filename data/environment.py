"""Sets the environment variables that libraries read once, when they are loaded.

TensorFlow: how to log, and which kernels to take. ONNX Runtime, Gradio and the Hugging Face hub: to send nothing. ONNX
Runtime looks up a host of its maker some seconds after a session opens, and `disable_telemetry_events()` does not stop
it; the variable does, if it is there before the import.
"""

import os

DEFAULTS = {
    # errors alone
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # oneDNN's kernels: by itself TensorFlow takes them only on CPUs with AVX512-VNNI or better (release notes of 2.9),
    # but they are faster with AVX2, too
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
SILENCE = {"ORT_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def prepare_libraries() -> None:
    """To be called before TensorFlow, Keras, ONNX Runtime, rapidocr or Gradio is first imported.

    Defaults give way to variables that are already set. `SILENCE` does not: the documents promise it.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(SILENCE)
