"""Preprocessing that goes on: photos added or replaced, storage that fails, two runs at once. Without processes."""

# ruff: noqa: F811 (fixtures)

import os
import signal

import pytest
from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from plate_photos import (
    contents,
    draw_photo,
    one_thread,  # noqa: F401 (a fixture)
    quick,  # noqa: F401 (a fixture)
    report,
    run,
    write_photo,
    write_photos,
)

from data import buckets, cluster, locking
from data.tiles import open_tiles, read_manifest


def rows_by_key(out):
    return {row.key: row for row in read_manifest(str(out))}


def test_added_photos_alone_are_done_and_the_old_split_stays(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw / "monday", 10)
    assert run(raw, out, "--val", 0.3, "--test", 0.3) == 0
    before, written = rows_by_key(out), {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    write_photos(raw / "tuesday", 10, first=10)
    assert run(raw, out, "--val", 0.3, "--test", 0.3) == 0
    after = rows_by_key(out)
    assert len(after) == 20
    assert {key: after[key] for key in before} == before
    assert report(out)["done_in_this_run"] == 10
    assert report(out)["photos"] == {"kept": 20}
    untouched = (path for path in written if path.parent.name in ("hr", "lq"))
    assert all(path.stat().st_mtime_ns == written[path] for path in untouched)
    assert run(raw, tmp_path / "at once", "--val", 0.3, "--test", 0.3) == 0
    assert rows_by_key(tmp_path / "at once") == after


def test_buckets_multiply_with_the_photos_and_nothing_is_done_twice(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(buckets, "FEWEST_BUCKETS", 2)
    monkeypatch.setattr(buckets, "PHOTOS_PER_BUCKET", 2)
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 8)
    assert run(raw, out) == 0
    assert [path.name for path in (out / "parts").iterdir()] == ["4"]
    write_photos(raw, 18, first=8)
    # as a run killed while it split the buckets leaves it
    (out / "parts/12").mkdir()
    (out / "parts/12/00001.jsonl").write_text("half a li")
    assert run(raw, out) == 0
    assert [path.name for path in (out / "parts").iterdir()] == ["12"]
    assert report(out)["done_in_this_run"] == 18
    assert report(out)["photos"] == {"kept": 26}
    assert run(raw, out) == 0
    assert report(out)["done_in_this_run"] == 0
    assert len(rows_by_key(out)) == 26


def test_a_replaced_photo_replaces_its_tiles(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "out"
    changed, worse, *_ = write_photos(raw, 4)
    assert run(raw, out, "--variants", 2) == 0
    Image.fromarray(draw_photo(99)).save(changed, quality=90)
    Image.fromarray(draw_photo(98, texture=0.1)).save(worse, quality=90)
    assert run(raw, out, "--variants", 2) == 0
    assert report(out)["done_in_this_run"] == 2
    assert run(raw, tmp_path / "fresh", "--variants", 2) == 0
    assert contents(out) == contents(tmp_path / "fresh")
    assert len(read_manifest(str(out))) == 6


def test_a_text_that_changes_does_the_photo_again(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "out"
    path, *_ = write_photos(raw, 2)
    assert run(raw, out) == 0
    (raw / "text.csv").write_text(f"file,text,country\n{path.name},AB12CDE,GB\n")
    assert run(raw, out) == 0
    assert report(out)["done_in_this_run"] == 1
    assert {row.text for row in read_manifest(str(out))} > {"AB12CDE"}


def test_a_photo_that_could_not_be_read_is_tried_again(tmp_path, quick, monkeypatch):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 2)
    late = write_photo(tmp_path / "late", 7)
    (raw / late.name).symlink_to(late)
    late.rename(tmp_path / "away")
    assert run(raw, out) == 1
    # even with the same stamp
    monkeypatch.setattr("data.photos._local_stamp", lambda _: "")
    (tmp_path / "away").rename(late)
    assert run(raw, out) == 0
    assert len(read_manifest(str(out))) == 3


def test_what_killed_processes_left_is_removed(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 2)
    assert run(raw, out) == 0
    for name in ("train/hr/a.png.123.part", "parts/2/00000.jsonl.9.part", "manifest.csv.part"):
        (out / name).write_bytes(b"half")
    assert run(raw, out) == 0
    assert not list(out.rglob("*.part"))


def test_a_second_run_at_the_same_time_is_refused(tmp_path, quick, capsys):
    write_photos(tmp_path / "raw", 1)
    out = tmp_path / "out"
    with locking.only_run_in(str(out)):
        assert run(tmp_path / "raw", out) == 2
        assert "another run is writing there" in capsys.readouterr().err
    assert run(tmp_path / "raw", out) == 0


class FailingFileSystem(MemoryFileSystem):
    """Storage that fails after some writes, as a full disk does."""

    protocol = "failing"
    store, pseudo_dirs = {}, [""]
    writes_left, number = 0, 0

    def pipe_file(self, path, value, **options):
        if FailingFileSystem.writes_left <= 0:
            raise OSError(self.number, os.strerror(self.number), path)
        FailingFileSystem.writes_left -= 1
        super().pipe_file(path, value, **options)


register_implementation("failing", FailingFileSystem)


@pytest.mark.parametrize(("number", "message"), [(28, "No space left on device"), (30, "Read-only file system")])
@pytest.mark.parametrize("writes", [0, 13])
def test_storage_that_fails_ends_the_run_clearly_and_it_goes_on_later(
    tmp_path, quick, capsys, monkeypatch, number, message, writes
):
    write_photos(tmp_path / "raw", 8)
    out = f"failing://{number}-{writes}"
    monkeypatch.setattr(FailingFileSystem, "number", number)
    monkeypatch.setattr(FailingFileSystem, "writes_left", writes)
    assert run(tmp_path / "raw", out) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "what is done stays done" in told
    monkeypatch.setattr(FailingFileSystem, "writes_left", 10**6)
    assert run(tmp_path / "raw", out) == 0
    assert run(tmp_path / "raw", tmp_path / "local") == 0
    assert read_manifest(out) == read_manifest(str(tmp_path / "local"))
    there, here = (open_tiles(str(folder), "train").pairs for folder in (out, tmp_path / "local"))
    assert [pair.key for pair in there] == [pair.key for pair in here]


def test_an_interrupted_run_says_how_to_go_on(tmp_path, quick, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    write_photos(tmp_path / "raw", 1)
    monkeypatch.setattr("data.cluster.run_buckets", stop)
    assert run(tmp_path / "raw", tmp_path / "out") == 130
    assert "start again to go on" in capsys.readouterr().err


class InterruptsInItsDestructor:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_swallows_counts_all_the_same(tmp_path, quick, monkeypatch):
    def swallow(future):
        InterruptsInItsDestructor()
        return future.result()

    write_photos(tmp_path / "raw", 40)
    monkeypatch.setattr("data.cluster._result", swallow)
    before = signal.getsignal(signal.SIGINT)
    assert run(tmp_path / "raw", tmp_path / "out") == 130
    assert not (tmp_path / "out/manifest.csv").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_worker_killed_in_the_middle_of_a_file_left_is_removed(tmp_path, quick, monkeypatch):
    def killed_half_way(*arguments):
        (tmp_path / "out/train/hr/half.png.1.part").write_bytes(b"half")
        return run_buckets(*arguments)

    write_photos(tmp_path / "raw", 4)
    run_buckets = cluster.run_buckets
    monkeypatch.setattr(cluster, "run_buckets", killed_half_way)
    assert run(tmp_path / "raw", tmp_path / "out") == 0
    assert not list((tmp_path / "out").rglob("*.part"))


def test_an_unknown_storage_is_named(tmp_path, capsys):
    assert run("nosuch://raw", tmp_path / "out") == 2
    assert "nosuch" in capsys.readouterr().err
