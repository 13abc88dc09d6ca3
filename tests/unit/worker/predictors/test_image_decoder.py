"""Images are decoded to the declared array, beside the engine, and a damaged image fails its own row."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.Image import Resampling

from shared.columns import of_rows, take
from shared.errors import InvalidInputError
from shared.images import ImageOptions
from tests.support.specimens import declaration
from worker.predictors.image_decoder import ImageDecoder
from worker.predictors.image_files import decode

RNG = np.random.default_rng(5)


def picture(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    channels = len(mode)
    return Image.fromarray(
        RNG.integers(0, 256, (height, width, channels), dtype=np.uint8).squeeze(), mode=None
    ).convert(mode)


def packed(image: Image.Image, kind: str = "PNG") -> bytes:
    into = io.BytesIO()
    image.save(into, kind)
    return into.getvalue()


def options(**changes: Any) -> ImageOptions:
    return ImageOptions.model_validate({"height": 40, "width": 60} | changes)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pixels_are_those_of_pillow(kind: str) -> None:
    data = packed(picture(), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    found = decode(data, options())
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("given", ["L", "RGB", "RGBA", "P", "CMYK"])
def test_each_mode_becomes_the_declared_channels(channels: int, mode: str, given: str) -> None:
    image = picture().convert(given)
    data = packed(image, "JPEG" if given == "CMYK" else "PNG")
    found = decode(data, options(channels=channels))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert(mode)).reshape(40, 60, channels)
    assert np.array_equal(found, expected)


def test_floats_are_scaled_normalized_and_in_the_declared_order() -> None:
    image = picture()
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    found = decode(packed(image), options(dtype="float32", layout="chw", mean=mean, std=std))
    pixels = np.asarray(image).astype(np.float32) / np.float32(255)
    expected = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.transpose(2, 0, 1))


@pytest.mark.parametrize("scale", [255.0, 2.0])
def test_a_scale_is_the_value_of_a_full_pixel(scale: float) -> None:
    image = picture()
    found = decode(packed(image), options(dtype="float32", scale=scale, mean=[1.0] * 3))
    expected = np.asarray(image).astype(np.float32) * np.float32(scale / 255) - 1
    assert np.allclose(found, expected, atol=1e-5)
    if scale == 255:
        assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match="scale: needs dtype = 'float32'"):
        options(scale=scale)


@pytest.mark.parametrize("rule", ["stretch", "crop", "pad"])
def test_another_size_follows_the_declared_rule(rule: str) -> None:
    image = picture(100, 30)
    expected = {
        "stretch": image.resize((60, 40), Resampling.BILINEAR),
        "crop": ImageOps.fit(image, (60, 40), Resampling.BILINEAR),
        "pad": ImageOps.pad(image, (60, 40), Resampling.BILINEAR),
    }[rule]
    assert np.array_equal(decode(packed(image), options(resize=rule)), np.asarray(expected))


def test_a_large_jpeg_may_be_decoded_at_a_part_of_its_size() -> None:
    image = picture(6, 4).resize((480, 320), Resampling.BICUBIC)
    found = decode(packed(image, "JPEG"), options(reduced_jpeg=True))
    whole = decode(packed(image, "JPEG"), options())
    assert found.shape == whole.shape
    assert not np.array_equal(found, whole)
    assert np.abs(found.astype(int) - whole.astype(int)).mean() < 8
    assert np.array_equal(decode(packed(image), options(reduced_jpeg=True)), decode(packed(image), options()))


def test_an_exact_size_is_required_where_declared() -> None:
    with pytest.raises(InvalidInputError, match="has 100 × 30 pixels, but the model takes 60 × 40"):
        decode(packed(picture(100, 30)), options(resize="exact"))


SIXTEEN_BITS = Image.fromarray(RNG.integers(0, 65536, (4, 4), dtype=np.uint16))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89a" + bytes(40), "is neither JPEG nor PNG"),
        (packed(picture(), "JPEG")[:-900], "is cut off"),
        (packed(picture())[:-900], "is cut off"),
        (packed(picture())[:60] + packed(picture())[300:], "cannot be decoded"),
        (packed(SIXTEEN_BITS), "more than 8 bits per channel"),
        (packed(Image.new("L", (5000, 3000))), "5000 × 3000 pixels; at most 1000000"),
        (packed(picture(600, 600)), "is larger than 1000000 bytes"),
    ],
    ids=["empty", "gif", "cut jpeg", "cut png", "damaged", "16 bits", "many pixels", "many bytes"],
)
def test_an_unusable_image_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        decode(data, options(max_pixels=1_000_000, max_bytes=1_000_000))


def test_images_of_rows_are_decoded_also_if_that_was_begun_before() -> None:
    spec = declaration(
        inputs=[
            {"name": "photo", "type": "image", "image": {"height": 40, "width": 60}, "nullable": True},
            {"name": "gain", "type": "float", "example": 1.0},
        ]
    )
    files = [packed(picture()), None, packed(picture(), "JPEG"), packed(picture())]
    columns = of_rows(spec, [{"photo": file, "gain": 1.0} for file in files])
    expected = np.stack([decode(one, options()) if one else np.zeros((40, 60, 3), np.uint8) for one in files])
    decoder = ImageDecoder(spec)
    assert np.array_equal(decoder.decoded(columns)["photo"], expected)
    decoder.begin(columns, 0, 2)
    assert np.array_equal(decoder.decoded(columns)["photo"], expected)
    assert columns["photo"][2] == files[2], "rows that were not begun are unchanged"
    decoder.release(columns, 0, 2)
    assert columns["photo"].tolist() == [None, None, *files[2:]]
    entries: list[list[Any]] = [[files[:3], b""], [files[3:], b""]]
    decoder.begin_entries(entries)
    decoder.wait(entries)
    joined = np.array([*entries[0][0], *entries[1][0]], dtype=object)
    assert np.array_equal(decoder.decoded({"photo": joined})["photo"], expected)
    assert np.array_equal(decoder.decoded({"photo": joined[[2, 0, 3]]})["photo"], expected[[2, 0, 3]])


def test_rows_that_were_decoded_together_are_not_copied_and_a_model_may_change_them() -> None:
    image = {"name": "photo", "type": "image", "image": {"height": 40, "width": 60}, "nullable": True}
    spec = declaration(inputs=[image])
    files = [packed(picture()) for _ in range(5)]
    columns = of_rows(spec, [{"photo": file} for file in files])
    expected = np.stack([decode(file, options()) for file in files])
    decoder = ImageDecoder(spec)
    assert decoder.begun_rows(columns, 0) == 0
    decoder.begin(columns, 0, 3)
    decoder.begin(columns, 0, 9)
    decoder.begin(columns, 3, 9)
    assert [decoder.begun_rows(columns, start) for start in range(5)] == [3, 2, 1, 2, 1]
    first, second = (decoder.decoded(take(columns, *ends))["photo"] for ends in ((0, 2), (2, 3)))
    assert first.base is second.base is not None
    first[...] = second[...] = 0
    assert np.array_equal(decoder.decoded(columns)["photo"], expected)


def test_a_damaged_image_fails_each_call_that_has_it_and_no_other() -> None:
    image = {"name": "photo", "type": "image", "image": {"height": 40, "width": 60}, "nullable": True}
    spec = declaration(inputs=[image])
    files = [packed(picture()), packed(picture(), "JPEG")[:-900], packed(picture())]
    columns = of_rows(spec, [{"photo": file} for file in files])
    decoder = ImageDecoder(spec)
    decoder.begin(columns, 0, 3)
    for rows in ((0, 3), (1, 2), (0, 2)):
        with pytest.raises(InvalidInputError, match="photo: is cut off"):
            decoder.decoded(take(columns, *rows))
    for row in (0, 2):
        found = decoder.decoded(take(columns, row, row + 1))["photo"]
        assert np.array_equal(found[0], decode(files[row], options()))


def test_an_entry_that_does_not_match_the_spec_does_not_begin() -> None:
    image = {"name": "photo", "type": "image", "image": {"height": 40, "width": 60}, "nullable": True}
    entries: list[list[Any]] = [[b"no list"], [], [[packed(picture())]]]
    ImageDecoder(declaration(inputs=[image])).begin_entries(entries)
    assert entries[:2] == [[b"no list"], []]
    assert not isinstance(entries[2][0][0], bytes)
