import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from tiny_runs import TILE, as_flags, final_weights, make_tiles, read_rows, tiny_settings

import train
from data.files import only_run_in
from training import detector, loop
from training.devices import choose_strategy
from training.settings import Settings, parse

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> Path:
    return make_tiles(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def finished(tiles, tmp_path_factory) -> Path:
    """A run that went straight through."""
    run = tmp_path_factory.mktemp("runs") / "straight"
    assert train.main(as_flags(tiny_settings(tiles, run, deterministic=True, select="psnr"))) == 0
    return run


@pytest.fixture(scope="module")
def trainer(tiles):
    """For tests that change none of its weights."""
    strategy, _ = choose_strategy()
    return train.make_trainer(tiny_settings(tiles, tiles / "no run"), strategy, TILE, 1, "float32")


def test_run_leaves_everything_that_is_promised(finished):
    names = {each.name for each in finished.iterdir()}
    archives = {"pretrain.keras", "pretrain.json", "generator.keras", "generator.json"}
    assert names == archives | {"config.json", "log.csv", "curves.png", "samples", "tensorboard", "state.npz", ".lock"}
    assert sorted(each.name for each in (finished / "samples").iterdir()) == [
        "adversarial_0000003.png",
        "pretrain_0000003.png",
    ]
    about = json.loads((finished / "generator.json").read_text())
    assert about["stage"] == "adversarial"
    assert about["tile"] == [16, 32]
    assert 0 < about["validation"]["val_psnr_db"] < 100


def test_log_has_every_term_before_and_after_its_weight(finished):
    pretrain = [row for row in read_rows(finished) if row["stage"] == "pretrain"]
    adversarial = [row for row in read_rows(finished) if row["stage"] == "adversarial"]
    assert [row["step"] for row in pretrain] == [row["step"] for row in adversarial] == ["2", "3"]
    for row in adversarial:
        for name, weight in (("mse", 1.0), ("vgg", 0.1), ("adversarial", 0.2)):
            assert float(row[f"weighted_{name}"]) == pytest.approx(weight * float(row[name]), rel=1e-4)
        for name in ("d_real", "d_fake", "d_accuracy", "g_learning_rate", "d_learning_rate", "seconds", "wait_share"):
            assert row[name] != ""
    for name in ("val_psnr_db", "val_ssim", "gradient_mse", "gradient_vgg", "gradient_adversarial"):
        assert float(adversarial[-1][name]) > 0
    assert not pretrain[0]["vgg"], "stage one knows nothing of VGG"


def test_archives_are_float32_and_differ_between_the_stages(finished):
    first, second = (final_weights(finished / name) for name in ("pretrain.keras", "generator.keras"))
    assert {weight.dtype for weight in first} == {np.dtype("float32")}
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_interrupted_and_resumed_equals_straight_run(finished, tiles, tmp_path, monkeypatch, capsys):
    """Interrupted in both stages."""
    flags, again = as_flags(tiny_settings(tiles, tmp_path / "run", deterministic=True, select="psnr")), ["--resume"]
    again += ["--run", str(tmp_path / "run")]
    for command, stage, step in ((flags, "pretrain", 2), (again, "adversarial", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(
                loop.Run, "_stops", lambda run, _, at=(stage, step): (run.progress.stage, run.progress.step) == at
            )
            assert train.main(command) == 130
        assert f"stopped after step {step} of stage {stage}" in capsys.readouterr().err
    assert train.main(again) == 0
    assert_same_result(finished, tmp_path / "run")
    assert [row["step"] for row in read_rows(tmp_path / "run")] == ["2", "3"] * 2


def assert_same_result(expected: Path, run: Path) -> None:
    for name in ("pretrain.keras", "generator.keras"):
        for a, b in zip(final_weights(expected / name), final_weights(run / name), strict=True):
            np.testing.assert_array_equal(a, b)


def test_finished_run_resumes_to_nothing_more(finished, capsys):
    before = (finished / "generator.keras").read_bytes()
    assert train.main(["--run", str(finished), "--resume"]) == 0
    assert (finished / "generator.keras").read_bytes() == before


def test_new_run_never_overwrites_an_old_one(finished, tiles, capsys):
    assert train.main(as_flags(tiny_settings(tiles, finished))) == 2
    assert "is not empty; --resume goes on" in capsys.readouterr().err


def test_flag_that_contradicts_the_run_is_named(finished, capsys):
    assert train.main(["--run", str(finished), "--resume", "--batch-size", "8"]) == 2
    assert "--batch-size 8 contradicts the run, which has 4" in capsys.readouterr().err
    settings, resume = parse("", ["--run", str(finished), "--resume", "--batch-size", "4"])
    assert resume
    assert settings.filters == 8


def test_a_given_generator_is_trained_further_without_its_file(finished, tiles, tmp_path, monkeypatch):
    init = tmp_path / "init.keras"
    init.write_bytes((finished / "generator.keras").read_bytes())
    changes = {
        "init": str(init),
        "pretrain_steps": 2,
        "adversarial_steps": 0,
        "filters": 64,
        "ema": False,
        "augment": False,
    }
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_stops", lambda run, logs: run.progress.step == 1)
        assert train.main(as_flags(tiny_settings(tiles, run, **changes, pretrain_learning_rate=1e-7))) == 130
    # the run folder holds a copy
    init.unlink()
    assert train.main(["--run", str(run), "--resume"]) == 0
    for a, b in zip(final_weights(finished / "generator.keras"), final_weights(run / "generator.keras"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert (run / "pretrain.keras").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--run", "r"], "--tiles DIR is required"),
        (["--tiles", "t"], "--run DIR is required"),
        (["--run", "r", "--tiles", "no_such_folder"], "no such folder"),
        (["--run", "r", "--tiles", "t", "--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--run", "no_such_run", "--resume"], "holds no config.json"),
    ],
)
def test_wrong_flags_are_named_on_one_line(flags, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(flags) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("state.npz", None, "state.npz is missing, without which the run cannot go on"),
        ("state.npz", b"PK no archive", "state.npz is damaged, or no saved state"),
        ("log.csv", bytes(range(256)) * 9, "log.csv is damaged"),
        ("log.csv", b"stage,step\npretrain,many\n", "log.csv is damaged"),
        ("log.csv", b"other,columns\n1,2\n", "log.csv is damaged"),
        ("config.json", b"\xff\xfe\x00", "config.json is not in UTF-8"),
        ("config.json", b"[1, 2]", "config.json is damaged: it does not hold the run's settings"),
        ("config.json", b'{"settings": {}}', "config.json is damaged: precision must be one of"),
        ("config.json", b'{"settings": {}, "precision": "float32"}', "config.json is damaged: it does not say where"),
        (
            "config.json",
            b'{"settings": {"tiles": "t", "batch_size": "many"}, "precision": "float32"}',
            "config.json: batch_size: ",
        ),
        ("config.json", b"[" * 100_000, "config.json cannot be read"),
    ],
)
def test_a_damaged_file_of_the_run_is_named_and_left_as_it_is(
    finished, tmp_path, monkeypatch, capsys, trainer, name, content, words
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    monkeypatch.setattr(train, "make_trainer", lambda *_: trainer)
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    assert train.main(["--run", str(run), "--resume"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert content is None or (run / name).read_bytes() == content


def test_a_run_that_is_at_work_is_left_alone(finished, capsys):
    with only_run_in(finished, "--run"):
        assert train.main(["--run", str(finished), "--resume"]) == 2
    assert "another run is writing there" in capsys.readouterr().err


def test_a_run_goes_on_from_its_very_beginning(tiles, tmp_path, monkeypatch):
    """A run that was killed before its first save, and has left half a file."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_step", lambda *_: exec('raise RuntimeError("killed")'))
        with pytest.raises(RuntimeError, match="killed"):
            train.main(as_flags(tiny_settings(tiles, run, adversarial_steps=0)))
    (run / ".1234.part").write_bytes(b"half")
    assert train.main(["--run", str(run), "--resume"]) == 0
    assert not list(run.glob(".*.part"))


def test_a_cache_that_the_disk_has_no_room_for_is_explained(tiles, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    assert train.main(as_flags(tiny_settings(tiles, tmp_path / "run", cache=True))) == 2
    error = capsys.readouterr().err
    assert "the disk is full" in error
    assert "--cache needs" in error
    assert not list((tmp_path / "run").glob("cache*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_first_step_leaves_nothing(tiles, tmp_path, monkeypatch, capsys, terminal, number):
    monkeypatch.setattr(train, "choose_strategy", lambda: os.kill(os.getpid(), number))
    assert train.main(as_flags(tiny_settings(tiles, tmp_path / "run"))) == 130
    assert "interrupted before the first step" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_of_the_user_stays_where_a_run_cannot_begin(tiles, tmp_path):
    (tmp_path / "run").mkdir()
    assert train.main(as_flags(tiny_settings(tiles, tmp_path / "run", vgg_weights="/no/such.h5"))) == 2
    assert list((tmp_path / "run").iterdir()) == []


def test_missing_vgg_file_leaves_no_run_folder(tiles, tmp_path, capsys):
    assert train.main(as_flags(tiny_settings(tiles, tmp_path / "run", vgg_weights="/no/such.h5"))) == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_tiles_of_another_size_are_found_before_anything_starts(tmp_path, capsys):
    folder = make_tiles(tmp_path / "tiles")
    make_tiles(tmp_path / "large", train=1, size=(32, 64))
    (tmp_path / "large/train/hr/train00.png").replace(folder / "train/hr/train05.png")
    assert train.main(as_flags(tiny_settings(folder, tmp_path / "run"))) == 2
    assert "expected 16x32, got 32x64" in capsys.readouterr().err


def test_a_generator_to_start_from_that_is_not_there_is_named(tiles, tmp_path, capsys):
    settings = tiny_settings(tiles, tmp_path / "run", init=str(tmp_path / "nowhere.keras"))
    assert train.main(as_flags(settings)) == 2
    assert "nowhere.keras: no such file; give a generator.keras" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# -- the whole program, killed


def start(flags: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(ROOT / "train.py"), *flags]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(path: Path, process: subprocess.Popen, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def long_run(tiles: Path, run: Path, **changes) -> Settings:
    """Long enough to be killed in; saved at nearly every step."""
    settings = {
        "pretrain_steps": 60,
        "adversarial_steps": 30,
        "log_every": 7,
        "validate_every": 25,
        "save_minutes": 1e-4,
    }
    online = {"degrade_online": True, "workers": 1, "deterministic": True, "balance": "adaptive", "balance_steps": 4}
    return tiny_settings(tiles, run, **{**settings, **online, **changes})


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_equals_straight_run(tiles, tmp_path):
    straight, run = tmp_path / "straight", tmp_path / "run"
    process = start(as_flags(long_run(tiles, straight)))
    wait_for(straight / "state.npz", process)
    first_save = time.monotonic()
    assert process.wait(600) == 0, process.stdout.read()
    chance, flags, kills = random.Random(0), as_flags(long_run(tiles, run)), 0
    # a fast machine would be done in seconds
    patience = chance.uniform(0.1, 0.6) * (time.monotonic() - first_save)
    while True:
        process = start(flags)
        wait_for(run / "state.npz", process)
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            # later and later, so that the end is reached
            patience = chance.uniform(1, 8) + 4 * kills
            flags = ["--run", str(run), "--resume"]
    assert process.returncode == 0, process.stdout.read()
    assert kills > 0
    assert_same_result(straight, run)
    steps = [(row["stage"], int(row["step"])) for row in read_rows(run)]
    assert steps == [(row["stage"], int(row["step"])) for row in read_rows(straight)], "no row twice, none missing"


@pytest.mark.slow
def test_ctrl_c_saves_and_leaves_and_a_kill_leaves_no_worker_behind(tiles, tmp_path):
    run = tmp_path / "run"
    process = start(as_flags(long_run(tiles, run, pretrain_steps=100000, save_minutes=60, workers=2)))
    wait_for(run / "log.csv", process)
    while len(read_rows(run)) < 2 and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "as asked; go on with --resume" in output
    assert (run / "state.npz").exists()

    process = start(["--run", str(run), "--resume"])
    children = []
    # two workers and the tracker of their resources
    while len(children) < 3 and process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.1)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


@pytest.fixture
def terminal():
    """That is not ignored when it is closed, as it is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_a_training_lets_it_save_first(number, terminal):
    run = SimpleNamespace(stop_asked=False)
    with loop.stoppable(run):
        os.kill(os.getpid(), number)
    assert run.stop_asked


def test_what_a_shell_script_has_ignored_for_its_background_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = SimpleNamespace(stop_asked=False)
    try:
        with loop.stoppable(run):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not run.stop_asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_training_of_the_detector_ends_with_a_line(number, terminal, monkeypatch, capsys):
    monkeypatch.setattr(detector, "train", lambda settings: os.kill(os.getpid(), number))
    assert detector.main(["--out", "detector.keras"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
