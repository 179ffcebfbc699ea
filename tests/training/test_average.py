"""The mean of generators."""

import json

import numpy as np
import pytest

from models.generator import build_generator
from models.loading import load_archive
from training import average


@pytest.fixture
def archives(tmp_path):
    paths = []
    for number, value in enumerate((0.25, 0.75)):
        generator = build_generator(filters=8, blocks=1)
        generator.set_weights([np.full_like(weights, value) for weights in generator.get_weights()])
        paths.append(str(tmp_path / f"{number}.keras"))
        generator.save(paths[-1])
        (tmp_path / f"{number}.json").write_text(
            json.dumps({"tile": [32, 64], "number": number, "validation": {"val_psnr_db": 20}})
        )
    return paths


def test_weights_are_averaged_and_the_card_names_their_sources(archives, tmp_path):
    out = tmp_path / "new" / "mean.keras"
    assert average.main([*archives, "--out", str(out)]) == 0
    assert all((weights == 0.5).all() for weights in load_archive(out).get_weights())
    about = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert about == {"tile": [32, 64], "number": 0, "mean_of": archives}


def test_generators_of_another_make_are_named(archives, tmp_path, capsys):
    other, missing = tmp_path / "other.keras", tmp_path / "missing.keras"
    build_generator(filters=8, blocks=2).save(other)
    for bad in (other, missing):
        assert average.main([*archives, str(bad), "--out", str(tmp_path / "mean.keras")]) == 2
        assert bad.name in capsys.readouterr().err
    assert not (tmp_path / "mean.keras").exists()
