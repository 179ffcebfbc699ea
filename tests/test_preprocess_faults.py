"""Preprocessing with processes killed, disks full, on a cluster and in S3: every run ends with the bytes of a plain
one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from plate_photos import contents, report, run, write_photos

import preprocess
from data.tiles import open_tiles, read_manifest, read_tile

pytestmark = pytest.mark.slow
FOLDER = Path(preprocess.__file__).parent
# seconds; a busy machine is slow
PATIENCE = 300
PHOTOS = 120
FLAGS = ("--variants", "2")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "raw"
    write_photos(folder, PHOTOS)
    return folder


@pytest.fixture(scope="module")
def expected(raw):
    """What a run without any fault leaves."""
    assert run(raw, raw.parent / "plain", *FLAGS, "--workers", 1) == 0
    return contents(raw.parent / "plain")


def start(raw, out, *flags, **options):
    command = [sys.executable, str(FOLDER / "preprocess.py"), "--raw", str(raw), "--out", str(out), *FLAGS, *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **options)


def wait_for(condition, process=None):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return found


def parts(out):
    return list(Path(out).glob("parts/*/*.jsonl"))


def ended(process):
    """(exit code, what it said), with nothing left behind."""
    said = process.communicate(timeout=PATIENCE)[1]
    return process.returncode, said


def workers_of(process):
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if any("spawn_main" in word for word in child.cmdline())]


@pytest.mark.parametrize("done", [0, 1, 6])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, raw, expected, done):
    out = tmp_path / "out"
    process = start(raw, out, "--workers", "2")
    wait_for(lambda: len(parts(out)) >= done and list(out.glob("*/lq/*.png")), process)
    workers = workers_of(process)
    process.send_signal(signal.SIGKILL)
    ended(process)
    psutil.wait_procs(workers, timeout=30)
    assert not any(worker.is_running() for worker in workers), "workers outlive their client"
    left = len(parts(out))
    assert done <= left < 16
    assert not (out / "manifest.csv").exists()
    code, said = ended(start(raw, out, "--workers", "2"))
    assert code == 0, said
    assert contents(out) == expected
    assert not list(out.rglob("*.part"))
    if left:
        assert report(out)["done_in_this_run"] < PHOTOS


def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(tmp_path, raw):
    # else a busy machine may be done before the signal comes
    out, much = tmp_path / "out", ("--variants", "12")
    process = start(raw, out, "--workers", "2", *much, start_new_session=True)
    wait_for(lambda: parts(out), process)
    # as a terminal sends it: to the workers, too
    os.killpg(process.pid, signal.SIGINT)
    code, said = ended(process)
    assert code == 130
    assert "start again to go on" in said
    assert "Traceback" not in said
    assert ended(start(raw, out, "--workers", "2", *much))[0] == 0
    assert run(raw, tmp_path / "plain", *much, "--workers", 1) == 0
    assert contents(out) == contents(tmp_path / "plain")


def test_a_killed_worker_is_replaced(tmp_path, raw, expected):
    out = tmp_path / "out"
    process = start(raw, out, "--workers", "2")
    wait_for(lambda: parts(out), process)
    workers_of(process)[0].kill()
    code, said = ended(process)
    assert code == 0, said
    assert contents(out) == expected


def test_two_runs_at_once(tmp_path, raw, expected):
    out = tmp_path / "out"
    first = start(raw, out, "--workers", "1")
    wait_for(lambda: (out / "settings.json").exists(), first)
    code, said = ended(start(raw, out, "--workers", "1"))
    assert code == 2
    assert "another run is writing there" in said
    assert ended(first)[0] == 0
    assert contents(out) == expected


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting needs more rights")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_then_a_read_only_one_then_a_mended_one(small_disk, raw, expected):
    out = small_disk / "out"
    code, said = ended(start(raw, out, "--workers", "2"))
    assert code == 2
    assert "No space left on device" in said
    assert "finished work is kept" in said
    assert "Traceback" not in said
    done = len(parts(out))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, said = ended(start(raw, out, "--workers", "2"))
    assert code == 2
    assert "Read-only file system" in said
    subprocess.run(["mount", "-o", "remount,rw,size=200m", small_disk], check=True)
    assert ended(start(raw, out, "--workers", "2"))[0] == 0
    assert contents(out) == expected
    if done:
        assert report(out)["done_in_this_run"] < PHOTOS


@pytest.fixture
def cluster(tmp_path):
    """Starts a scheduler, and workers on demand; what it starts it ends."""
    started = []

    def dask(*words, path=str(FOLDER)):
        # from another folder, as on another machine
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield dask
    for process in reversed(started):
        process.kill()
        process.wait()


def start_scheduler(dask, folder):
    file = folder / "scheduler.json"
    process = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    wait_for(file.exists)
    # until it is whole
    time.sleep(0.5)
    import json

    return process, json.loads(file.read_text())["address"]


def worker(dask, address, **options):
    return dask("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", **options)


def test_a_cluster_that_loses_a_worker(tmp_path, raw, expected, cluster, monkeypatch):
    _, address = start_scheduler(cluster, tmp_path)
    first, _ = worker(cluster, address), worker(cluster, address)
    # a relative --out must mean the same to workers elsewhere
    monkeypatch.chdir(tmp_path)
    process = start(raw, "out", "--scheduler", address)
    wait_for(lambda: len(parts("out")) >= 2, process)
    first.kill()
    code, said = ended(process)
    assert code == 0, said
    assert contents(tmp_path / "out") == expected


def test_a_cluster_that_loses_its_scheduler(tmp_path, raw, expected, cluster):
    scheduler, address = start_scheduler(cluster, tmp_path)
    worker(cluster, address)
    out = tmp_path / "out"
    process = start(raw, out, "--scheduler", address)
    wait_for(lambda: len(parts(out)) >= 2, process)
    scheduler.kill()
    code, said = ended(process)
    assert code == 2
    assert "the scheduler is gone" in said
    assert ended(start(raw, out, "--workers", "2"))[0] == 0
    assert contents(out) == expected


def test_workers_without_this_code_are_told_apart(tmp_path, raw, cluster):
    _, address = start_scheduler(cluster, tmp_path)
    worker(cluster, address, path=str(tmp_path))
    code, said = ended(start(raw, tmp_path / "out", "--scheduler", address))
    assert code == 2
    assert "lacks this code" in said
    assert "PYTHONPATH" in said


@pytest.mark.parametrize("kind", ["any folder called data", "another version"])
def test_workers_with_other_code_are_told_within_a_minute(tmp_path, raw, cluster, kind):
    other = tmp_path / "other"
    if kind == "another version":
        shutil.copytree(FOLDER / "data", other / "data", ignore=shutil.ignore_patterns("__pycache__"))
        with (other / "data/sampler.py").open("a") as file:
            file.write("# changed\n")
    else:
        (other / "data").mkdir(parents=True)
    _, address = start_scheduler(cluster, tmp_path)
    worker(cluster, address, path=str(other))
    started = time.monotonic()
    code, said = ended(start(raw, tmp_path / "out", "--scheduler", address))
    assert code == 2
    assert ("another version of this code" if kind == "another version" else "lacks this code") in said
    assert time.monotonic() - started < 60
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_cluster_that_loses_all_workers(tmp_path, raw, cluster):
    _, address = start_scheduler(cluster, tmp_path)
    only, out = worker(cluster, address), tmp_path / "out"
    process = start(raw, out, "--scheduler", address)
    wait_for(lambda: parts(out), process)
    only.kill()
    lost = time.monotonic()
    code, said = ended(process)
    assert code == 2
    assert "no worker is left" in said
    assert time.monotonic() - lost < 60


@pytest.mark.parametrize("fraction", ["TERMINATE=0.0026", "PAUSE=0.001"])
def test_workers_without_memory_end_the_run_within_a_minute(tmp_path, raw, fraction):
    name, value = fraction.split("=")
    environment = os.environ | {f"DASK_DISTRIBUTED__WORKER__MEMORY__{name}": value}
    started = time.monotonic()
    code, said = ended(start(raw, tmp_path / "out", "--workers", "2", env=environment))
    assert code == 2
    assert "lack of memory" in said
    assert "Traceback" not in said
    assert time.monotonic() - started < 60


def test_no_scheduler_there(tmp_path, raw):
    code, said = ended(start(raw, tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9"))
    assert code == 2
    assert "is `dask scheduler` running there?" in said


@pytest.fixture
def s3(monkeypatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    for name, value in (("ACCESS_KEY_ID", "any"), ("SECRET_ACCESS_KEY", "any"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    import s3fs

    storage = s3fs.S3FileSystem(skip_instance_cache=True)
    storage.makedirs("plates", exist_ok=True)
    yield storage
    server.stop()


def test_photos_and_tiles_in_s3(tmp_path, s3):
    raw = tmp_path / "raw"
    write_photos(raw / "deep", 12)
    (raw / "deep/01-bad.jpg").write_bytes(b"")
    s3.put(f"{raw}/", "plates/raw/", recursive=True)
    code, said = ended(start("s3://plates/raw", "s3://plates/tiles", "--workers", "2"))
    # the bad one
    assert code == 1, said
    assert run(raw, tmp_path / "out", *FLAGS, "--workers", 1) == 1
    local = contents(tmp_path / "out")
    assert {name: s3.cat_file(f"plates/tiles/{name}") for name in local} == local

    code, said = ended(start("s3://plates/raw", "s3://plates/tiles", "--workers", "1"))
    assert code == 1, said
    assert b'"done_in_this_run": 0' in s3.cat_file("plates/tiles/report.json")

    rows = read_manifest("s3://plates/tiles")
    pairs = [pair for split in ("train", "val", "test") for pair in open_tiles("s3://plates/tiles", split).pairs]
    assert sorted(row.key for row in rows) == sorted(pair.key for pair in pairs)
    assert read_tile(pairs[0].lq).shape == (96, 192, 3)
    assert not s3.exists("plates/tiles/.lock")

    tiny = (
        "--filters 8 --blocks 1 --batch-size 2 --workers 0 --pretrain-steps 2 --adversarial-steps 0 --precision float32"
    )
    command = [
        sys.executable,
        "train.py",
        "--tiles",
        "s3://plates/tiles",
        "--run",
        str(tmp_path / "run"),
        *tiny.split(),
    ]
    trained = subprocess.run(command, cwd=Path(preprocess.__file__).parent, capture_output=True, text=True, timeout=300)
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run" / "generator.keras").exists()


def test_a_bucket_that_is_not_there(tmp_path, s3):
    code, said = ended(start("s3://nowhere/raw", tmp_path / "out"))
    assert code == 2
    assert "no such folder" in said
