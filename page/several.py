"""The second tab: several frames of one plate, or a film, combined into one answer."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from data.files import looks_like_film
from data.film import Frame, open_film
from data.io import PictureError, is_moving, open_picture
from enhancing.burst import Burst, combine
from enhancing.examining import Examiner, Result
from enhancing.films import Followed, clock, combine_views, follow, plates_in_frames
from enhancing.opening import NoPlateFound, Source
from page import words
from page.guard import own
from page.pictures import MAX_PIXELS, Examples, base_name, save_result, to_preview
from page.tab import QUICK, WORK, Visit, at_strength, cleared, in_turn, lay_out, strength_used, wire_strength

# others wait meanwhile; enhance.py takes more of all
MOST_FRAMES, MOST_PLATES = 30, 6
# of a film: how much is looked at, and how often
FILM_SECONDS, STEP_SECONDS = 30.0, 0.2
THUMB_PX = 160
BOX = f"""
<div class="invite"><p>Drop several pictures of one plate here, or a film or GIF.</p>
  <p class="faint">Whole photos are fine: the plate is found in each. Of a film the first {FILM_SECONDS:.0f} seconds
  are looked at.</p></div>
<ul class="frames" aria-label="Frames"></ul>
<input type="file" accept="image/*,video/*" multiple hidden aria-label="Frames">
<p class="status" role="status"></p>
<div class="problem" role="alert" hidden></div>
<div class="tools"></div>
<div class="bar always"><button type="button" class="small choose">Add frames or a film</button>
  <button type="button" class="small remove">Remove all</button></div>
"""


class Given(NamedTuple):
    """A file that came in. preview: path of a small picture of it, or ""."""

    path: str
    name: str
    preview: str


@dataclass(eq=False)
class Frames:
    """What the visitor gave. sources: the plate in each picture, with the picture's name. followed: the plates of a
    film. pages: the results, and `chosen` the one that is shown. strengths: with which they were made. problem: with
    files that were refused."""

    files: list[Given]
    sources: list[tuple[str, Source]] = field(default_factory=list)
    followed: list[Followed] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    strengths: list[float] = field(default_factory=list)
    chosen: int = 0
    problem: str = ""

    def view(self, status: str = "", problem: str = "") -> dict[str, Any]:
        return {
            "frames": [{"picture": each.preview, "name": each.name} for each in self.files],
            "plates": self.labels if len(self.labels) > 1 else [],
            "chosen": self.chosen,
            "status": status,
            "problem": problem,
            "at": time.monotonic_ns(),
        }

    @property
    def strength(self) -> float | None:
        """Of the result that is shown."""
        return self.strengths[self.chosen] if self.strengths else None

    def page(self) -> str:
        return self.pages[self.chosen] if self.pages else words.EMPTY


def build(examiner: Examiner, examples: Examples, folder: str) -> None:
    """Lay out the tab and wire it. folder: for previews and files to download."""
    said, ready = "Nothing at hand? Rendered by this project:", {"Example frames": examples.burst}
    ready["Example film"] = [examples.film]
    visit, frames, strength, buttons, shown = lay_out("frames", BOX, "burst-result", examiner, said, list(ready))

    @in_turn
    def take(visit: Visit, event: gr.EventData):
        return _take(folder, visit, event._data.get("files") or [])

    @in_turn
    def take_examples(visit: Visit, paths: Sequence[Path]):
        return _now(visit, Frames([_given(folder, str(path), path.name) for path in paths]))

    @in_turn
    def choose(visit: Visit, event: gr.EventData):
        return _choose(visit, event._data)

    def work(visit: Visit):
        yield from _work(examiner, folder, visit)

    changes = [
        frames.upload(take, visit, [visit, *shown], **QUICK),
        frames.select(choose, visit, [visit, *shown], **QUICK),
    ]
    for button, paths in zip(buttons, ready.values(), strict=True):
        changes.append(button.click(partial(take_examples, paths=paths), visit, [visit, *shown], **QUICK))
    results = [change.then(work, visit, shown, **WORK) for change in changes]
    wire_strength(visit, strength, shown, _again, work, results)
    frames.clear(in_turn(cleared), visit, [visit, *shown], **QUICK)


def _now(visit: Visit, frames: Frames):
    """View and result where these are to be combined, and nothing old is left."""
    if not frames.files:
        return cleared(visit, frames.problem)
    visit.now = frames
    return frames.view("Combining…", frames.problem), words.BUSY


def _take(folder: str, visit: Visit, uploaded: Sequence[dict]):
    """View and result after files came in, each with its path in the folder and the name it had."""
    files, problems = list(visit.now.files) if visit.now else [], []
    for each in uploaded:
        name = base_name(str(each.get("name") or each["path"]))
        try:
            files.append(_given(folder, own(folder, each["path"]), name))
        except (ValueError, MemoryError) as error:
            problems.append(f"{name}: {error or 'not enough memory'}")
    if len(files) > MOST_FRAMES:
        problems.append(f"at most {MOST_FRAMES} frames are taken")
    return _now(visit, Frames(files[:MOST_FRAMES], problem="; ".join(problems)))


def _given(folder: str, path: str, name: str) -> Given:
    """Raises PictureError for what is neither a picture nor a film."""
    if not is_moving(path):
        return Given(path, name, to_preview(open_picture(path, max_pixels=MAX_PIXELS), folder, THUMB_PX))
    with open_film(path) as film:
        first = next(film.frames, None)
    if first is None:
        raise PictureError("not a film", "; ".join(film.faults) or "no frame can be read")
    return Given(path, name, to_preview(first.picture, folder, THUMB_PX))


def _choose(visit: Visit, wanted: dict):
    """View and result after one frame was removed, or another plate of the film was chosen."""
    frames: Frames | None = visit.now
    number = wanted.get("remove", wanted.get("plate"))
    if frames is None or not isinstance(number, int):
        return gr.skip(), gr.skip()
    if "remove" in wanted:
        return _now(visit, Frames([each for i, each in enumerate(frames.files) if i != number]))
    frames.chosen = max(0, min(number, len(frames.pages) - 1))
    return frames.view(), frames.page()


def _again(visit: Visit):
    """View and result where the same frames are to be combined at another strength."""
    frames: Frames | None = visit.now
    return _now(visit, replace(frames, pages=[], labels=[], strengths=[])) if frames else (gr.skip(), gr.skip())


def _work(examiner: Examiner, folder: str, visit: Visit) -> Iterator[tuple]:
    """View and result, with progress on the way."""
    frames: Frames | None = visit.now
    if frames is None or frames.pages:
        # where nothing is yielded, Gradio empties what is shown
        yield gr.skip(), gr.skip()
        return
    # many views replace second opinions on one, as in enhance.py
    at = replace(at_strength(examiner, visit.strength), second=None, ask_again=False)
    films = [each for each in frames.files if is_moving(each.path)]
    problem, nothing = "", words.EMPTY
    try:
        if films and len(frames.files) > 1:
            problem = "A film is taken alone: remove the other files."
        elif films:
            yield from _work_on_film(at, folder, visit, films[0])
            if not frames.pages:
                problem, nothing = words.NO_PLATE_IN_FILM, words.nothing_html(words.NO_PLATE)
        elif len(frames.files) < 2:
            problem = "Add at least one more picture of the same plate."
        else:
            problem = _work_on_pictures(at, folder, frames)
            nothing = words.nothing_html(words.NO_PLATE)
    except (ValueError, OSError, MemoryError) as error:
        problem = str(error) or "not enough memory"
    problem = "; ".join(filter(None, (frames.problem, problem)))
    yield visit.shown(frames, frames.view(problem=problem), frames.page() if frames.pages else nothing)


def _work_on_pictures(examiner: Examiner, folder: str, frames: Frames) -> str:
    """Combines them, and returns what is wrong with some of them."""
    problems = []
    if not frames.sources:
        for each in frames.files:
            try:
                # the surest plate of each
                frames.sources.append((each.name, examiner.sources(each.path, name=each.name)[0]))
            except NoPlateFound:
                problems.append(f"{each.name}: no plate found")
            except ValueError as error:
                problems.append(f"{each.name}: {error}")
    if frames.sources:
        results = examiner.enhance([source for _, source in frames.sources])
        names = [name for name, _ in frames.sources]
        _add_page(examiner, folder, frames, names[0], names, results, combine(results, examiner))
    return "; ".join(problems)


def _work_on_film(examiner: Examiner, folder: str, visit: Visit, film: Given) -> Iterator[tuple]:
    """Combines the best views of each plate in it, as long as it is wanted. Yields progress."""
    frames: Frames = visit.now

    def is_wanted(_: Frame) -> bool:
        # at another strength, too: the plates stay the same
        return visit.now is not None and visit.now.files is frames.files

    if not frames.followed:
        with open_film(film.path, end_s=FILM_SECONDS) as opened:
            step = STEP_SECONDS if looks_like_film(film.path) else 0.0
            seen = [0.0]
            looked = _thinned(takewhile(is_wanted, opened.frames), step, seen)
            for followed in follow(looked, plates_in_frames(examiner.detector)):
                frames.followed.append(followed)
                view = frames.view(f"Second {seen[0]:.0f}: {len(frames.followed)} plates so far…")
                yield visit.shown(frames, view, gr.skip())
    best = sorted(frames.followed, key=lambda each: -len(each.track.sightings))[:MOST_PLATES]
    for number, followed in enumerate(best, start=1):
        if visit.now is not frames:
            return
        views, results, burst = combine_views(examiner, followed)
        names = [clock(view.seconds) for view in views]
        stem = f"{Path(film.name).stem}-plate-{number}.png" if len(best) > 1 else film.name
        _add_page(examiner, folder, frames, stem, names, results, burst)
        yield visit.shown(frames, frames.view(f"Plate {number} of {len(best)}…"), frames.page())


def _thinned(frames: Iterable[Frame], step: float, seen: list[float]) -> Iterator[Frame]:
    """Frames at least `step` seconds apart; the time of the last one is in seen[0]."""
    following = 0.0
    for frame in frames:
        if frame.seconds >= following:
            seen[0], following = frame.seconds, frame.seconds + step
            yield frame


def _add_page(
    examiner: Examiner,
    folder: str,
    frames: Frames,
    name: str,
    names: Sequence[str],
    results: Sequence[Result],
    burst: Burst,
) -> None:
    answer = words.judged_burst(results, burst)
    before = results[burst.reference].untouched()
    lines = words.sheet_lines(answer, burst.warnings)
    files = save_result(folder, name, before, burst.picture, lines, burst.disagreement)
    # what is combined is blended by the frames' weights
    used = [frame.weight * strength_used(examiner, each) for frame, each in zip(burst.frames, results, strict=True)]
    frames.strengths.append(sum(used))
    frames.pages.append(words.burst_html(results, burst, files, names))
    frames.labels.append(answer.text or f"Plate {len(frames.labels) + 1}")
