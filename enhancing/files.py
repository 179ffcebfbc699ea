"""Writing: whole files or none, and only below the folder that the user named."""

import os

import cv2
import numpy as np

from data.io import replacing, to_uint8


def write_picture(out: str, name: str, picture: np.ndarray) -> None:
    """A float picture in [0, 1] as PNG at `name` below `out`; folders are made. Raises OSError, also for a way out of
    `out`."""
    path = os.path.join(out, name)
    folder = os.path.dirname(path)
    if not is_below(folder, out):
        raise OSError(f"{folder} leads out of {out}")
    os.makedirs(folder, exist_ok=True)
    done, encoded = cv2.imencode(".png", to_uint8(picture)[:, :, ::-1])
    if not done:
        raise OSError("the result cannot be encoded as PNG")
    with replacing(path) as file:
        file.write(encoded.tobytes())


def is_below(path: str, folder: str) -> bool:
    """Whether `path`, all links followed, lies in `folder` or is it."""
    real, real_folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([real, real_folder]) == real_folder
