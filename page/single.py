"""The first tab: one picture. Its plates are found, and the answer appears by itself."""

from functools import partial
from threading import Lock

import gradio as gr

from enhancing.examining import Examiner
from enhancing.opening import NoPlateFound
from page import words
from page.guard import own
from page.pictures import Examples, VisitorPhoto, accept, base_name, save_result
from page.tab import QUICK, WORK, Visit, at_strength, cleared, in_turn, lay_out, strength_used, wire_strength

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
    """Lay out the tab and wire it. folder: for previews and files to download. Returns the state that holds a `Visit`
    with a `VisitorPhoto`."""
    said = "No photo at hand? Rendered ones:"
    visit, photo, strength, ready, shown = lay_out("photo", BOX, "result", examiner, said, examples.labels)

    @in_turn
    def take(visit: Visit, event: gr.EventData):
        return _take(folder, visit, event._data)

    @in_turn
    def example(visit: Visit, number: int):
        path = examples.singles[number]
        return _accepted(folder, visit, str(path), path.name)

    @in_turn
    def clear(visit: Visit, event: gr.EventData):
        return cleared(visit, str(event._data.get("problem") or ""))

    def look(visit: Visit):
        return _look(examiner, folder, visit)

    def choose(visit: Visit, event: gr.EventData):
        return _choose(examiner, folder, visit, event._data)

    def again(visit: Visit):
        return _again(examiner, folder, visit)

    taken = [photo.upload(take, visit, [visit, *shown], **QUICK)]
    for number, button in enumerate(ready):
        taken.append(button.click(partial(example, number=number), visit, [visit, *shown], **QUICK))
    results = [each.then(look, visit, shown, **WORK) for each in taken]
    results.append(photo.select(choose, visit, shown, **WORK))
    photo.clear(clear, visit, [visit, *shown], **QUICK)
    wire_strength(visit, strength, shown, _begun, again, results)
    return visit


def add_api(examiner: Examiner, folder: str) -> None:
    """`/enhance` of the HTTP API (README.md). Its name, its parameters and the names in its answer do not change."""
    one_at_a_time = Lock()

    def enhance(picture: dict, corners: list | None = None, strength: float | None = None) -> dict:
        """picture: as the upload says, {"path": ...}. corners: [x, y] of a plate's four, else plates are found.
        strength: 0 to 1. Returns the picture's size and, for each plate, what was read and where its PNG files are."""
        if not isinstance(picture, dict) or "path" not in picture:
            raise gr.Error('no picture: {"path": ...} with what the upload returned is needed', print_exception=False)
        try:
            at = at_strength(examiner, None if strength is None else min(1.0, max(0.0, float(strength))))
            path = own(folder, picture["path"])
            photo = accept(path, str(picture.get("orig_name") or path), folder)
            with one_at_a_time:
                return _described(at, folder, photo, corners)
        except (ValueError, TypeError, LookupError) as error:
            raise gr.Error(str(error), print_exception=False) from error

    # past the queue, so that one request has one answer
    gr.api(enhance, api_name="enhance", queue=False)


def _described(examiner: Examiner, folder: str, photo: VisitorPhoto, corners: list | None) -> dict:
    height, width = photo.size
    try:
        if corners:
            photo.mark(examiner, [(float(x), float(y)) for x, y in corners])
        else:
            photo.look(examiner)
    except NoPlateFound:
        pass
    plates = []
    for result in examiner.enhance([photo.moved] if photo.moved else photo.sources):
        answer = words.judged(result)
        lines = words.sheet_lines(answer, result.warnings)
        files = save_result(folder, photo.name, result.untouched(), result.picture, lines)
        where = None if result.source.corners is None else result.source.corners.tolist()
        urls = {"picture": words.url(files.after), "before_and_after": words.url(files.sheet)}
        plates.append({"corners": where, **words.as_json(answer, result.warnings), **urls})
    return {"width": width, "height": height, "plates": plates, "note": words.HINT}


def _take(folder: str, visit: Visit, uploaded: dict):
    """View and result after a file came in. uploaded: its path in the folder, and the name it had."""
    name = base_name(str(uploaded.get("name") or uploaded["path"]))
    try:
        path = own(folder, uploaded["path"])
    except ValueError as error:
        return cleared(visit, f"{name}: {error}")
    return _accepted(folder, visit, path, name)


def _accepted(folder: str, visit: Visit, path: str, name: str):
    # from here on no result of the last picture is shown any more
    visit.now = None
    try:
        visit.now = accept(path, name, folder)
    except (ValueError, MemoryError) as error:
        return cleared(visit, f"{name}: {error or 'not enough memory'}")
    return visit.now.view("Looking for the plate…"), words.BUSY


def _look(examiner: Examiner, folder: str, visit: Visit):
    """View and result of a picture that was just taken."""
    photo: VisitorPhoto | None = visit.now
    if photo is None:
        return gr.skip(), gr.skip()
    try:
        photo.look(examiner)
    except NoPlateFound:
        return visit.shown(photo, photo.view(problem=words.NO_PLATE_HELP), words.nothing_html(words.NO_PLATE))
    except (ValueError, MemoryError) as error:
        return visit.shown(photo, photo.view(problem=f"{photo.name}: {error}"), words.EMPTY)
    return _enhanced(examiner, folder, visit)


def _choose(examiner: Examiner, folder: str, visit: Visit, wanted: dict):
    """View and result of another plate, of corners that the visitor moved, or of the whole picture as one plate."""
    photo: VisitorPhoto | None = visit.now
    if photo is None:
        return gr.skip(), gr.skip()
    plate, corners = wanted.get("plate"), wanted.get("corners")
    if isinstance(plate, int) and 0 <= plate < len(photo.sources):
        photo.chosen = plate
    photo.moved, photo.ticket, marked = None, int(wanted.get("ticket") or 0), None
    try:
        if corners or wanted.get("whole"):
            marked = [tuple(map(float, corner)) for corner in corners] if corners else None
            photo.mark(examiner, marked)
    except (ValueError, TypeError) as error:
        # where the visitor has put them, to be moved on
        return visit.shown(photo, photo.view(problem=str(error), corners=marked), words.EMPTY)
    return _enhanced(examiner, folder, visit)


def _begun(visit: Visit):
    """View and result before the same plate is enhanced at another strength."""
    photo: VisitorPhoto | None = visit.now
    if photo is None or not photo.is_ready:
        return gr.skip(), gr.skip()
    photo.strength = None
    return photo.view("Restoring…"), gr.skip()


def _again(examiner: Examiner, folder: str, visit: Visit):
    """View and result where there is none at this strength."""
    done = visit.now is None or visit.now.strength is not None
    return (gr.skip(), gr.skip()) if done else _enhanced(examiner, folder, visit)


def _enhanced(examiner: Examiner, folder: str, visit: Visit):
    """View and result of the chosen plate."""
    photo: VisitorPhoto | None = visit.now
    if photo is None or not photo.is_ready:
        return gr.skip(), gr.skip()
    wanted = visit.strength
    examiner = at_strength(examiner, wanted)
    [result] = examiner.enhance([photo.source])
    lines = words.sheet_lines(words.judged(result), result.warnings)
    files = save_result(folder, photo.name, result.untouched(), result.picture, lines, result.disagreement)
    used = strength_used(examiner, result)
    # else another one is already asked for
    if visit.strength == wanted:
        photo.strength = used
    return visit.shown(photo, photo.view(), words.result_html(result, files, used))
