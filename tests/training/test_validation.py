"""Which weights a stage ships."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_runs import as_flags, make_tiles, tiny_settings

import train
from models.generator import build_generator
from models.loading import load_archive
from training.validation import ShippedWeights, choose_selection

ABOUT = {"precision": "float32", "tile": [16, 32], "window_px": 0}
READS, READS_NOTHING = SimpleNamespace(read=[0, 1]), SimpleNamespace(read=[])


@pytest.mark.parametrize(
    ("wanted", "validator", "chosen", "words"),
    [
        ("char_acc", READS, "char_acc", ""),
        ("char_acc", READS_NOTHING, "psnr", "no validation tile has a text"),
        ("char_acc", None, "last", "no validation tiles"),
        ("psnr", READS, "psnr", ""),
        ("psnr", None, "last", "no validation tiles"),
        ("last", None, "last", ""),
    ],
)
def test_what_chooses_and_why_it_is_not_what_was_wanted(wanted, validator, chosen, words):
    got, reason = choose_selection(wanted, validator)
    assert got == chosen
    assert words in reason
    assert bool(reason) == bool(words)


class ScriptedValidator:
    """Finds what it is told to find."""

    def __init__(self, figures: list[dict]) -> None:
        self.found = iter(figures)

    def figures(self, restore):
        return next(self.found), np.zeros((1, 16, 16, 3), np.float32)

    def samples(self, sr):
        return sr, sr, sr


@pytest.mark.parametrize(("select", "best"), [("char_acc", 1), ("psnr", 2), ("last", 3)])
def test_the_best_weights_so_far_are_shipped(select, best):
    found = [{"val_char_acc": c, "val_psnr_db": p} for c, p in ((0.5, 15.0), (0.7, 16.0), (0.6, 18.0), (0.6, 17.0))]
    generator = build_generator(filters=4, blocks=0)
    variables = [each.value for each in generator.trainable_variables]
    trainer = SimpleNamespace(generator=generator, averages=None, g_variables=variables)
    shipped = ShippedWeights(trainer, ScriptedValidator(found), select, ABOUT)
    for number in range(len(found)):
        variables[0].assign(np.full(variables[0].shape, number, np.float32))
        shipped.validate()
    assert np.all(shipped.chosen_weights()[0] == best)
    assert shipped.figures == found[best]


@pytest.mark.parametrize(("precision", "shortened"), [("mixed_bfloat16", True), ("float32", False)])
def test_kernels_are_shipped_as_training_computed_with_them(tmp_path, precision, shortened):
    generator = build_generator(filters=8, blocks=1)
    variables = [each.value for each in generator.trainable_variables]
    rng = np.random.default_rng(0)
    for variable in variables:
        variable.assign(rng.normal(size=variable.shape))
    trainer = SimpleNamespace(generator=generator, averages=None, g_variables=variables)
    ShippedWeights(trainer, None, "last", {**ABOUT, "precision": precision}).write(
        tmp_path / "it.keras", "pretrain", 1, []
    )
    with zipfile.ZipFile(tmp_path / "it.keras") as packed:
        weights = packed.getinfo("model.weights.h5")
    assert weights.compress_size < 0.6 * weights.file_size
    for trained, shipped in zip(
        generator.get_weights(), load_archive(tmp_path / "it.keras").get_weights(), strict=True
    ):
        if trained.ndim > 1 and shortened:
            # float32 whose lower half is empty
            assert not np.any(shipped.view(np.uint32) & 0xFFFF)
            np.testing.assert_allclose(shipped, trained, rtol=2**-8)
        else:
            np.testing.assert_array_equal(shipped, trained)


def test_without_texts_psnr_chooses_and_the_run_says_so(tmp_path, capsys):
    settings = tiny_settings(make_tiles(tmp_path / "tiles"), tmp_path / "run", select="char_acc", adversarial_steps=0)
    assert train.main(as_flags(settings)) == 0
    assert "no validation tile has a text that could be read, so that PSNR chooses" in capsys.readouterr().out
