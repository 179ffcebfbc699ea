import contextlib
import json
import os
import socket
import time

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data import locking


def test_a_folder_is_held_by_one_run_and_named_with_its_flag(tmp_path):
    run = tmp_path / "checkpoints/mine"
    with locking.only_run_in(run, "--run"):
        refused = pytest.raises(ValueError, match=r"^--run .*mine: another run is writing there")
        with refused, locking.only_run_in(run, "--run"):
            pass
    with locking.only_run_in(run, "--run"):
        pass


def test_a_pipe_in_the_place_of_the_lock_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / locking.LOCK)
    with locking.only_run_in(tmp_path):
        pass


@pytest.fixture
def bucket(monkeypatch):
    """Storage without locks, empty."""
    monkeypatch.setattr(locking, "SETTLE_S", 0)
    storage = MemoryFileSystem()
    storage.makedirs("/tiles", exist_ok=True)
    yield storage
    storage.rm("/tiles", recursive=True)


def test_storage_without_locks_refuses_a_second_run_too(bucket):
    with locking.only_run_in("memory://tiles"):
        refused = pytest.raises(ValueError, match=f"another run is writing there .process {os.getpid()} on")
        with refused, locking.only_run_in("memory://tiles"):
            pass
        assert bucket.exists("/tiles/.lock"), "the refused run leaves the other's lease alone"
    assert not bucket.exists("/tiles/.lock")
    with locking.only_run_in("memory://tiles"):
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
    with outcome, locking.only_run_in("memory://tiles"):
        assert json.loads(bucket.cat_file("/tiles/.lock"))["process"] == os.getpid()


def test_a_lease_is_renewed_while_its_run_lasts(bucket, monkeypatch):
    monkeypatch.setattr(locking, "RENEW_S", 0.01)
    with locking.only_run_in("memory://tiles"):
        first = json.loads(bucket.cat_file("/tiles/.lock"))["time"]
        until = time.monotonic() + 5
        while json.loads(bucket.cat_file("/tiles/.lock"))["time"] == first:
            assert time.monotonic() < until
            time.sleep(0.01)
