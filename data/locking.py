"""Keeps two runs from writing to one folder: a lock on files of this machine, a lease in storage that has no locks.

A lock ends with its process, however that ends. A lease is a small file that its run renews. The lease of a run that
died ends after some minutes, or at once for a run on the same machine.
"""

import contextlib
import json
import os
import shutil
import socket
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from data.files import is_local

if TYPE_CHECKING:
    import fsspec

LOCK = ".lock"
LEASE_S, RENEW_S = 300, 60
# between writing a lease and looking whose it is: two runs may have found none in the same moment
SETTLE_S = 1


@contextlib.contextmanager
def only_run_in(folder: str, flag: str = "--out") -> Iterator[None]:
    """Hold a folder (a path or an fsspec URL), made where it is not there yet. Raises ValueError, naming the flag that
    the folder came from, when another run holds it; OSError when it cannot be written."""
    # late: programs that only make a temporary folder need not wait for it
    import fsspec

    system, root = fsspec.core.url_to_fs(str(folder))
    named = f"{flag} {folder}"
    with _lock(named, root) if is_local(system) else _lease(named, system, f"{root}/{LOCK}"):
        yield


@contextlib.contextmanager
def temporary_folder(parent: str, prefix: str) -> Iterator[str]:
    """A new folder in `parent`, which is made where it is not there yet; removed in the end, with all that is in it.

    Folders that killed processes have left there, under names with the same prefix, are removed first. A living
    process holds a lock in its own. Nothing is removed that this function has not made for this user.
    """
    Path(parent).mkdir(parents=True, exist_ok=True)
    for left in Path(parent).glob(f"{prefix}*"):
        # ValueError: a living one's
        with contextlib.suppress(ValueError, OSError):
            if _is_left_over(left):
                with only_run_in(str(left)):
                    shutil.rmtree(left)
    made = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
    with made as folder, only_run_in(folder):
        yield folder


def _is_left_over(folder: Path) -> bool:
    """A folder of `temporary_folder`, seen from outside: not a link, closed to other users, with a lock in it."""
    status = folder.lstat()
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return private and ours and stat.S_ISREG((folder / LOCK).lstat().st_mode)


@contextlib.contextmanager
def _lock(named: str, root: str) -> Iterator[None]:
    Path(root).mkdir(parents=True, exist_ok=True)
    # O_NONBLOCK: to open a pipe of that name would wait for ever
    number = os.open(f"{root}/{LOCK}", os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
    with os.fdopen(number, "rb+", buffering=0) as file:
        try:
            _lock_file(file.fileno())
        except (BlockingIOError, PermissionError):
            raise ValueError(f"{named}: another run is writing there; wait for it, or give another folder") from None
        yield


def _lock_file(file: int) -> None:
    """Raises BlockingIOError, on Windows PermissionError, for a file that another process has locked."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def _lease(named: str, system: "fsspec.AbstractFileSystem", path: str) -> Iterator[None]:
    _refuse_held(named, _holder(system, path))
    own = {"host": socket.gethostname(), "process": os.getpid(), "token": uuid.uuid4().hex}
    _write(system, path, own)
    time.sleep(SETTLE_S)
    if (holder := _holder(system, path)).get("token") != own["token"]:
        _refuse_held(named, holder)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(system, path, own, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        # the storage may be what ended the run
        with contextlib.suppress(OSError):
            if _holder(system, path).get("token") == own["token"]:
                system.rm_file(path)


def _refuse_held(named: str, holder: dict) -> None:
    age = time.time() - holder.get("time", 0)
    here = holder.get("host") == socket.gethostname()
    if age > LEASE_S or (here and not _is_alive(holder["process"])):
        return
    raise ValueError(
        f"{named}: another run is writing there (process {holder['process']} on {holder['host']}, {age:.0f} s ago); "
        f"wait for it, or give another folder; if it is dead, start again in {LEASE_S // 60} minutes"
    )


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # somebody else's
        return True
    return True


def _holder(system: "fsspec.AbstractFileSystem", path: str) -> dict:
    """What the lease says; {} where there is none."""
    try:
        return json.loads(system.cat_file(path))
    except (FileNotFoundError, ValueError):
        return {}


def _write(system: "fsspec.AbstractFileSystem", path: str, own: dict) -> None:
    system.pipe_file(path, json.dumps({**own, "time": time.time()}).encode())


def _renew(system: "fsspec.AbstractFileSystem", path: str, own: dict, done: threading.Event) -> None:
    while not done.wait(RENEW_S):
        # the run itself will notice a storage that is gone
        with contextlib.suppress(OSError):
            _write(system, path, own)
