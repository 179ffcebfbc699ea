"""A burst of frames on disk, all of one plate, into one picture on disk."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from data.text import printable
from enhancing import drawing
from enhancing.burst import Burst, combine
from enhancing.config import Config
from enhancing.examining import Examiner, Result
from enhancing.files import write_picture
from enhancing.folder import PICTURE, REPORT, SIDE_BY_SIDE, UNCERTAINTY, Job, Loaded, endings, load
from enhancing.inputs import Found, identities
from enhancing.names import output_names
from enhancing.report import Row, fill, listed, open_report, tell

# all of which are in memory
MAX_FRAMES = 200
NAME = "burst"


def enhance_burst(config: Config, examiner: Examiner, found: Sequence[Found]) -> int:
    """One result for all pictures, and the report. Returns the exit code. ValueError where no frame can be read."""
    started, frames = time.perf_counter(), [each for each in found if not each.skipped]
    if len(frames) > MAX_FRAMES:
        raise ValueError(f"--burst takes at most {MAX_FRAMES} frames of one plate, got {len(frames)}")
    with ThreadPoolExecutor(config.workers, thread_name_prefix="pictures") as pool:
        jobs = [Job(each.path, "", each.problem) for each in frames]
        loaded = list(pool.map(lambda job: load(config, examiner, job), jobs))
    results = examiner.enhance([each.source for each in loaded if each.source is not None])
    if not results:
        raise ValueError(f"no frame of the burst can be read; {loaded[0].job.path}: {loaded[0].problem}")
    burst = combine(results, examiner)
    name = output_names([NAME + PICTURE], config.out, endings(config), identities(found))[0]
    _write(config, name, results, burst)
    row = _burst_row(name, burst, time.perf_counter() - started)
    with open_report(os.path.join(config.out, REPORT)) as report:
        failed = _report_frames(report, loaded, results, burst)
        report(row)
        tell(row)
    path = os.path.join(config.out, row.output)
    print(printable(f"{len(results)} frames in {path}: {row.reading or 'nothing'} read"))
    return int(failed > 0)


def _write(config: Config, name: str, results: Sequence[Result], burst: Burst) -> None:
    write_picture(config.out, name + PICTURE, burst.picture)
    if config.side_by_side:
        write_picture(config.out, name + SIDE_BY_SIDE, drawing.burst_sheet(results, burst))
    if config.uncertainty:
        heat = drawing.heat_map(burst.disagreement, burst.picture.shape[:2])
        write_picture(config.out, name + UNCERTAINTY, heat)


def _report_frames(report: Callable[[Row], None], loaded: Sequence[Loaded], results: list[Result], burst: Burst) -> int:
    """A row for each frame; the number of those that could not be read."""
    failed, pairs = 0, iter(zip(results, burst.frames, strict=True))
    for each in loaded:
        row = Row(each.job.path, seconds=each.seconds)
        if each.source is None:
            row.status, row.reason = "failed", each.problem
            failed += 1
        else:
            result, frame = next(pairs)
            fill(row, result)
            row.weight = frame.weight
            if not frame.weight:
                row.reason = "left out: it cannot be laid upon the other frames"
        report(row)
        tell(row)
    return failed


def _burst_row(name: str, burst: Burst, seconds: float) -> Row:
    height, width = burst.picture.shape[:2]
    return Row(
        f"burst of {len(burst.frames)}",
        output=name + PICTURE,
        result_width=width,
        result_height=height,
        effective_width=burst.effective_width,
        consistency=burst.consistency,
        reading=burst.vote.text,
        confidence=burst.vote.confidence,
        character_confidences=listed(burst.vote.confidences),
        agreed=burst.agreement.agreed,
        agreement=burst.agreement.mean,
        warnings="; ".join(burst.warnings),
        seconds=seconds,
    )
