"""A program and what is around it: variables that libraries read, names that it did not choose, the terminal, workers,
signals.

A file may be named `=HYPERLINK(...)`, hold escape sequences that steer a terminal, or a `$` that matplotlib takes for
the beginning of a formula; so may a text that came with a picture. `printable`, `cell` and `literal` make such names
harmless for the place where they are written. HTML is escaped where it is written. `say` prints lines that cannot fail,
whatever the name, the encoding or the pipe.
"""

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

# the exit code of a program that the user has stopped: what shells make of Ctrl-C
STOPPED = 130
# libraries read these once, when they are loaded
DEFAULTS = {
    # Nothing. On a CPU it reports the absent GPU as an error; what counts comes as an exception.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # oneDNN's kernels: by itself TensorFlow takes them only on CPUs with AVX512-VNNI or better (release notes of 2.9),
    # but they are faster with AVX2, too
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
# Nothing is sent. ONNX Runtime looks up a host of its maker some seconds after a session opens, and
# `disable_telemetry_events()` does not stop it; the variable does, if it is there before the import.
SILENCE = {"ORT_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def prepare_libraries() -> None:
    """To be called before TensorFlow, Keras, ONNX Runtime, rapidocr or Gradio is first imported.

    Defaults give way to variables that are already set. `SILENCE` does not: the documents promise it. Of Keras' back
    ends, JAX is taken where the variable asks for it. Others, and those of `~/.keras/keras.json`, are for the user's
    other programs.
    """
    if os.environ.get("KERAS_BACKEND") != "jax":
        os.environ["KERAS_BACKEND"] = "tensorflow"
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(SILENCE)


_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
# What spreadsheets take for the beginning of a formula; in some languages a semicolon begins a new cell, too
_FORMULA = re.compile(r"(?:^|(?<=;))(?=[=+\-@＝＋－＠])")


def printable(text: object) -> str:
    """For the terminal: without characters that would steer it, or that it cannot encode."""
    text = str(text)
    # a name on a system that is not told its encoding (LC_ALL=C) may be UTF-8 all the same
    with suppress(UnicodeEncodeError):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def cell(value: object) -> object:
    """For a CSV file: texts that a spreadsheet would compute get an apostrophe in front. Numbers stay numbers."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _FORMULA.sub("'", printable(value))


def first_line(error: BaseException) -> str:
    """What an error says, of which libraries make whole paragraphs; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def literal(text: str) -> str:
    """For a figure: matplotlib draws each character as it is, and no formula."""
    return printable(text).replace("$", r"\$")


def prepare_console() -> None:
    """To be called first in a script: a console that cannot show a character gets its escape, `\\u8f66`, instead, and
    what is written to a closed stream goes nowhere. Otherwise the next file that is opened would take its place, and
    get what libraries print."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str, error: bool = False) -> None:
    """A line on the terminal, above a progress bar if there is one. error: on standard error.

    After the reader has closed the pipe (`| head -1`), or the disk behind it is full, nothing more is printed, and the
    work goes on.
    """
    stream = sys.stderr if error else sys.stdout
    line = printable(text)
    try:
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(line, file=stream)
        else:
            print(line, file=stream)
        stream.flush()
    # the pipe's reader is gone, the disk behind it is full, or the stream is closed
    except (OSError, ValueError):
        _silence(stream)


def _silence(stream) -> None:
    """Discard what is still to be written there, so that the interpreter's last flush raises nothing."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    # a stream without a file, as tests have them
    except (OSError, ValueError):
        return


def follow_parent() -> None:
    """To be called first in a worker process. Ctrl-C and a closed terminal, which reach all its processes, are left to
    the parent. When the parent is killed, which then cannot tell its workers, the worker ends, too."""

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def map_ahead(pool, function: Callable, items: Iterable, ahead: int) -> Iterator:
    """`pool.map` that never has more than `ahead` items under way, and drops those that wait when it is closed."""
    items, waiting = iter(items), deque()
    try:
        waiting.extend(pool.submit(function, item) for item in islice(items, ahead))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
            yield done
    finally:
        for future in waiting:
            future.cancel()


def ending_signals() -> list[int]:
    """Ctrl-C, a plain kill and a closed terminal, as far as this system knows them. Under nohup the closed terminal is
    ignored, and in the background of a shell script Ctrl-C, and they stay so."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def ended_early():
    """Inside this context, a plain kill and a closed terminal raise KeyboardInterrupt, as Ctrl-C does: finished work is
    reported, and half-finished work is cleared away.

    An exception cannot leave some places, such as the garbage collector's callbacks, which JAX uses. Python then only
    prints it. Here it is raised again a moment later. Others, such as TensorFlow, turn it into an error of their own,
    which does not count once the user has stopped the program.
    """

    came, again = [], []

    def interrupt(number, frame):
        came.append(number)
        raise KeyboardInterrupt

    def raise_again(unraisable):
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again.append(threading.Timer(0.1, os.kill, (os.getpid(), (came or [signal.SIGINT])[-1])))
            again[-1].start()
        else:
            print_unraisable(unraisable)

    with _handled_by(interrupt, came):
        print_unraisable, sys.unraisablehook = sys.unraisablehook, raise_again
        try:
            yield
        finally:
            # what ended in the meantime needs no second signal, nor does what comes after it
            for timer in again:
                timer.cancel()
            sys.unraisablehook = print_unraisable


@contextmanager
def held_back():
    """Inside `ended_early`, for a beginning that cannot be broken off cleanly: what ends the program waits until it is
    over. Who cannot wait sends a second signal."""
    came = []

    def note(number, frame):
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    # Ctrl-C reaches the processes that are being started, too
    with _handled_by(note, came):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _handled_by(handler, came: list):
    """Inside this context, what ends the program goes to the handler, which notes it in `came`; an error after that is
    a consequence, and becomes KeyboardInterrupt."""
    try:
        before = {number: signal.signal(number, handler) for number in ending_signals()}
    # only a program's main thread may
    except ValueError:
        before = {}
    try:
        yield
    except Exception as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, own in before.items():
            signal.signal(number, own)
