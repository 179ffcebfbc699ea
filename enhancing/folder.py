"""Enhances many pictures on disk: a result for each, or for a burst one result for all.

Decoding and encoding run in threads, the network in batches. A source is small (the generator's input, not the photo),
and at most two windows of them are under way at a time, so memory does not grow.
"""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from data.console import map_ahead, say
from data.io import is_moving, open_picture, picture_size, read_exif
from enhancing import drawing
from enhancing.burst import Burst, combine
from enhancing.drawing import paste
from enhancing.examining import Examiner, Look, Result
from enhancing.finding import Found, files_of, numbered_names, output_names, skipped_kinds
from enhancing.opening import Corners, NoPlateFound, Source
from enhancing.writing import InOrder, ReportRow, fill, fill_from_burst, open_report, tell, tell_in_words, write_picture
from models.loading import Backend

REPORT = "report.csv"
PICTURE, SIDE_BY_SIDE, UNCERTAINTY, PASTED = ".png", ".side-by-side.png", ".uncertainty.png", ".pasted.png"
# batches loaded before sorting by shape, so that batches of equal shapes are fuller
WINDOW_BATCHES = 4
# The largest picture that is accepted, of 89 megapixels, takes 1.8 GB at most (see tests/enhancing/test_enhance.py).
HUGE_PX = 20_000_000
_HUGE = threading.Lock()
# of a burst, all of which are in memory
MAX_BURST_FRAMES = 200
BURST = "burst"


class PictureJob(NamedTuple):
    """name: below --out, without ending. problem: why it cannot be read, or ""."""

    path: str
    name: str
    problem: str


class LoadedPlate(NamedTuple):
    """A plate of a picture, or why there is none. name: of its result, below --out, without ending."""

    job: PictureJob
    name: str
    source: Source | None
    problem: str
    seconds: float


@dataclass(frozen=True)
class Results:
    """What is written for each picture, below the folder `out`. inputs: the identities of files that must not be
    overwritten."""

    out: str
    inputs: frozenset[tuple[int, int]] = frozenset()
    side_by_side: bool = False
    uncertainty: bool = False
    strip_metadata: bool = False
    paste: bool = False

    def endings(self) -> list[str]:
        more = (SIDE_BY_SIDE, self.side_by_side), (UNCERTAINTY, self.uncertainty), (PASTED, self.paste)
        return [PICTURE, *(ending for ending, wanted in more if wanted)]


def enhance_each(
    examiner: Examiner,
    found: Sequence[Found],
    results: Results,
    corners: Corners | None = None,
    workers: int = 1,
    films: Iterable[ReportRow] = (),
) -> int:
    """A result for each picture, and the report. films: rows of other results, made as they are asked for. Returns the
    exit code."""
    started, counts = time.perf_counter(), Counter()
    jobs = _jobs(results, found)
    alone = not films and sum(not job.problem for job in jobs) == 1
    with (
        open_report(os.path.join(results.out, REPORT)) as report,
        tqdm(total=len(jobs), unit="picture", disable=None if jobs else True) as progress,
    ):

        def receive(rows: Sequence[ReportRow]) -> None:
            for row in rows:
                report(row)
                tell(row, results.out)
                if alone:
                    tell_in_words(row)
                counts[row.status] += 1
            if alone and any(row.output for row in rows):
                _tell_beside(results, rows, next(job.name for job in jobs if not job.problem))
            progress.update()

        _run(examiner, jobs, results, corners, workers, InOrder(receive))
        progress.close()
        for row in films:
            receive([row])
    _summary(counts, found, results.out, examiner.generator.backend, time.perf_counter() - started)
    looked_at = counts["done"] + counts["no plate"]
    return int(counts["done"] < looked_at + counts["failed"]) if looked_at else 2


def _jobs(results: Results, found: Sequence[Found]) -> list[PictureJob]:
    pictures = [each.relative for each in found if not each.problem]
    names = iter(output_names(pictures, results.out, results.endings(), results.inputs))
    return [PictureJob(each.path, "" if each.problem else next(names), each.problem) for each in found]


def _run(
    examiner: Examiner,
    jobs: Sequence[PictureJob],
    results: Results,
    corners: Corners | None,
    workers: int,
    rows: InOrder,
) -> None:
    """While the network is at one window of pictures, the next is decoded and the last one written.

    A row is passed on as soon as its result is written. If the run ends early, what the network has done is written,
    and the rest is dropped.
    """
    window = examiner.batch_size * (1 if examiner.ask_again else WINDOW_BATCHES)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    finishing: deque = deque()

    def finish(number: int, plates: Sequence[LoadedPlate], looks: Sequence[Look | None], share: float) -> None:
        rows.add(number, _finish_all(examiner, plates, looks, share, results))

    taken = files_of((job.name for job in jobs), results.endings())

    def load_and_name(job: PictureJob) -> list[LoadedPlate]:
        return _numbered(load(examiner, job, corners), taken, results)

    loading = map_ahead(pool, load_and_name, jobs, window)
    try:
        loads = enumerate(loading)
        while some := list(islice(loads, window)):
            started = time.perf_counter()
            sources = [each.source for _, plates in some for each in plates if each.source is not None]
            looks = iter(examiner.look(sources))
            share = (time.perf_counter() - started) / max(1, len(sources))
            for number, plates in some:
                own = [None if each.source is None else next(looks) for each in plates]
                finishing.append(pool.submit(finish, number, plates, own, share))
            while len(finishing) > window:
                finishing.popleft().result()
        while finishing:
            finishing.popleft().result()
    finally:
        loading.close()
        wait(finishing)
        pool.shutdown(cancel_futures=True)
        rows.close()


def load(examiner: Examiner, job: PictureJob, corners: Corners | None) -> list[LoadedPlate]:
    """Open one picture and prepare its plates, best first. Errors are returned in `problem`, not raised."""
    started = time.perf_counter()
    sources, problem = [], job.problem
    if not problem:
        try:
            with _in_turn(_size(job.path)):
                sources = examiner.sources(job.path, corners)
        except (ValueError, MemoryError, cv2.error) as error:
            problem = str(error) or "not enough memory"
    seconds = time.perf_counter() - started
    if not sources:
        return [LoadedPlate(job, job.name, None, problem, seconds)]
    return [LoadedPlate(job, job.name, source, "", seconds / len(sources)) for source in sources]


def _numbered(plates: Sequence[LoadedPlate], taken: Collection[str], results: Results) -> Sequence[LoadedPlate]:
    """The plates of one picture, each with a name of its own. taken: the files of other pictures' results."""
    if len(plates) == 1:
        return plates
    names = numbered_names(plates[0].name, len(plates), taken, results.out, results.endings(), results.inputs)
    return [plate._replace(name=name) for plate, name in zip(plates, names, strict=True)]


def load_frames(examiner: Examiner, job: PictureJob, corners: Corners | None) -> list[LoadedPlate]:
    """`load` for a burst: all frames of an animation count."""
    if job.problem or not is_moving(job.path):
        # of each frame the best plate
        return load(examiner, job, corners)[:1]
    from data.film import open_film

    loaded = []
    try:
        with open_film(job.path) as film:
            for frame in islice(film.frames, MAX_BURST_FRAMES + 1):
                loaded.append(_of_frame(examiner, job, frame.picture, corners))
            faults = film.faults
    except (ValueError, MemoryError, cv2.error) as error:
        faults = [str(error) or "not enough memory"]
    return loaded + [LoadedPlate(job, job.name, None, fault, 0.0) for fault in faults]


def _of_frame(examiner: Examiner, job: PictureJob, picture: np.ndarray, corners: Corners | None) -> LoadedPlate:
    """The best plate of an animation's frame."""
    try:
        source = examiner.sources(picture, corners)[0]
    except NoPlateFound as error:
        return LoadedPlate(job, job.name, None, str(error), 0.0)
    if source.corners is not None:
        # else the whole frame would stay in memory
        plate = source.plate()
        source = source._replace(plate=lambda: plate)
    return LoadedPlate(job, job.name, source, "", 0.0)


def _size(path: str) -> tuple[int, int]:
    """(height, width) as the file says; (0, 0) for one that is going to be refused."""
    try:
        return picture_size(path)
    except ValueError:
        return 0, 0


def _in_turn(size: tuple[int, int]):
    """Huge pictures are in memory one at a time, whatever the number of threads; others need not wait."""
    return _HUGE if size[0] * size[1] > HUGE_PX else nullcontext()


def _finish_all(
    examiner: Examiner, plates: Sequence[LoadedPlate], looks: Sequence[Look | None], share: float, results: Results
) -> list[ReportRow]:
    """Judge and write the results of one picture."""
    done = [_finish(examiner, *each, share, results) for each in zip(plates, looks, strict=True)]
    rows = [row for row, _ in done]
    straightened = [result for _, result in done if result is not None and result.source.corners is not None]
    if results.paste and straightened:
        job = plates[0].job
        try:
            exif = b"" if results.strip_metadata else read_exif(job.path)
            with _in_turn(straightened[0].source.file_size):
                photo = open_picture(job.path, upright=not straightened[0].source.as_stored)
                write_picture(results.out, job.name + PASTED, paste(photo, straightened), exif)
        except (OSError, ValueError, MemoryError, cv2.error) as error:
            rows[0].status, rows[0].reason = "failed", f"cannot be pasted: {error}"
    return rows


def _finish(
    examiner: Examiner, loaded: LoadedPlate, look: Look | None, share: float, results: Results
) -> tuple[ReportRow, Result | None]:
    """Judge and write one result."""
    started, row, result = time.perf_counter(), ReportRow(loaded.job.path), None
    if loaded.source is None or look is None:
        row.reason, row.seconds = loaded.problem, loaded.seconds
        row.status = "skipped" if Found("", "", loaded.problem).skipped else "failed"
        return row, None
    try:
        with _in_turn(loaded.source.file_size):
            result = examiner.judge(loaded.source, look)
            exif = b"" if results.strip_metadata else read_exif(loaded.job.path)
            write_picture(results.out, loaded.name + PICTURE, result.picture, exif)
            fill(row, result)
            row.output = loaded.name + PICTURE
            if results.side_by_side:
                sheet = drawing.side_by_side(result, results.uncertainty)
                write_picture(results.out, loaded.name + SIDE_BY_SIDE, sheet)
        if results.uncertainty:
            heat = drawing.heat_map(result.disagreement, result.picture.shape[:2])
            write_picture(results.out, loaded.name + UNCERTAINTY, heat)
    except (OSError, ValueError, MemoryError, cv2.error) as error:
        row.status, row.reason = "failed", f"cannot be written: {error}"
    row.seconds = loaded.seconds + share + time.perf_counter() - started
    return row, result


def _tell_beside(results: Results, rows: Sequence[ReportRow], name: str) -> None:
    """The names of the other files of a picture's results. name: of the picture's, below --out, without ending."""
    stems = dict.fromkeys([*(row.output.removesuffix(PICTURE) for row in rows if row.output), name])
    files = [os.path.join(results.out, stem + ending) for stem in stems for ending in results.endings()[1:]]
    for file in filter(os.path.exists, files):
        say(file)


def _summary(counts: dict[str, int], found: Sequence[Found], out: str, backend: Backend, seconds: float) -> None:
    skipped = f", {counts['skipped']} no pictures ({skipped_kinds(found)})" if counts["skipped"] else ""
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    rate, report = counts["done"] / seconds, os.path.join(out, REPORT)
    say(f"{counts['done']} enhanced{failed}{skipped} by {backend}: {seconds:.1f} s, {rate:.1f} a second; {report}")


def enhance_burst(
    examiner: Examiner, found: Sequence[Found], results: Results, corners: Corners | None = None, workers: int = 1
) -> int:
    """One result for all pictures, and the report. Returns the exit code. ValueError where no frame can be read."""
    started, frames = time.perf_counter(), [each for each in found if not each.skipped]
    if len(frames) > MAX_BURST_FRAMES:
        raise ValueError(f"--burst takes at most {MAX_BURST_FRAMES} frames of one plate, got {len(frames)}")
    with ThreadPoolExecutor(workers, thread_name_prefix="pictures") as pool:
        jobs = [PictureJob(each.path, "", each.problem) for each in frames]
        loaded = [one for some in pool.map(lambda job: load_frames(examiner, job, corners), jobs) for one in some]
    if len(loaded) > MAX_BURST_FRAMES:
        raise ValueError(
            f"--burst takes at most {MAX_BURST_FRAMES} frames of one plate; the animations hold {len(loaded)}"
        )
    enhanced = examiner.enhance([each.source for each in loaded if each.source is not None])
    if not enhanced:
        raise ValueError(f"no frame of the burst can be read; {loaded[0].job.path}: {loaded[0].problem}")
    burst = combine(enhanced, examiner)
    name = output_names([BURST + PICTURE], results.out, results.endings(), results.inputs)[0]
    _write_burst(results, name, enhanced, burst)
    row = _burst_row(name, burst, time.perf_counter() - started)
    with open_report(os.path.join(results.out, REPORT)) as report:
        failed = _report_frames(report, loaded, enhanced, burst)
        report(row)
    tell(row, results.out)
    say(f"{len(enhanced)} frames in {os.path.join(results.out, row.output)}: {row.reading or 'nothing'} read")
    return int(failed > 0)


def _write_burst(results: Results, name: str, enhanced: Sequence[Result], burst: Burst) -> None:
    write_picture(results.out, name + PICTURE, burst.picture)
    if results.side_by_side:
        write_picture(results.out, name + SIDE_BY_SIDE, drawing.burst_sheet(enhanced, burst))
    if results.uncertainty:
        heat = drawing.heat_map(burst.disagreement, burst.picture.shape[:2])
        write_picture(results.out, name + UNCERTAINTY, heat)


def _report_frames(
    report: Callable[[ReportRow], None], loaded: Sequence[LoadedPlate], results: list[Result], burst: Burst
) -> int:
    """A row for each frame; the number of those that could not be read."""
    failed, pairs = 0, iter(zip(results, burst.frames, strict=True))
    for each in loaded:
        row = ReportRow(each.job.path, seconds=each.seconds)
        if each.source is None:
            row.status, row.reason = "failed", each.problem
            failed += 1
        else:
            result, frame = next(pairs)
            fill(row, result)
            row.weight = frame.weight
            if not frame.weight:
                row.reason = "left out: it cannot be aligned with the other frames"
        report(row)
        tell(row, "")
    return failed


def _burst_row(name: str, burst: Burst, seconds: float) -> ReportRow:
    row = ReportRow(f"burst of {len(burst.frames)}", output=name + PICTURE, seconds=seconds)
    fill_from_burst(row, burst)
    return row
