import contextlib
import errno
import os

import numpy as np
import pytest
from PIL import Image

from data.files import LOCK
from training import run_folder
from training.run_folder import (
    DETECTOR,
    INIT_NAME,
    STATE_NAME,
    Journal,
    check_folder,
    held,
    load_begun,
    load_state,
    read_log,
    restore,
    sample_sheet,
    save_state,
)

# the others are spared it (conftest.py)
DRAW = run_folder.draw_curves


class Variable:
    """As much of a tf.Variable as the state needs."""

    def __init__(self, value) -> None:
        self.value = np.asarray(value, np.float32)
        self.shape = self.value.shape

    def __array__(self, dtype=None, copy=None):
        return self.value.astype(dtype or np.float32)

    def assign(self, value) -> None:
        self.value = np.asarray(value)


@pytest.fixture
def groups():
    return {"generator": [Variable(np.arange(12).reshape(3, 4)), Variable([0.1])], "adam/counters": [Variable(7)]}


def test_saved_state_comes_back_exactly(tmp_path, groups):
    save_state(tmp_path / "state.npz", groups, {"stage": "pretrain", "step": 3})
    others = {name: [Variable(np.zeros(v.shape)) for v in variables] for name, variables in groups.items()}
    stored, meta = load_state(tmp_path / "state.npz")
    restore(others, stored)
    assert (meta["stage"], meta["step"]) == ("pretrain", 3)
    for name, variables in groups.items():
        for before, after in zip(variables, others[name], strict=True):
            np.testing.assert_array_equal(before.value, after.value)


def test_more_than_ten_arrays_keep_their_order(tmp_path):
    save_state(tmp_path / "s.npz", {"many": [Variable(i) for i in range(25)]}, {})
    stored, _ = load_state(tmp_path / "s.npz")
    assert [int(array) for array in stored["many"]] == list(range(25))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_failed_save_leaves_the_last_good_state_and_no_litter(tmp_path, groups, monkeypatch, number):
    path = tmp_path / "state.npz"
    save_state(path, groups, {"step": 1})

    def fail(file, **arrays):
        file.write(b"half of it")
        raise OSError(number, "the disk does not want more")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="does not want more"):
        save_state(path, groups, {"step": 2})
    assert load_state(path)[1]["step"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["state.npz"]


def test_state_of_another_network_is_refused_whole(tmp_path, groups):
    save_state(tmp_path / "s.npz", groups, {})
    stored, _ = load_state(tmp_path / "s.npz")
    counters = Variable(0)
    with pytest.raises(ValueError, match="does not fit this run: generator"):
        restore({"adam/counters": [counters], "generator": [Variable(np.zeros((5, 4)))]}, stored)
    assert counters.value == 0


def test_a_run_goes_on_with_its_own_settings_alone(tmp_path, groups):
    path, settings = tmp_path / "s.npz", {"crop": (64, 192), "rate": 0.1, "workers": 2}
    assert load_begun(path, settings, ()) is None
    save_state(path, groups, {"step": 3, "settings": settings})
    assert load_begun(path, settings | {"workers": 1}, ("workers",))[1]["step"] == 3
    # of a later version
    assert load_begun(path, settings | {"more": 1}, ())[1]["step"] == 3
    with pytest.raises(ValueError, match=r"other settings, --crop \[64, 192\] \(now \[\]\), --workers 2 \(now 1\)"):
        load_begun(path, settings | {"crop": (), "workers": 1}, ())


@pytest.mark.parametrize("more", [{}, {"settings": np.array('{"seed": 5}')}])
def test_states_of_earlier_trainings_of_the_detector_are_read(tmp_path, more):
    path = tmp_path / "s.npz"
    np.savez(path, step=7, **more, **{str(index): np.full(2, index) for index in range(12)})
    groups, meta = load_begun(path, {"seed": 5}, ())
    assert (meta["step"], [array[0] for array in groups[DETECTOR]]) == (7, list(range(12)))
    if more:
        with pytest.raises(ValueError, match=r"--seed 5 \(now 6\)"):
            load_begun(path, {"seed": 6}, ())


def test_a_pipe_as_state_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "state.npz")
    with pytest.raises(ValueError, match=r"state\.npz is damaged, or no saved state: .*not a regular file"):
        load_state(tmp_path / "state.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no archive at all"])
def test_broken_file_is_named(tmp_path, content):
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"s\.npz is damaged, or no saved state"):
        load_state(tmp_path / "s.npz")


def test_a_state_with_any_byte_changed_is_read_as_it_was_or_named(tmp_path, groups):
    path, rng = tmp_path / "s.npz", np.random.default_rng(0)
    save_state(path, groups, {"stage": "pretrain", "step": 3})
    whole, before = path.read_bytes(), load_state(path)
    for _ in range(300):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            assert str(load_state(path)) == str(before)


def test_a_missing_state_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"s\.npz is missing"):
        load_state(tmp_path / "s.npz")


def test_what_a_run_killed_before_its_beginning_leaves_is_no_run(tmp_path):
    """It cannot be resumed without a config.json, and so must not stand in the way of another one, which would begin
    with its generator."""
    for name in (LOCK, STATE_NAME, INIT_NAME, ".1234.part"):
        (tmp_path / name).write_bytes(b"")
    with held(tmp_path, resume=False):
        assert [each.name for each in tmp_path.iterdir()] == [LOCK]
        (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="is not empty"):
        check_folder(tmp_path, resume=False)
    assert not list(tmp_path.glob("*.part"))


# --- The journal ------------------------------------------------------------------------------------------------------

ROWS = [{"stage": "pretrain", "step": 2, "weighted_mse": 0.5, "val_psnr_db": 12.0}, {"stage": "adversarial", "step": 1}]


def test_torn_log_is_read_up_to_the_tear(tmp_path):
    (tmp_path / "log.csv").write_text("stage,step,mse\npretrain,50,0.5\npretrain,10")
    assert read_log(tmp_path / "log.csv") == [{"stage": "pretrain", "step": 50, "mse": 0.5}]


def test_sample_sheet_shows_small_inputs_at_the_size_of_the_output():
    sizes = ((10, 4, 8), (20, 8, 16), (30, 8, 16))
    sheet = sample_sheet(*(np.full((2, height, width, 3), value, np.uint8) for value, height, width in sizes))
    assert [int(value) for value in sheet[0, [0, 20, 40], 0]] == [10, 20, 30]
    assert int(sheet[-1, -1, 0]) == 30


def test_curves_are_drawn_from_whatever_the_rows_have(tmp_path):
    DRAW(ROWS, {"pretrain": 0, "adversarial": 3}, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        drawn = np.asarray(picture.convert("RGB"))
    assert drawn.shape == (1000, 1200, 3)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10, "lines and labels, not an empty sheet"
    assert [each.name for each in tmp_path.iterdir()] == ["curves.png"]


def test_rows_behind_the_saved_state_are_dropped(tmp_path):
    for _ in range(2):
        log = Journal(tmp_path)
        log.keep_until({"pretrain": 2})
        for row in ROWS:
            log.add(row, 0)
        log.close()
    assert read_log(tmp_path / "log.csv") == [ROWS[0], *ROWS]
