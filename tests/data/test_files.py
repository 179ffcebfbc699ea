import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data import files

ROOT = Path(files.__file__).parents[1]


def test_a_folder_is_held_by_one_run_and_named_with_its_flag(tmp_path):
    run = tmp_path / "checkpoints/mine"
    with files.only_run_in(run, "--run"):
        refused = pytest.raises(ValueError, match=r"^--run .*mine: another run is writing there")
        with refused, files.only_run_in(run, "--run"):
            pass
    with files.only_run_in(run, "--run"):
        pass


def test_a_pipe_in_the_place_of_the_lock_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / files.LOCK)
    with files.only_run_in(tmp_path):
        pass


def test_a_temporary_folder_of_a_killed_process_is_removed_by_the_next_and_nothing_else(tmp_path):
    code = "import os, sys; from data.files import temporary_folder\n"
    code += "with temporary_folder(sys.argv[1], 'work-') as folder: open(f'{folder}/half', 'w').close(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT)
    [dead] = tmp_path.iterdir()
    assert (dead / "half").exists()
    # somebody's tile folder, a file, and a link to what must stay
    for name in ("tiles", "work-tiles"):
        with files.only_run_in(tmp_path / name):
            pass
    (tmp_path / "work-file").touch()
    (tmp_path / "work-link").symlink_to(tmp_path / "tiles")
    others = {"tiles", "work-tiles", "work-file", "work-link"}
    with files.temporary_folder(tmp_path, "work-") as living, files.temporary_folder(tmp_path, "work-") as second:
        assert {path.name for path in tmp_path.iterdir()} == others | {Path(living).name, Path(second).name}
    assert {path.name for path in tmp_path.iterdir()} == others
    assert (tmp_path / "tiles" / files.LOCK).exists()


@pytest.fixture
def bucket(monkeypatch):
    """Storage without locks, empty."""
    monkeypatch.setattr(files, "SETTLE_S", 0)
    storage = MemoryFileSystem()
    storage.makedirs("/tiles", exist_ok=True)
    yield storage
    storage.rm("/tiles", recursive=True)


def test_storage_without_locks_refuses_a_second_run_too(bucket):
    with files.only_run_in("memory://tiles"):
        refused = pytest.raises(ValueError, match=f"another run is writing there .process {os.getpid()} on")
        with refused, files.only_run_in("memory://tiles"):
            pass
        assert bucket.exists("/tiles/.lock"), "the refused run leaves the other's lease alone"
    assert not bucket.exists("/tiles/.lock")
    with files.only_run_in("memory://tiles"):
        pass


@pytest.mark.parametrize(
    ("holder", "refused"),
    [
        ({"host": "elsewhere", "process": 1, "age": 10}, True),
        ({"host": "elsewhere", "process": 1, "age": 10_000}, False),
        # no such process
        ({"host": socket.gethostname(), "process": 2**22 + 1, "age": 10}, False),
    ],
)
def test_the_lease_of_a_dead_run_ends(bucket, holder, refused):
    lease = {"host": holder["host"], "process": holder["process"], "token": "t", "time": time.time() - holder["age"]}
    bucket.pipe_file("/tiles/.lock", json.dumps(lease).encode())
    outcome = pytest.raises(ValueError, match="elsewhere, 10 s ago") if refused else contextlib.nullcontext()
    with outcome, files.only_run_in("memory://tiles"):
        assert json.loads(bucket.cat_file("/tiles/.lock"))["process"] == os.getpid()


def test_no_signal_is_sent_where_0_is_ctrl_c(monkeypatch):
    sent = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", lambda *signal: sent.append(signal))
        patch.setattr(os, "name", "nt")
        alive = files._is_alive(2**22 + 1)
    assert alive
    assert not sent


def test_a_lease_is_renewed_while_its_run_lasts(bucket, monkeypatch):
    monkeypatch.setattr(files, "RENEW_S", 0.01)
    with files.only_run_in("memory://tiles"):
        first = json.loads(bucket.cat_file("/tiles/.lock"))["time"]
        until = time.monotonic() + 5
        while json.loads(bucket.cat_file("/tiles/.lock"))["time"] == first:
            assert time.monotonic() < until
            time.sleep(0.01)
