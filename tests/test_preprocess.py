# ruff: noqa: F811 (fixtures)
import contextlib
import csv
import json
import os
import shutil
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from plate_photos import (
    PLATE,
    contents,
    draw_photo,
    one_thread,  # noqa: F401 (a fixture)
    photo_name,
    plate_text,
    quick,  # noqa: F401 (a fixture)
    report,
    run,
    write_photo,
    write_photos,
)

import preprocess
from data.buckets import bucket_count, into_buckets
from data.ccpd import format_name, parse_name
from data.io import open_picture_8bit
from data.photos import Photo, find_photos
from data.preprocessing import FAILED, KEPT, Outcome, Recipe, Summary, draw_split
from data.straighten import crop_plate
from data.tiles import Row, read_manifest, read_tile, tile_url

BROKEN = {
    "empty file": "03",
    "not a picture": "04",
    "truncated file": "05",
    "the name is not CCPD's": "IMG_0001.jpg",
    "corners outside the photo": "07",
    "corners enclose no area": "08",
    "the file cannot be read": "09",
}


def write_broken(folder):
    """One file of every kind of `BROKEN` -> reason by file name."""
    named = {reason: photo_name(plate_text(90), int(area)) for reason, area in BROKEN.items() if area.isdigit()}
    _, top, right, bottom = PLATE
    named["the name is not CCPD's"] = BROKEN["the name is not CCPD's"]
    named["corners outside the photo"] = named["corners outside the photo"].replace(f"{right}&", f"{right + 500}&")
    flat = named["corners enclose no area"].replace(f"&{top}", f"&{bottom}")
    named["corners enclose no area"] = flat
    whole = write_photo(folder, 91)
    content = whole.read_bytes()
    whole.unlink()
    for name in named.values():
        (folder / name).write_bytes(content)
    (folder / named["empty file"]).write_bytes(b"")
    (folder / named["not a picture"]).write_text("<html>404</html>")
    (folder / named["truncated file"]).write_bytes(content[: len(content) // 2])
    (folder / named["the file cannot be read"]).unlink()
    (folder / named["the file cannot be read"]).symlink_to(folder / "nowhere")
    return {name: reason for reason, name in named.items()}


def test_broken_photos_are_counted_and_named_and_the_rest_goes_on(tmp_path, quick, capsys):
    write_photos(tmp_path / "raw/ccpd_base", 4)
    flat = write_photo(tmp_path / "raw", 50, texture=0.1)
    expected = write_broken(tmp_path / "raw")
    out = tmp_path / "out"
    assert run(tmp_path / "raw", out, "--variants", 2) == 1
    told = report(out)
    assert told["photos"] == {"kept": 4, "failed": len(BROKEN), "rejected": 1}
    files = {name: reason for reason, entry in told["reasons"].items() for name in entry["files"]}
    assert files == expected | {flat.name: "too little contrast"}
    rows = read_manifest(out)
    assert len(rows) == sum(told["pairs"].values()) == 8
    assert told["photos_per_second"] > 0
    assert "8 pairs" in capsys.readouterr().out


def test_photos_not_good_enough_are_no_failure(tmp_path, quick):
    write_photos(tmp_path / "raw", 2)
    dark = draw_photo(7) // 8
    for name, photo in ((photo_name(plate_text(7)), dark), (photo_name(plate_text(8)), 255 - dark)):
        Image.fromarray(photo).save(tmp_path / "raw" / name)
    assert run(tmp_path / "raw", tmp_path / "out") == 0
    reasons = {reason: entry["count"] for reason, entry in report(tmp_path / "out")["reasons"].items()}
    assert reasons == {"too dark": 1, "too bright": 1}


def test_small_plates_are_rejected_by_name_before_the_photo_is_opened(tmp_path, quick):
    write_photos(tmp_path / "raw", 1)
    left, _, right, _ = PLATE
    (tmp_path / "raw" / photo_name(plate_text(3)).replace(f"{right}&", f"{left + 60}&")).write_bytes(b"no picture")
    assert run(tmp_path / "raw", tmp_path / "out") == 0
    assert list(report(tmp_path / "out")["reasons"]) == ["plate too small"]


@pytest.mark.parametrize("make", [lambda raw: None, lambda raw: raw.mkdir(), lambda raw: write_photo(raw, 1, 0.1)])
def test_nothing_to_keep_is_an_error_that_says_what_to_do(tmp_path, quick, capsys, make):
    make(tmp_path / "raw")
    assert run(tmp_path / "raw", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "docs/DATA.md says where" in told or "lower --min-plate-width" in told
    assert told.count("preprocess.py: ") == 1
    assert "Traceback" not in told


def test_after_nothing_was_kept_other_settings_are_welcome(tmp_path, quick):
    write_photo(tmp_path / "raw", 1, 0.4)
    assert run(tmp_path / "raw", tmp_path / "out", "--min-contrast", 0.3) == 2
    assert run(tmp_path / "raw", tmp_path / "out", "--min-contrast", 0.1) == 0


@pytest.mark.slow
def test_one_worker_and_two_processes_give_the_same_bytes(tmp_path, monkeypatch, one_thread):
    write_photos(tmp_path / "raw", 20)
    assert run(tmp_path / "raw", tmp_path / "2", "--variants", 2, "--workers", 2) == 0
    monkeypatch.setattr("data.cluster.connect", lambda *_: contextlib.nullcontext(one_thread))
    assert run(tmp_path / "raw", tmp_path / "1", "--variants", 2) == 0
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert len(one) == 20 * 2 * 2 + 1
    assert one == two
    pixels = read_tile(str(tmp_path / "2/report.png"))
    assert min(pixels.shape[:2]) > 500
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000, "no pairs drawn"


def test_the_seed_changes_the_damage_and_not_the_clean_tile(tmp_path, quick):
    write_photos(tmp_path / "raw", 2)
    for seed in (0, 1):
        run(tmp_path / "raw", tmp_path / str(seed), "--seed", seed, "--test", 1, "--val", 0)
    zero, one = contents(tmp_path / "0"), contents(tmp_path / "1")
    for name in zero:
        assert (zero[name] == one[name]) == ("hr/" in name), name


def test_other_settings_in_the_same_folder_are_refused(tmp_path, quick, capsys):
    write_photos(tmp_path / "raw", 2)
    out = tmp_path / "out"
    assert run(tmp_path / "raw", out) == 0
    before = contents(out)
    assert run(tmp_path / "raw", out, "--seed", 3) == 2
    assert "seed 0 (now 3); give another folder" in capsys.readouterr().err
    assert contents(out) == before
    assert run(tmp_path / "raw", out) == 0
    assert contents(out) == before
    assert report(out)["done_in_this_run"] == 0


def test_a_folder_of_something_else_is_refused(tmp_path, quick, capsys):
    write_photos(tmp_path / "raw", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/letter.txt").write_text("dear")
    assert run(tmp_path / "raw", tmp_path / "out") == 2
    assert "not made by preprocess.py" in capsys.readouterr().err
    assert run(tmp_path / "raw", tmp_path / "raw/tiles") == 2
    assert "lies in --raw" in capsys.readouterr().err


@pytest.mark.parametrize(("val", "test", "split"), [(0, 1, "test"), (1, 0, "val"), (0, 0, "train")])
def test_all_plates_on_one_side(tmp_path, quick, val, test, split):
    write_photos(tmp_path / "raw", 4)
    assert run(tmp_path / "raw", tmp_path / "out", "--val", val, "--test", test) == 0
    assert Counter(row.split for row in read_manifest(tmp_path / "out")) == {split: 4}
    assert len(list((tmp_path / "out" / split / "lq").iterdir())) == 4


def test_all_photos_of_one_plate_fall_on_one_side(tmp_path, quick):
    raw = tmp_path / "raw"
    for number in range(24):
        write_photo(raw, number, text=plate_text(number % 8))
    assert run(raw, tmp_path / "out", "--val", 0.3, "--test", 0.3, "--variants", 2) == 0
    sides = {}
    for row in read_manifest(tmp_path / "out"):
        sides.setdefault(row.text, set()).add(row.split)
    assert len(sides) == 8
    assert all(len(splits) == 1 for splits in sides.values())
    assert len(set.union(*sides.values())) > 1


def test_shares_of_the_split_and_spelling():
    recipe = Recipe(val=0.1, test=0.2)
    drawn = Counter(draw_split(f"PLATE{number}", "", recipe) for number in range(5000))
    assert drawn["test"] / 5000 == pytest.approx(0.2, abs=0.02)
    assert drawn["val"] / 5000 == pytest.approx(0.1, abs=0.02)
    for number in range(50):
        spellings = (f"AB{number}/CD", f"ab {number}-cd", f"AB{number}CD")
        assert len({draw_split(text, text, recipe) for text in spellings}) == 1


def test_text_csv_overrides_the_names(tmp_path, quick, capsys):
    """Of two rows the last counts, which is said."""
    paths = write_photos(tmp_path / "raw/some", 2)
    with open(tmp_path / "raw/some/text.csv", "w", encoding="utf-8", newline="") as file:
        rows = [("file", "text", "country"), (paths[0].name, "CD34", "GB"), (paths[0].name, "AB12/CD345", "GB")]
        csv.writer(file).writerows(rows)
    assert run(tmp_path / "raw", tmp_path / "out") == 0
    assert report(tmp_path / "out")["listed_twice"] == {"count": 1, "names": [f"some/text.csv: {paths[0].name}"]}
    assert "1 photos are listed twice and differently" in capsys.readouterr().out
    texts = {row.source: (row.text, row.country) for row in read_manifest(tmp_path / "out")}
    assert texts == {f"some/{paths[0].name}": ("AB12/CD345", "GB"), f"some/{paths[1].name}": (plate_text(1), "CN")}


def test_a_text_csv_above_the_photos_names_them_bare_or_by_path(tmp_path, quick):
    bare, by_path, nearer = (
        write_photo(tmp_path / "raw" / folder, 1 + n) for n, folder in enumerate(("a", "a/b", "c"))
    )
    listed = [("file", "text", "country"), (bare.name, "AA11", "DE"), (f"a/b/{by_path.name}", "BB22", "FR")]
    for folder, rows in (
        ("raw", [*listed, (nearer.name, "no", "XX")]),
        ("raw/c", [listed[0], (nearer.name, "CC33", "GB")]),
    ):
        with open(tmp_path / folder / "text.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    assert {photo.source: photo.text for photo in find_photos(str(tmp_path / "raw")).photos} == {
        f"a/{bare.name}": ("AA11", "DE"),
        f"a/b/{by_path.name}": ("BB22", "FR"),
        f"c/{nearer.name}": ("CC33", "GB"),
    }


def test_a_text_csv_with_other_columns_is_an_error(tmp_path, quick, capsys):
    write_photos(tmp_path / "raw", 1)
    (tmp_path / "raw/text.csv").write_text("name,plate\n")
    assert run(tmp_path / "raw", tmp_path / "out") == 2
    assert "columns must be file,text,country" in capsys.readouterr().err


def test_crops_need_no_names(tmp_path, quick, capsys):
    (tmp_path / "raw").mkdir()
    left, top, right, bottom = PLATE
    for number, name in enumerate(("a&b #1 %20[x].png", "皖::2.jpg", "portrait.JPEG")):
        crop = draw_photo(number)[top:bottom, left:right]
        Image.fromarray(crop).save(tmp_path / "raw" / name, quality=95)
    assert run(tmp_path / "raw", tmp_path / "out", "--scale", 2) == 0
    told = capsys.readouterr()
    assert "--format crops: 0% of 3 names" in told.out
    assert "shape" not in told.err
    rows = read_manifest(tmp_path / "out")
    assert {row.source for row in rows} == {"a&b #1 %20[x].png", "皖::2.jpg", "portrait.JPEG"}
    for row in rows:
        assert (row.text, row.country) == ("", "")
        hr, lq = (read_tile(tile_url(tmp_path / "out", row.split, side, row.key)) for side in ("hr", "lq"))
        assert (hr.shape, lq.shape) == ((96, 192, 3), (48, 96, 3))
        np.testing.assert_allclose(np.ptp(np.array(row.corners), axis=0), (192, 73.8), atol=2)


def test_photos_that_are_taken_for_crops_by_their_names_are_spoken_of(tmp_path, quick, capsys):
    """Streets and pages were squeezed into tiles without a word."""
    (tmp_path / "raw").mkdir()
    for number in range(3):
        Image.fromarray(draw_photo(number)).save(tmp_path / "raw" / f"{number}.png")
    (tmp_path / "raw" / "3.png").write_bytes(b"no picture")
    run(tmp_path / "raw", tmp_path / "out")
    told = capsys.readouterr()
    assert "--format crops: 0% of 4 names" in told.out
    assert "100% of the pictures do not have the shape of a crop" in told.err
    assert "--format photos" in told.err
    run(tmp_path / "raw", tmp_path / "asked", "--format", "crops")
    assert "shape" not in capsys.readouterr().err


def test_the_datasets_own_lists_rule(tmp_path, quick):
    paths = write_photos(tmp_path / "raw/ccpd_base", 4)
    for split, path in zip(("train", "val", "test"), paths, strict=False):
        (tmp_path / f"{split}.txt").write_text(f"ccpd_base/{path.name}\n\n")
    assert run(tmp_path / "raw", tmp_path / "out", "--split-files", tmp_path) == 0
    splits = {row.source: row.split for row in read_manifest(tmp_path / "out")}
    assert [splits.get(f"ccpd_base/{path.name}") for path in paths] == ["train", "val", "test", None]
    assert report(tmp_path / "out")["reasons"]["in none of the split files"]["count"] == 1


def test_split_files_that_are_not_there(tmp_path, quick, capsys):
    write_photos(tmp_path / "raw", 1)
    assert run(tmp_path / "raw", tmp_path / "out", "--split-files", tmp_path) == 2
    assert "no train.txt, val.txt or test.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ("--val", 0.6, "--test", 0.6),
        ("--brightness", 0.8, 0.2),
        ("--variants", 0),
        ("--tile", "90x180", "--scale", 8),
        ("--limit", 0),
        ("--seed", -1),
        ("--workers", 0),
    ],
)
def test_figures_that_make_no_sense_are_refused(tmp_path, flags, capsys):
    assert run(tmp_path, tmp_path / "out", *flags) == 2
    assert flags[0] in capsys.readouterr().err


def test_the_manifest_is_enough_to_make_the_tile_again(tmp_path, quick):
    from data.degrade import apply

    write_photos(tmp_path / "raw", 1)
    run(tmp_path / "raw", tmp_path / "out", "--variants", 3)
    rows = read_manifest(tmp_path / "out")
    assert len({json.dumps(row.degradation) for row in rows}) == 3
    for row in rows:
        hr, lq = (read_tile(tile_url(tmp_path / "out", row.split, side, row.key)) for side in ("hr", "lq"))
        again = np.round(apply(hr.astype(np.float32) / 255, row.degradation) * 255)
        np.testing.assert_array_equal(again, lq)


def test_linked_photos_and_folders_are_found_once(tmp_path):
    write_photos(tmp_path / "far", 2)
    (tmp_path / "raw/deep").mkdir(parents=True)
    (tmp_path / "raw/linked").symlink_to(tmp_path / "far")
    (tmp_path / "raw/deep/circle").symlink_to(tmp_path / "raw")
    assert [photo.source.split("/")[0] for photo in find_photos(str(tmp_path / "raw")).photos] == ["linked", "linked"]


def test_a_photo_belongs_to_one_bucket_whatever_else_there_is():
    photos = [Photo(f"{number}.jpg", "") for number in range(600)]
    assert bucket_count(3) == 3
    assert bucket_count(600) == 16
    assert bucket_count(1_000_000) == 3907
    few, all_of_them = into_buckets(photos[:50], 16), into_buckets(photos, 16)
    assert all(set(small) <= set(large) for small, large in zip(few, all_of_them, strict=True))
    assert max(map(len, all_of_them)) < 2 * 600 / 16


def test_summaries_add_up_in_any_order():
    parts = []
    for number in range(40):
        kept = Outcome(f"{number}.jpg", "", KEPT, "", {"brightness": number / 40}, [Row(f"k{number}", "train", "")])
        parts.append(Summary.of([kept, Outcome(f"{number}x.jpg", "", FAILED, "empty file")], new=2))
    forward, backward = Summary(), Summary()
    for part in parts:
        forward.merge(part)
    for part in reversed(parts):
        backward.merge(part)
    assert forward.samples == backward.samples
    assert len(forward.samples) == 12
    assert forward.names == backward.names
    assert forward.histograms["kept brightness"].sum() == 40
    assert forward.verdicts == {KEPT: 40, FAILED: 40}
    assert forward.new == 80


def test_help_is_quick_and_tensorflow_stays_out():
    import subprocess

    slow = "'tensorflow' in sys.modules or 'keras' in sys.modules"
    code = f"import sys, preprocess, data.preprocessing; sys.exit({slow})"
    assert subprocess.run([sys.executable, "-c", code], cwd=os.path.dirname(preprocess.__file__)).returncode == 0


def test_tilted_plates_are_straightened_unless_told_otherwise(tmp_path, quick):
    """The corners in the manifest say where the plate lies: level and 0.8 of the width, or as it lay in the photo."""
    corners = ((215, 110), (95, 130), (90, 75), (210, 55))
    name = format_name(corners, plate_text(1), 1, (90, 90), 100, 20) + ".jpg"
    (tmp_path / "raw").mkdir()
    Image.fromarray(draw_photo(1)).save(tmp_path / "raw" / name)
    heights = []
    for out, flags in (("straight", ()), ("as-it-is", ("--no-straighten",))):
        assert run(tmp_path / "raw", tmp_path / out, "--val", 0, "--test", 0, *flags) == 0
        (right, lower), (left, other), *_ = read_manifest(tmp_path / out)[0].corners
        heights.append(abs(lower - other))
        if not flags:
            assert right - left == pytest.approx(0.8 * 192)
    assert heights[0] == pytest.approx(0)
    assert heights[1] > 5


def test_tiles_of_before_there_was_a_choice_go_on_as_they_were(tmp_path, quick):
    write_photos(tmp_path / "raw", 2)
    assert run(tmp_path / "raw", tmp_path / "out", "--no-straighten") == 0
    settings = json.loads((tmp_path / "out/settings.json").read_text(encoding="utf-8"))
    del settings["straighten"]
    (tmp_path / "out/settings.json").write_text(json.dumps(settings), encoding="utf-8")
    assert run(tmp_path / "raw", tmp_path / "out", "--no-straighten") == 0
    assert run(tmp_path / "raw", tmp_path / "out") == 2


# --- Files of any name and content ------------------------------------------------------------------------------------


NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")
ODD_NAMES = (
    NOT_UTF8,
    "plain.jpg",
    "🚗" * 60 + ".jpg",
    "x" * 251 + ".jpg",
    "line\nbreak \x1b[31m\u2028.jpg",
    "=HYPERLINK(1)'\"&%$?*|<>.jpg",
)


def test_an_odd_name_costs_one_photo_at_most(tmp_path, quick, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    left, top, right, bottom = PLATE
    for number, name in enumerate(ODD_NAMES):
        Image.fromarray(draw_photo(number)[top:bottom, left:right]).save(raw / name, format="JPEG", quality=95)
    for done in (len(ODD_NAMES), 0):
        assert run(raw, out, "--format", "crops", "--variants", 2) == 1
        told = report(out)
        assert told["done_in_this_run"] == done
        assert told["photos"] == {"kept": len(ODD_NAMES) - 1, "failed": 1}
        failed = {name: reason for reason, entry in told["reasons"].items() for name in entry["files"]}
        assert failed == {NOT_UTF8: "the name is not UTF-8"}
    assert {row.source for row in read_manifest(out)} == set(ODD_NAMES) - {NOT_UTF8}
    assert "\x1b" not in capsys.readouterr().out


def test_pictures_too_large_cost_one_row(tmp_path, quick):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_photos(raw, 2)
    for number, size in enumerate(((40_000, 60), (500_000, 3), (13_000, 13_000))):
        Image.new("1", size).save(raw / photo_name(plate_text(50 + number)), format="PNG")
    assert run(raw, out) == 1
    assert report(out)["photos"] == {"kept": 2, "failed": 3}
    assert set(report(out)["reasons"]) <= {"too large", "too long"}


def test_odd_files_of_bug_reports_give_the_pixels_that_every_program_sees(tmp_path, quick, shared):
    """Crops as large as a tile come through unchanged: turned upright, 16 bits scaled, transparency on white. Corners
    in a photo's name refer to its pixels as they are stored, whatever its EXIF orientation says."""
    cases = shared / "cases/preprocess_odd"
    anything = ("--test", 1, "--val", 0, "--min-contrast", 0, "--min-sharpness", 0, "--brightness", -1, 2)
    raw = tmp_path / "crops"
    shutil.copytree(cases, raw, ignore=shutil.ignore_patterns("ccpdexif"))
    assert run(raw, tmp_path / "out", "--format", "crops", *anything) == 0
    rows = read_manifest(tmp_path / "out")
    assert {row.source: row.text for row in rows} == {
        "camera16.png": "CJ34FYY",
        "cutout.png": "LR93WPX",
        "phone_exif3.jpg": "皖KDE8462",
        "saved.jfif": "TQN8165",
    }
    for row in rows:
        tile = read_tile(tile_url(tmp_path / "out", row.split, "hr", row.key)).astype(int)
        assert np.abs(tile - open_picture_8bit(raw / row.source)).max() <= 1, row.source
    assert report(tmp_path / "out")["listed_but_not_found"] == {
        "count": 2,
        "names": ["text.csv: phone_exif6.jpg", "text.csv: plain.png"],
    }
    [photo] = (cases / "ccpdexif").iterdir()
    assert run(cases / "ccpdexif", tmp_path / "ccpd", "--no-straighten", *anything) == 0
    [row] = read_manifest(tmp_path / "ccpd")
    stored = open_picture_8bit(photo, upright=False)
    tile = read_tile(tile_url(tmp_path / "ccpd", row.split, "hr", row.key))
    np.testing.assert_array_equal(tile, crop_plate(stored, parse_name(photo.name).corners)[0])
