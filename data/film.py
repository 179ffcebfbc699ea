"""Moving pictures, frame after frame: films as cameras and phones record them, and animated pictures.

Memory does not grow with a film's length. Films are untrusted: only regular files of the containers and codings listed
here are opened, through a Python file, so that a film cannot make the decoder open another file or an address.

Frames are upright, with square pixels, (H, W, 3) uint8 RGB.
"""

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, NamedTuple

import av
import numpy as np

from data.files import file_reason, film_container, open_regular
from data.io import (
    MAX_FRAMES,
    MAX_SIDE_PX,
    STILL_S,
    PictureError,
    animation_frames,
    animation_length,
    open_picture_8bit,
    to_uint8,
    turned,
)

# Decoders of single pictures, one after another; each reads nothing but what it is given.
CODINGS = frozenset(
    ("av1", "dvvideo", "ffv1", "h263", "h264", "hevc", "huffyuv", "libdav1d", "libvpx-vp9", "mjpeg", "mpeg1video",
     "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "png", "prores", "rawvideo", "vc1", "vp8", "vp9", "wmv3")
)  # fmt: skip
# 8K
MAX_FRAME_PX = 7680 * 4320
# more threads hold more frames at once, and the cores have other work
THREADS = 4
# a film that ends this much earlier than its header says was cut off; sound may go on a little after the last frame
CUT_OFF_S = 1.0
# the same in the longest gap between two frames, where the header speaks of the frames alone
CUT_OFF_GAPS = 2
# headers count frames a little too generously, too
CUT_OFF_SHARE = 0.02
# read errors in the container after which the rest is given up
MAX_READ_ERRORS = 20
# of films that do not say; animations say it frame by frame
FALLBACK_RATE = 25
# a pixel wider than that is a damaged header
MAX_PIXEL_ASPECT = 4
# ITU-R BT.709 from this height, BT.601 below, where a film does not say: as players do
HD_HEIGHT = 720
UNSPECIFIED = 2


class Frame(NamedTuple):
    """seconds: since the film's beginning."""

    seconds: float
    picture: np.ndarray


@dataclass
class Film:
    """frames: to be gone through once. expected: how many they will be, as far as the film says so. faults: what was
    wrong with the film, in words, complete once the frames were gone through."""

    frames: Iterator[Frame]
    expected: int | None
    faults: list[str] = field(default_factory=list)


@contextmanager
def open_film(path: str, start_s: float = 0.0, end_s: float = math.inf, every: int = 1) -> Iterator[Film]:
    """The frames from second `start_s` to before `end_s`, every `every`-th of them. Raises PictureError for what cannot
    be opened as a moving picture; what goes wrong later is in `faults`."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_regular(path))
            container = film_container(file.read(32))
            file.seek(0)
        except OSError as error:
            raise PictureError(file_reason(error), passing=True) from error
        if container:
            opened = stack.enter_context(_open_container(file, container))
            yield _film(opened, start_s, end_s, every)
        else:
            yield _animation(path, start_s, end_s, every)


@contextmanager
def open_pictures(
    paths: Sequence[str], start_s: float = 0.0, end_s: float = math.inf, every: int = 1
) -> Iterator[Film]:
    """Pictures on disk as the frames of a film, `STILL_S` each. Those that cannot be opened are among its faults."""
    times = [(number * STILL_S, path) for number, path in enumerate(paths)]
    chosen = [each for each in times if start_s <= each[0] < end_s][::every]
    film = Film(iter(()), len(chosen))

    def frames() -> Iterator[Frame]:
        for seconds, path in chosen:
            try:
                yield Frame(seconds, open_picture_8bit(path))
            except PictureError as error:
                film.faults.append(f"{path}: {error}")

    film.frames = frames()
    yield film


# --- Animated pictures ------------------------------------------------------------------------------------------------


def _animation(path: str, start_s: float, end_s: float, every: int) -> Film:
    length = animation_length(path)
    if length < 2:
        raise PictureError("not a film", "one picture at most, or a format that is not read")
    film = Film(iter(()), -(-length // every) if start_s == 0 and end_s == math.inf else None)

    def frames() -> Iterator[Frame]:
        taken = 0
        try:
            for seconds, picture in animation_frames(path, max_pixels=MAX_FRAME_PX):
                if seconds >= end_s:
                    return
                if seconds >= start_s:
                    if taken % every == 0:
                        yield Frame(seconds, to_uint8(picture))
                    taken += 1
        except PictureError as error:
            film.faults.append(str(error))

    film.frames = frames()
    return film


# --- Films ------------------------------------------------------------------------------------------------------------


def _refuse(url: str, *_) -> None:
    raise PermissionError(f"a film that refers to another file or address ({url[:80]})")


@contextmanager
def _open_container(file: IO[bytes], name: str) -> Iterator[av.container.InputContainer]:
    options = {
        "max_pixels": str(MAX_FRAME_PX),
        "codec_whitelist": ",".join(sorted(CODINGS)),
        "protocol_whitelist": "none",
        "enable_drefs": "0",
    }
    try:
        container = av.open(file, "r", format=name, options=options, metadata_errors="replace", io_open=_refuse)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise PictureError("damaged film", _reason(error)) from error
    with container:
        yield container


def _film(container: av.container.InputContainer, start_s: float, end_s: float, every: int) -> Film:
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None:
        raise PictureError("not a film", "there is no moving picture in it that can be decoded")
    coding = stream.codec_context.name
    if coding not in CODINGS:
        raise PictureError("a coding that is not read", coding)
    _check_size(stream.codec_context.width, stream.codec_context.height)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
    length = _length(container, stream)
    rate = float(stream.average_rate or FALLBACK_RATE)
    film = Film(iter(()), _expected(stream, length and length.seconds, rate, start_s, end_s, every))
    film.frames = _frames(container, stream, film, length, start_s, end_s, every)
    return film


class Length(NamedTuple):
    """What a film's header says. of_frames: the sound has no part in it."""

    seconds: float
    of_frames: bool


def _length(container, stream) -> Length | None:
    """None where the film does not say."""
    if stream.duration is not None:
        # of MP4 and MOV, of which a part may be shown; their frames are counted, too
        return Length(float(stream.duration * stream.time_base), False)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""), re.ASCII)
    if tag:
        # of Matroska and WebM
        hours, minutes, seconds = map(float, tag.groups())
        return Length(3600 * hours + 60 * minutes + seconds, True)
    return Length(container.duration / av.time_base, len(container.streams) == 1) if container.duration else None


def _expected(stream, length_s: float | None, rate: float, start_s: float, end_s: float, every: int) -> int | None:
    count = stream.frames or (length_s and round(length_s * rate))
    if not count:
        return None
    share = 1.0
    if length_s:
        share = max(0.0, min(end_s, length_s) - start_s) / length_s
    return math.ceil(count * share / every)


def _frames(container, stream, film: Film, length: Length | None, start_s: float, end_s: float, every: int):
    origin = float(stream.start_time * stream.time_base) if stream.start_time is not None else 0.0
    if start_s > 0:
        _seek(container, origin + start_s)
    step = 1 / float(stream.average_rate or FALLBACK_RATE)
    taken, decoded, seconds, gap, orientation = 0, 0, -step, step, None
    for frame in _decoded(container, stream, film):
        # of the first frame, since asking a frame keeps it in memory
        orientation = _orientation(frame) if orientation is None else orientation
        last, seconds = seconds, frame.time - origin if frame.time is not None else seconds + step
        gap = max(gap, seconds - last) if decoded else gap
        decoded += 1
        if seconds >= end_s:
            return
        if seconds < start_s - 1e-6:
            continue
        if decoded > MAX_FRAMES:
            film.faults.append(f"stopped after {MAX_FRAMES} frames: give --from and --to")
            return
        if taken % every == 0:
            try:
                picture = _picture(frame, stream, orientation)
            except PictureError as error:
                film.faults.append(str(error))
                return
            yield Frame(seconds, picture)
        taken += 1
    film.faults += _missing(stream, length, start_s, seconds + step, gap, decoded, taken)


def _missing(
    stream, length: Length | None, start_s: float, ended_s: float, gap_s: float, decoded: int, taken: int
) -> list[str]:
    """What is missing of a film that ended at `ended_s`, by its header. gap_s: the longest between two frames."""
    if not taken:
        return ["no frame could be decoded" if start_s == 0 else f"there is no frame after {start_s:g} s"]
    least_s = CUT_OFF_GAPS * gap_s if length and length.of_frames else CUT_OFF_S
    if length and length.seconds - ended_s > max(least_s, CUT_OFF_SHARE * length.seconds):
        return [f"cut off: it should last {length.seconds:.1f} s, and ends after {ended_s:.1f} s"]
    if start_s == 0 and decoded + 1 < stream.frames * (1 - CUT_OFF_SHARE):
        return [f"cut off or damaged: {decoded} of {stream.frames} frames could be decoded"]
    return []


def _seek(container, seconds: float) -> None:
    """To the last frame at or before `seconds` from which decoding can start; a film without an index is read from its
    beginning."""
    with suppress(av.FFmpegError, OSError):
        container.seek(int(seconds * av.time_base), backward=True)


def _decoded(container, stream, film: Film) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; damaged parts are skipped."""
    damaged = unreadable = 0
    packets = container.demux(stream)
    while unreadable < MAX_READ_ERRORS:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            unreadable += 1
            packets = container.demux(stream)
            continue
        if packet is None:
            break
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError):
            damaged += 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                damaged += 1
            else:
                yield frame
    if damaged or unreadable:
        film.faults.append(f"damaged: {damaged + unreadable} frames or more could not be decoded")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_FRAME_PX or max(width, height) > MAX_SIDE_PX:
        raise PictureError("too large", f"{width} x {height}, at most {MAX_FRAME_PX / 1e6:.0f} megapixels are taken")


def _picture(frame: av.VideoFrame, stream, orientation: int) -> np.ndarray:
    _check_size(frame.width, frame.height)
    aspect = float(stream.sample_aspect_ratio or 1)
    if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
        aspect = 1.0
    # none loses detail: the shorter side of its pixels stays
    width, height = round(frame.width * max(1.0, aspect)), round(frame.height * max(1.0, 1 / aspect))
    _check_size(width, height)
    colours = "ITU709" if frame.colorspace == UNSPECIFIED and frame.height >= HD_HEIGHT else None
    try:
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height, src_colorspace=colours)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise PictureError("damaged film", _reason(error)) from error
    return turned(pixels, orientation)


def _orientation(frame: av.VideoFrame) -> int:
    """As EXIF's, from the matrix by which a phone says how it was held: p' = a p + c q, q' = b p + d q."""
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return 1
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32, 9)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {(False, False): 1, (True, False): 2, (True, True): 3, (False, True): 4}[a < 0, d < 0]
    return {(False, False): 5, (False, True): 6, (True, True): 7, (True, False): 8}[b < 0, c < 0]


def _reason(error: Exception) -> str:
    """Without FFmpeg's numbers. A film whose recording broke off has no index, and is no more than invalid to it."""
    text = getattr(error, "strerror", None) or str(error)
    return "it is cut off, or no film" if "Invalid data" in text else " ".join(text.split())[:200]
