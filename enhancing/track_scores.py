"""How well plates are read from several frames: folders of tracks, scored by one frame, by the best one and by all.

    DIR/TRACK/FRAME.png    frames of one plate, in the order of their names
    DIR/text.csv           file,text,country; `file` is the track's folder

Frames are crops around a plate. What each way reads, of every track, goes into tracks.csv, and the rates with their
intervals into metrics.json.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.console import cell
from data.files import has_picture_extension, write_text
from data.io import PictureError, open_picture
from data.photos import TEXTS, Listed, read_texts, rows_of_twice, tell_lists, text_of
from enhancing.burst import Burst, combine, worth_of
from enhancing.examining import Examiner, Result
from enhancing.opening import make_source
from evaluation.metrics import estimate
from evaluation.tables import share
from reading.answer import vote
from reading.matching import is_readable, match

# ways to read a track, by the reader alone and as enhance.py answers; those of one frame are means over all frames
FRAME, ENHANCED, BEST, VOTE, COMBINED = "one frame", "one frame enhanced", "best frame enhanced", "vote", "combined"
ANSWER, ANSWER_OF_ALL = "answer, one frame", "answer, all frames"
# the frame of most worth, as films rank them; the one whose answer is most probable
ANSWER_OF_BEST, ANSWER_OF_SUREST = "answer, best frame", "answer, surest frame"
WAYS = (FRAME, ENHANCED, BEST, VOTE, COMBINED, ANSWER, ANSWER_OF_BEST, ANSWER_OF_SUREST, ANSWER_OF_ALL)
# the frame that is answered best, which only those know who know the text: no way to read, but a bound
BOUND = "answer, the frame that is read best"
# what all frames give beyond the best one: a difference of two shares
GAIN = "all frames beyond the best frame"


@dataclass(frozen=True)
class LabelledTrack:
    """frames: paths, in order."""

    name: str
    frames: tuple[str, ...]
    text: str
    country: str


def find_tracks(folder: str) -> list[LabelledTrack]:
    """The tracks whose text is known and can be scored; says what is wrong with text.csv. ValueError where there are
    none."""
    root = Path(folder)
    texts = read_texts(root / TEXTS) if (root / TEXTS).exists() else {}
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    tracks, listed = [], Listed(texts, [path.name for path in folders])
    for path in folders:
        frames = sorted(str(each) for each in path.iterdir() if has_picture_extension(each.name) and each.is_file())
        text, country = text_of(path.name, listed, texts) or ("", "")
        if frames and is_readable(text, country):
            tracks.append(LabelledTrack(path.name, tuple(frames), text, country))
    tell_lists([texts[name].row for name in listed.unmatched()], rows_of_twice(texts))
    if not tracks:
        raise ValueError(
            f"--tracks {folder}: it needs folders of pictures, and their texts in text.csv (file,text,country)"
        )
    return tracks


def read_track(results: Sequence[Result], burst: Burst) -> dict[str, list[str]]:
    """What each way reads: a list of texts, one for each frame or one for all. burst: the results combined, by an
    examiner with a reader that keeps its steps."""
    widths = [result.effective_width for result in results]
    enhanced = [result.reading for result in results]
    best = max(results, key=lambda result: worth_of(result.source.lq, result.source.native_width))
    return {
        FRAME: [result.reading_before.text for result in results],
        ENHANCED: [reading.text for reading in enhanced],
        BEST: [enhanced[int(np.argmax(widths))].text],
        VOTE: [vote(enhanced, widths).text],
        COMBINED: [burst.vote.text],
        ANSWER: [result.answer.best_text for result in results],
        ANSWER_OF_BEST: [best.answer.best_text],
        ANSWER_OF_SUREST: [max((result.answer for result in results), key=lambda each: each.probability).best_text],
        ANSWER_OF_ALL: [burst.answer.best_text],
    }


def score_tracks(
    tracks: Sequence[LabelledTrack], examiner: Examiner, out: Path, advance: Callable[[], object] = lambda: None
) -> dict:
    """Reads and scores all tracks, writes tracks.csv and metrics.json into `out`, and returns what the latter holds."""
    rows, failed = [], []
    for track in tracks:
        sources = []
        for path in track.frames:
            try:
                sources.append(make_source(examiner.generator, open_picture(path)))
            except PictureError as error:
                failed.append(f"{path}: {error}")
        if sources:
            results = examiner.enhance(sources)
            rows.append((track, read_track(results, combine(results, examiner))))
        advance()
    if not rows:
        raise ValueError(f"no frame can be read; {failed[0]}")
    metrics = {"tracks": len(rows), "frames": sum(len(read[FRAME]) for _, read in rows), "failed": failed}
    metrics["ways"] = rates([track for track, _ in rows], [read for _, read in rows])
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "metrics.json", json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")
    write_text(out / "tracks.csv", _table(rows))
    return metrics


def rates(
    tracks: Sequence[LabelledTrack], read: Sequence[dict[str, list[str]]], groups: Sequence | None = None
) -> dict[str, dict]:
    """Shares of tracks by way, with `BOUND` and `GAIN`: a way with several texts of a track counts by the mean over
    them. groups: of tracks that are no independent samples, such as those of one film."""
    right, characters = {}, {}
    for way in WAYS:
        every = [[match(text, t.text, t.country) for text in own[way]] for t, own in zip(tracks, read, strict=True)]
        right[way] = np.array([np.mean([each.right for each in some]) for some in every])
        characters[way] = np.array([np.mean([each.char_rate for each in some]) for some in every])
        if way == ANSWER:
            right[BOUND] = np.array([max(each.right for each in some) for some in every], float)
            characters[BOUND] = np.array([max(each.char_rate for each in some) for some in every])
    for shares in (right, characters):
        shares[GAIN] = shares[ANSWER_OF_ALL] - shares[ANSWER_OF_BEST]
    return {
        way: {"plate_acc": estimate(right[way], groups), "char_acc": estimate(characters[way], groups)}
        for way in (*WAYS, BOUND, GAIN)
    }


def _table(rows: Sequence[tuple[LabelledTrack, dict[str, list[str]]]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("track", "text", "country", "frames", *WAYS))
    for track, read in rows:
        readings = (cell(" ".join(text or "-" for text in read[way])) for way in WAYS)
        writer.writerow((cell(track.name), cell(track.text), track.country, len(track.frames), *readings))
    return file.getvalue()


def for_terminal(metrics: dict) -> str:
    lines = [f"{metrics['tracks']} tracks of {metrics['frames']} frames in all; right, characters (95 % interval)"]
    for way, rates in metrics["ways"].items():
        lines.append(f"{way:36}{share(rates['plate_acc']):18}  {share(rates['char_acc'])}")
    return "\n".join(lines)
