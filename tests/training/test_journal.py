import numpy as np
from PIL import Image

from training import journal
from training.journal import Journal, read_log, sample_sheet

DRAW = journal.draw_curves
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
