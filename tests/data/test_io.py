import contextlib
import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd_files import png_of
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

import data.io
from data.files import looks_like_picture, read_bytes, read_text, replacing, write_bytes
from data.io import (
    PictureError,
    animation_frames,
    animation_length,
    open_picture,
    open_picture_8bit,
    to_float,
    to_uint8,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def near(actual, expected, tolerance):
    np.testing.assert_allclose(to_float(actual), to_float(np.asarray(expected)), atol=tolerance)


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
    picture = to_float(open_picture(tmp_path / "plate.tiff"))
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


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_tiffs_are_turned_once_or_not_at_all(tmp_path, orientation, compression):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOURS).save(tmp_path / "plate.tiff", exif=exif, compression=compression)
    upright = np.rot90(COLOURS, {3: 2, 6: -1, 8: 1}[orientation])
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.tiff"), upright)
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.tiff", upright=False), COLOURS)


SHADES = (10, 90, 170, 250)


def animation(path, *, seconds=0.25, **kwargs):
    """Flat grey frames of `SHADES`. Pillow writes no right MPO of more than three."""
    shades = SHADES[:3] if path.suffix == ".mpo" else SHADES
    frames = [Image.new("RGB", (40, 20), (shade,) * 3) for shade in shades]
    times = {} if path.suffix in (".tiff", ".mpo") else {"duration": int(seconds * 1000)}
    frames[0].save(path, save_all=True, append_images=frames[1:], **times, **kwargs)
    return path


@pytest.mark.parametrize(
    ("name", "step"),
    [("a.gif", 0.25), ("a.png", 0.25), ("a.webp", 0.25), ("a.avif", 0.25), ("a.tiff", 0.1), ("a.mpo", 0.1)],
)
def test_an_animation_frame_by_frame(tmp_path, name, step):
    path = animation(tmp_path / name)
    frames = list(animation_frames(path))
    assert animation_length(path) == len(frames) == (3 if name == "a.mpo" else 4)
    np.testing.assert_allclose([seconds for seconds, _ in frames], np.arange(len(frames)) * step, atol=1e-6)
    for (_, picture), shade in zip(frames, SHADES, strict=False):
        assert picture.shape == (20, 40, 3)
        near(to_float(picture), np.full((20, 40, 3), shade / 255), 0.02)


def test_the_still_picture_of_an_animated_png_is_no_frame(tmp_path):
    path = animation(tmp_path / "a.png", default_image=True)
    assert animation_length(path) == 3
    assert [picture[0, 0, 0] for _, picture in animation_frames(path)] == list(SHADES[1:])


def test_pages_of_another_size_are_no_frames(tmp_path):
    frames = [Image.new("RGB", size, "red") for size in ((40, 20), (10, 5), (40, 20))]
    frames[0].save(tmp_path / "a.tiff", save_all=True, append_images=frames[1:])
    assert animation_length(tmp_path / "a.tiff") == len(list(animation_frames(tmp_path / "a.tiff"))) == 2


def test_a_phones_jpeg_with_a_second_picture_is_one_picture(tmp_path):
    animation(tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    assert animation_length(tmp_path / "a.jpg") == 1
    assert len(list(animation_frames(tmp_path / "a.jpg"))) == 1


def test_frames_of_an_animation_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "a.webp", "a.tiff"):
        path = animation(tmp_path / name, exif=exif)
        assert {picture.shape for _, picture in animation_frames(path)} == {(40, 20, 3)}


def test_a_cut_off_animation_gives_the_frames_that_are_there(tmp_path):
    path = tmp_path / "a.gif"
    noise = np.random.default_rng(0).integers(0, 256, (4, 60, 80), np.uint8)
    first, *others = (Image.fromarray(each) for each in noise)
    first.save(path, save_all=True, append_images=others, duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    frames = []

    def collect():
        for _, frame in animation_frames(path):
            frames.append(frame)

    with pytest.raises(PictureError, match="truncated"):
        collect()
    np.testing.assert_array_equal(frames[0][..., 0], noise[0])
    assert len(frames) in (1, 2)


def test_what_is_no_picture_has_no_frames(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a, or so")
    assert animation_length(tmp_path / "a.gif") == animation_length(tmp_path / "missing.gif") == 0
    with pytest.raises(PictureError):
        list(animation_frames(tmp_path / "a.gif"))


def test_the_content_counts_not_the_extension(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "plate.png")
    (tmp_path / "plate.png").rename(tmp_path / "plate.jpg")
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.jpg"), COLOURS)


@pytest.mark.parametrize("size", [(10_000, 9_000), (100_000, 100_000)])
def test_decompression_bombs_are_refused(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_of(*size))
    with pytest.raises(PictureError, match="too large"):
        open_picture(tmp_path / "bomb.png")


def test_a_lower_limit_of_pixels(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "plate.png")
    open_picture(tmp_path / "plate.png", max_pixels=600)
    with pytest.raises(PictureError, match="too large: 30 x 20"):
        open_picture(tmp_path / "plate.png", max_pixels=599)


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "webp", "gif"])
def test_truncated_files(tmp_path, ending):
    path = tmp_path / f"plate.{ending}"
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PictureError, match=r"truncated|damaged"):
        open_picture(path)


@pytest.mark.filterwarnings("ignore")
def test_noise_in_files_raises_nothing_else(tmp_path):
    path = tmp_path / "plate"
    rng = np.random.default_rng(0)
    for ending in ("png", "jpg", "tiff", "gif", "bmp", "webp"):
        Image.fromarray(COLOURS).save(path, format="JPEG" if ending == "jpg" else ending.upper())
        whole = bytearray(path.read_bytes())
        for _ in range(15):
            damaged = whole.copy()
            for place in rng.integers(0, len(whole), 12):
                damaged[place] = rng.integers(256)
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
    np.testing.assert_array_equal(to_uint8(to_float(every)), every)
    assert to_uint8(np.array([-0.2, 1.3])).tolist() == [0, 255]


# --- Files that are not what they say ---------------------------------------------------------------------------------

HOSTILE_EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 30 20
(TARGET) (w) file (ran) writestring
{ } loop
"""


@pytest.fixture
def hostile(tmp_path):
    """A program named as a picture, which would leave the file `ran` and then never end."""
    path = tmp_path / "plate.jpg"
    path.write_bytes(HOSTILE_EPS.replace(b"TARGET", str(tmp_path / "ran").encode()))
    return path


def test_a_picture_that_is_a_program_is_not_run(hostile, tmp_path):
    """Every reader of pictures goes through the one opener."""
    from data import degrade
    from data.photos import UnusablePhoto, open_photo
    from data.tiles import read_tile, stored_size

    for reader in (open_picture, open_picture_8bit, read_tile, stored_size):
        with pytest.raises(ValueError, match=r"program|not a picture"):
            reader(str(hostile))
    with pytest.raises(UnusablePhoto, match="not a picture"):
        open_photo(str(hostile), "crops")
    assert degrade.main(["--image", str(hostile), "--out", str(tmp_path / "sheet.png")]) == 2
    assert not (tmp_path / "ran").exists()


def test_only_the_opener_asks_pillow_to_open_a_file():
    """Pillow's own `open` tries every format it knows, programs among them."""
    root = Path(__file__).resolve().parents[2]
    sources = (
        path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in (".venv", "tests", "tools")
    )
    opening = {str(path.relative_to(root)) for path in sources if "Image.open(" in path.read_text(encoding="utf-8")}
    assert opening == {"data/io.py"}


@pytest.mark.parametrize("name", ["plate.png", "text.csv"])
def test_pipes_and_devices_neither_hang_nor_fill_the_memory(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for path in (tmp_path / name, "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read_bytes(path)
        with pytest.raises(PictureError, match="not a regular file"):
            open_picture(path)


def test_a_pipe_named_text_csv_ends_preprocessing_at_once(tmp_path):
    from data.photos import find_photos

    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "text.csv")
    with pytest.raises(OSError, match="not a regular file"):
        find_photos(str(tmp_path))


@pytest.mark.parametrize("size", [(40_000, 60), (60_000, 1_000), (500_000, 3), (13_000, 13_000)])
def test_sizes_are_refused_before_decoding(tmp_path, size):
    (tmp_path / "plate.png").write_bytes(png_of(*size))
    with pytest.raises(PictureError, match=r"too (large|long): \d+ x \d+"):
        open_picture(tmp_path / "plate.png")


def test_thin_strips_are_odd_but_harmless(tmp_path):
    Image.new("RGB", (1, 5000)).save(tmp_path / "strip.png")
    assert open_picture(tmp_path / "strip.png").shape == (5000, 1, 3)


# --- What colours mean ------------------------------------------------------------------------------------------------


def test_an_embedded_profile_is_applied(tmp_path):
    """A profile whose red and blue are exchanged shows the exchanged picture; sRGB's own changes nothing."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    Image.fromarray(COLOURS).save(tmp_path / "srgb.png", icc_profile=srgb.tobytes())
    np.testing.assert_allclose(open_picture(tmp_path / "srgb.png").astype(int), COLOURS, atol=1)


def linear_grey() -> bytes:
    """The ICC profile of a grey whose levels are amounts of light: header, white point, and a curve of gamma 1."""
    white = struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    curve = struct.pack(">4s4xI", b"curv", 0)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", start, len(white), b"kTRC", start + len(white), len(curve))
    content = tags + white + curve
    header = struct.pack(
        ">I4sI4s4s4s12x4s28x12s48x", 128 + len(content), b"", 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp", white[8:]
    )
    return header + content


@pytest.mark.parametrize("mode", ["P", "L", "I;16"])
def test_a_profile_is_applied_in_every_mode(tmp_path, mode):
    """Swapped colours make blue red, and a linear grey is lighter than the number of its level says."""
    if mode == "P":
        picture, expected = Image.new("RGB", (30, 20), (0, 0, 200)).quantize(), (200, 0, 0)
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        profile = srgb.replace(b"rXYZ", b"aXYZ").replace(b"bXYZ", b"rXYZ").replace(b"aXYZ", b"bXYZ")
    else:
        level, expected = np.array(128 * 257 if mode == "I;16" else 128, np.uint16), (188, 188, 188)
        picture = Image.fromarray(np.full((20, 30), level).astype(np.uint16 if mode == "I;16" else np.uint8))
        profile = linear_grey()
    assert picture.mode == mode
    picture.save(tmp_path / "a.png", icc_profile=profile)
    pixel = to_uint8(open_picture(tmp_path / "a.png"))[0, 0]
    assert np.abs(pixel.astype(int) - expected).max() <= 3


def test_the_small_preview_in_a_raw_picture_is_not_taken_for_it(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254], tags[330] = 1, 8
    Image.fromarray(COLOURS).save(tmp_path / "a.dng", format="TIFF", tiffinfo=tags)
    with pytest.raises(PictureError, match="a camera's raw picture: only a small preview"):
        open_picture(tmp_path / "a.dng")


def test_profiles_of_real_cases(shared):
    folder = shared / "cases" / "colour_profile"
    swapped, plain = (open_picture(folder / f"blue_{name}.png").astype(int) for name in ("swap", "srgb"))
    assert abs(swapped - plain).max() <= 3


def test_a_damaged_profile_leaves_the_picture_as_it_is(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "plate.png", icc_profile=b"no profile at all")
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.png"), COLOURS)


def test_transparent_everywhere_means_nothing(tmp_path):
    layered = np.dstack([COLOURS, np.zeros(COLOURS.shape[:2], np.uint8)])
    Image.fromarray(layered, "RGBA").save(tmp_path / "plate.png")
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.png"), COLOURS)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_stored_pixels_are_those_that_annotations_refer_to(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(COLOURS).save(tmp_path / "plate.png", exif=exif)
    np.testing.assert_array_equal(open_picture(tmp_path / "plate.png", upright=False), COLOURS)


# --- Which files are pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("clip.avi", b"RIFF\x10\0\0\0AVI LIST", False),
        ("note.wav", b"RIFF\x10\0\0\0WAVEfmt ", False),
        ("some.bin", b"RIFF\x10\0\0\0WEBPVP8 ", True),
        ("BMW notes.txt", b"BMW is a brand of cars, and of motorcycles", False),
        ("._photo.jpg", b"\0\x05\x16\x07", False),
        ("IMG.HEIC", b"", True),
        ("odd", b"\0\0\0\x1cftypheic\0\0\0\0", True),
        ("clip.mp4", b"\0\0\0\x1cftypisom\0\0\0\0", False),
    ],
)
def test_names_and_first_bytes_tell_pictures(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    assert looks_like_picture(str(tmp_path / name)) == expected


def test_a_heic_that_is_cut_off_needs_no_package_that_is_there(monkeypatch):
    content, error = b"\0\0\0\x1cftypheic" + bytes(180), UnidentifiedImageError("cannot identify image file")
    for formats, told in ((("PNG",), "HEIC cannot be read here"), (("PNG", "HEIF"), "truncated file")):
        monkeypatch.setattr(data.io, "_formats", lambda formats=formats: formats)
        assert data.io._explained(content, error).kind == told


def test_heic_is_named_as_what_it_is(tmp_path):
    (tmp_path / "IMG.HEIC").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(PictureError, match=r"HEIC cannot be read here|damaged"):
        open_picture(tmp_path / "IMG.HEIC")


# --- Writing ----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    with contextlib.suppress(RuntimeError), replacing(tmp_path / "a") as file:
        file.write(b"new")
        raise RuntimeError
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    name = "a" * 251 + ".png"
    write_bytes(tmp_path / name, b"content", durable=True)
    assert (tmp_path / name).read_bytes() == b"content"


def test_rounding_is_to_the_nearest_level_for_any_shape():
    values = np.array([0.0, 0.49, 0.51, 254.4, 254.6, 255.0]) / 255
    np.testing.assert_array_equal(
        to_uint8(values.reshape(1, 2, 3, 1).astype(np.float32)).ravel(), [0, 0, 1, 254, 255, 255]
    )
    random = np.random.default_rng(0).random((3, 8, 8, 3), dtype=np.float32)
    np.testing.assert_array_equal(to_uint8(random), np.rint(random * np.float32(255)).astype(np.uint8))


def test_a_text_in_another_encoding_is_named(tmp_path):
    (tmp_path / "text.csv").write_bytes("file,text\n皖A12345".encode("gbk"))
    with pytest.raises(ValueError, match=r"text\.csv is not in UTF-8 \(it looks like GBK\)"):
        read_text(tmp_path / "text.csv")
    (tmp_path / "text.csv").write_bytes("file,text\n皖A12345".encode("utf-16"))
    with pytest.raises(ValueError, match="UTF-16"):
        read_text(tmp_path / "text.csv")
    (tmp_path / "text.csv").write_bytes("皖A".encode("utf-8-sig"))
    assert read_text(tmp_path / "text.csv") == "皖A"


PEAK = """
import resource, sys
from data.io import open_picture_8bit
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
open_picture_8bit(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "side", "mib"), [("L", 9430, 500), ("RGB", 9430, 900), ("RGBA", 9430, 900), ("I;16", 7000, 1400)]
)
def test_the_largest_pictures_take_the_memory_that_is_said(tmp_path, mode, side, mib):
    Image.new(mode, (side, side)).save(tmp_path / "large.png", compress_level=1)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", PEAK, str(tmp_path / "large.png")]
    peak = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert float(peak) < mib


def test_pictures_of_several_bands_are_those_of_one(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for mode, channels in (("RGB", 3), ("RGBA", 4), ("LA", 2)):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(rng.integers(0, 256, (30, 20, channels), dtype=np.uint8), mode).save(path)
        whole = open_picture(path)
        monkeypatch.setattr("data.io.BAND_PX", 7)
        np.testing.assert_array_equal(open_picture(path), whole)
        monkeypatch.undo()


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    def fails(name, error):
        with replacing(tmp_path / name) as file:
            file.write(b"half")
            raise error

    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*a\.png'$"):
        fails("a.png", OSError(errno.ENOSPC, "No space left on device"))
    # what is said of another file stays as it is
    with pytest.raises(FileNotFoundError, match=r"No such file: 'b'$"):
        fails("a.png", FileNotFoundError(errno.ENOENT, "No such file", "b"))
    missing = pytest.raises(FileNotFoundError, match=r"none/a\.png'")
    with missing, replacing(tmp_path / "none" / "a.png"):
        pass
    assert list(tmp_path.iterdir()) == []
