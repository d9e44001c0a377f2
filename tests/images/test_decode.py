from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from prunescope.errors import PrunescopeError
from prunescope.images.decode import read_image, resize_short_side
from prunescope.networks.operators import torchvision

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)


def repeated(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.stack([grey] * 3, axis=2).astype(np.uint8)


def check(path: Path, expected: NDArray[np.uint8]) -> None:
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_colour(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(COLOUR).save(path, **({"lossless": True} if suffix == "webp" else {}))
    check(path, COLOUR)


def test_jpeg_is_what_torchvision_loads(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(COLOUR).resize((70, 50)).save(path)
    check(path, np.asarray(torchvision.datasets.folder.pil_loader(path)))


@pytest.mark.parametrize("suffix", ["png", "pgm", "tif"])
def test_greyscale_is_repeated(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(GREY).save(tmp_path / f"x.{suffix}")
    check(tmp_path / f"x.{suffix}", repeated(GREY))


def test_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GREY > 127).save(tmp_path / "x.png")
    check(tmp_path / "x.png", repeated((GREY > 127) * 255))


@pytest.mark.parametrize("transparency", [None, 1, bytes(range(16))], ids=["opaque", "one", "each"])
def test_palette_is_looked_up_and_its_transparency_dropped(
    tmp_path: Path, transparency: int | bytes | None
) -> None:
    palette = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(GREY % 16)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "x.png", **({} if transparency is None else {"transparency": transparency}))
    check(tmp_path / "x.png", palette[GREY % 16])


def test_transparency_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([COLOUR, ALPHA])).save(tmp_path / "rgba.png")
    Image.frombytes("LA", (7, 5), np.dstack([GREY, ALPHA]).tobytes()).save(tmp_path / "la.png")
    check(tmp_path / "rgba.png", COLOUR)
    check(tmp_path / "la.png", repeated(GREY))


def test_cmyk_is_converted(tmp_path: Path) -> None:
    ink = np.dstack([COLOUR, GREY])
    Image.frombytes("CMYK", (7, 5), ink.tobytes()).save(tmp_path / "x.tif")
    light = 255 - ink.astype(float)
    expected = light[..., :3] * light[..., 3:] / 255
    assert np.abs(read_image(tmp_path / "x.tif") - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(DEEP).save(tmp_path / f"x.{suffix}")
    check(tmp_path / f"x.{suffix}", repeated(np.rint(DEEP / 257)))


def test_sixteen_bits_with_the_high_byte_first(tmp_path: Path) -> None:
    Image.frombytes("I;16B", (7, 5), DEEP.astype(">u2").tobytes()).save(tmp_path / "x.tif")
    check(tmp_path / "x.tif", repeated(np.rint(DEEP / 257)))


@pytest.mark.parametrize(("kind", "words"), [(np.float32, "floating-point"), (np.int32, "32-bit integers")])
def test_pixels_without_an_agreed_white_are_refused(tmp_path: Path, kind: type, words: str) -> None:
    Image.fromarray(GREY.astype(kind)).save(tmp_path / "x.tif")
    with pytest.raises(PrunescopeError, match=rf"x\.tif.*{words}.*convert it to 8 bits"):
        read_image(tmp_path / "x.tif")


def test_orientation_in_exif_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(COLOUR).save(tmp_path / "x.png", exif=exif)
    check(tmp_path / "x.png", COLOUR)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(COLOUR).resize((40, 30)).save(file, kind)
    return file.getvalue()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(encoded("jpeg")[:-200])
    (tmp_path / "text.png").write_text("<html>not found</html>")
    (tmp_path / "empty.png").touch()
    for name, words in {
        "cut.jpg": "truncated",
        "text.png": "not an image that Pillow can read",
        "empty.png": "not an image",
        "gone.png": "No such file",
    }.items():
        with pytest.raises(PrunescopeError, match=words) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["jpeg", "png", "gif", "tiff", "bmp", "webp"]), data=st.data())
def test_whatever_the_damage_only_our_error_comes_out(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "x").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        pixels = read_image(tmp_path / "x")
    except PrunescopeError:
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@pytest.mark.parametrize("side", [10_000, 40_000], ids=["Pillow warns", "Pillow refuses"])
def test_far_too_large_images_are_refused_with_their_size(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.ppm").write_bytes(b"P6 %d %d 255\n" % (side, side))
    with pytest.raises(PrunescopeError, match=rf"bomb\.ppm is too large: .*{side**2} .*limit of \d+"):
        read_image(tmp_path / "bomb.ppm")


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "x.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, [tmp_path / "x.png"] * 400))
    assert warnings.filters == before


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    short=st.integers(1, 60),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
def test_resize_is_that_of_torchvision(height: int, width: int, short: int, interpolation: str) -> None:
    from torchvision.transforms import v2

    pixels = np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    resize = v2.Resize(short, v2.InterpolationMode(interpolation))
    expected = np.asarray(resize(Image.fromarray(pixels)))
    np.testing.assert_array_equal(resize_short_side(pixels, short, interpolation), expected)


def test_real_photographs(real_data: Path) -> None:
    for path in sorted((real_data / "imagenet1k_one_per_class").iterdir())[::100]:
        check(path, np.asarray(Image.open(path).convert("RGB")))
