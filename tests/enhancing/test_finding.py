import inspect
import os
import sys

import pytest

from enhancing.finding import find_inputs, identities, output_names, parse_corner, skipped_kinds

JPEG = b"\xff\xd8\xff\xe0"


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)


def found_in(folder, *inputs):
    return {each.relative: each.problem for each in find_inputs([str(i) for i in inputs], str(folder / "out"))}


def test_folders_are_searched_to_any_depth_in_a_fixed_order(tmp_path):
    make(tmp_path / "in", "b.jpg", "a.jpg", "deep/er/车牌 &.png", "deep/c.jpg", "deep.jpg")
    found = list(find_inputs([str(tmp_path / "in")], str(tmp_path / "out")))
    assert [each.relative for each in found] == ["a.jpg", "b.jpg", "deep.jpg", "deep/c.jpg", "deep/er/车牌 &.png"]
    assert not any(each.problem for each in found)


def test_nesting_deeper_than_calls_may_be(tmp_path):
    deepest = tmp_path / "in" / "/".join("d" * 300)
    deepest.mkdir(parents=True)
    limit, depth = sys.getrecursionlimit(), len(inspect.stack())
    sys.setrecursionlimit(depth + 100)
    try:
        assert list(find_inputs([str(tmp_path / "in")], str(tmp_path / "out"))) == []
    finally:
        sys.setrecursionlimit(limit)


def test_files_that_are_no_pictures_are_skipped_not_failed(tmp_path):
    make(tmp_path / "in", "a.jpg", "odd.dat")
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    found = list(find_inputs([str(tmp_path / "in")], str(tmp_path / "out")))
    assert {each.relative: each.skipped for each in found} == {"a.jpg": False, "notes.txt": True, "odd.dat": False}
    assert skipped_kinds(found) == "1 .txt"


def test_loops_and_broken_links_are_named(tmp_path):
    make(tmp_path / "in", "sub/a.jpg")
    os.symlink(tmp_path / "in", tmp_path / "in" / "sub" / "up")
    os.symlink("self", tmp_path / "in" / "self")
    os.symlink("nowhere", tmp_path / "in" / "broken.txt")
    found = found_in(tmp_path, tmp_path / "in")
    assert found == {"broken.txt": "broken link", "self": "symlink loop", "sub/a.jpg": "", "sub/up": "symlink loop"}


def test_a_folder_that_two_links_lead_to_is_read_once(tmp_path):
    make(tmp_path / "elsewhere", "a.jpg")
    (tmp_path / "in").mkdir()
    for name in ("one", "two"):
        os.symlink(tmp_path / "elsewhere", tmp_path / "in" / name)
    assert found_in(tmp_path, tmp_path / "in") == {"one/a.jpg": ""}


def test_unreadable_folders_are_named(tmp_path, monkeypatch):
    make(tmp_path / "in", "a.jpg", "secret/b.jpg")
    scandir = os.scandir

    def guarded(folder):
        if str(folder).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert found_in(tmp_path, tmp_path / "in") == {"a.jpg": "", "secret": "unreadable folder: permission denied"}


def test_results_of_an_earlier_run_are_no_inputs(tmp_path):
    make(tmp_path / "in", "a.jpg", "out/a.png")
    assert [e.relative for e in find_inputs([str(tmp_path / "in")], str(tmp_path / "in" / "out"))] == ["a.jpg"]


def test_missing_inputs_are_named(tmp_path):
    assert found_in(tmp_path, tmp_path / "no.jpg") == {"no.jpg": "no such file or folder"}


def names(relatives, out="out", endings=(".png",), inputs=frozenset()):
    return [name + ".png" for name in output_names(relatives, out, endings, inputs)]


def test_names_keep_the_stem_and_take_the_extension_where_stems_clash():
    assert names(["a.jpg", "a.png", "b.jpg", "sub/a.jpg"]) == ["a.jpg.png", "a.png.png", "b.png", "sub/a.png"]


def test_clashes_with_longer_names():
    assert names(["a.jpg", "a.png", "a.jpg.bmp"]) == ["a.jpg.png", "a.png.png", "a.jpg.bmp.png"]


def test_names_that_differ_only_in_case_or_spelling_of_accents_clash():
    assert names(["A.jpg", "a.jpg"]) == ["A.jpg.png", "a.jpg-2.png"]
    assert names(["caf\u00e9.jpg", "cafe\u0301.bmp"]) == ["caf\u00e9.jpg.png", "cafe\u0301.bmp.png"]


def test_equal_names_of_several_inputs_are_numbered():
    assert names(["a.jpg", "a.jpg", "a.jpg"]) == ["a.jpg.png", "a.jpg-2.png", "a.jpg-3.png"]


def test_other_endings_do_not_clash_either():
    endings = (".png", ".side-by-side.png")
    assert names(["a.jpg", "a.side-by-side.jpg"], endings=endings) == ["a.jpg.png", "a.side-by-side.jpg.png"]


def test_a_name_never_leads_to_an_input(tmp_path):
    make(tmp_path, "a.png", "a.png.png", "link.jpg")
    os.symlink(tmp_path / "link.jpg", tmp_path / "b.png")
    found = list(find_inputs([str(tmp_path / name) for name in ("a.png", "a.png.png", "link.jpg")], "nowhere"))
    inputs = identities(each.path for each in found)
    assert names(["a.png"], str(tmp_path), inputs=inputs) == ["a.png-2.png"]
    assert names(["b.jpg"], str(tmp_path), inputs=inputs) == ["b.jpg.png"]
    assert names(["a.png"], str(tmp_path / "out"), inputs=inputs) == ["a.png"]


def test_each_of_thousands_of_names_is_given_once():
    many = [f"folder/{i // 2}.{'jpg' if i % 2 else 'png'}" for i in range(4_000)]
    assert len(set(names(many))) == 4_000


def test_corner_syntax():
    assert parse_corner("12,3.5") == (12, 3.5)
    for wrong in ("12", "a,b", "1,2,3", "", "nan,1", "2,inf"):
        with pytest.raises(ValueError, match="x,y"):
            parse_corner(wrong)
