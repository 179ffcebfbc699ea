import json
import subprocess
import sys
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
from tiny_generators import tiny_model, write_onnx

from data import degrade
from data.io import to_float, to_uint8
from data.quality import edges, luminance, measure
from models.enhancer import (
    FARTHER,
    READABLE,
    SMALL_CAST,
    Generator,
    at_own_size,
    enhance,
    from_model,
    is_sharp,
    keep_colours,
    load_generator,
    mix,
    resize,
    restore,
    restore_each,
    run_with_strip,
    to_working_size,
    working_size,
)
from models.loading import cpu_has_bfloat16


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("generator") / "tiny.keras"
    tiny_model().save(path)
    return path


def identity(scale=1):
    return Generator(lambda batch: batch.repeat(scale, 1).repeat(scale, 2), scale)


def test_a_tile_is_given_to_the_network_as_it_is(archive, rng):
    generator = load_generator(archive, "float32")
    tile = rng.random((1, 96, 192, 3), dtype="float32")
    expected = keep_colours(tile[0], np.clip(keras.saving.load_model(archive)(tile), 0, 1)[0])[None]
    np.testing.assert_allclose(restore(generator, tile), expected, atol=1e-6)
    np.testing.assert_allclose(enhance(generator, list(tile))[0], expected[0], atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_tall_picture_gets_a_second_pass_over_its_central_strip(scale, rng):
    sizes = []

    def enlarge_and_mark(batch):
        """Darkens the first row of what it is shown: means and contrasts change, the rest stays."""
        sizes.append(batch.shape[1:3])
        drawn = batch.repeat(scale, 1).repeat(scale, 2)
        drawn[:, scale * 8] = 0
        return drawn

    generator = Generator(enlarge_and_mark, scale, window_px=64)
    tall = rng.uniform(0.2, 0.8, (1, 96 // scale, 192 // scale, 3)).astype("float32")
    seen = run_with_strip(generator, tall)[0].sr
    assert sizes == [(96 // scale, 192 // scale), (64 // scale, 192 // scale)]
    whole = tall[0].repeat(scale, 0).repeat(scale, 1)
    whole[scale * 8] = 0
    np.testing.assert_array_equal(seen[:16], whole[:16])
    np.testing.assert_array_equal(seen[80:], whole[80:])
    assert seen[16 + scale * 8].max() < 0.1 < whole[16 + scale * 8].min()
    # brightness and contrast are those of the first pass
    for pick in (np.mean, np.std):
        np.testing.assert_allclose(pick(seen[24:72], (0, 1)), pick(whole[24:72], (0, 1)), atol=0.02)


@pytest.mark.parametrize("height", [64, 96])
def test_what_is_read_is_of_what_the_network_was_shown_last(height, rng):
    generator = Generator(lambda batch: (batch, batch.sum(axis=(1, 3))[..., None]), window_px=64)
    batch = rng.random((2, height, 192, 3), dtype="float32")
    top = (height - 64) // 2
    for each, picture in zip(run_with_strip(generator, batch), batch, strict=True):
        np.testing.assert_array_equal(each.shown, picture[top : top + 64])
        np.testing.assert_array_equal(each.read[:, 0], each.shown.sum(axis=(0, 2)))


@pytest.mark.parametrize("height", [48, 64])
def test_a_picture_no_taller_than_the_window_gets_one_pass(height, rng):
    shown = []

    def note(batch):
        shown.append(batch.shape)
        return batch

    batch = rng.random((2, height, 192, 3), dtype="float32")
    drawn = run_with_strip(Generator(note, window_px=64), batch)
    np.testing.assert_array_equal([each.sr for each in drawn], batch)
    assert shown == [batch.shape]


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (31, 16), (33, 200)])
def test_padding_is_cut_back(scale, size, rng):
    batch = rng.random((2, *size, 3), dtype="float32")
    np.testing.assert_allclose(restore(identity(scale), batch), identity(scale).run(batch), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((48, 96), (96, 192)),
        ((30, 192), (30, 192)),
        ((1, 4000), (1, 4000)),
        ((200, 384), (200, 384)),
        ((90, 10), (768, 85)),
    ],
)
def test_the_result_is_192_wide_or_as_large_as_the_input(size, expected):
    result = enhance(identity(), [np.full((*size, 3), 0.25, "float32")])[0]
    assert result.shape == (*expected, 3)
    np.testing.assert_allclose(result, 0.25, atol=1e-6)


def test_a_strip_does_not_become_a_huge_picture():
    assert working_size(192, 5000, 1) == (768, 1)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_every_scale_gives_the_same_working_size(scale):
    assert enhance(identity(scale), [np.zeros((20, 40, 3), "float32")])[0].shape == (96, 192, 3)


def test_a_result_does_not_depend_on_its_neighbours(archive, rng):
    generator = load_generator(archive, "float32")
    pictures = [
        rng.random((h, w, 3), dtype="float32") for h, w in ((40, 100), (96, 192), (48, 96), (300, 200), (40, 100))
    ]
    together = enhance(generator, pictures)
    for picture, result in zip(pictures, together, strict=True):
        np.testing.assert_allclose(enhance(generator, [picture])[0], result, atol=1e-5)


def test_output_stays_a_picture(rng):
    wild = Generator(lambda batch: batch * 9 - 4)
    # so large that chance makes no cast
    result = restore(wild, rng.random((1, 128, 128, 3)))
    assert result.min() == 0
    assert result.max() == 1
    # a cast: faint colours are greyed
    in_red_light = restore(wild, rng.random((1, 16, 16, 3)) * (1, 0.6, 0.6))
    assert in_red_light.min() >= 0
    assert in_red_light.max() <= 1


def test_faint_colours_are_greyed_where_a_strong_cast_was_taken_away():
    white, band, faint = np.full((24, 48, 3), 0.8, np.float32), (slice(None), slice(8)), (slice(None), slice(8, 16))
    # what is written
    white[:8] = 0.2
    white[band], white[faint] = (0.1, 0.2, 0.7), (0.75, 0.83, 0.75)
    saturation = np.ptp(white, axis=-1)
    for red, sure in ((0.0, True), (0.3, False)):
        lq = white * 0.5 + np.array([red, 0, 0], np.float32)
        left = np.ptp(keep_colours(lq, white), axis=-1) / np.maximum(saturation, 1e-6)
        assert left[faint].max() > 0.99 if sure else left[faint].max() < 0.6
        assert left[band].min() > 0.95 if sure else left[band].min() > 0.8


def test_a_small_change_of_colour_is_left_out_and_a_great_one_made_smaller(monkeypatch, rng):
    monkeypatch.setattr("models.enhancer.DOUBT_OF_CAST", 0.0)
    lq = 0.3 + 0.3 * rng.random((24, 48, 3), dtype="float32")
    brighter = 1.5 * lq - 0.2
    np.testing.assert_allclose(keep_colours(lq, brighter), brighter, atol=1e-5)
    for cast, left in ((0.01, 0.0), (0.1, 0.1 - SMALL_CAST)):
        tint = cast * np.array([1, 0, -1], np.float32) / np.sqrt(2)
        tint -= luminance(tint)
        tint *= cast / np.linalg.norm(tint)
        kept = keep_colours(lq, np.float32(brighter + tint)) - brighter
        np.testing.assert_allclose(kept, np.broadcast_to(tint * left / cast, lq.shape), atol=1e-4)


def test_the_strength_follows_how_well_each_picture_can_be_read():
    pictures = [np.random.default_rng(number).random((32, 64, 3), dtype=np.float32) for number in range(3)]
    generator = Generator(lambda batch: 1 - batch, width_px=64, strength=1.0, readable_strength=0.0)
    mixed = restore_each(generator, pictures, readable=[*np.array([1.0, 0.5]), None])
    assert [each.dtype for each in mixed] == [np.float32] * 3
    for each, picture, strength in zip(mixed, pictures, (0.0, 0.5, 1.0), strict=True):
        (alone,) = restore_each(replace(generator, strength=strength, readable_strength=None), [picture])
        np.testing.assert_array_equal(each, alone)


def test_what_is_hard_to_read_is_the_mean_of_several_drawings():
    shown = []

    def run(batch):
        shown.append(batch)
        return np.full_like(batch, 0.1 + 0.2 * len(shown))

    bright = np.zeros((32, 64, 3), np.float32)
    bright[8:24, 16:48] = 1
    (hard,) = restore_each(Generator(run, width_px=64), [bright], readable=[READABLE - 0.01])
    assert len(shown) == 1 + len(FARTHER)
    np.testing.assert_allclose(hard, 0.6, atol=1e-6)
    # from farther away it is smaller, and stays in the middle
    sizes = [np.sqrt(batch.sum() / bright.sum()) for batch in shown]
    assert sizes == pytest.approx((1.0, *FARTHER), abs=0.01)
    middle_of = [np.average(np.arange(64), weights=batch[0].sum(axis=(0, 2))) for batch in shown]
    assert middle_of == pytest.approx([31.5] * len(shown), abs=0.05)
    shown.clear()
    restore_each(Generator(run, width_px=64), [bright, bright], readable=[READABLE, None])
    assert [len(batch) for batch in shown] == [2]


def test_several_drawings_lie_upon_each_other():
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((64, 192, 3), dtype=np.float32), (0, 0), 4)
    (one,), (several,) = (restore_each(Generator(lambda batch: batch), [smooth], readable=[p]) for p in (None, 0.0))
    np.testing.assert_allclose(several[8:-8, 16:-16], one[8:-8, 16:-16], atol=0.003)


def test_what_can_be_read_gets_less_strength():
    generator = Generator(lambda batch: batch, strength=0.7, readable_strength=0.1)
    assert [generator.strength_for(p) for p in (0, 1)] == pytest.approx([0.7, 0.1])
    assert generator.strength_for(0.5) == pytest.approx(0.4)
    assert replace(generator, readable_strength=None).strength_for(1) == 0.7


def test_a_blend_lies_between_the_result_and_the_brightness_matched_input(rng):
    lq = 0.2 + 0.1 * rng.random((24, 48, 3), dtype="float32")
    sr = rng.random((48, 96, 3), dtype="float32") ** 2
    relit, half = mix(lq, sr, 0.0), mix(lq, sr, 0.5)
    # not exactly: it is clipped
    np.testing.assert_allclose(relit.mean((0, 1)), sr.mean((0, 1)), atol=0.03)
    assert np.corrcoef(relit.ravel(), resize(lq, 48, 96).ravel())[0, 1] > 0.9
    np.testing.assert_allclose(half, (sr + relit) / 2, atol=1e-6)
    np.testing.assert_array_equal(mix(lq, sr, 1.0), sr)
    flat = np.full((24, 48, 3), 0.1, np.float32)
    np.testing.assert_allclose(mix(flat, sr, 0.0), np.broadcast_to(sr.mean((0, 1)), sr.shape), atol=1e-3)


def test_the_strength_is_that_of_the_json_or_the_one_asked_for(tmp_path, rng):
    path = write_onnx(tmp_path / "net.onnx", gain=0.5)
    tile = rng.random((32, 64, 3), dtype="float32")
    whole = restore_each(load_generator(path, strength=1.0), [tile])[0]
    path.with_suffix(".json").write_text('{"strength": 0.25}')
    np.testing.assert_allclose(restore_each(load_generator(path), [tile])[0], mix(tile, whole, 0.25), atol=1e-6)
    np.testing.assert_allclose(restore_each(load_generator(path, strength=1.0), [tile])[0], whole, atol=1e-6)
    for nonsense in ('"high"', "1.5", "-1", "NaN", "[1]", "null"):
        path.with_suffix(".json").write_text(f'{{"strength": {nonsense}}}')
        assert load_generator(path).strength == 1


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_grey_in_grey_out(strength, rng):
    tinting = Generator(
        lambda batch: batch * np.float32([0.9, 1.3, 0.6]) + np.float32([0.1, 0, 0.05]), strength=strength
    )
    grey = np.repeat(rng.random((48, 96, 1), dtype="float32") * 0.5, 3, axis=2)
    large = np.repeat(rng.integers(0, 200, (150, 300, 1), dtype=np.uint8), 3, axis=2)
    result = enhance(tinting, [grey, large / np.float32(255)])
    for picture in result:
        assert np.ptp(picture, axis=2).max() == 0
    assert np.ptp(at_own_size(result[0], large), axis=2).max() == 0
    colourful = restore_each(tinting, [grey * np.float32([1, 0.5, 0.5])])[0]
    assert np.ptp(colourful, axis=2).max() > 0.1


def test_a_large_picture_keeps_its_own_detail_and_not_its_noise(rng):
    stripes = np.zeros((240, 960, 3), np.float32)
    stripes[:, ::8] = stripes[:, 1::8] = 0.4
    stripes += 0.1
    sr = resize(stripes, 48, 192) * 2
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(at_own_size(sr, stripes)[inner].std(), 2 * stripes.std(), rtol=0.1)
    flat = np.full((240, 960, 3), 0.3, np.float32) + rng.normal(0, 0.05, (240, 960, 1)).astype("float32")
    noisy = at_own_size(resize(flat, 48, 192), flat)
    assert noisy[inner].std() < 0.5 * flat.std()


def with_halos(batch):
    """What a network does that overdoes it: edges doubled, white and black clipped."""
    soft = np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in batch])
    return np.clip(1.3 * (batch - 0.5) + 0.5 + 0.7 * (batch - soft), 0, 1)


@pytest.mark.parametrize("light", [1.0, 0.25])
def test_a_sharp_picture_gets_brightness_and_contrast_and_no_seams(light):
    picture = np.full((240, 960, 3), 235, np.uint8)
    cv2.putText(picture, "KX 7294", (60, 180), cv2.FONT_HERSHEY_SIMPLEX, 6, (20, 20, 20), 24, cv2.LINE_AA)
    large = to_uint8(cv2.GaussianBlur(light * to_float(picture), (0, 0), 0.7))
    generator = Generator(lambda batch: with_halos(batch / light))
    sr = restore_each(generator, [to_working_size(generator, to_float(large))])[0]
    assert is_sharp(large, sr)
    result = at_own_size(sr, large)
    before, after = measure(large), measure(result)
    assert after.sharpness > 0.99 * before.sharpness
    assert after.contrast >= before.contrast
    assert after.brightness == pytest.approx(float(luminance(sr).mean()), abs=0.05)
    # a straight line of tone through all pixels: no pixel knows its neighbours
    assert np.abs(np.polynomial.Polynomial.fit(large.ravel(), result.ravel(), 1)(large) - result).max() < 3


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_a_picture_blurred_in_one_direction_is_not_sharp(rng, angle):
    strokes = (rng.random((12, 48, 1)) > 0.5).repeat(20, 0).repeat(20, 1).repeat(3, 2).astype(np.float32)
    clean = 0.2 + 0.6 * strokes
    moved = degrade.apply(clean, [{"stage": "motion", "length": 40.0, "angle": angle, "linear": False}])
    sr = resize(clean, 48, 192)
    # over all directions its edges are stronger than those of the network's output
    assert edges(luminance(moved)) > 2 * edges(luminance(resize(sr, 240, 960)))
    assert not is_sharp(moved, sr)


def test_a_blurred_and_a_noisy_picture_are_not_sharp(rng):
    strokes = (rng.random((12, 48, 1)) > 0.5).repeat(20, 0).repeat(20, 1).repeat(3, 2).astype(np.float32)
    blurred = cv2.GaussianBlur(0.2 + 0.6 * strokes, (0, 0), 9)
    sr = resize(0.2 + 0.6 * strokes, 48, 192)
    assert not is_sharp(blurred, sr)
    assert not is_sharp(np.clip(blurred + rng.normal(0, 0.05, (240, 960, 1)), 0, 1).astype("float32"), sr)
    assert is_sharp(0.2 + 0.6 * strokes, sr)
    assert not is_sharp(np.full((240, 960, 3), 90, np.uint8), np.full((48, 192, 3), 0.4, np.float32))


def test_bands_of_a_large_picture_show_no_seams(monkeypatch, rng):
    picture = rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)
    sr = rng.random((96, 128, 3), dtype="float32")
    whole = at_own_size(sr, picture)
    monkeypatch.setattr("models.enhancer.BAND_ROWS", 32)
    np.testing.assert_allclose(at_own_size(sr, picture).astype(int), whole, atol=1)
    assert whole.dtype == np.uint8


def test_nothing_in_nothing_out():
    assert restore_each(identity(), []) == []


def test_bfloat16_is_close_and_a_bfloat16_archive_computes_in_float32_when_asked(archive, tmp_path, rng):
    tile = rng.random((1, 32, 32, 3), dtype="float32")
    exact = restore(load_generator(archive, "float32"), tile)
    half = load_generator(archive, "bfloat16")
    assert str(half.backend) == "Keras, bfloat16"
    assert 0 < np.abs(restore(half, tile) - exact).max() < 0.02

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        stored = tiny_model()
    finally:
        keras.config.set_dtype_policy("float32")
    stored.set_weights(keras.saving.load_model(archive).get_weights())
    stored.save(tmp_path / "half.keras")
    np.testing.assert_allclose(restore(load_generator(tmp_path / "half.keras", "float32"), tile), exact, atol=1e-5)


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        ("vendor_id : GenuineIntel\nflags : fpu amx_bf16 amx_tile\n", True),
        ("vendor_id : GenuineIntel\nflags : fpu avx512_bf16\n", False),
        ("vendor_id : AuthenticAMD\nflags : fpu avx512_bf16\n", True),
        ("vendor_id : AuthenticAMD\nflags : fpu avx2\n", False),
    ],
)
def test_auto_precision_follows_the_cpu(tmp_path, cpuinfo, fast):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") is fast
    assert not cpu_has_bfloat16(tmp_path / "absent")


def test_a_model_in_memory_is_the_same_generator(archive, rng):
    batch = rng.random((1, 20, 24, 3), dtype="float32")
    direct = from_model(keras.saving.load_model(archive))
    np.testing.assert_allclose(restore(direct, batch), restore(load_generator(archive, "float32"), batch), atol=1e-6)
    assert from_model(tiny_model(scale=4)).scale == 4


def test_info_comes_from_the_json_beside_and_damage_there_does_no_harm(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", info={"kept": "inside"})
    assert load_generator(path).info == {"kept": "inside"}
    path.with_suffix(".json").write_text(json.dumps({"role": "generator", "tile": [64, 128]}))
    assert load_generator(path).width_px == 128
    assert load_generator(path).window_px == 0
    for damaged in ("{", "[1]", '{"tile": "x"}', "[" * 100_000):
        path.with_suffix(".json").write_text(damaged)
        assert load_generator(path).width_px == 192


@pytest.mark.parametrize("window", [64, 0, 60, -16, True, "64", 1 << 20])
def test_the_height_of_the_window_stands_in_the_json(tmp_path, window):
    path = write_onnx(tmp_path / "net.onnx")
    path.with_suffix(".json").write_text(json.dumps({"window_px": window, "settings": {"crop": "32x64"}}))
    assert load_generator(path).window_px == (64 if window == 64 else 0)


@pytest.mark.parametrize(
    ("crop", "expected"), [("64x192", 64), ("64X192", 64), ("", 0), ("x", 0), ("60x192", 0), ([64], 0)]
)
def test_jsons_written_before_window_px_are_understood(tmp_path, crop, expected):
    path = write_onnx(tmp_path / "net.onnx")
    path.with_suffix(".json").write_text(json.dumps({"settings": {"crop": crop}}))
    assert load_generator(path).window_px == expected


def test_a_json_that_asks_for_huge_tiles_is_refused(tmp_path):
    path = write_onnx(tmp_path / "net.onnx")
    path.with_suffix(".json").write_text('{"tile": [96, 100000]}')
    with pytest.raises(ValueError, match=r"net\.onnx: its JSON asks for tiles of 96 x 100000"):
        load_generator(path)


def test_what_is_not_a_generator_is_refused_with_a_reason(archive, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        load_generator(tmp_path / "absent.keras")
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be a \.keras or an \.onnx file"):
        load_generator(tmp_path / "weights.h5")
    for suffix in (".keras", ".onnx"):
        (tmp_path / f"noise{suffix}").write_bytes(b"not an archive")
        with pytest.raises(ValueError, match=f"noise{suffix}"):
            load_generator(tmp_path / f"noise{suffix}")
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(5, 3)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="not a generator"):
        load_generator(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="precision"):
        load_generator(archive, "float8")


def test_code_inside_an_archive_is_not_run(tmp_path):
    picture = keras.Input((None, None, 3))
    model = keras.Model(picture, keras.layers.Lambda(lambda x: x * 2)(picture))
    model.save(tmp_path / "code.keras")
    with pytest.raises(ValueError, match="safe mode"):
        load_generator(tmp_path / "code.keras")


def test_importing_the_enhancer_imports_no_framework():
    code = "import sys, models.enhancer; print({'tensorflow', 'keras', 'onnxruntime'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_pictures_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\)"):
        restore(identity(), np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        enhance(identity(), [np.zeros((4, 4))])
