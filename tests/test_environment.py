"""What TensorFlow is told: our defaults, unless the user has said otherwise; and in time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import make_tiles

from data.tiles import Row, format_rows
from models.environment import DEFAULTS, prepare_tensorflow

ROOT = Path(__file__).resolve().parents[1]
FIRST_IMPORT = """
import importlib.abc, os, sys

class AtTensorFlow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("keras", "tensorflow"):
            print(name, os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
            os._exit(0)

sys.meta_path.insert(0, AtTensorFlow())
"""


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    prepare_tensorflow()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == DEFAULTS["TF_CPP_MIN_LOG_LEVEL"]


@pytest.mark.parametrize(
    "call",
    [
        "import train; from training.config import Settings; train.train(Settings(tiles='{tiles}', run='{out}/run'))",
        "from training import recogniser; recogniser.main(['--tiles', '{tiles}', '--out', '{out}/r.keras'])",
        "from training.average import average; average(['{out}/a.keras'], '{out}/b.keras')",
        "import evaluate; evaluate.evaluate(evaluate.Config(tiles='{tiles}', split='train', vgg_weights='imagenet'))",
        "from models.loading import load_archive; load_archive('{out}/generator.keras')",
    ],
)
def test_it_is_told_before_it_is_loaded(tmp_path, call):
    tiles = make_tiles(tmp_path / "tiles")
    keys = sorted(path.stem for path in (tiles / "train" / "hr").iterdir())
    (tiles / "manifest.csv").write_text(format_rows([Row(key, "train", f"{key}.jpg", "12", "DE") for key in keys]))
    code = FIRST_IMPORT + call.format(tiles=tiles, out=tmp_path)
    environment = {name: value for name, value in os.environ.items() if name not in DEFAULTS}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[-1:] == ["1"], done.stderr
