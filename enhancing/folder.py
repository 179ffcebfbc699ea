"""Many pictures through one generator: decoding and encoding in threads, the network in batches, memory that does not
grow.

A source is small (the generator's input, not the photo), and at most two windows of them are under way at a time.
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
from enhancing.config import Config
from enhancing.examining import Examiner, Look
from enhancing.files import write_picture
from enhancing.inputs import Found, identities, skipped_kinds
from enhancing.names import output_names
from enhancing.report import Row, fill, open_report, tell
from enhancing.sources import Source, load_source

REPORT = "report.csv"
PICTURE, SIDE_BY_SIDE, UNCERTAINTY = ".png", ".side-by-side.png", ".uncertainty.png"
# so many batches are loaded before they are sorted by shape: fuller batches of equal shapes
WINDOW_BATCHES = 4


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
