import hashlib
import inspect
import json

import numpy as np
import pytest
from PIL import Image

from data import degrade
from data.degrade import LADDERS, ladder
from data.sampler import PRESETS

MANY = 400


def striped(height: int = 96, width: int = 192) -> np.ndarray:
    """A picture with smooth and sharp parts, values 0.1..0.9."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    picture = np.stack([0.5 + 0.3 * np.sin(x / 9), 0.5 + 0.3 * np.cos(y / 7), 0.3 + 0.4 * (x > width / 2)], axis=-1)
    picture[height // 3 : height // 2, ::11] = 0.9
    return picture.astype(np.float32)


def stops_of(steps: list[dict]) -> float:
    """By which the steps brighten (above 0) or darken (below 0) middle grey."""
    stops = sum(step["stops"] for step in steps if step["stage"] in ("exposure", "glow"))
    # middle grey is stored as 0.5; the power p makes it 0.5^p, and half the stored value is two stops less
    return stops + sum(2 * (1 - step["power"]) for step in steps if step["stage"] == "gamma")


def dot(sigma: float = 4.0) -> np.ndarray:
    """A soft bright dot in the middle of a black picture."""
    y, x = np.mgrid[:96, :192]
    value = np.exp(-((x - 95.5) ** 2 + (y - 47.5) ** 2) / (2 * sigma**2))
    return np.repeat(value[..., None], 3, axis=2).astype(np.float32)


def centre(picture: np.ndarray) -> np.ndarray:
    """Centre of mass (y, x) of a picture's light."""
    light = picture.astype(np.float64).sum(axis=2)
    return np.array([(light * axis).sum() / light.sum() for axis in np.mgrid[: light.shape[0], : light.shape[1]]])


def samples(preset: str, count: int = MANY, seed: int = 0) -> list[list[degrade.Step]]:
    rng = np.random.default_rng(seed)
    return [degrade.sample(rng, preset) for _ in range(count)]


@pytest.mark.parametrize("radius", [0.05, 0.5, 1, 2.7, 6])
def test_disc_sums_to_one_is_centred_and_has_its_radius(radius):
    kernel = degrade.disc_kernel(radius)
    check_kernel(kernel)
    if radius > 2:
        # Along one axis a disc has the variance radius^2 / 4, and the pixels that it is poured into 1 / 12.
        assert spread(kernel) == pytest.approx(np.sqrt(radius**2 / 4 + 1 / 12), rel=0.03)


@pytest.mark.parametrize("angle", [0, 30, 90, 171])
def test_line_has_its_length_and_direction(angle):
    kernel = degrade.line_kernel(15, angle)
    check_kernel(kernel)
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]] - kernel.shape[0] // 2
    along = x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
    assert np.sqrt((kernel * along**2).sum()) == pytest.approx(15 / np.sqrt(12), rel=0.06)


@pytest.mark.parametrize("seed", range(12))
def test_path_is_centred_and_as_long_as_asked(seed):
    kernel = degrade.path_kernel(38, angle=25 * seed, curl=seed / 11, seed=seed)
    check_kernel(kernel)
    lit = np.argwhere(kernel > 0)
    reach = np.sqrt(((lit[:, None] - lit[None]) ** 2).sum(axis=2).max())
    # every point is spread over the four pixels around it
    assert 38 <= reach <= 38 + 2 * np.sqrt(2)


def check_kernel(kernel: np.ndarray) -> None:
    assert kernel.dtype == np.float32
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    offsets = np.mgrid[: kernel.shape[0], : kernel.shape[1]] - kernel.shape[0] // 2
    assert np.abs((kernel * offsets).sum(axis=(1, 2))).max() < 1e-3


def spread(kernel: np.ndarray) -> float:
    return float(np.sqrt((kernel * (np.mgrid[: len(kernel), : len(kernel)][1] - len(kernel) // 2) ** 2).sum()))


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("operation", ["defocus", "gaussian", "motion", "shake"])
def test_blur_moves_nothing(operation, linear):
    for _, [step] in ladder(operation):
        # In linear light the dot is squared before the kernel, and only there its centre of mass stays.
        out = degrade.apply(dot(), [step | {"linear": linear}]) ** (2 if linear else 1)
        np.testing.assert_allclose(centre(out), [47.5, 95.5], atol=0.02)


@pytest.mark.parametrize("down", ["area", "linear", "cubic"])
@pytest.mark.parametrize("up", ["linear", "cubic", "lanczos"])
@pytest.mark.parametrize("factor", [1.37, 2, 3.3, 4, 8])
def test_shrinking_and_back_moves_nothing(down, up, factor):
    out = degrade.apply(
        dot(sigma=9), [{"stage": "down", "factor": factor, "filter": down}, {"stage": "up", "filter": up}]
    )
    np.testing.assert_allclose(centre(out), [47.5, 95.5], atol=0.05)


@pytest.mark.parametrize("operation", ["jpeg", "video"])
@pytest.mark.parametrize("phase", [0, 3, 7])
def test_coding_moves_nothing_and_keeps_the_colours(operation, phase):
    picture = striped()
    out = degrade.apply(picture, [{"stage": operation, "quality": 95, "dx": phase, "dy": phase}])
    errors = {shift: np.abs(np.roll(picture, shift, axis=1) - out).mean() for shift in (-1, 0, 1)}
    assert min(errors, key=errors.get) == 0
    assert np.abs(picture.mean(axis=(0, 1)) - out.mean(axis=(0, 1))).max() < 0.01


@pytest.mark.parametrize("operation", [*LADDERS])
def test_an_operation_keeps_shape_range_and_input(operation):
    picture = striped()
    before = picture.copy()
    for _, steps in ladder(operation):
        out = degrade.apply(picture, steps)
        assert out.shape == picture.shape
        assert out.dtype == np.float32
        assert np.isfinite(out).all()
        assert out.min() >= 0
        assert out.max() <= 1
        assert np.abs(out - picture).max() > 1e-3
    np.testing.assert_array_equal(picture, before)


def test_every_operation_is_on_the_sheet():
    assert set(LADDERS) == set(degrade.OPERATIONS)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_flat_black_and_white_stay_finite(value):
    picture = np.full((96, 192, 3), value, np.float32)
    for steps in samples("street", 60):
        assert np.isfinite(degrade.apply(picture, steps)).all()


def test_operations_do_what_their_numbers_say():
    grey = np.full((16, 16, 3), 0.4, np.float32)
    assert degrade.apply(grey, [{"stage": "exposure", "stops": -2}])[0, 0] == pytest.approx(0.2)
    assert degrade.apply(grey, [{"stage": "exposure", "stops": 4}])[0, 0] == pytest.approx(1)
    assert degrade.apply(grey, [{"stage": "gamma", "power": 2}])[0, 0] == pytest.approx(0.16)
    assert degrade.apply(grey, [{"stage": "contrast", "factor": 0.5, "pivot": 0.6}])[0, 0] == pytest.approx(0.5)
    veil = degrade.apply(grey, [{"stage": "haze", "amount": 0.5, "colour": [1, 0.4, 0]}])[0, 0]
    assert veil == pytest.approx([np.sqrt(0.08 + 0.5), 0.4, np.sqrt(0.08)])
    tint = degrade.apply(grey, [{"stage": "cast", "gains": [1.5, 1, 0.5], "saturation": 0.7}])[0, 0]
    assert tint == pytest.approx([0.6, 0.4, 0.2], abs=1e-6)
    red = np.zeros((16, 16, 3), np.float32) + np.array([1, 0, 0], np.float32)
    infrared = degrade.apply(red, [{"stage": "cast", "gains": [1, 1, 1], "saturation": 0}])[0, 0]
    assert infrared == pytest.approx([0.299] * 3, abs=1e-6)


@pytest.mark.parametrize(("grey", "grain"), [(False, 0), (True, 0), (False, 0.7), (True, 0.7)])
def test_noise_has_its_strength(grey, grain):
    flat = np.full((96, 192, 3), 0.5, np.float32)
    step = {"stage": "noise", "read": 0.03, "shot": 0.06, "seed": 5, "grey": grey, "grain": grain}
    difference = degrade.apply(flat, [step]) - flat
    assert difference.std() == pytest.approx(np.sqrt(0.03**2 + 0.06**2 * 0.5), rel=0.05)
    assert np.allclose(difference[..., 0], difference[..., 1]) == grey


def test_blur_in_linear_light_keeps_lamps_brighter():
    lamp = np.zeros((32, 32, 3), np.float32)
    lamp[16, 16] = 1
    dark, bright = (degrade.apply(lamp, [{"stage": "defocus", "radius": 3, "linear": kind}]) for kind in (False, True))
    assert bright[16, 16, 0] == pytest.approx(np.sqrt(dark[16, 16, 0]), rel=1e-3)


def test_same_steps_same_tile_even_through_json():
    picture = striped()
    for preset in PRESETS:
        for steps in samples(preset, 60):
            again = json.loads(json.dumps(steps))
            assert again == steps
            np.testing.assert_array_equal(degrade.apply(picture, steps), degrade.apply(picture, again))


def test_same_seed_same_samples():
    assert samples("street", 30, seed=3) == samples("street", 30, seed=3)
    assert samples("street", 30, seed=3) != samples("street", 30, seed=4)


def test_steps_name_only_parameters_that_their_operation_has():
    for preset in PRESETS:
        for step in (step for steps in samples(preset) for step in steps if step["stage"] != "up"):
            inspect.signature(degrade.OPERATIONS[step["stage"]]).bind(
                None, **{k: v for k, v in step.items() if k != "stage"}
            )


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_scale_shrinks_the_result(scale):
    picture = dot(sigma=12)
    for steps in [[], *samples("street", 40)]:
        assert degrade.apply(picture, steps, scale=scale).shape == (96 // scale, 192 // scale, 3)
    small = degrade.apply(picture, [{"stage": "down", "factor": 3}, {"stage": "up"}], scale=scale)
    np.testing.assert_allclose((centre(small) + 0.5) * scale - 0.5, [47.5, 95.5], atol=0.05)


def test_samples_span_from_untouched_to_strong():
    drawn = samples("street", 2000)
    lengths = np.array([degrade.blur_length(steps) for steps in drawn])
    widths = np.array([degrade.sampled_width(steps, 170) for steps in drawn])
    stops = np.array([stops_of(steps) for steps in drawn])
    assert 0.01 < np.mean([not steps for steps in drawn]) < 0.05
    assert 38 / 1.6 < lengths.max() < 50
    assert np.mean(lengths > 25) < 0.05
    assert widths.min() == pytest.approx(170 / 8, rel=0.1)
    assert np.mean(widths < 40) < 0.15
    assert stops.min() < -3
    assert stops.max() > 1
    used = {step["stage"] for steps in drawn for step in steps}
    assert used == {*degrade.OPERATIONS, "up"}


def test_a_windscreen_is_lamps_with_a_coloured_veil_on_a_third_of_the_plates():
    drawn = samples("windscreen", 600)
    veils = [np.array(step["colour"]) for steps in drawn for step in steps if step["stage"] == "haze"]
    coloured = np.array([veil for veil in veils if veil.max() > 2 * veil.min()])
    assert 0.2 < len(coloured) / len(drawn) < 0.4
    assert 0.6 < np.mean(coloured.argmax(axis=1) == 0) < 0.9, "most of them red"


def test_lamps_colour_more_than_they_harm_otherwise():
    strongest, blurs = {}, {}
    for preset in ("severe", "lamps"):
        drawn = samples(preset, 2000)
        gains = [step["gains"] for steps in drawn for step in steps if step["stage"] == "cast"]
        strongest[preset] = np.max(gains, axis=1) / np.min(gains, axis=1)
        blurs[preset] = np.median([degrade.blur_length(steps) for steps in drawn])
    assert blurs["lamps"] == pytest.approx(blurs["severe"], rel=0.1)
    assert np.mean(strongest["severe"] > 2.5) < 0.01
    assert 0.1 < np.mean(strongest["lamps"] > 2.5) < 0.3


def test_traffic_passes_by_for_as_long_as_real_cars_do():
    """Of 125 real long exposures, the motion is 12 to 36 px (5th and 95th percentile), 21 px in the middle, for a plate
    that spans 0.8 of the tile."""
    drawn = samples("traffic", 3000)
    passing = [s for s in drawn if len(s) > 1 and {"motion", "gaussian"} <= {step["stage"] for step in s}]
    motions = [step for steps in passing for step in steps if step["stage"] == "motion"]
    assert 0.3 < len(passing) / len(drawn) < 0.4
    lengths = np.array([step["length"] for step in motions])
    np.testing.assert_allclose(np.quantile(lengths, [0.05, 0.5, 0.95]), [11, 21, 40], rtol=0.1)
    slopes = np.array([min(step["angle"], 180 - step["angle"]) for step in motions])
    assert 0.8 < np.mean(slopes < 35) < 0.97, "mostly along the road"
    noise = [step["read"] for steps in passing for step in steps if step["stage"] == "noise"]
    assert np.median(noise) < 0.01


def test_steps_of_presets_without_passing_cars_stay_what_they_were():
    for preset, frozen in (("street", "852b4b6b03d52be5"), ("windscreen", "2ed2e110b3795aee")):
        digest = hashlib.sha256(json.dumps(samples(preset, 200, seed=2026), sort_keys=True).encode()).hexdigest()
        assert digest.startswith(frozen), preset


def test_the_benchmark_preset_is_frozen():
    """Published figures rest on it: a change to the sampler or the operations that moves it needs a preset of another
    name."""
    drawn = samples("benchmark", 200, seed=2026)
    digest = hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()
    assert digest == "7e802f2c7a3a6f889570e2bc9f9dc845c29042a331824917c96fce88e543a15e"
    contrasts = [degrade.apply(striped(), steps).std() for steps in drawn[:12]]
    frozen = [0.147, 0.091, 0.169, 0.149, 0.204, 0.1, 0.218, 0.139, 0.186, 0.079, 0.092, 0.114]
    np.testing.assert_allclose(contrasts, frozen, atol=0.002)


def test_measures():
    assert degrade.sampled_width([], 170) == 170
    twice = [{"stage": "down", "factor": 2}, {"stage": "up"}, {"stage": "down", "factor": 1.5}, {"stage": "up"}]
    assert degrade.sampled_width(twice, 170) == 85
    assert degrade.sampled_width([{"stage": "down", "factor": 2}, {"stage": "down", "factor": 2}], 100) == 25
    assert degrade.blur_length([]) == 0
    assert degrade.blur_length([{"stage": "motion", "length": 12, "angle": 0}]) == pytest.approx(12)
    two = [{"stage": "defocus", "radius": 2}, {"stage": "gaussian", "sigma": 1}]
    assert degrade.blur_length(two) == pytest.approx(np.sqrt(12 * (1 + 1)))
    small = [{"stage": "down", "factor": 3}, {"stage": "gaussian", "sigma": 1}, {"stage": "up"}]
    assert degrade.blur_length(small) == pytest.approx(3 * np.sqrt(12))


def test_refusals_say_what_is_allowed():
    with pytest.raises(ValueError, match="unknown degradation preset 'dusk', choose one of street"):
        degrade.sample(np.random.default_rng(0), "dusk")
    with pytest.raises(ValueError, match="unknown degradation operation 'rain', allowed are up, defocus"):
        degrade.apply(striped(), [{"stage": "rain"}])
    with pytest.raises(ValueError, match="sides must divide by 8"):
        degrade.apply(striped(96, 100), [], scale=8)


def test_the_sheet_is_written(tmp_path, capsys):
    plate = tmp_path / "plate.png"
    Image.fromarray((striped(60, 150) * 255).astype(np.uint8)).save(plate)
    assert degrade.main(["--image", str(plate), "--out", str(tmp_path / "new" / "sheet.png")]) == 0
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.width > 1000
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["sheet.png"]
    assert degrade.main(["--image", str(tmp_path / "none.png"), "--out", str(tmp_path / "s.png")]) == 2
    assert "none.png" in capsys.readouterr().err
