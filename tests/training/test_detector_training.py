"""What a training of the detector leaves when it is killed, started twice, or finds damaged files."""

import csv
import dataclasses
import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.files import only_run_in
from data.synthetic.detection import open_bank
from training import detector as training
from training import run_folder

ROOT = Path(__file__).resolve().parents[2]


def test_two_trainings_in_one_folder_are_refused(tmp_path, capsys):
    with only_run_in(str(tmp_path / "net")):
        assert training.main(["--out", str(tmp_path / "net.keras")]) == 2
    assert "another run is writing there" in capsys.readouterr().err


def test_validation_falls_on_a_row_of_the_log():
    with pytest.raises(ValueError, match="--validate-every must be a multiple of --log-every, 100, got 250"):
        training.Settings(out="net.keras", validate_every=250)


def save_state(folder: Path, step: int, **settings) -> None:
    """As a training of a network without variables leaves it."""
    folder.mkdir(exist_ok=True)
    settings = dataclasses.asdict(training.Settings(out=str(folder.with_suffix(".keras")), **settings))
    run_folder.save_state(folder / "state.npz", {}, {"step": step, "settings": settings})


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut off", b"text"])
def test_a_damaged_state_is_named(tmp_path, capsys, content):
    (tmp_path / "net").mkdir()
    (tmp_path / "net/state.npz").write_bytes(content)
    assert training.main(["--out", str(tmp_path / "net.keras")]) == 2
    assert re.search(r"state\.npz is damaged, or no saved state", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--seed", "1"), r"--seed 0 \(now 1\)"),
        (("--batch-size", "4", "--vehicles", "9"), r"--batch-size 2 \(now 4\), --vehicles 3 \(now 9\)"),
        (("--learning-rate", "0.1"), r"--learning-rate 0\.002 \(now 0\.1\)"),
    ],
)
def test_a_training_does_not_go_on_with_other_settings(tmp_path, capsys, flags, told):
    """Refused before anything is touched: the bank would be rendered anew for another seed."""
    begun = ("--out", str(tmp_path / "net.keras"), "--batch-size", "2", "--vehicles", "3")
    save_state(tmp_path / "net", 7, batch_size=2, vehicles=3)
    assert training.main([*begun, *flags]) == 2
    assert re.search(f"other settings, {told}", capsys.readouterr().err)
    assert not (tmp_path / "net/bank").exists()


@pytest.mark.parametrize(("changes", "told"), [({"steps": 12}, "--steps 9 (now 12)"), ({"workers": 3}, "")])
def test_more_steps_are_told_and_workers_may_change(tmp_path, monkeypatch, capsys, changes, told):
    save_state(tmp_path / "net", 7, steps=9)
    monkeypatch.setattr(training, "import_keras", lambda: exec("raise ValueError('far enough')"))
    settings = {"out": str(tmp_path / "net.keras"), "steps": 9} | changes
    with pytest.raises(ValueError, match="far enough"):
        training.train(training.Settings(**settings))
    assert told in capsys.readouterr().out


def test_the_log_holds_each_step_once_after_a_kill(fitted, tmp_path):
    log = tmp_path / "net/log.csv"
    fitted(steps=2)
    with log.open("a") as file:
        file.write("3,0.")
    (tmp_path / "net/state.npz").unlink()
    save_state(tmp_path / "net", 1, steps=2)
    fitted(steps=2)
    with log.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["heat"]) for row in rows] == [("1", "1"), ("2", "1")]
    log.write_bytes(b"\xff\0binary")
    with pytest.raises(ValueError, match=r"log\.csv"):
        fitted(steps=2)


def test_a_bank_that_the_disk_has_no_room_for_is_explained(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"the bank of rendered pictures needs \d+ MiB.*vehicles\.npy"):
        open_bank(tmp_path / "bank", seed=3, vehicles=2, backgrounds=2)
    assert not (tmp_path / "bank/bank.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_damaged_bank_is_made_again(tmp_path, content):
    before = np.array(open_bank(tmp_path / "bank", seed=3, vehicles=1, backgrounds=1).vehicles)
    (tmp_path / "bank/bank.json").write_bytes(content)
    (tmp_path / "bank/vehicles.npy").write_bytes(b"")
    again = open_bank(tmp_path / "bank", seed=3, vehicles=1, backgrounds=1)
    assert (again.vehicles == before).all()


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """Runs the loop on a network without variables, from the state in the folder. before: what each step does first."""

    class Model:
        variables = trainable_variables = ()

    class Optimizer:
        variables, learning_rate = (), Variable(np.zeros(()))

    def run(before=lambda: None, **changes):
        def step(*_):
            before()
            return {"heat": 1.0, "corners": 1.0, "flags": 1.0}

        monkeypatch.setattr(training, "batches", lambda _, __, steps: iter([((), ())] * len(steps)))
        monkeypatch.setattr(training, "validate", lambda *_: {"recall": 1.0})
        monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(function=lambda _: step))
        settings = training.Settings(out=str(tmp_path / "net.keras"), **{"log_every": 1, **changes})
        (tmp_path / "net").mkdir(exist_ok=True)
        begun = run_folder.load_begun(tmp_path / "net/state.npz", dataclasses.asdict(settings), training.INDIFFERENT)
        training.fit(settings, Model, Optimizer, None, begun)

    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_inside_tensorflow_ends_the_training_after_its_step(fitted, tmp_path, number):
    def interrupt():
        os.kill(os.getpid(), number)
        time.sleep(0.2)

    with pytest.raises(KeyboardInterrupt):
        fitted(interrupt, log_every=5, steps=5)
    assert run_folder.load_state(tmp_path / "net/state.npz")[1]["step"] == 1


@pytest.mark.skipif(not os.path.exists("/proc"), reason="looks for processes in /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = """
import sys
from pathlib import Path
from types import SimpleNamespace
from data.synthetic.detection import open_bank
from training.detector import Settings, batches
few = {"vehicles": 2, "backgrounds": 2, "batch_size": 1, "steps": 40}
out = Path(sys.argv[1])
open_bank(out / "net/bank", 0, 2, 2)
for _ in batches(Settings(out=str(out / "net.keras"), **few), out / "net", range(40)):
    print("made", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    parent = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert parent.stdout.readline() == b"made\n"
    assert len(in_session(parent.pid)) > 1
    parent.kill()
    parent.wait()
    end = time.monotonic() + 30
    while in_session(parent.pid) and time.monotonic() < end:
        time.sleep(0.1)
    left = in_session(parent.pid)
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert left == []


def in_session(number: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == number and state != "Z":
            found.append(int(folder.name))
    return found


class Variable:
    """Of Keras, as far as a state needs it."""

    def __init__(self, value):
        self.value, self.shape = value, value.shape

    def assign(self, value):
        self.value = value
