"""JPEG and PNG files as the arrays that a model declares. Pillow decodes and resizes without the GIL."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from shared.columns import Array
from shared.errors import ArtifactError, InvalidInputError
from shared.images import ImageOptions
from shared.specs import ModelSpec

if TYPE_CHECKING:
    from PIL.Image import Image

_FULL = 255.0
"""The value of a full pixel of 8 bits."""
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def decode(data: bytes, options: ImageOptions) -> Array:
    """The array of a JPEG or PNG file. The orientation in EXIF is ignored, as Pillow ignores it.

    Raises InvalidInputError if the file is damaged, too large, or has more than 8 bits per channel.
    """
    array = np.empty(options.shape, dtype=options.dtype)
    decode_into(array, data, options)
    return array


def decode_into(array: Array, data: bytes, options: ImageOptions) -> None:
    """`decode` into an array of the declared shape and type."""
    from PIL import Image, UnidentifiedImageError

    if problem := options.problem(data):
        raise InvalidInputError(problem)
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check(image, options)
            if options.reduced_jpeg:
                image.draft(None, (options.width, options.height))
            mode = _MODES[options.channels]
            _fill(array, _resized(image if image.mode == mode else image.convert(mode), options), options)
    except Image.DecompressionBombError:
        raise InvalidInputError(f"has more than {options.max_pixels} pixels") from None
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise InvalidInputError(f"cannot be decoded: {error}") from error


def _check(image: Image, options: ImageOptions) -> None:
    width, height = image.size
    if width * height > options.max_pixels:
        raise InvalidInputError(f"has {width} × {height} pixels; at most {options.max_pixels} are accepted")
    if image.mode not in _EIGHT_BITS:
        raise InvalidInputError(f"has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
    if options.resize == "exact" and image.size != (options.width, options.height):
        raise InvalidInputError(
            f"has {width} × {height} pixels, but the model takes {options.width} × {options.height}"
        )


def _resized(image: Image, options: ImageOptions) -> Image:
    from PIL import ImageOps
    from PIL.Image import Resampling

    size = (options.width, options.height)
    if image.size == size:
        return image
    match options.resize:
        case "crop":
            return ImageOps.fit(image, size, Resampling.BILINEAR)
        case "pad":
            return ImageOps.pad(image, size, Resampling.BILINEAR)
        case _:
            return image.resize(size, Resampling.BILINEAR)


def _fill(array: Array, image: Image, options: ImageOptions) -> None:
    """Write the pixels once, and scale them in place: fewer bytes move than with an array for each step."""
    if options.layout == "chw":
        for plane, band in zip(array, image.split(), strict=True):
            plane[...] = band
        hwc = array.transpose(1, 2, 0)
    else:
        hwc = array
        hwc[...] = np.asarray(image).reshape(hwc.shape)
    if options.dtype == "float32":
        if options.scale != _FULL:
            array /= np.float32(_FULL / options.scale)
        if options.mean:
            hwc -= np.array(options.mean, np.float32)
        if options.std:
            hwc /= np.array(options.std, np.float32)


def require_pillow(spec: ModelSpec) -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise ArtifactError(
            f"{spec.name}: its image inputs need Pillow: pip install 'takt-server[images]'"
        ) from None
