"""The folder of uploads and results: which files may be opened, how much it holds, and for how long."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

NOT_OURS = "only pictures that were uploaded to this page are taken"
MB = 1 << 20


class Refused(Exception):
    """status: of the HTTP answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """client: of what one address sends within `seconds`. total: of all in the folder. seconds: for which a file is
    kept."""

    client_bytes: int = 500 * MB
    client_files: int = 300
    total_bytes: int = 2000 * MB
    total_files: int = 5000
    seconds: float = 1800.0


def own(folder: str, path: str) -> str:
    """The real path of a file below the folder. Raises ValueError in the same words for all others, there or not."""
    try:
        real, root = os.path.realpath(path), os.path.realpath(folder)
    # a null byte, and what is no text
    except (OSError, ValueError, TypeError):
        raise ValueError(NOT_OURS) from None
    if not real.startswith(root + os.sep):
        raise ValueError(NOT_OURS)
    return real


class Uploads:
    """Files that are in the folder at the start belong to the page and stay. Later ones are removed after a time."""

    def __init__(self, folder: str, limits: Limits | None = None, clock=time.time) -> None:
        self.folder, self.limits, self._clock = folder, limits or Limits(), clock
        self._kept = {path for path, _ in _files(folder)}
        # when, by whom, bytes, files
        self._sent: list[tuple[float, str, int, int]] = []

    def admit(self, client: str, size: int) -> None:
        """Before an upload, whose size is charged even if it breaks off. Raises Refused."""
        limits = self.limits
        self.check_room(size)
        by_all = sum(each[2] for each in self._sent)
        by_client = [each for each in self._sent if each[1] == client]
        if sum(each[2] for each in by_client) + size > limits.client_bytes:
            raise Refused(
                413, f"more than {limits.client_bytes // MB} MB within {limits.seconds / 60:.0f} minutes: wait a little"
            )
        if sum(each[3] for each in by_client) >= limits.client_files:
            raise Refused(429, self._too_many())
        if by_all + size > limits.total_bytes:
            raise Refused(503, "the page has no more room for pictures: wait a little")
        self._sent.append((self._clock(), client, size, 1))

    def settle(self, client: str, paths: Sequence[str]) -> None:
        """After an upload that `admit` has charged as one file: count all of it. Raises Refused, and removes too
        many."""
        before = sum(each[3] for each in self._sent if each[1] == client) - 1
        if before + len(paths) > self.limits.client_files:
            for path in paths:
                _remove(own(self.folder, path))
            raise Refused(429, self._too_many())
        self._sent.append((self._clock(), client, 0, len(paths) - 1))

    def check_room(self, size: int = 0) -> None:
        """Clean up, and see whether `size` bytes more have room. Raises Refused."""
        held = self.sweep()
        if len(held) >= self.limits.total_files or sum(held) + size > self.limits.total_bytes:
            raise Refused(503, "the page has no more room for pictures: wait a little")

    def sweep(self) -> list[int]:
        """Remove what is old, broken uploads too, which Gradio forgets; the sizes of what is left."""
        oldest = self._clock() - self.limits.seconds
        self._sent = [each for each in self._sent if each[0] > oldest]
        sizes = []
        for path, status in _files(self.folder):
            # the time of the change, not of the contents: copies of examples keep that of their originals
            if status.st_ctime < oldest and path not in self._kept:
                _remove(path)
            else:
                sizes.append(status.st_size)
        return sizes

    def _too_many(self) -> str:
        return (
            f"more than {self.limits.client_files} files within {self.limits.seconds / 60:.0f} minutes: wait a little"
        )


def _files(folder: str) -> list[tuple[str, os.stat_result]]:
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                found.append((path, os.lstat(path)))
            # removed by Gradio, or renamed from its partial name, meanwhile
            except FileNotFoundError:
                continue
    return found


def _remove(path: str) -> None:
    """The file, and its folder where it was the last one there."""
    try:
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
    # gone already, or the folder holds others
    except OSError:
        return
