"""Many pictures on disk through one generator, to a result for each, or for a burst to one result for all.

Decoding and encoding run in threads, the network in batches. A source is small (the generator's input, not the photo),
and at most two windows of them are under way at a time, so memory does not grow.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import cv2
from tqdm import tqdm

from data.text import printable
from enhancing import drawing
from enhancing.burst import Burst, combine
from enhancing.config import Config
from enhancing.examining import Examiner, Look, Result
from enhancing.finding import Found, identities, output_names, skipped_kinds
from enhancing.opening import Source, load_source
from enhancing.writing import Row, fill, listed, open_report, tell, write_picture

REPORT = "report.csv"
PICTURE, SIDE_BY_SIDE, UNCERTAINTY = ".png", ".side-by-side.png", ".uncertainty.png"
# so many batches are loaded before they are sorted by shape: fuller batches of equal shapes
WINDOW_BATCHES = 4
# of a burst, all of which are in memory
MAX_FRAMES = 200
BURST = "burst"


class Job(NamedTuple):
    """name: below --out, without ending. problem: why it cannot be read, or ""."""

    path: str
    name: str
    problem: str


class Loaded(NamedTuple):
    job: Job
    source: Source | None
    problem: str
    seconds: float


def enhance_each(config: Config, examiner: Examiner, found: Sequence[Found]) -> int:
    """A result for each picture, and the report. Returns the exit code."""
    started, counts = time.perf_counter(), Counter()
    jobs = _jobs(config, found)
    window = config.batch_size * (1 if examiner.ask_again else WINDOW_BATCHES)
    with (
        open_report(os.path.join(config.out, REPORT)) as report,
        tqdm(total=len(jobs), unit="picture", disable=None) as progress,
        ThreadPoolExecutor(config.workers, thread_name_prefix="pictures") as pool,
    ):
        for row in _rows(config, examiner, jobs, window, pool):
            report(row)
            tell(row)
            counts[row.status] += 1
            progress.update()
    _summary(counts, found, config.out, time.perf_counter() - started)
    return 2 if not counts["done"] else int(counts["failed"] > 0)


def _jobs(config: Config, found: Sequence[Found]) -> list[Job]:
    pictures = [each.relative for each in found if not each.problem]
    names = iter(output_names(pictures, config.out, endings(config), identities(found)))
    return [Job(each.path, "" if each.problem else next(names), each.problem) for each in found]


def endings(config: Config) -> list[str]:
    """What is written for each picture."""
    more = ((SIDE_BY_SIDE, config.side_by_side), (UNCERTAINTY, config.uncertainty))
    return [PICTURE, *(ending for ending, wanted in more if wanted)]


def _rows(
    config: Config, examiner: Examiner, jobs: Iterable[Job], window: int, pool: ThreadPoolExecutor
) -> Iterator[Row]:
    """The rows in the order of the jobs. While the network is at one window, the next is decoded and the last one
    written."""
    loads = _ahead(pool, lambda job: load(config, examiner, job), jobs, window)
    finishing: deque = deque()
    while some := list(islice(loads, window)):
        started = time.perf_counter()
        readable = [each for each in some if each.source is not None]
        looks = iter(examiner.look([each.source for each in readable]))
        share = (time.perf_counter() - started) / max(1, len(readable))
        rows = []
        for each in some:
            look = None if each.source is None else next(looks)
            rows.append(pool.submit(_finish, config, examiner, each, look, share))
        finishing.append(rows)
        if len(finishing) > 1:
            yield from (row.result() for row in finishing.popleft())
    for rows in finishing:
        yield from (row.result() for row in rows)


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int) -> Iterator:
    """`pool.map` that never has more than `ahead` items under way."""
    items, waiting = iter(items), deque()
    for item in islice(items, ahead):
        waiting.append(pool.submit(function, item))
    while waiting:
        done = waiting.popleft().result()
        for item in islice(items, 1):
            waiting.append(pool.submit(function, item))
        yield done


def load(config: Config, examiner: Examiner, job: Job) -> Loaded:
    """Open and prepare one picture; what is wrong with it is no exception but its `problem`."""
    started = time.perf_counter()
    source, problem = None, job.problem
    if not problem:
        try:
            source = load_source(examiner.generator, job.path, config.corners)
        except (ValueError, MemoryError) as error:
            problem = str(error) or "not enough memory"
    return Loaded(job, source, problem, time.perf_counter() - started)


def _finish(config: Config, examiner: Examiner, loaded: Loaded, look: Look | None, share: float) -> Row:
    """Judge and write one result."""
    started, row = time.perf_counter(), Row(loaded.job.path)
    if loaded.source is None or look is None:
        row.reason, row.seconds = loaded.problem, loaded.seconds
        row.status = "skipped" if Found("", "", loaded.problem).skipped else "failed"
        return row
    try:
        result = examiner.judge(loaded.source, look)
        write_picture(config.out, loaded.job.name + PICTURE, result.picture)
        if config.side_by_side:
            sheet = drawing.side_by_side(result, config.uncertainty)
            write_picture(config.out, loaded.job.name + SIDE_BY_SIDE, sheet)
        if config.uncertainty:
            heat = drawing.heat_map(result.disagreement, result.picture.shape[:2])
            write_picture(config.out, loaded.job.name + UNCERTAINTY, heat)
        fill(row, result)
        row.output = loaded.job.name + PICTURE
    except (OSError, MemoryError, cv2.error) as error:
        row.status, row.reason = "failed", f"cannot be written: {error}"
    row.seconds = loaded.seconds + share + time.perf_counter() - started
    return row


def _summary(counts: dict[str, int], found: Sequence[Found], out: str, seconds: float) -> None:
    skipped = f", {counts['skipped']} no pictures ({printable(skipped_kinds(found))})" if counts["skipped"] else ""
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    rate = counts["done"] / seconds
    report = printable(os.path.join(out, REPORT))
    print(f"{counts['done']} enhanced{failed}{skipped}: {seconds:.1f} s, {rate:.1f} a second; {report}")


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
    name = output_names([BURST + PICTURE], config.out, endings(config), identities(found))[0]
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
