import os
import struct
from types import SimpleNamespace

import av
import numpy as np
import psutil
import pytest
from films import SIZE, flat_frames, level, turn_film, write_film
from PIL import Image

from data.film import MAX_FRAME_PX, open_film
from data.io import PictureError, is_moving

CODECS = {"a.mp4": "libx264", "a.mov": "libx264", "a.avi": "mpeg4", "a.mkv": "libx265", "a.webm": "libvpx-vp9"}


def look(path, **kwargs):
    """(seconds, pictures, faults, expected)"""
    with open_film(str(path), **kwargs) as film:
        frames = list(film.frames)
        return [f.seconds for f in frames], [f.picture for f in frames], film.faults, film.expected


@pytest.mark.parametrize("name", CODECS)
def test_every_container_frame_by_frame(tmp_path, name):
    path = write_film(tmp_path / name, flat_frames(12), codec=CODECS[name])
    seconds, pictures, faults, expected = look(path)
    np.testing.assert_allclose(seconds, np.arange(12) / 10, atol=0.002)
    assert faults == []
    assert expected == 12
    for number, picture in enumerate(pictures):
        assert picture.dtype == np.uint8
        assert picture.shape == (*SIZE, 3)
        assert abs(picture.mean() - level(number)) < 5


def test_from_to_and_every(tmp_path):
    path = write_film(tmp_path / "a.mp4", flat_frames(30), gop_size=7)
    seconds, pictures, faults, expected = look(path, start_s=1.0, end_s=2.0, every=3)
    np.testing.assert_allclose(seconds, [1.0, 1.3, 1.6, 1.9], atol=1e-6)
    assert [round((p.mean() - 20) / 5) for p in pictures] == [10, 13, 16, 19]
    assert expected == 4
    assert faults == []
    assert look(path, start_s=7)[2] == ["there is no frame after 7 s"]


def test_frames_that_come_at_any_time_keep_their_seconds(tmp_path):
    times = [0, 40, 300, 310, 1500, 4000]
    for name in ("a.mp4", "a.mkv"):
        path = write_film(tmp_path / name, flat_frames(6), times_ms=times)
        seconds, _, faults, _ = look(path)
        np.testing.assert_allclose(seconds, np.array(times) / 1000, atol=0.002)
        assert faults == []
        np.testing.assert_allclose(look(path, start_s=0.3, end_s=2)[0], [0.3, 0.31, 1.5], atol=0.002)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_films_are_turned_upright(tmp_path, orientation):
    stored = np.zeros((*SIZE, 3), np.uint8)
    stored[:24, :40], stored[:24, 40:], stored[24:, :40] = 240, 160, 80
    path = write_film(tmp_path / "a.mp4", [stored] * 3)
    turn_film(path, orientation)
    upright = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1), 7: np.rot90(stored, 2).transpose(1, 0, 2), 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    picture = look(path)[1][1]
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright).mean() < 4


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    path = write_film(tmp_path / "a.mkv", flat_frames(3), sample_aspect_ratio=2)
    assert look(path)[1][0].shape == (48, 160, 3)


def test_colours_survive(tmp_path):
    for size in ((48, 80), (720, 96)):
        colours = np.zeros((*size, 3), np.uint8)
        colours[:, : size[1] // 2], colours[:, size[1] // 2 :] = (200, 30, 40), (30, 60, 210)
        # an unmarked film of high definition is in BT.709
        space = 1 if size[0] == 720 else 5
        frame = av.VideoFrame.from_ndarray(colours, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=space)
        path = tmp_path / f"{size[0]}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"qp": "0"})
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            planes = frame.to_ndarray()
            for _ in range(2):
                for packet in stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        picture = look(path)[1][0]
        middle = size[0] // 2
        np.testing.assert_allclose(picture[middle, 8], (200, 30, 40), atol=4)
        np.testing.assert_allclose(picture[middle, -8], (30, 60, 210), atol=4)


def noisy(count, size=SIZE):
    return list(np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8))


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mjpeg"), ("a.mkv", "libx264"), ("a.mp4", "libx264")])
def test_of_a_film_cut_off_what_is_there_is_used_and_the_rest_said(tmp_path, name, codec):
    options = {"movflags": "faststart"} if name == "a.mp4" else None
    path = write_film(tmp_path / name, noisy(40), codec=codec, options=options, gop_size=5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    seconds, _, faults, _ = look(path)
    assert 10 <= len(seconds) <= 22
    assert any("cut off: it should last 4.0 s" in fault or "of 40 frames" in fault for fault in faults), faults


@pytest.mark.parametrize("times_ms", [None, [0, 60, 150, 200, 330, 400, 450, 520, 610, 640, 700, 730]])
@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")])
def test_matroska_says_how_long_its_frames_last_to_a_tenth_of_a_second(tmp_path, name, codec, times_ms):
    path = write_film(tmp_path / name, noisy(12, (96, 160)), rate=15, codec=codec, times_ms=times_ms)
    seconds, _, faults, _ = look(path)
    assert (len(seconds), faults) == (12, [])
    path.write_bytes(path.read_bytes()[: round(0.55 * path.stat().st_size)])
    seconds, _, faults, _ = look(path)
    assert any(fault.startswith("cut off: it should last 0.8 s") for fault in faults), (seconds, faults)


def test_an_mp4_without_its_index_is_said_to_be_damaged(tmp_path):
    path = write_film(tmp_path / "a.mp4", noisy(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PictureError, match="damaged film: it is cut off, or no film"):
        look(path)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.mp4"])
def test_of_a_film_damaged_in_the_middle_the_frames_around_are_used(tmp_path, name):
    path = write_film(tmp_path / name, noisy(40), codec="libx264", gop_size=5)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 10] = np.random.default_rng(1).bytes(len(content) // 10)
    path.write_bytes(content)
    seconds, _, faults, _ = look(path)
    assert len(seconds) >= 25
    assert max(seconds) > 3.4
    # Matroska knows no number of frames, and skips what it cannot read
    assert name == "a.mkv" or any("damaged" in fault for fault in faults)


def test_any_damage_ends_in_frames_or_a_plain_error(tmp_path):
    rng = np.random.default_rng(2)
    for name, codec in (("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9")):
        content = write_film(tmp_path / name, noisy(6, SIZE), codec=codec).read_bytes()
        for _ in range(15):
            damaged = bytearray(content)
            for at in rng.integers(0, len(content), 30):
                damaged[at] = rng.integers(256)
            (tmp_path / name).write_bytes(damaged)
            try:
                look(tmp_path / name)
            except PictureError:
                continue


def test_memory_does_not_grow_with_the_film(tmp_path):
    path = write_film(tmp_path / "a.mp4", [np.full((360, 640, 3), 90, np.uint8)] * 300)
    process, sizes = psutil.Process(), []
    with open_film(str(path)) as film:
        for number, _ in enumerate(film.frames):
            if number in (60, 299):
                sizes.append(process.memory_info().rss)
    # 240 frames of 345 kB
    assert sizes[1] - sizes[0] < 30e6


def test_animated_pictures_are_films(tmp_path):
    frames = [Image.fromarray(each) for each in flat_frames(5)]
    for name in ("a.gif", "a.png", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=200)
        seconds, pictures, faults, expected = look(tmp_path / name)
        np.testing.assert_allclose(seconds, np.arange(5) / 5, atol=1e-6)
        assert [p[0, 0, 0] for p in pictures] == pytest.approx([level(number) for number in range(5)], abs=3)
        assert (faults, expected) == ([], 5)
        assert len(look(tmp_path / name, start_s=0.3, every=2)[0]) == 2
        assert is_moving(str(tmp_path / name))
    frames[0].save(tmp_path / "one.png")
    assert not is_moving(str(tmp_path / "one.png"))
    with pytest.raises(PictureError, match="not a film"):
        look(tmp_path / "one.png")


def test_what_a_folder_is_searched_for(tmp_path):
    path = write_film(tmp_path / "a.mp4", flat_frames(3))
    path.rename(tmp_path / "clip")
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "._clip.mp4").write_bytes((tmp_path / "clip").read_bytes())
    os.mkfifo(tmp_path / "pipe.mp4")
    assert is_moving(str(tmp_path / "clip"))
    for name in ("text.mp4", "._clip.mp4", "pipe.mp4", "missing.mp4"):
        assert not is_moving(str(tmp_path / name))


# --- What a film must not do ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["list.mp4", "list.avi", "list.mkv", "list.m3u8"])
def test_playlists_and_scripts_open_nothing(tmp_path, name):
    secret = write_film(tmp_path / "secret.mp4", flat_frames(3))
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"<?xml version='1.0'?><MPD><BaseURL>{secret}</BaseURL></MPD>",
        f"v=0\nc=IN IP4 127.0.0.1\nm=video 1 RTP/AVP 96\ni={secret}\n",
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(PictureError, match="not a film"):
            look(tmp_path / name)


def test_a_quicktime_film_that_refers_to_another_opens_nothing(tmp_path):
    """Its data reference names a file beside it, which a player would open."""
    secret = write_film(tmp_path / "secret.mov", flat_frames(5))
    content = secret.read_bytes()
    # the same film, its pictures said to lie in the file named by an alias
    at = content.index(b"dref")
    entry = content.index(b"url ", at)
    name = os.fsencode(secret) + b"\0"
    name += b"\0" * (len(name) % 2)
    alias = bytearray(150) + struct.pack(">hh", 2, len(name)) + name + struct.pack(">h", -1)
    alias[50:64] = b"\x0asecret.mov\0\0\0"
    new = struct.pack(">I", 12 + len(alias)) + b"alis" + bytes(4) + alias
    grown = bytearray(content[: entry - 4] + new + content[entry + 8 :])
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = grown.rindex(box, 0, entry) - 4
        size = struct.unpack_from(">I", grown, start)[0]
        struct.pack_into(">I", grown, start, size + len(new) - 12)
    data = grown.index(b"mdat")
    grown[data + 4 : data + 40] = bytes(36)
    (tmp_path / "reference.mov").write_bytes(grown)
    # the film is right: who asks for it gets the other film's frames
    asked = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(tmp_path / "reference.mov"), options=asked) as container:
        assert len(list(container.decode(video=0))) == 5
    assert look(tmp_path / "reference.mov")[1:3] == ([], ["no frame could be decoded"])


def test_frames_above_the_limit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = write_film(tmp_path / "a.mp4", flat_frames(3))
    monkeypatch.setattr("data.film.MAX_FRAME_PX", 48 * 80 - 1)
    with pytest.raises(PictureError, match=r"too large|damaged film"):
        look(path)
    assert MAX_FRAME_PX >= 3840 * 2160


def test_a_frame_that_cannot_be_converted_is_a_fault_of_the_film(tmp_path, monkeypatch):
    def fail(**_):
        raise av.error.BugError(0, "no converter")

    damaged = SimpleNamespace(side_data={}, time=0.0, width=80, height=48, colorspace=2, to_ndarray=fail)
    monkeypatch.setattr("data.film._decoded", lambda *_: iter([damaged]))
    with open_film(str(write_film(tmp_path / "a.mp4", flat_frames(3)))) as film:
        assert list(film.frames) == []
        assert film.faults == ["damaged film: no converter"]


def test_pipes_folders_and_missing_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", tmp_path, tmp_path / "missing.mp4"):
        with pytest.raises(PictureError):
            look(path)


def test_an_address_is_no_film():
    with pytest.raises(PictureError, match="no such file"):
        look("http://127.0.0.1:9/a.mp4")
    with pytest.raises(PictureError):
        look("concat:a.mp4|b.mp4")
