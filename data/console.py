"""Prints lines that cannot fail, whatever the name, the encoding or the pipe, and ends a program tidily."""

import os
import signal
import sys
from contextlib import contextmanager

from data.text import printable


def prepare_console() -> None:
    """To be called first in a script: a console that cannot show a character gets its escape, `\\u8f66`, instead."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str, error: bool = False) -> None:
    """A line on the terminal, above a progress bar if there is one. error: on standard error.

    After the reader has closed the pipe (`| head -1`), nothing more is printed, and the work goes on.
    """
    stream = sys.stderr if error else sys.stdout
    line = printable(text)
    try:
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(line, file=stream)
        else:
            print(line, file=stream)
        stream.flush()
    except (BrokenPipeError, ValueError):
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


@contextmanager
def ended_early():
    """Inside this context, a plain kill and a closed terminal raise KeyboardInterrupt, as Ctrl-C does: finished work is
    reported, and half-finished work is cleared away."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # under nohup the closed terminal is ignored, and stays so
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    try:
        before = {number: signal.signal(number, interrupt) for number in numbers}
    # only a program's main thread may
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
