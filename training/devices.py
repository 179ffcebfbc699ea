"""Which devices train, in which number format, and the sentence that says so."""

import os
from pathlib import Path

CPU_FEATURES = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}  # Linux' names of what multiplies bfloat16 in hardware
BFLOAT16_COMPUTE_CAPABILITY = (8, 0)  # NVIDIA Ampere


def choose_strategy():
    """(strategy, sentence): several machines when TF_CONFIG is set, else all GPUs of this one, else the CPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if os.environ.get("TF_CONFIG"):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = strategy.cluster_resolver
        workers = max(1, strategy.num_replicas_in_sync // max(1, len(gpus)))
        return strategy, f"worker {resolver.task_id} of {workers} (TF_CONFIG), {len(gpus) or 'no'} GPUs here"
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy(), f"{len(gpus)} GPUs of this machine"
    # the default strategy: no mirroring, no cost
    return tf.distribute.get_strategy(), "one GPU" if gpus else f"the CPU ({os.cpu_count()} threads)"


def is_chief(strategy) -> bool:
    """Whether this process writes the files."""
    resolver = getattr(strategy, "cluster_resolver", None)
    return resolver is None or resolver.task_type in (None, "", "chief") or _first_worker(resolver)


def _first_worker(resolver) -> bool:
    return resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in resolver.cluster_spec().as_dict()


def choose_precision(wanted: str) -> tuple[str, str]:
    """(Keras policy, why). `wanted`: auto, float32, mixed_bfloat16 or mixed_float16."""
    if wanted != "auto":
        return wanted, "as --precision says"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        able = all(_capability(gpu) >= BFLOAT16_COMPUTE_CAPABILITY for gpu in gpus)
        reason = "the GPU multiplies bfloat16 in hardware" if able else "the GPU has no bfloat16"
        return ("mixed_bfloat16" if able else "float32"), reason
    features = cpu_bfloat16_features()
    if features:
        return "mixed_bfloat16", f"the CPU multiplies bfloat16 in hardware ({', '.join(features)})"
    return "float32", "the CPU has no bfloat16 (neither AMX nor AVX512-BF16)"


def _capability(gpu) -> tuple[int, int]:
    import tensorflow as tf

    return tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))


def cpu_bfloat16_features(cpuinfo: str = "/proc/cpuinfo") -> list[str]:
    """Those of the CPU's features that speed up bfloat16; none where they cannot be told."""
    try:
        words = set(Path(cpuinfo).read_text().split())
    except OSError:
        return []
    return [name for feature, name in CPU_FEATURES.items() if feature in words]
