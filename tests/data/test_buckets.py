"""Preprocessing that goes on: photos added or replaced, storage that fails, two runs at once. Without processes."""

# ruff: noqa: F811 (fixtures)

import json
import os
import signal
import sys

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

from data import buckets, cluster, files
from data.preprocessing import Recipe
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
    with files.only_run_in(str(out)):
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
    assert "finished work is kept" in told
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
    def swallow(future, watch):
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


# --- Files that a power cut, a disk or a person damaged ---------------------------------------------------------------


def test_a_tile_removed_or_emptied_later_is_made_again(tmp_path, quick, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 6)
    assert run(raw, out, "--variants", 2) == 0
    before = contents(out)
    removed, emptied, cut, *_ = sorted(out.glob("*/*/*.png"))
    removed.unlink()
    emptied.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:100])
    harmed = {path.name.rsplit(".", 2)[0] for path in (removed, emptied, cut)}
    assert run(raw, out, "--variants", 2) == 0
    assert contents(out) == before
    assert report(out)["tiles_lost_and_made_again"] == report(out)["done_in_this_run"] == len(harmed)
    assert f"{len(harmed)} photos had lost tiles" in capsys.readouterr().out


def test_a_lost_tile_whose_photo_is_gone_leaves_the_manifest(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "out"
    photo, *_ = write_photos(raw, 3)
    assert run(raw, out) == 0
    row = next(row for row in read_manifest(str(out)) if row.source == photo.name)
    (out / row.split / "lq" / f"{row.key}.png").unlink()
    photo.unlink()
    assert run(raw, out) == 0
    assert row.key not in rows_by_key(out)
    told = report(out)
    assert (told["tiles_lost_and_made_again"], told["tiles_lost_with_their_photos"]) == (0, 1)
    # the partner would only stop whoever opens the folder
    assert len(list(out.glob("*/hr/*.png"))) == len(list(out.glob("*/lq/*.png"))) == 2


def test_parts_of_before_the_sizes_were_noted_are_good(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 3)
    assert run(raw, out) == 0
    for part in out.glob("parts/*/*.jsonl"):
        lines = [json.loads(line) for line in part.read_text(encoding="utf-8").splitlines()]
        assert all(line.pop("sizes") for line in lines)
        part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert run(raw, out) == 0
    assert report(out)["done_in_this_run"] == 0


@pytest.mark.parametrize(
    "harm", [lambda b: b"", lambda b: bytes(len(b)), lambda b: b[: len(b) // 2], lambda b: b"[]\n"]
)
def test_a_damaged_part_is_named_and_its_photos_are_done_again(tmp_path, quick, capsys, harm):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 6)
    assert run(raw, out) == 0
    before = contents(out)
    part = next(out.glob("parts/*/*.jsonl"))
    part.write_bytes(harm(part.read_bytes()))
    assert run(raw, out) == 0
    assert contents(out) == before
    assert report(out)["damaged_parts"] == [str(part)]
    assert f"{part} was damaged" in capsys.readouterr().out
    assert run(raw, out) == 0
    assert report(out)["damaged_parts"] == []
    assert report(out)["done_in_this_run"] == 0


def test_damaged_settings_are_named_and_nothing_is_touched(tmp_path, quick, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 2)
    assert run(raw, out) == 0
    before = contents(out)
    for content in (b"", bytes(100), b"[]", b"{}", b'{"buckets": "x"}'):
        (out / "settings.json").write_bytes(content)
        assert run(raw, out) == 2
        assert "settings.json is damaged" in capsys.readouterr().err
    assert contents(out) == before


def test_tiles_of_two_detectors_are_not_mixed(tmp_path, monkeypatch):
    """Of the forms whose plates are known, folders go on whatever the detector."""
    recipes = [Recipe(form=form) for form in ("photos", "ccpd")]
    for recipe in recipes:
        (tmp_path / recipe.form).mkdir()
        buckets.agree_on_settings(str(tmp_path / recipe.form), recipe, "", 1)
    (tmp_path / "detector.onnx").write_bytes(b"another one")
    monkeypatch.setattr(buckets, "DETECTOR", tmp_path / "detector.onnx")
    with pytest.raises(ValueError, match=r"was made with other settings: detector \w+ \(now"):
        buckets.agree_on_settings(str(tmp_path / "photos"), recipes[0], "", 1)
    assert "detector" not in buckets.agree_on_settings(str(tmp_path / "ccpd"), recipes[1], "", 1)


def test_a_run_killed_while_it_wrote_its_settings_can_go_on(tmp_path, quick):
    write_photos(tmp_path / "raw", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.0123.part").write_bytes(b"{")
    assert run(tmp_path / "raw", tmp_path / "out") == 0
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each tile is synced by itself")
def test_tiles_are_on_the_disk_before_their_part_has_its_name(tmp_path, quick, monkeypatch):
    """The order of a bucket: tiles written, synced; the part synced; only then renamed. The same for each file of the
    output folder on which a later start rests."""
    events = []

    def noted(call):
        def calling(*arguments):
            name = os.path.basename(arguments[-1]) if call is replace else ""
            events.append(f"{'tile' if name.endswith('.png') else name} named" if name else call.__name__)
            return call(*arguments)

        return calling

    replace = os.replace
    for name in ("sync", "fsync", "replace"):
        monkeypatch.setattr(os, name, noted(getattr(os, name)))
    write_photos(tmp_path / "raw", 1)
    assert run(tmp_path / "raw", tmp_path / "out") == 0
    whole = ["fsync", "{} named", "fsync"]
    expected = [each.format("settings.json") for each in whole]
    expected += ["tile named"] * 2 + ["sync"] + [each.format("00000.jsonl") for each in whole]
    for name in ("manifest.csv", "report.json"):
        expected += [each.format(name) for each in whole]
    assert events[: len(expected)] == expected


@pytest.mark.parametrize("way", ["raw/tiles", "raw/../raw/tiles", "linked/tiles", "into", "raw"])
def test_an_output_inside_the_raw_folder_is_refused_by_whatever_way(tmp_path, quick, capsys, way):
    write_photos(tmp_path / "raw", 1)
    (tmp_path / "raw/deep").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "raw")
    (tmp_path / "into").symlink_to(tmp_path / "raw/deep")
    before = sorted(tmp_path.rglob("*"))
    assert run(tmp_path / "raw", tmp_path / way) == 2
    assert "lies in --raw" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_that_a_link_in_the_raw_folder_leads_to_is_no_input(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "elsewhere/tiles"
    write_photos(raw, 3)
    (tmp_path / "elsewhere").mkdir()
    (raw / "link").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        assert run(raw, out) == 0
        assert report(out)["photos"] == {"kept": 3}
