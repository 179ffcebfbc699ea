"""What the tabs of one picture and of several frames share: their layout, their events, what a visitor gave."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from threading import Lock
from typing import Any, NamedTuple

import gradio as gr

from enhancing.examining import Examiner, Result
from page import words
from page.guard import KEEP_SECONDS
from reading.answer import certainty

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# one picture at a time goes through the networks, whichever tab it comes from
NETWORKS = {"concurrency_id": "generator", "concurrency_limit": 1, "trigger_mode": "always_last"}
WORK = PRIVATE | NETWORKS
STRENGTH_DIGITS = 2
# what is quick goes past the queue, so that a new picture clears the old result at once, and none is left out because
# another one is being taken
QUICK = PRIVATE | {"queue": False, "trigger_mode": "multiple"}


class Visit:
    """What one visitor has given to a tab last, `now`, and the strength that they set; None as long as it follows the
    picture. Gradio reads a state before an event and writes it after it, so that of two events at once one would be
    lost. This object stays the same; its content changes, one event at a time."""

    def __init__(self, now: Any = None, strength: float | None = None) -> None:
        self.now, self.strength, self.turn = now, strength, Lock()
        # where the page itself has moved the slider
        self.told: float | None = None

    def __deepcopy__(self, memo: dict) -> "Visit":
        """Of the first one, which nobody has used, Gradio makes a copy for each visitor."""
        return Visit()

    def shown(self, given: Any, view: dict[str, Any], result: str) -> tuple:
        """View and result of what was given, or no change where something else has been given meanwhile."""
        return (view, result) if self.now is given else (gr.skip(), gr.skip())


def in_turn(change: Callable) -> Callable:
    """An event that changes what a visitor has given waits for those before it. change: returns view and result."""

    @wraps(change)
    def call(visit: Visit, *more, **named):
        with visit.turn:
            return visit, *change(visit, *more, **named)

    return call


class Parts(NamedTuple):
    """visit: holds a `Visit`. ready: a button for each example. shown: what events change, intake and result."""

    visit: gr.State
    intake: gr.HTML
    strength: gr.Slider
    ready: list[gr.Button]
    shown: list[gr.HTML]


def lay_out(kind: str, box: str, result: str, examiner: Examiner, said: str, examples: Sequence[str]) -> Parts:
    """Pictures come in on the left, the answer stands on the right. kind: "photo" or "frames", as in page.js. box: HTML
    of the intake. result: name of the element of the answer. said: above the examples."""
    visit = gr.State(Visit(), time_to_live=KEEP_SECONDS)
    with gr.Row():
        with gr.Column(min_width=300):
            intake = gr.HTML(
                {"problem": ""},
                html_template=box,
                js_on_load=f"plates.{kind}(element, trigger, props, watch)",
                elem_id=kind,
                elem_classes="intake",
            )
            strength = _strength_slider(examiner)
            gr.HTML(f'<p class="faint">{said}</p>')
            with gr.Row(elem_classes="examples"):
                ready = [gr.Button(label, size="sm", min_width=90) for label in examples]
        with gr.Column(min_width=300):
            answer = gr.HTML(
                words.EMPTY, js_on_load="plates.result(element, watch)", elem_id=result, elem_classes="result"
            )
    return Parts(visit, intake, strength, ready, [intake, answer])


def _strength_slider(examiner: Examiner) -> gr.Slider:
    generator = examiner.generator
    follows = generator.readable_strength is not None and generator.readable_strength < generator.strength
    return gr.Slider(
        0,
        1,
        generator.strength,
        step=10**-STRENGTH_DIGITS,
        label="Strength",
        info="1: the network's drawing alone. Less: more of your picture, and of its doubt."
        + " Until you move it, it follows the picture: what can be read already gets less." * follows,
        buttons=[],
        elem_classes="strength",
    )


def wire_strength(
    visit: gr.State, strength: gr.Slider, shown: Sequence[gr.HTML], begin: Callable, work: Callable, results: Sequence
) -> None:
    """The slider always says with what strength the result was made. begin: of a `Visit`, view and result before work
    at another strength. work: makes the result. results: the events after which there may be another result."""

    @in_turn
    def moved(visit: Visit, value: float | None):
        return begin(visit) if was_moved(visit, value) else (gr.skip(), gr.skip())

    # by mouse, keys or typing
    changed = strength.change(moved, [visit, strength], [visit, *shown], **QUICK)
    for each in (*results, changed.then(work, visit, shown, **WORK)):
        each.then(slider_value, visit, strength, **QUICK)


def was_moved(visit: Visit, value: float | None) -> bool:
    """Whether the visitor has moved the slider, and not the page. None: the number is being typed."""
    if value is None or (visit.strength is None and value == visit.told):
        return False
    visit.strength = value
    return True


def slider_value(visit: Visit):
    """What the slider is to say."""
    used = visit.now.strength if visit.now else None
    if used is None or visit.strength is not None:
        return gr.skip()
    visit.told = round(used, STRENGTH_DIGITS)
    return visit.told


def at_strength(examiner: Examiner, strength: float | None) -> Examiner:
    """None: it follows the picture."""
    if strength is None:
        return examiner
    return replace(examiner, generator=replace(examiner.generator, strength=strength, readable_strength=None))


def strength_used(examiner: Examiner, result: Result) -> float:
    """examiner: that made the result."""
    return examiner.generator.strength_for(certainty(result.look.recognised))


def cleared(visit: Visit, problem: str = "") -> tuple[dict[str, Any], str]:
    """View and result where nothing is given any more."""
    visit.now = None
    return {"problem": problem, "at": time.monotonic_ns()}, words.EMPTY
