import os

import numpy as np
import pytest
from PIL import Image

from data.files import write_bytes
from data.io import encode_png
from data.tiles import COLUMNS, MANIFEST, Row, format_rows, open_tiles, read_manifest, read_tile, tile_url

ROWS = [
    Row("a.0", "train", "base/a.jpg", "皖AY339S", "CN", ((9.0, 8.0), (1.0, 8.0), (1.0, 2.5), (9.0, 2.5)), 0, []),
    Row("b.0", "val", 'with "quotes", commas.jpg', "AB12/CD345", "DE", (), 1, [{"stage": "gamma", "power": 0.1 + 0.2}]),
]


def tile(height=16, width=32):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def write_pair(folder, split, key):
    for side in ("hr", "lq"):
        (folder / split / side).mkdir(parents=True, exist_ok=True)
        write_bytes(tile_url(str(folder), split, side, key), encode_png(tile()))


def test_a_tile_comes_back_bit_for_bit(tmp_path):
    written = tile()
    write_bytes(f"{tmp_path}/tile.png", encode_png(written))
    np.testing.assert_array_equal(read_tile(f"{tmp_path}/tile.png"), written)


def test_pairs_are_found_sorted_and_by_split(tmp_path):
    for split, key in (("train", "b"), ("train", "a&b_1 ü.皖"), ("test", "c")):
        write_pair(tmp_path, split, key)
    train = open_tiles(str(tmp_path), "train")
    assert [pair.key for pair in train.pairs] == ["a&b_1 ü.皖", "b"]
    assert not train.manifest
    assert open_tiles(str(tmp_path), "val").pairs == ()
    assert read_tile(train.pairs[0].lq).shape == (16, 32, 3)


def test_a_plain_paired_folder_is_read(tmp_path):
    write_pair(tmp_path, "", "one")
    assert [pair.key for pair in open_tiles(tmp_path, "train").pairs] == ["one"]


def test_left_over_parts_are_not_tiles(tmp_path):
    write_pair(tmp_path, "train", "a")
    (tmp_path / "train/hr/b.png.77.part").write_bytes(b"half")
    assert len(open_tiles(tmp_path, "train").pairs) == 1


def test_a_lonely_tile_is_named(tmp_path):
    write_pair(tmp_path, "train", "a")
    (tmp_path / "train/lq/a.png").unlink()
    with pytest.raises(ValueError, match=r"1 tiles lack a partner, the first is hr/a without lq/"):
        open_tiles(tmp_path, "train")


def test_a_folder_without_tiles_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        open_tiles(tmp_path / "none", "train")
    with pytest.raises(ValueError, match="holds no tiles"):
        open_tiles(tmp_path, "train")


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_what_is_no_picture_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(encode_png(tile(64, 64))[:900] if content is None else content)
    with pytest.raises(ValueError, match=r"broken\.png: (empty|not a|truncated)"):
        read_tile(str(path))


def test_the_manifest_comes_back(tmp_path):
    (tmp_path / MANIFEST).write_text(format_rows(ROWS), encoding="utf-8", newline="")
    assert read_manifest(tmp_path) == ROWS
    assert format_rows(ROWS) == format_rows(ROWS[:1]) + format_rows(ROWS[1:], header=False)
    assert format_rows([]) == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize(
    "line", ["k,train,a.jpg,,,[[1,2,0,[]", "k", "k,test,a.jpg,,,[],many,[]", 'k,"' + "x" * 200_000]
)
def test_a_damaged_manifest_is_named_with_its_line(tmp_path, line):
    (tmp_path / MANIFEST).write_text(format_rows(ROWS) + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.csv, line [34]: "):
        read_manifest(tmp_path)


def test_a_pipe_as_manifest_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / MANIFEST)
    with pytest.raises(OSError, match="not a regular file"):
        read_manifest(tmp_path)


def test_no_manifest_and_a_strange_one(tmp_path):
    assert read_manifest(tmp_path) == []
    (tmp_path / MANIFEST).write_text("file,text\n")
    with pytest.raises(ValueError, match="expected the columns key,split"):
        read_manifest(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_bytes(str(path), b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_tiles_lie_in_any_storage():
    for side in ("hr", "lq"):
        write_bytes(f"memory://tiles-test/train/{side}/a.png", encode_png(tile()))
    (pair,) = open_tiles("memory://tiles-test", "train").pairs
    assert read_tile(pair.hr).shape == (16, 32, 3)


def test_a_tile_is_a_png_that_others_read(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(tile()))
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (32, 16))
