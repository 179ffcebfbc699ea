"""Pictures in and out: the one way to open a picture, and to turn pixels into numbers and back.

Files are untrusted. Only the picture formats listed here are tried, so no picture can start a program (Pillow starts
Ghostscript for EPS), and sizes are checked before decoding. `data/files.py` opens and writes the files.

Inside the program, pictures are (H, W, 3) RGB in sRGB: uint8, or float32 in [0, 1].
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from data.files import (
    HEIF_BRANDS,
    PathLike,
    file_reason,
    has_picture_extension,
    is_path,
    looks_like_film,
    open_file,
    open_regular,
    read_bytes,
)

# Pillow's names of the formats that are read. Each has a decoder that runs nothing and opens no other file.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP")
ANIMATED_FORMATS = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
# The largest picture takes up to 0.9 GiB while it is opened, and 1.3 GiB at 16 bits (tested); Pillow calls more a
# decompression bomb
MAX_PIXELS = 89_000_000
MAX_DECODED_BYTES = 600_000_000
# rows that are converted at once
BAND_PX = 256
# OpenCV's warps cannot take a longer side
MAX_SIDE_PX = 32_766
# longest side over shortest: no plate is a hundredth as high as it is wide, and a working copy of such a strip is huge
MAX_ASPECT = 100
# a thinner strip counts as this thick: a row of pixels is odd, but harmless
MIN_STRIP_PX = 50
# nine hours at 30 a second
MAX_FRAMES = 1_000_000
# of an animation that does not say how long each frame shows
STILL_S = 0.1
# width, height, orientation, strips of pixels; and of the pixels: width, height, colour space
EXIF_OF_PIXELS = (0x0100, 0x0101, 0x0111, 0x0112, 0x0117, 0xA001, 0xA002, 0xA003)
# TIFF's NewSubfileType, and where a raw picture keeps its larger ones
REDUCED_COPY, SUB_IFDS = 254, 330
MAX_EXIF_BYTES = 1 << 16
PILLOW_BLOCK_BYTES = 64 << 20
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
# of pictures in floats or 32-bit integers: the least that holds the maximum
FULL_SCALES = (1.0, 255.0, 65535.0, 4294967295.0)
JPEG_END = b"\xff\xd9"


class PictureError(ValueError):
    """A file that cannot be opened as a picture. The message is the reason, for people; `kind` is its first part, under
    which many such files are counted. passing: the next try may succeed, since the system would not open the file."""

    def __init__(self, kind: str, detail: str = "", passing: bool = False) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.passing = kind, passing


def open_picture(source: PathLike, *, upright: bool = True, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The picture in a file (a path or an fsspec URL): (H, W, 3) RGB, uint8, or float32 in [0, 1] where it holds more
    than 8 bits.

    Of several frames the first. Embedded colour profiles are applied. Transparency lies on white, but a picture that is
    transparent everywhere shows its colours. upright: turned as its EXIF orientation says; False for photos whose
    annotation refers to the pixels as they are stored. Raises PictureError.
    """
    return decode_picture(_picture_bytes(source), upright=upright, max_pixels=max_pixels)


def open_picture_8bit(source: PathLike, *, upright: bool = True) -> np.ndarray:
    """`open_picture`, always (H, W, 3) uint8."""
    return to_uint8(open_picture(source, upright=upright))


def decode_picture(content: bytes, *, upright: bool = True, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """`open_picture` for the content of a file."""
    _prepare_pillow()
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            _check_size(image, max_pixels)
            turn = _turn(image, upright)
            pixels = _decode_plain_jpeg(image, content)
            if pixels is None:
                image.load()
                pixels = _to_array(_in_srgb(image))
            return turned(pixels, turn)
    except PictureError:
        raise
    # damaged files make Pillow's many parsers raise nearly anything
    except Exception as error:
        raise _explained(content, error) from error


def is_moving(path: str) -> bool:
    """Whether a file is a film by its first bytes, or an animated picture."""
    return looks_like_film(path) or (has_picture_extension(path) and animation_length(path) > 1)


def animation_length(path: PathLike) -> int:
    """How many frames an animated picture says it has: GIF, PNG, WebP or AVIF, a TIFF of several pages, a file named
    .mpo; as far as it can be followed. 1 for any other picture, 0 for a file that is not a picture.

    Frames of another size than the first are thumbnails and gain maps, and do not count. A phone's JPEG is one picture,
    whatever else lies in it.
    """
    _prepare_pillow()
    count = 0
    # damaged files make Pillow's many parsers raise nearly anything
    with suppress(Exception), open_regular(path) as file, Image.open(file, formats=_formats()) as image:
        if image.format in ("GIF", "PNG", "WEBP", "AVIF"):
            return image.n_frames - getattr(image, "default_image", False)
        for _ in _moving(image, os.fspath(path)):
            count += 1
    return count


def animation_frames(path: PathLike, *, max_pixels: int = MAX_PIXELS) -> Iterator[tuple[float, np.ndarray]]:
    """The frames of an animated picture one after another: (seconds since the first, picture as by `open_picture`).

    Those that have no clock show for `STILL_S` each. Raises PictureError where the file cannot be read on, after the
    frames that could.
    """
    _prepare_pillow()
    seconds = 0.0
    try:
        with open_regular(path) as file, Image.open(file, formats=_formats()) as image:
            _check_size(image, max_pixels)
            for _ in _moving(image, os.fspath(path)):
                turn = _turn(image, upright=True)
                image.load()
                yield seconds, turned(_to_array(_in_srgb(image)), turn)
                duration_ms = image.info.get("duration") or 0
                # browsers show a frame of less than 20 ms for a tenth of a second, too
                seconds += duration_ms / 1000 if duration_ms >= 20 else STILL_S
    except PictureError:
        raise
    except Exception as error:
        raise _explained(b"", error) from error


def _moving(image: Image.Image, path: str) -> Iterator[None]:
    """Go from frame to frame of the animation; the picture itself where it is none."""
    size, first = image.size, 0
    if image.format not in ANIMATED_FORMATS and not (image.format == "MPO" and path.lower().endswith(".mpo")):
        yield
        return
    # a PNG may hold another picture, for programs that know no animation
    if getattr(image, "default_image", False):
        first = 1
    for number in range(first, MAX_FRAMES):
        try:
            image.seek(number)
        except EOFError:
            return
        if image.size == size:
            yield


def picture_size(source: PathLike) -> tuple[int, int]:
    """(height, width) as stored, from the file's header alone. Raises PictureError."""
    _prepare_pillow()
    start = b""
    try:
        with open_file(source) as file:
            start = file.read(32)
            if not start:
                raise PictureError("empty file")
            file.seek(0)
            with Image.open(file, formats=_formats()) as image:
                return image.height, image.width
    except PictureError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise PictureError(file_reason(error), passing=True) from error
        raise _explained(start, error) from error


def read_exif(source: PathLike) -> bytes:
    """A picture's metadata (time, place, camera) as an EXIF block in TIFF's form; b"" for nothing.

    Orientation, sizes and thumbnail are left out, since they do not hold for an upright copy of another size.
    """
    _prepare_pillow()
    # damaged metadata says nothing, and makes Pillow raise nearly anything
    with suppress(Exception), open_file(source) as file, Image.open(file, formats=_formats()) as image:
        exif = image.getexif()
        for tag in EXIF_OF_PIXELS:
            exif.pop(tag, None)
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in EXIF_OF_PIXELS:
            details.pop(tag, None)
        block = exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else b""
        return block if len(block) <= MAX_EXIF_BYTES else b""
    return b""


def to_float(picture: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [0, 1]; floats as they are, in float32."""
    return (
        picture.astype(np.float32) / np.float32(255) if picture.dtype == np.uint8 else np.asarray(picture, np.float32)
    )


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """Float in [0, 1] -> uint8: clipped, then rounded to the nearest level (halves to even); uint8 as it is."""
    if picture.dtype == np.uint8:
        return picture
    clipped = np.clip(picture, 0, 1)
    # OpenCV's is ten times as fast as NumPy's, for arrays of any shape laid out as one row
    return cv2.convertScaleAbs(clipped.reshape(1, -1), alpha=255).reshape(clipped.shape)


# run lengths instead of a dictionary: a third faster than Pillow at level 1, and no larger on plates
FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def encode_png(picture: np.ndarray) -> bytes:
    """PNG at the fastest compression: tiles are read more often than sent, and noise does not compress anyway."""
    return cv2.imencode(".png", cv2.cvtColor(to_uint8(picture), cv2.COLOR_RGB2BGR), FAST_PNG)[1].tobytes()


def encode_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """JPEG, for the browser."""
    bgr = cv2.cvtColor(to_uint8(picture), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Those that this Pillow can open, with HEIF where the optional package that reads it is installed."""
    Image.init()
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in (*FORMATS, "HEIF") if name in Image.OPEN)


@lru_cache(maxsize=1)
def _prepare_pillow() -> None:
    # The limits above stand in for Pillow's own, which warns in one range and raises in another.
    Image.MAX_IMAGE_PIXELS = None
    # Pillow's own blocks of 16 MB stay with the thread that freed them; of this size they go back to the system.
    Image.core.set_block_size(PILLOW_BLOCK_BYTES)


def _picture_bytes(source: PathLike) -> bytes:
    try:
        content = read_bytes(source)
    except OSError as error:
        broken = isinstance(error, FileNotFoundError) and is_path(source) and os.path.islink(source)
        raise PictureError("broken link" if broken else file_reason(error), passing=True) from error
    # fsspec reads "::" in a URL as another address
    except ValueError as error:
        raise PictureError("the file cannot be read", str(error), passing=True) from error
    if not content:
        raise PictureError("empty file")
    return content


def _check_size(image: Image.Image, max_pixels: int) -> None:
    """Raises PictureError for a picture that is too large, or is a small preview in the file of a camera's raw one."""
    width, height = image.size
    if image.format == "TIFF" and image.tag_v2.get(REDUCED_COPY, 0) & 1 and SUB_IFDS in image.tag_v2:
        raise PictureError("a camera's raw picture", "only a small preview in it could be read: convert it first")
    if not width or not height:
        raise PictureError("a picture without pixels")
    if width * height > max_pixels:
        raise PictureError("too large", f"{width} x {height}, at most {max_pixels / 1e6:g} megapixels are taken")
    longest, shortest = max(width, height), min(width, height)
    if longest > MAX_SIDE_PX or longest > MAX_ASPECT * max(MIN_STRIP_PX, shortest):
        raise PictureError("too long", f"{width} x {height}; no plate is {MAX_ASPECT} times as wide as high")
    sample_bytes = 4 if image.mode in (*SIXTEEN_BIT_MODES, "I", "F") else 1
    if width * height * 3 * sample_bytes > MAX_DECODED_BYTES:
        raise PictureError("too large", f"{width} x {height} at more than 8 bits; convert it to 8 bits first")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(0x0112, 1)
    # damaged EXIF says nothing about the picture, which is there
    except Exception:
        return 1


def _turn(image: Image.Image, upright: bool) -> int:
    """The orientation by which the decoded pixels are still to be turned. Pillow turns TIFFs by itself."""
    orientation = _orientation(image)
    if image.format != "TIFF":
        return orientation if upright else 1
    return 1 if upright else {6: 8, 8: 6}.get(orientation, orientation)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """By EXIF's orientation: 2 to 4 mirrored or upside down, 5 to 8 with rows and columns exchanged."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _decode_plain_jpeg(image: Image.Image, content: bytes) -> np.ndarray | None:
    """By OpenCV, a quarter faster than Pillow. None for files that OpenCV decodes differently: colour profiles, CMYK,
    and a JPEG that is broken off, which it would fill with grey."""
    plain = image.format == "JPEG" and image.mode in ("RGB", "L") and not image.info.get("icc_profile")
    if not plain or not content.rstrip(b"\0").endswith(JPEG_END):
        return None
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _in_srgb(image: Image.Image) -> Image.Image:
    """The picture in sRGB, by its embedded profile; as it is where it has none, or none that fits its mode."""
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if not profile or image.mode not in ("RGB", "RGBA", "L", "LA", "CMYK", *SIXTEEN_BIT_MODES):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode in SIXTEEN_BIT_MODES:
            return _sixteen_bits_in_srgb(image, source)
        mode = "RGBA" if image.mode in ("RGBA", "LA") else "RGB"
        alpha = image.getchannel("A") if mode == "RGBA" else None
        colours = image.convert({"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode))
        converted = ImageCms.profileToProfile(colours, source, _srgb(), outputMode="RGB")
    # a damaged profile says nothing about the picture, which is there
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _sixteen_bits_in_srgb(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    """A grey picture of 16 bits in sRGB. Pillow knows grey of 8 bits alone, so its 256 levels are interpolated."""
    levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    curve = np.asarray(ImageCms.profileToProfile(levels, source, _srgb(), outputMode="RGB"))[0, :, 1]
    table = np.interp(np.arange(1 << 16), np.arange(256) * 257, curve * 257.0)
    return Image.fromarray(np.rint(table).astype(np.uint16)[np.asarray(image)])


@lru_cache(maxsize=1)
def _srgb():
    return ImageCms.createProfile("sRGB")


def _to_array(image: Image.Image) -> np.ndarray:
    if image.mode in SIXTEEN_BIT_MODES:
        return _grey(np.asarray(image).astype(np.float32) / np.float32(65535))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float32), nan=0, posinf=0, neginf=0)
        full_scale = next((scale for scale in FULL_SCALES if values.max() <= scale), values.max())
        return _grey(np.clip(values / np.float32(full_scale), 0, 1))
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _by_bands(image, lambda band: ImageCms.profileToProfile(band, lab, _srgb(), outputMode="RGB"))
    if not image.has_transparency_data:
        return _by_bands(image, lambda band: band.convert("RGB"))
    # cameras and editors write alpha 0 everywhere and mean nothing by it
    if all(_layered(band).getextrema()[3][1] == 0 for _, band in _bands(image)):
        return _by_bands(image, lambda band: _layered(band).convert("RGB"))
    return _by_bands(image, _on_white)


def _by_bands(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """(H, W, 3) uint8, a band of rows after the other: whole copies on the way would triple what a picture takes."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top, band in _bands(image):
        pixels[top : top + band.height] = np.asarray(convert(band))
    return pixels


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, the rows) of each band."""
    for top in range(0, image.height, BAND_PX):
        yield top, image.crop((0, top, image.width, min(top + BAND_PX, image.height)))


def _layered(image: Image.Image) -> Image.Image:
    """RGBA, whatever the mode, since transparency may stand in a palette or in a single colour."""
    return image.convert("RGBA")


def _on_white(image: Image.Image) -> Image.Image:
    layered = _layered(image)
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def _explained(content: bytes, error: Exception) -> PictureError:
    message = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError):
        return PictureError("not enough memory to decode it", passing=True)
    if isinstance(error, UnidentifiedImageError):
        if content[:4] in (b"%!PS", b"\xc5\xd0\xd3\xc6"):
            return PictureError(
                "not a picture", "an EPS file is a program, and is not run: convert it to a picture first"
            )
        if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
            if "HEIF" in _formats():
                return PictureError("truncated file", "it ends too early, or is no HEIC")
            return PictureError("HEIC cannot be read here", "pip install pillow-heif adds it")
        return PictureError("not a picture", "whatever its extension says")
    if isinstance(error, EOFError) or "truncated" in message or "unexpected end" in message:
        return PictureError("truncated file", message or "it ends too early")
    return PictureError("damaged picture", message or type(error).__name__)
