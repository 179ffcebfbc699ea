"""The first tab: one picture. Its plates are found, and the answer appears by itself."""

import time
from dataclasses import replace
from functools import partial
from threading import Lock

import gradio as gr

from enhancing.examining import Examiner
from enhancing.opening import NoPlateFound
from page import words
from page.guard import own
from page.pictures import Examples, Photo, accept, base_name, save_result
from reading.answer import certainty

# one picture at a time goes through the networks, whichever tab it comes from
QUEUE = "generator"
STATE_SECONDS = 1800
NO_VIEW = {"picture": ""}
BOX = """
<div class="frame"><img alt=""><svg aria-hidden="true"></svg>
  <canvas width="144" height="144" aria-hidden="true" hidden></canvas></div>
<div class="invite"><p class="drop">Drop a photo here, or paste it.</p>
  <button type="button" class="small choose">Choose a photo</button>
  <p class="faint">Photos stay on this machine.</p></div>
<input type="file" accept="image/*" hidden aria-label="Photo">
<p class="status" role="status"></p>
<div class="problem" role="alert" hidden></div>
<div class="tools"></div>
<div class="bar"><span class="name"></span><button type="button" class="small choose">Another photo</button>
  <button type="button" class="small remove">Remove</button></div>
"""


def build(examiner: Examiner, examples: Examples, folder: str) -> gr.State:
    """Lay out the tab and wire it. folder: for previews and files to download. Returns the state that holds the
    visitor's `Photo`."""
    state = gr.State(None, time_to_live=STATE_SECONDS)
    with gr.Row():
        with gr.Column(min_width=300):
            photo = gr.HTML(
                NO_VIEW,
                html_template=BOX,
                js_on_load="plates.photo(element, trigger, props, watch)",
                elem_id="photo",
                elem_classes="intake",
            )
            strength = strength_slider(examiner)
            gr.HTML('<p class="faint">No photo at hand? Rendered ones:</p>')
            with gr.Row(elem_classes="examples"):
                ready = [gr.Button(label, size="sm", min_width=90) for label in examples.labels]
        with gr.Column(min_width=300):
            result = result_panel("result")

    shown, quick = [photo, result], {"api_visibility": "private", "show_progress": "hidden"}
    queued = {**quick, "concurrency_id": QUEUE, "concurrency_limit": 1, "trigger_mode": "always_last"}
    # what is quick goes past the queue, so that a new picture clears the old result at once, and none is left out
    # because another one is being taken
    quick |= {"queue": False, "trigger_mode": "multiple"}

    # of two pictures given at once the second must not be answered first
    in_turn = Lock()

    def take(old: Photo | None, event: gr.EventData):
        with in_turn:
            return _take(folder, old, event._data)

    def example(number: int, old: Photo | None):
        path = examples.singles[number]
        return _accepted(folder, old, str(path), path.name)

    def clear(old: Photo | None, event: gr.EventData):
        return _clear(old, str(event._data.get("problem") or ""))

    def look(photo: Photo | None, strength: float):
        return _look(examiner, folder, photo, strength)

    def choose(photo: Photo | None, strength: float, event: gr.EventData):
        return _choose(examiner, folder, photo, strength, event._data)

    def again(photo: Photo | None, strength: float):
        return _enhanced(examiner, folder, photo, strength)

    taken = [photo.upload(take, state, [state, *shown], **quick)]
    for number, button in enumerate(ready):
        taken.append(button.click(partial(example, number), state, [state, *shown], **quick))
    for each in taken:
        each.then(look, [state, strength], shown, **queued)
    photo.clear(clear, state, [state, *shown], **quick)
    photo.select(choose, [state, strength], shown, **queued)
    # by mouse, keys or typing
    strength.change(again, [state, strength], shown, **queued)
    return state


def add_api(examiner: Examiner, folder: str) -> None:
    """`/enhance` of the HTTP API (README.md). Its name, its parameters and the names in its answer do not change."""
    one_at_a_time = Lock()

    def enhance(picture: dict, corners: list | None = None, strength: float | None = None) -> dict:
        """picture: as the upload says, {"path": ...}. corners: [x, y] of a plate's four, else plates are found.
        strength: 0 to 1. Returns the picture's size and, for each plate, what was read and where its PNG files are."""
        at = at_strength(examiner, examiner.generator.strength if strength is None else min(1.0, max(0.0, strength)))
        try:
            path = own(folder, picture["path"])
            photo = accept(path, str(picture.get("orig_name") or path), folder)
            with one_at_a_time:
                return _described(at, folder, photo, corners)
        except (ValueError, TypeError, LookupError) as error:
            raise gr.Error(str(error), print_exception=False) from error

    # past the queue, so that one request has one answer
    gr.api(enhance, api_name="enhance", queue=False)


def _described(examiner: Examiner, folder: str, photo: Photo, corners: list | None) -> dict:
    height, width = photo.size
    try:
        if corners:
            photo.mark(examiner.generator, [(float(x), float(y)) for x, y in corners])
        else:
            photo.look(examiner.generator, examiner.detector)
    except NoPlateFound:
        pass
    plates = []
    for result in examiner.enhance([photo.moved] if photo.moved else photo.sources):
        answer = words.judged(result)
        lines = words.sheet_lines(answer, result.warnings)
        files = save_result(folder, photo.name, result.source.lq, result.picture, lines)
        where = None if result.source.corners is None else result.source.corners.tolist()
        urls = {"picture": words.url(files.after), "before_and_after": words.url(files.sheet)}
        plates.append({"corners": where, **words.as_json(answer, result.warnings), **urls})
    return {"width": width, "height": height, "plates": plates, "note": words.HINT}


def strength_slider(examiner: Examiner) -> gr.Slider:
    follows = examiner.generator.readable_strength is not None
    return gr.Slider(
        0,
        1,
        examiner.generator.strength,
        step=0.05,
        label="Strength",
        info="1: the network's drawing alone. Less: more of your picture, and of its doubt."
        + " Until you move it, pictures that can be read already get less." * follows,
        buttons=[],
        elem_classes="strength",
    )


def result_panel(name: str) -> gr.HTML:
    return gr.HTML(words.EMPTY, js_on_load="plates.result(element, watch)", elem_id=name, elem_classes="result")


def at_strength(examiner: Examiner, strength: float) -> Examiner:
    """Where the slider stands as it stood at first, the strength follows the picture; elsewhere it is what it says."""
    generator = examiner.generator
    if strength == generator.strength:
        return examiner
    return replace(examiner, generator=replace(generator, strength=strength, readable_strength=None))


def _clear(old: Photo | None, problem: str = ""):
    """State, view and result where there is no picture any more."""
    if old:
        old.gone = True
    return None, NO_VIEW | {"problem": problem, "at": time.monotonic_ns()}, words.EMPTY


def _take(folder: str, old: Photo | None, uploaded: dict):
    """State, view and result after a file came in. uploaded: its path in the folder, and the name it had."""
    name = base_name(str(uploaded.get("name") or uploaded["path"]))
    try:
        path = own(folder, uploaded["path"])
    except ValueError as error:
        return _clear(old, f"{name}: {error}")
    return _accepted(folder, old, path, name)


def _accepted(folder: str, old: Photo | None, path: str, name: str):
    try:
        photo = accept(path, name, folder)
    except (ValueError, MemoryError) as error:
        return _clear(old, f"{name}: {error or 'not enough memory'}")
    _clear(old)
    return photo, photo.view("Looking for the plate…"), words.BUSY


def _look(examiner: Examiner, folder: str, photo: Photo | None, strength: float):
    """View and result of a picture that was just taken."""
    if photo is None or photo.gone:
        return gr.skip(), gr.skip()
    try:
        photo.look(examiner.generator, examiner.detector)
    except NoPlateFound:
        return photo.view(problem=words.NO_PLATE_HELP), words.nothing_html(words.NO_PLATE)
    except (ValueError, MemoryError) as error:
        return photo.view(problem=f"{photo.name}: {error}"), words.EMPTY
    return _enhanced(examiner, folder, photo, strength)


def _choose(examiner: Examiner, folder: str, photo: Photo | None, strength: float, wanted: dict):
    """View and result of another plate, of corners that the visitor moved, or of the whole picture as one plate."""
    if photo is None or photo.gone:
        return gr.skip(), gr.skip()
    plate, corners = wanted.get("plate"), wanted.get("corners")
    if isinstance(plate, int) and 0 <= plate < len(photo.sources):
        photo.chosen = plate
    photo.moved, photo.ticket, marked = None, int(wanted.get("ticket") or 0), None
    try:
        if corners or wanted.get("whole"):
            marked = [tuple(map(float, corner)) for corner in corners] if corners else None
            photo.mark(examiner.generator, marked)
    except (ValueError, TypeError) as error:
        # where the visitor has put them, to be moved on
        return photo.view(problem=str(error), corners=marked), words.EMPTY
    return _enhanced(examiner, folder, photo, strength)


def _enhanced(examiner: Examiner, folder: str, photo: Photo | None, strength: float):
    """View and result of the chosen plate."""
    if photo is None or photo.gone or not (photo.sources or photo.moved):
        return gr.skip(), gr.skip()
    examiner = at_strength(examiner, strength)
    [result] = examiner.enhance([photo.source])
    lines = words.sheet_lines(words.judged(result), result.warnings)
    files = save_result(folder, photo.name, result.source.lq, result.picture, lines, result.disagreement)
    if photo.gone:
        return gr.skip(), gr.skip()
    used = examiner.generator.strength_for(certainty(result.look.recognised))
    return photo.view(), words.result_html(result, files, used)
