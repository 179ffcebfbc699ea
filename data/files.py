"""Files in and out: opened only where that is safe, written whole or not at all and by one run at a time, recognised as
pictures by their first bytes.

Files are untrusted. Only regular files are opened, so a pipe or a device cannot hang or fill the machine. Nothing here
needs more than Python's own library (fsspec is loaded for URLs alone), so that programs can check what they are given
before they load anything.

A run that writes to a folder holds it: by a lock on files of this machine, which ends with its process, however that
ends; by a lease in storage that has no locks. A lease is a small file that its run renews. The lease of a run that died
ends after some minutes, or at once for a run on the same machine.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import socket
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import fsspec

PHOTO_EXTENSIONS = (".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff")
EXTENSIONS = frozenset((*PHOTO_EXTENSIONS, ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".sgi", ".tga", ".webp"))
HEIF_EXTENSIONS = frozenset((".heic", ".heif", ".hif"))
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
MAX_FILE_BYTES = 1 << 30
# ends the name of a file that is not yet whole
PART = ".part"
# in the folder of a run
LOCK = ".lock"
LEASE_S, RENEW_S = 300, 60
# between writing a lease and looking whose it is: two runs may have found none in the same moment
SETTLE_S = 1

PathLike = str | os.PathLike


def has_picture_extension(name: str) -> bool:
    """Whether a file's name says that it is a picture. Names that begin with "._" are macOS' notes on other files."""
    base = name.replace(os.sep, "/").rsplit("/", 1)[-1]
    known = EXTENSIONS | HEIF_EXTENSIONS
    return not base.startswith("._") and os.path.splitext(base)[1].lower() in known


def looks_like_picture(path: str) -> bool:
    """Whether the extension or the first bytes say that this file is a picture: what a folder is searched for."""
    if os.path.basename(path).startswith("._"):
        return False
    if has_picture_extension(path):
        return True
    try:
        with open_regular(path) as file:
            return _has_picture_magic(file.read(32))
    except OSError:
        return False


def _has_picture_magic(start: bytes) -> bool:
    """Of the formats that have one: JPEG, PNG, GIF, TIFF (two), JPEG 2000, WebP, BMP, AVIF and HEIF."""
    if start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")):
        return True
    if start.startswith(b"RIFF"):
        return start[8:12] == b"WEBP"
    if start.startswith(b"BM"):
        # four reserved bytes, and a header of one of the known lengths; text that begins with "BM" has neither
        return start[6:10] == bytes(4) and int.from_bytes(start[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    return start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis", *HEIF_BRANDS)


def looks_like_film(path: str) -> bool:
    """Whether the first bytes are those of a film's container. An extension alone says little: folders hold .mp4 files
    that are sound, or none."""
    if os.path.basename(path).startswith("._"):
        return False
    try:
        with open_regular(path) as file:
            return bool(film_container(file.read(32)))
    except OSError:
        return False


def film_container(start: bytes) -> str:
    """FFmpeg's name of the container that a file begins like: MP4 and QuickTime, AVI, Matroska and WebM; "" for any
    other."""
    if start[4:8] == b"ftyp":
        # pictures and sound in the same container
        others = (b"avif", b"avis", *HEIF_BRANDS, b"M4A ", b"M4B ", b"M4P ")
        return "" if start[8:12] in others else "mov"
    # QuickTime before it had brands
    if start[4:8] in (b"moov", b"mdat", b"wide", b"skip"):
        return "mov"
    if start.startswith(b"RIFF") and start[8:12] == b"AVI ":
        return "avi"
    return "matroska" if start.startswith(b"\x1a\x45\xdf\xa3") else ""


def is_local(system) -> bool:
    """Whether the paths of an fsspec file system are files of this machine, which have locks and can be renamed at
    once."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)


def is_path(url: PathLike) -> bool:
    """Whether it is a path and not a URL. fsspec takes longer to decide, and each photo has four files."""
    return "://" not in os.fspath(url)


@contextmanager
def open_regular(path: PathLike) -> Iterator[IO[bytes]]:
    """A file of this machine, to be read. Raises OSError for a pipe, a device or a folder, where reading may never
    end."""
    # without O_NONBLOCK, to open a pipe waits for its writer
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    with os.fdopen(number, "rb") as file:
        yield file


def open_file(url: PathLike):
    """A path, as `open_regular`, or an fsspec URL, to be read."""
    if is_path(url):
        return open_regular(url)
    import fsspec

    return fsspec.open(os.fspath(url), "rb")


def read_bytes(url: PathLike, limit: int = MAX_FILE_BYTES) -> bytes:
    """All of a file (a path or an fsspec URL). Raises OSError, also for one that is no regular file or is above `limit`
    bytes."""
    with open_file(url) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / 2**20:.0f} MiB", os.fspath(url))
    return content


def read_text(url: PathLike, limit: int = MAX_FILE_BYTES) -> str:
    """A text file in UTF-8, with or without a byte order mark. Raises OSError, and ValueError that names file and
    encoding."""
    content = read_bytes(url, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{os.fspath(url)} is not in UTF-8 (it looks like {_encoding_of(content)}); save it as UTF-8"
        ) from None


def _encoding_of(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    for name in ("gb18030", "cp1252"):
        try:
            content.decode(name)
        except UnicodeDecodeError:
            continue
        return {"gb18030": "GBK", "cp1252": "Windows-1252"}[name]
    return "an unknown encoding"


def file_reason(error: OSError) -> str:
    """Why the system would not open a file or folder."""
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return "symlink loop" if error.errno == errno.ELOOP else (error.strerror or str(error))


@contextmanager
def replacing(path: PathLike, mode: str = "wb", durable: bool = False, **kwargs) -> Iterator[IO]:
    """A file to write to, under a temporary name beside `path`, renamed to it if all goes well and removed if not.

    durable: on the disk, not only in the system's memory, before it gets its name: a power cut leaves the old or the
    new file. Raises OSError that names `path`, also where the system does not: a full disk.
    """
    folder = os.path.dirname(os.fspath(path))
    part = os.path.join(folder, f".{secrets.token_hex(8)}{PART}")
    try:
        with open(part, mode.replace("w", "x"), **kwargs) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # of a link, the link is replaced and not what it points to
        os.replace(part, path)
        if durable:
            sync(folder or ".")
    except OSError as error:
        if error.errno is None or error.filename not in (None, part):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        if os.path.lexists(part):
            os.unlink(part)


def reserve(path: PathLike, what: str) -> None:
    """Reserve disk space for a memory-mapped file now. If the disk filled up later, the system would end the process
    without a message (SIGBUS). Raises OSError, saying what needs the room, where there is none."""
    if not hasattr(os, "posix_fallocate"):
        return
    with open(path, "rb+") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            reason = f"{error.strerror}: {what} needs {size / 2**20:.0f} MiB"
            raise OSError(error.errno, reason, os.fspath(path)) from error


def sync(path: PathLike) -> None:
    """Make a file's content, or the names in a folder, survive a power cut, where the system can."""
    if os.name != "posix":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_bytes(url: PathLike, content: bytes, durable: bool = False) -> None:
    """Write a file (a path or an fsspec URL) whole or not at all. Raises OSError."""
    path = os.fspath(url)
    if not is_path(path):
        import fsspec

        system, path = fsspec.core.url_to_fs(path)
        # elsewhere files come whole
        if not is_local(system):
            system.pipe_file(path, content)
            return
    with replacing(path, durable=durable) as file:
        file.write(content)


def write_text(path: str | Path, text: str, durable: bool = False) -> None:
    """`write_bytes` for a text, in UTF-8. Names in it that are not UTF-8 get escapes, which JSON reads as they were."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), durable)


def is_utf8(path: PathLike) -> bool:
    """Whether a name is UTF-8: not where it has other bytes, which Python keeps as lone surrogates, or where the system
    is not told its encoding (LC_ALL=C)."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_name(path: PathLike) -> None:
    """Raises ValueError for a name that TensorFlow does not take."""
    if not is_utf8(path):
        reason = "TensorFlow takes names in UTF-8 alone: give another, or set PYTHONUTF8=1 if it is in UTF-8"
        raise ValueError(f"{os.fspath(path)}: {reason}")


# --- One run in a folder ----------------------------------------------------------------------------------------------


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
    # there, signal 0 is Ctrl-C; a dead run's lease ends by its age
    if os.name == "nt":
        return True
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
