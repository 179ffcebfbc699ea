import contextlib
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from enhancing.pictures import PictureError, as_bytes, as_float, looks_like_picture, open_picture

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def near(actual, expected, tolerance):
    np.testing.assert_allclose(as_float(actual), as_float(np.asarray(expected)), atol=tolerance)


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "tga", "webp", "gif", "jpg", "jp2"])
def test_formats(tmp_path, ending):
    smooth = np.linspace(0, 255, 20 * 30 * 3).reshape(20, 30, 3).astype(np.uint8)
    path = tmp_path / f"plate & 车牌 1.{ending}"
    Image.fromarray(smooth).save(path)
    picture = open_picture(path)
    assert picture.shape == (20, 30, 3)
    near(picture, smooth, 0.12 if ending in ("gif", "jpg", "webp", "jp2") else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "LAB"])
def test_modes(tmp_path, mode):
    grey = Image.fromarray(np.repeat(np.repeat([[0, 255]], 8, 0), 8, 1).astype(np.uint8))
    image = Image.merge("LAB", [grey, *[Image.new("L", grey.size, 128)] * 2]) if mode == "LAB" else grey.convert(mode)
    image.save(tmp_path / "plate.tiff")
    picture = as_float(open_picture(tmp_path / "plate.tiff"))
    assert picture.shape == (8, 16, 3)
    near(picture[:, :8], np.zeros((8, 8, 3)), 0.02)
    near(picture[:, 8:], np.ones((8, 8, 3)), 0.02)


def test_palette_with_transparency_lies_on_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "plate.png", transparency=0)
    picture = open_picture(tmp_path / "plate.png")
    assert picture[0, 0].tolist() == [255, 0, 0]
    assert picture[1, 1].tolist() == [255, 255, 255]


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 128)).save(tmp_path / "plate.png")
    near(open_picture(tmp_path / "plate.png"), np.full((2, 2, 3), 127 / 255), 0.01)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bits_keep_their_precision(tmp_path, ending):
    values = np.arange(0, 65536, 128, dtype=np.uint16).reshape(16, 32)
    Image.fromarray(values).save(tmp_path / f"plate.{ending}")
    picture = open_picture(tmp_path / f"plate.{ending}")
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture[..., 0], values / 65535, atol=1e-6)


@pytest.mark.parametrize("full_scale", [1.0, 255.0, 65535.0])
def test_floats_of_any_scale(tmp_path, full_scale):
    values = np.linspace(0, full_scale, 12, dtype=np.float32).reshape(3, 4)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "plate.tiff")
    np.testing.assert_allclose(open_picture(tmp_path / "plate.tiff")[..., 1].ravel(), np.linspace(0, 1, 12), atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    image = Image.fromarray(COLOURS)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "plate.png", exif=exif)
    upright = {
        1: COLOURS, 2: COLOURS[:, ::-1], 3: COLOURS[::-1, ::-1], 4: COLOURS[::-1],
        5: COLOURS.transpose(1, 0, 2), 6: np.rot90(COLOURS, -1),
        7: np.rot90(COLOURS, 2).transpose(1, 0, 2), 8: np.rot90(COLOURS),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.png"), upright)


def test_the_first_of_several_frames(tmp_path):
    frames = [Image.new("RGB", (5, 5), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "plate.tiff", save_all=True, append_images=frames[1:])
    assert open_picture(tmp_path / "plate.tiff")[0, 0].tolist() == [255, 0, 0]


def test_the_content_counts_not_the_extension(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "plate.png")
    (tmp_path / "plate.png").rename(tmp_path / "plate.jpg")
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.jpg"), COLOURS)


def png_of(width, height):
    """A PNG that claims a size and holds next to nothing: what a decompression bomb looks like."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(10_000, 9_000), (100_000, 100_000)])
def test_decompression_bombs_are_refused(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_of(*size))
    with pytest.raises(PictureError, match="decompression bomb"):
        open_picture(tmp_path / "bomb.png")


def test_a_lower_limit_of_pixels(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "plate.png")
    open_picture(tmp_path / "plate.png", max_pixels=600)
    with pytest.raises(PictureError, match="too large: 30 x 20"):
        open_picture(tmp_path / "plate.png", max_pixels=599)


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "webp", "gif"])
def test_truncated_files(tmp_path, ending):
    path = tmp_path / f"plate.{ending}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PictureError, match=r"truncated|damaged"):
        open_picture(path)


@pytest.mark.filterwarnings("ignore")
def test_noise_in_files_raises_nothing_else(tmp_path):
    path = tmp_path / "plate"
    for ending in ("png", "jpg", "tiff", "gif", "bmp", "webp"):
        Image.fromarray(COLOURS).save(path, format="JPEG" if ending == "jpg" else ending.upper())
        whole = bytearray(path.read_bytes())
        for _ in range(15):
            damaged = whole.copy()
            for place in RNG.integers(0, len(whole), 12):
                damaged[place] = RNG.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(PictureError):
                assert open_picture(path).ndim == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty file"), (b"Dear diary", "not a picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS file is a program")],
)
def test_what_is_no_picture(tmp_path, content, reason):
    (tmp_path / "plate.jpg").write_bytes(content)
    with pytest.raises(PictureError, match=reason):
        open_picture(tmp_path / "plate.jpg")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("loop.png", tmp_path / "loop.png")
    os.symlink("nowhere", tmp_path / "broken.png")
    reasons = {"pipe.png": "not a regular", "loop.png": "symlink loop", "broken.png": "broken", "no.png": "no such"}
    for name, reason in reasons.items():
        with pytest.raises(PictureError, match=reason):
            open_picture(tmp_path / name)
    with pytest.raises(PictureError, match="not a regular"):
        open_picture(tmp_path)


def test_pictures_under_strange_names_are_found(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "plate.dat", format="JPEG")
    (tmp_path / "notes.txt").write_text("BM is a brand")
    assert looks_like_picture(str(tmp_path / "plate.dat"))
    assert looks_like_picture(str(tmp_path / "missing.JPG"))
    assert not looks_like_picture(str(tmp_path / "missing.txt"))


def test_bytes_and_floats_are_inverse():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(as_bytes(as_float(every)), every)
    assert as_bytes(np.array([-0.2, 1.3])).tolist() == [0, 255]
