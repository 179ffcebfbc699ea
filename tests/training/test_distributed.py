"""Two workers on the loopback interface train as one does, and survive the loss of one."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import as_flags, make_tiles, read_rows, tiny_settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 500

# Runs train.py's own code, then writes down every variable as this worker has it.
WORKER = """
import sys
import numpy as np
import train
from training import loop

finish = loop.Run.finish

def finish_and_write_down(run):
    finish(run)
    groups = {f"{name}/{i}": np.asarray(v) for name, vs in run.trainer.state().items() for i, v in enumerate(vs)}
    np.savez(sys.argv[1], **groups)

loop.Run.finish = finish_and_write_down
sys.exit(train.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> Path:
    return make_tiles(tmp_path_factory.mktemp("tiles"))


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(flags: list[str], folder: Path, workers: int) -> list[subprocess.Popen]:
    """One process per worker; 1: a plain run without a cluster. Their output goes to files, which cannot fill up."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    processes = []
    for index in range(workers):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT)}
        if workers > 1:
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment["TF_CONFIG"] = json.dumps(cluster)
        command = [sys.executable, "-c", WORKER, str(folder / f"{workers}_{index}.npz"), *flags]
        with open(folder / f"output{index}.txt", "w") as output:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output))
    return processes


def finish(processes: list[subprocess.Popen], folder: Path) -> None:
    for index, process in enumerate(processes):
        assert process.wait(SECONDS) == 0, (folder / f"output{index}.txt").read_text()[-3000:]


def flags_of(tiles: Path, run: Path, **changes) -> list[str]:
    return as_flags(tiny_settings(tiles, run, **{"deterministic": True, "degrade_online": True, **changes}))


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def test_two_workers_have_equal_weights_and_those_of_one(tiles, tmp_path):
    """A clip norm far below the gradients' shows whether they are reduced over the workers before they are clipped."""
    steps = {"pretrain_steps": 3, "adversarial_steps": 3, "clip_norm": 0.01}
    finish(start(flags_of(tiles, tmp_path / "one", **steps), tmp_path, workers=1), tmp_path)
    finish(start(flags_of(tiles, tmp_path / "two", **steps), tmp_path, workers=2), tmp_path)
    alone, first, second = (load(tmp_path / name) for name in ("1_0.npz", "2_0.npz", "2_1.npz"))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)
        # Adam divides by the gradient's size: where that is nearly zero, the last bits decide over a whole step of 1e-4
        np.testing.assert_allclose(array, alone[name], rtol=2e-3, atol=2e-5, err_msg=name)
    rows = [{**row, "seconds": ""} for row in read_rows(tmp_path / "two")]
    for row, expected in zip(rows, read_rows(tmp_path / "one"), strict=True):
        for term in ("mse", "g_loss", "g_gradient_norm", "d_loss", "d_accuracy", "gradient_vgg"):
            if expected[term]:
                assert float(row[term]) == pytest.approx(float(expected[term]), rel=1e-2), term


def test_both_workers_enter_stage_two_with_the_weights_that_the_chief_chose(tiles, tmp_path):
    """Only the chief validates. So hasty a rate spoils the generator, so that the best weights are not the last
    ones."""
    hasty = {"pretrain_learning_rate": 0.3, "select": "psnr", "validate_every": 1, "g_learning_rate": 1e-9}
    finish(start(flags_of(tiles, tmp_path / "run", pretrain_steps=4, **hasty), tmp_path, workers=2), tmp_path)
    stage_one = [float(row["val_psnr_db"]) for row in read_rows(tmp_path / "run") if row["stage"] == "pretrain"]
    assert stage_one[-1] < max(stage_one)
    first, second = (load(tmp_path / name) for name in ("2_0.npz", "2_1.npz"))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_loss_of_a_worker_ends_the_others_with_a_clear_error_and_resume_goes_on(tiles, tmp_path):
    run = tmp_path / "run"
    steps = {"pretrain_steps": 60, "adversarial_steps": 0, "log_every": 5, "save_minutes": 1e-4}
    long = flags_of(tiles, run, **{**steps, "pretrain_steps": 100000})
    chief, other = start(long, tmp_path, workers=2)
    while not ((run / "log.csv").exists() and read_rows(run)) and chief.poll() is None:
        time.sleep(0.1)
    other.kill()
    assert chief.wait(SECONDS) != 0
    assert "another worker is gone; start all of them again with --resume" in (tmp_path / "output0.txt").read_text()
    config = json.loads((run / "config.json").read_text())
    done = len(read_rows(run)) * 5
    # shorten the run, so that its end is reached
    config["settings"]["pretrain_steps"] = done + 20
    (run / "config.json").write_text(json.dumps(config))
    finish(start(["--run", str(run), "--resume"], tmp_path, workers=2), tmp_path)
    assert (run / "generator.keras").exists()
    first, second = (load(tmp_path / name) for name in ("2_0.npz", "2_1.npz"))
    assert all(np.array_equal(array, second[name]) for name, array in first.items())
