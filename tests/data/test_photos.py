"""Lists and the photos that they name: written on other machines, for other folders."""

import csv
import errno
import os
import unicodedata

import pytest
from plate_photos import write_photos

from data.photos import assign_splits, find_photos, read_splits
from data.tiles import from_lq_only
from enhancing.finding import find_inputs


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def write_texts(path, rows, header=("file", "text", "country"), encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *rows])


def texts_of(folder):
    photos, unmatched, *_ = find_photos(str(folder))
    return {photo.source: photo.text[0] for photo in photos if photo.text}, unmatched


def test_backslashes_case_and_unicode_forms_are_understood(tmp_path):
    touch(tmp_path, "sub/14.png", "00.png", "tüv.png", "plain.png")
    listed = ["sub\\14.png", "00.PNG", unicodedata.normalize("NFD", "tüv.png"), "./plain.png"]
    write_texts(tmp_path / "text.csv", [(name, str(number), "DE") for number, name in enumerate(listed)])
    assert texts_of(tmp_path) == ({"sub/14.png": "0", "00.png": "1", "tüv.png": "2", "plain.png": "3"}, [])


def test_a_name_that_is_there_as_it_stands_comes_first(tmp_path):
    touch(tmp_path, "a.png", "A.png", "b.png")
    write_texts(tmp_path / "text.csv", [("a.png", "small", "DE"), ("B.PNG", "x", "DE"), ("b.PNG", "y", "DE")])
    found, unmatched = texts_of(tmp_path)
    # "A.png" would match "a.png", were that not there itself; two lines that differ by case alone name nobody
    assert found == {"a.png": "small"}
    assert unmatched == ["text.csv: B.PNG", "text.csv: b.PNG"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_and_other_headers_are_taken(tmp_path, encoding):
    touch(tmp_path, "a.png")
    write_texts(
        tmp_path / "Text.CSV", [("a.png", "DE", "皖A12345", "x")], ("File", " country", "TEXT", "note"), encoding
    )
    assert texts_of(tmp_path) == ({"a.png": "皖A12345"}, [])


def test_rows_that_name_no_photo_are_told_and_overridden_ones_are_not(tmp_path):
    touch(tmp_path, "a/x.png", "y.png")
    write_texts(tmp_path / "text.csv", [("x.png", "far", "DE"), ("gone.png", "1", "DE"), ("y.png", "2", "DE")])
    write_texts(tmp_path / "a/text.csv", [("x.png", "near", "DE"), ("", "3", "DE")])
    found, unmatched = texts_of(tmp_path)
    assert found == {"a/x.png": "near", "y.png": "2"}
    assert sorted(unmatched) == ["a/text.csv: ", "text.csv: gone.png"]


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"file;text;country\n", b"file,text,country\n" + b'"' + b"a" * 200_000]
)
def test_a_text_csv_that_is_none_is_named(tmp_path, content):
    touch(tmp_path, "a.png")
    (tmp_path / "text.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"text\.csv"):
        find_photos(str(tmp_path))


LINES = {"base/1.jpg": "train", "base/2.jpg": "val", "blur/3.jpg": "test"}


def sources_of(folder):
    return [photo.source for photo in find_photos(str(folder)).photos]


def write_lists(folder, lines, ending="\n", encoding="utf-8"):
    folder.mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        names = [path for path, own in lines.items() if own == split]
        (folder / f"{split}.txt").write_bytes(ending.join([*names, ""]).encode(encoding))
    return read_splits(str(folder))


@pytest.mark.parametrize(("ending", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8-sig"), ("\n", "utf-8-sig")])
def test_lists_of_other_machines(tmp_path, ending, encoding):
    assert write_lists(tmp_path, LINES, ending, encoding) == LINES


def test_a_list_in_another_encoding_is_named(tmp_path):
    (tmp_path / "train.txt").write_bytes("皖/1.jpg\n".encode("gbk"))
    with pytest.raises(ValueError, match=r"train\.txt is not in UTF-8 .*GBK"):
        read_splits(str(tmp_path))


@pytest.mark.parametrize("raw", ["top", "top/base", "."])
def test_lists_are_relative_to_the_top_or_to_a_folder_above_or_below(tmp_path, raw):
    touch(tmp_path / "top", *LINES)
    sources = sources_of(tmp_path / raw)
    splits, unmatched, _ = assign_splits(sources, write_lists(tmp_path / "lists", LINES))
    assert splits == {source: LINES["/".join(f"top/base/{source}".split("/")[-2:])] for source in sources}
    assert unmatched == (["blur/3.jpg"] if raw == "top/base" else [])


def test_lists_with_backslashes_and_other_case(tmp_path):
    touch(tmp_path, "base/1.jpg", "base/2.jpg")
    splits, unmatched, _ = assign_splits(sources_of(tmp_path), {"BASE\\1.JPG": "train", "x\\base\\2.jpg": "val"})
    assert (splits, unmatched) == ({"base/1.jpg": "train", "base/2.jpg": "val"}, [])


def test_lines_that_contradict_each_other_are_not_believed(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg")
    lines = {"base/1.jpg": "train", "blur/1.jpg": "test", "base/2.jpg": "val", "blur/2.jpg": "val", "base/9.jpg": "val"}
    assert assign_splits(sources_of(tmp_path), lines) == ({"2.jpg": "val"}, ["base/9.jpg"], ["1.jpg"])


def test_a_line_in_two_lists_is_told_and_not_believed(tmp_path):
    touch(tmp_path / "raw", "1.jpg", "2.jpg")
    (tmp_path / "train.txt").write_text("1.jpg\n2.jpg\n2.jpg\n")
    (tmp_path / "test.txt").write_text("1.jpg\n")
    assert assign_splits(sources_of(tmp_path / "raw"), read_splits(str(tmp_path))) == (
        {"2.jpg": "train"},
        [],
        ["1.jpg"],
    )


def test_a_photo_with_two_texts_is_told(tmp_path):
    """In one file, or in two of which the nearer one counts; the same text twice is no contradiction."""
    touch(tmp_path, "a.png", "b.png", "c/d.png", "c/e.png")
    rows = [("a.png", "1"), ("b.png", "2"), ("c/d.png", "3"), ("c/e.png", "4"), ("a.png", "5"), ("b.png", "2")]
    write_texts(tmp_path / "text.csv", [(*row, "DE") for row in rows])
    write_texts(tmp_path / "c/text.csv", [("d.png", "6", "DE"), ("e.png", "4", "DE")])
    assert texts_of(tmp_path) == ({"a.png": "5", "b.png": "2", "c/d.png": "6", "c/e.png": "4"}, [])
    assert find_photos(str(tmp_path)).twice == ["text.csv: a.png", "c/text.csv: d.png"]
    assert from_lq_only(str(tmp_path)).twice == ["text.csv: a.png", "c/text.csv: d.png"]


def test_every_program_finds_the_same_files(tmp_path, monkeypatch, capsys):
    """Through links, with the texts of any folder; what cannot be read is told."""
    touch(tmp_path / "elsewhere", "b.png")
    touch(tmp_path / "top", "a.png", "notes.txt")
    (tmp_path / "top/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "top/broken.png").symlink_to("nowhere")
    write_texts(tmp_path / "elsewhere/text.csv", [("b.png", "AB12", "DE")])
    expected = {"a.png": "", "broken.png": "", "linked/b.png": "AB12"}
    assert {plate.key: plate.text for plate in from_lq_only(str(tmp_path / "top")).plates} == expected
    assert sources_of(tmp_path / "top") == list(expected)
    assert {each.relative for each in find_inputs([str(tmp_path / "top")], "") if not each.skipped} == set(expected)

    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("linked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert sources_of(tmp_path / "top") == ["a.png", "broken.png"]
    assert "linked: this folder is left out: permission denied" in capsys.readouterr().err


def test_a_folder_to_which_several_links_lead_is_read_once(tmp_path):
    touch(tmp_path / "top", "a/x.png")
    for link in ("top/b", "top/zz", "top/a/upwards"):
        (tmp_path / link).symlink_to(tmp_path / "top/a")
    assert sources_of(tmp_path / "top") == ["a/x.png"]


def test_a_pipe_as_split_list_is_named(tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    with pytest.raises(OSError, match="not a regular file"):
        read_splits(str(tmp_path))


def test_the_output_is_not_searched_whatever_leads_there(tmp_path):
    [photo] = write_photos(tmp_path / "raw", 1)
    touch(tmp_path / "elsewhere/tiles", "train/hr/a.png")
    (tmp_path / "raw/link").symlink_to(tmp_path / "elsewhere")
    found = find_photos(str(tmp_path / "raw"), str(tmp_path / "raw/link/tiles")).photos
    assert [each.source for each in found] == [photo.name]


def test_names_that_are_not_utf8_are_found(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    assert [os.fsencode(photo.source) for photo in find_photos(str(tmp_path)).photos] == [b"caf\xe9.jpg"]


def test_the_cases_from_bug_reports(tmp_path, shared):
    cases = shared / "cases"
    touch(tmp_path, "sub/14.png", "00.png")
    content = (cases / "text_csv/backslash_case_missing.csv").read_bytes()
    (tmp_path / "text.csv").write_bytes(content)
    assert texts_of(tmp_path) == ({"sub/14.png": "赣J653K7", "00.png": "CJ34FYY"}, ["text.csv: not_there.png"])
    (tmp_path / "text.csv").write_bytes((cases / "text_csv/gbk.csv").read_bytes())
    with pytest.raises(ValueError, match=r"text\.csv is not in UTF-8 .*GBK"):
        find_photos(str(tmp_path))
    lists = {name: read_splits(str(cases / "splits" / name)) for name in ("splits", "splits_bom")}
    assert lists["splits"] == lists["splits_bom"]
    found = find_photos(str(cases / "folder_noise"))
    assert [photo.source for photo in found.photos] == ["IMG_0007.HEIC", "good.jpg"]
