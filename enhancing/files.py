"""Writing: whole files or none, and only below the folder that the user named."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import cv2
import numpy as np

from enhancing.pictures import as_bytes


@contextmanager
def replacing(path: str, mode: str = "wb", **kwargs) -> Iterator[IO]:
    """A file to write to, under a temporary name beside `path`, renamed to it if all goes well and removed if not."""
    part = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.part")
    try:
        with open(part, mode.replace("w", "x"), **kwargs) as file:
            yield file
        os.replace(part, path)  # of a link, the link is replaced and not what it points to
    finally:
        if os.path.lexists(part):
            os.unlink(part)


def write_picture(out: str, name: str, picture: np.ndarray) -> None:
    """A float picture in [0, 1] as PNG at `name` below `out`; folders are made. Raises OSError, also for a way out of `out`."""
    path = os.path.join(out, name)
    folder = os.path.dirname(path)
    if not is_below(folder, out):
        raise OSError(f"{folder} leads out of {out}")
    os.makedirs(folder, exist_ok=True)
    done, encoded = cv2.imencode(".png", as_bytes(picture)[:, :, ::-1])
    if not done:
        raise OSError("the result cannot be encoded as PNG")
    with replacing(path) as file:
        file.write(encoded.tobytes())


def is_below(path: str, folder: str) -> bool:
    """Whether `path`, all links followed, lies in `folder` or is it."""
    real, real_folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([real, real_folder]) == real_folder
