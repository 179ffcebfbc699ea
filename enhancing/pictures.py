"""Opening anybody's picture: any format, mode and size that Pillow reads, and a named reason for what cannot be opened.

Files are untrusted. Nothing here runs a program (Pillow would start Ghostscript for EPS) or takes a decompression bomb.
"""

import errno
import os
import stat
import warnings
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

REFUSED_FORMATS = ("EPS",)
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
FULL_SCALES = (
    1.0,
    255.0,
    65535.0,
    4294967295.0,
)  # of pictures in floats or 32-bit integers: the least that holds the maximum
NOT_READ = {
    ".pdf",
    ".mpg",
    ".mpeg",
    ".h5",
    ".hdf",
    ".grib",
    ".bufr",
}  # extensions that Pillow writes or recognises only
# The first bytes of JPEG, PNG, GIF, BMP, TIFF (two), JPEG 2000 and WebP: pictures under a strange extension.
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP", b"RIFF")


class PictureError(ValueError):
    """A file that cannot be opened as a picture; the message is the reason, for people."""


def open_picture(path: str | os.PathLike, max_pixels: int | None = None) -> np.ndarray:
    """The upright picture in a file: (H, W, 3) RGB, uint8, or float32 in [0, 1] where the file holds more than 8 bits.

    Of several frames the first; transparency on white. max_pixels: a lower limit than Pillow's. Raises PictureError.
    """
    _check_file(path)
    # As an error, where Pillow would only warn between its limit and twice that.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with Image.open(path, formats=_formats()) as image:
            _check_size(image, max_pixels)
            image.load()
            return _to_array(_upright(image))
    except PictureError:
        raise
    except Exception as error:  # damaged files make Pillow's many parsers raise nearly anything
        raise PictureError(_reason(path, error)) from error


def looks_like_picture(path: str) -> bool:
    """Whether the extension or the first bytes say that this is a picture: what a folder is searched for."""
    if os.path.splitext(path)[1].lower() in _extensions():
        return True
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(8).startswith(MAGIC)
    except OSError:
        return False


def as_float(picture: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [0, 1]; floats as they are."""
    return picture.astype(np.float32) / np.float32(255) if picture.dtype == np.uint8 else picture


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """Float in [0, 1] -> uint8, rounded."""
    return np.clip(np.round(picture * 255), 0, 255).astype(np.uint8)


def file_reason(error: OSError) -> str:
    """Why the system would not open a file or folder."""
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return "symlink loop" if error.errno == errno.ELOOP else (error.strerror or str(error))


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in REFUSED_FORMATS]


@lru_cache(maxsize=1)
def _extensions() -> frozenset[str]:
    return frozenset(Image.registered_extensions()) - {
        ".pdf",
        ".mpg",
        ".mpeg",
    }  # written, or only recognised, by Pillow


def _check_file(path: str | os.PathLike) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        broken = isinstance(error, FileNotFoundError) and os.path.islink(path)
        raise PictureError("broken link" if broken else file_reason(error)) from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise PictureError("not a regular file")
    if not status.st_size:
        raise PictureError("empty file")


def _check_size(image: Image.Image, max_pixels: int | None) -> None:
    width, height = image.size
    if not width or not height:
        raise PictureError("a picture without pixels")
    if max_pixels and width * height > max_pixels:
        raise PictureError(f"too large: {width} x {height}, at most {max_pixels / 1e6:.0f} megapixels are taken")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the picture, which is there
        return image


def _to_array(image: Image.Image) -> np.ndarray:
    if image.mode in SIXTEEN_BIT_MODES:
        return _grey(np.asarray(image).astype(np.float32) / 65535)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0, posinf=0, neginf=0)
        full_scale = next((scale for scale in FULL_SCALES if values.max() <= scale), values.max())
        return _grey(np.clip(values / full_scale, 0, 1).astype(np.float32))
    if image.mode == "LAB":
        return np.asarray(_from_lab(image))
    if image.has_transparency_data:
        # through RGBA, whatever the mode, since transparency may stand in a palette or in a single colour
        layered = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
    return np.asarray(image.convert("RGB"))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    return ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )


def _reason(path: str | os.PathLike, error: Exception) -> str:
    message = " ".join(str(error).split())[:200]
    if isinstance(error, (Image.DecompressionBombWarning, Image.DecompressionBombError)):
        return f"decompression bomb: more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        with open(path, "rb") as file:
            if file.read(4) in (b"%!PS", b"\xc5\xd0\xd3\xc6"):
                return "an EPS file is a program, and is not run: convert it to a picture first"
        return "not a picture, whatever its extension says"
    if isinstance(error, OSError) and error.errno:
        return file_reason(error)
    if isinstance(error, EOFError) or "truncated" in message or "unexpected end" in message:
        return f"truncated file: {message or 'it ends too early'}"
    return f"damaged picture: {message or type(error).__name__}"
