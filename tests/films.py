"""Small films for tests: frames whose grey level says which they are."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (48, 80)
# of MP4's 3 x 3 matrices the first two rows and columns, a b c d, by EXIF's orientation
MATRICES = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip


def level(number: int) -> int:
    return 20 + 5 * number


def flat_frames(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    return [np.full((*size, 3), level(number), np.uint8) for number in range(count)]


def write_film(
    path: Path, frames, rate: int = 10, codec: str = "libx264", times_ms=None, options=None, **stream_fields
):
    """times_ms: of each frame, where they do not come at `rate`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for name, value in stream_fields.items():
            setattr(stream.codec_context, name, value)
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times_ms:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def turn_film(path: Path, orientation: int) -> None:
    """Write the matrix into an MP4 that says how its frames are to be turned."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4
    assert content[at] == 0, "version 0 of the box"
    a, b, c, d = (value << 16 for value in MATRICES[orientation])
    # version and flags, times, track, duration, reserved, layer, group, volume
    struct.pack_into(">9i", content, at + 40, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
