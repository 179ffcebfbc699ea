"""The machine that a run has: its devices and precision, chosen and described; and its errors, each as an exit code and
one line for the user."""

import errno
import json
import os
import time

from data.console import STOPPED, first_line
from models.loading import AMX, AVX512, cpu_features

# NVIDIA Ampere
BFLOAT16_COMPUTE_CAPABILITY = (8, 0)
TRIAL_REPEATS = 3


def on_jax() -> bool:
    """Whether Keras computes with JAX, as KERAS_BACKEND=jax asks; else with TensorFlow. Raises ValueError for anything
    else."""
    import keras

    if (backend := keras.config.backend()) not in ("tensorflow", "jax"):
        raise ValueError(f"KERAS_BACKEND={backend}: training runs on tensorflow or jax")
    return backend == "jax"


def choose_strategy():
    """(strategy, words): several machines when TF_CONFIG is set, else all GPUs of this one, else the CPU. On JAX no
    strategy: one device."""
    if on_jax():
        import jax

        return None, f"{jax.devices()[0].device_kind} (JAX)"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if os.environ.get("TF_CONFIG"):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        kind, index = _task()
        here = f"{len(gpus)} GPUs" if gpus else "its CPU"
        return (
            strategy,
            f"{strategy.num_replicas_in_sync} replicas on several machines; this is {kind} {index} with {here}",
        )
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy(), f"{len(gpus)} GPUs of this machine"
    # the default strategy: no mirroring, no cost
    return tf.distribute.get_strategy(), "one GPU" if gpus else f"the CPU ({os.cpu_count()} threads)"


def seed_everything(seed: int, deterministic: bool) -> None:
    """deterministic: the same seed gives the same bits, where TensorFlow computes."""
    import keras

    keras.utils.set_random_seed(seed)
    if deterministic and not on_jax():
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def is_chief() -> bool:
    """Whether this process writes the files: by TF_CONFIG, the task "chief", else worker 0."""
    kind, index = _task()
    workers = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    return index == 0 and kind == ("chief" if "chief" in workers else "worker")


def worker_name() -> str:
    """A name of this process that no other of the run has."""
    return "{}{}".format(*_task())


def _task() -> tuple[str, int]:
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {})
    return task.get("type", "worker"), int(task.get("index", 0))


def choose_precision(wanted: str) -> tuple[str, str]:
    """(Keras policy, why). `wanted`: auto, float32, mixed_bfloat16 or mixed_float16."""
    if wanted != "auto":
        return wanted, "as --precision says"
    if on_jax():
        import jax

        gpu = jax.default_backend() == "gpu"
        return ("mixed_bfloat16", "JAX on a GPU") if gpu else ("float32", "JAX on a CPU")
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        able = all(_capability(gpu) >= BFLOAT16_COMPUTE_CAPABILITY for gpu in gpus)
        return ("mixed_bfloat16", "the GPU has bfloat16") if able else ("float32", "the GPU has no bfloat16")
    features = cpu_features()
    if AMX in features:
        return "mixed_bfloat16", "the CPU has AMX"
    if AVX512 not in features:
        return "float32", "the CPU has neither AMX nor AVX512-BF16"
    if os.environ.get("TF_CONFIG"):
        return "float32", "the CPU has no AMX, and the outcome of a trial could differ between the machines"
    return _by_trial()


def _capability(gpu) -> tuple[int, int]:
    import tensorflow as tf

    return tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))


def _by_trial() -> tuple[str, str]:
    """AVX512-BF16 alone doubles the speed of some CPUs and halves that of others: a second's trial decides."""
    ratio = _seconds_of_a_convolution("float32") / _seconds_of_a_convolution("bfloat16")
    precision = "mixed_bfloat16" if ratio > 1 else "float32"
    return precision, f"the CPU has no AMX; in a trial its AVX512-BF16 was {ratio:.1f} times as fast as float32"


def _seconds_of_a_convolution(dtype: str) -> float:
    """Forwards and backwards, at the size of the generator's body; the fastest of a few."""
    import tensorflow as tf

    features, kernel = tf.zeros((16, 24, 48, 64), dtype), tf.zeros((3, 3, 64, 64), dtype)

    @tf.function(autograph=False)
    def there_and_back():
        with tf.GradientTape() as tape:
            tape.watch((features, kernel))
            result = tf.nn.conv2d(features, kernel, 1, "SAME")
        return tape.gradient(result, (features, kernel))

    there_and_back()
    seconds = []
    for _ in range(TRIAL_REPEATS):
        start = time.perf_counter()
        there_and_back()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class Interrupted(Exception):
    """Somebody asked the run to stop; its state is saved."""


class TrainingFailed(Exception):
    """The run cannot go on; the last good state is kept."""


def explain(error: BaseException, batch_size: int = 0) -> tuple[int, str]:
    """(exit code, one line) for every known error; raises the others again. batch_size: the run's."""
    text = first_line(error)
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, "interrupted before the first step"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return 2, f"the disk is full; the last saved state is intact: free some space, then use --resume ({text})"
    if isinstance(error, Interrupted):
        return STOPPED, text
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
