"""What a bucket's end is called: the faults of a cluster that no test with real processes brings about every time."""

import asyncio
import shutil
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from data import buckets, cluster
from data.buckets import Job, run_bucket
from data.cluster import GONE, _result
from data.photos import Photo
from data.preprocessing import Recipe


class Ended:
    """A future of Dask's whose result raises `error`."""

    def __init__(self, status: str, error: Exception) -> None:
        self.status, self.error = status, error

    def result(self, timeout):
        raise self.error


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("cancelled", CancelledError()),
        ("finished", OSError("in <TCP>: ConnectionResetError: [Errno 104] Connection reset by peer")),
    ],
)
def test_a_scheduler_that_is_gone_is_called_that_however_it_shows(status, error):
    with pytest.raises(RuntimeError, match=GONE):
        _result(Ended(status, error), watch=None)


def test_storage_that_failed_is_no_lost_scheduler():
    with pytest.raises(OSError, match="No space left on device"):
        _result(Ended("error", OSError(28, "No space left on device")), watch=None)


class Cluster:
    """A client whose scheduler tells of `workers`: address -> status. Time passes as the test says."""

    cluster = None

    def __init__(self, monkeypatch) -> None:
        self.workers, self.now, self.scheduler = {}, 100.0, self
        monkeypatch.setattr(cluster.time, "monotonic", lambda: self.now)

    def identity(self):
        raise AssertionError("called by sync alone")

    def sync(self, function, n_workers):
        assert n_workers == -1, "all of them"
        return {"workers": {name: {"status": status, "metrics": {}} for name, status in self.workers.items()}}

    def watch(self, watch, seconds):
        for _ in range(seconds):
            self.now += 1.01
            watch.look()


@pytest.fixture
def fleet(monkeypatch):
    return Cluster(monkeypatch)


def test_workers_at_work_are_waited_for(fleet):
    watch = cluster.WorkerWatch(fleet)
    fleet.workers = {"a": "running", "b": "paused"}
    fleet.watch(watch, 600)


@pytest.mark.parametrize(
    ("workers", "local", "told"),
    [({}, None, "no worker is left"), ({}, "local", "workers keep dying"), ({"a": "paused"}, None, "lack of memory")],
)
def test_no_worker_that_can_work_ends_the_run_within_half_a_minute(fleet, workers, local, told):
    watch = cluster.WorkerWatch(fleet)
    fleet.cluster = local
    fleet.workers = {"a": "running"}
    fleet.watch(watch, 60)
    fleet.workers = workers
    fleet.watch(watch, 15)
    with pytest.raises(RuntimeError, match=told):
        fleet.watch(watch, 15)


def test_a_result_lost_with_the_last_worker_is_not_waited_for(fleet):
    """Dask waits for another worker to make it again."""
    watch = cluster.WorkerWatch(fleet)
    lost = Ended("pending", asyncio.TimeoutError())

    def time_passes(timeout):
        fleet.now += timeout
        raise lost.error

    lost.result = time_passes
    with pytest.raises(RuntimeError, match="no worker is left"):
        _result(lost, watch)
    assert fleet.now < 130
    with pytest.raises(asyncio.TimeoutError):
        _result(Ended("error", asyncio.TimeoutError()), watch)


def test_workers_that_die_before_they_finish_anything_end_the_run(fleet):
    watch = cluster.WorkerWatch(fleet)

    def start_again(times):
        for _ in range(times):
            fleet.workers = {f"{name}{fleet.now}": "running" for name in "ab"}
            fleet.watch(watch, 2)

    start_again(2)
    # once something is finished, they are counted anew
    watch.note_progress()
    start_again(1)
    with pytest.raises(RuntimeError, match="lack of memory"):
        start_again(1)


@pytest.mark.parametrize(
    ("error", "told"), [(asyncio.TimeoutError(), "no worker came to --scheduler within 30 s"), (OSError(), GONE)]
)
def test_a_cluster_that_gets_no_worker_is_not_waited_for(error, told):
    class Client:
        def wait_for_workers(self, count, timeout):
            assert (count, timeout) == (1, 30)
            raise error

    with pytest.raises(RuntimeError, match=told):
        cluster._wait_for_first(Client())


@pytest.mark.parametrize("error", [None, OSError("Stream is closed")])
def test_workers_that_died_as_soon_as_they_were_there_are_not_waited_for(error):
    class Client:
        def register_plugin(self, plugin):
            if error:
                raise error

        def nthreads(self):
            return {}

    with pytest.raises(RuntimeError, match="lack of memory"):
        cluster._prepare_workers(Client())


def test_a_cluster_may_become_smaller(fleet):
    watch = cluster.WorkerWatch(fleet)
    fleet.workers = {str(number): "running" for number in range(100)}
    fleet.watch(watch, 2)
    fleet.workers = {"0": "running"}
    fleet.watch(watch, 60)


def test_a_worker_with_other_code_refuses_to_work(tmp_path):
    job = Job(Recipe(), str(tmp_path), str(tmp_path), str(tmp_path), code="0123456789abcdef")
    with pytest.raises(RuntimeError, match="another version of this code"):
        run_bucket(job, 0, [Photo("a.jpg", "")])
    assert not list(tmp_path.iterdir())


def test_the_checksum_of_the_code_follows_its_files(tmp_path, monkeypatch):
    shutil.copytree(Path(buckets.__file__).parent, tmp_path / "data")
    monkeypatch.setattr(buckets, "__file__", str(tmp_path / "data/buckets.py"))
    checksum = buckets.code_checksum.__wrapped__
    assert checksum() == buckets.code_checksum()
    with (tmp_path / "data/sampler.py").open("a") as file:
        file.write("# changed\n")
    assert checksum() != buckets.code_checksum()


def test_the_checksum_of_the_code_follows_the_detector_where_that_finds_the_plates(tmp_path, monkeypatch):
    before = {form: buckets.code_checksum(form) for form in ("ccpd", "crops", "photos")}
    (tmp_path / "detector.onnx").write_bytes(b"another one")
    monkeypatch.setattr(buckets, "FINDING", (buckets.FINDING[0], tmp_path / "detector.onnx"))
    after = {form: buckets.code_checksum.__wrapped__(form) for form in before}
    assert [form for form in before if after[form] != before[form]] == ["photos"]
    assert before["ccpd"] == before["crops"]
