"""What the tabs of one picture and of several frames share: their layout, their events, what a visitor gave."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from threading import Lock
from typing import Any, NamedTuple

import gradio as gr

from enhancing.examining import Examiner
from page import words

# for which a visitor's pictures are remembered
STATE_SECONDS = 1800
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# one picture at a time goes through the networks, whichever tab it comes from
NETWORKS = {"concurrency_id": "generator", "concurrency_limit": 1, "trigger_mode": "always_last"}
WORK = PRIVATE | NETWORKS
# what is quick goes past the queue, so that a new picture clears the old result at once, and none is left out because
# another one is being taken
QUICK = PRIVATE | {"queue": False, "trigger_mode": "multiple"}


class Visit:
    """What one visitor has given to a tab last, `now`. Gradio reads a state before an event and writes it after it, so
    that of two events at once one would be lost. This object stays the same; its content changes, one event at a
    time."""

    def __init__(self, now: Any = None) -> None:
        self.now, self.turn = now, Lock()

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
    visit = gr.State(Visit(), time_to_live=STATE_SECONDS)
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


def at_strength(examiner: Examiner, strength: float) -> Examiner:
    """Where the slider stands as it stood at first, the strength follows the picture; elsewhere it is what it says."""
    generator = examiner.generator
    if strength == generator.strength:
        return examiner
    return replace(examiner, generator=replace(generator, strength=strength, readable_strength=None))


def cleared(visit: Visit, problem: str = "") -> tuple[dict[str, Any], str]:
    """View and result where nothing is given any more."""
    visit.now = None
    return {"problem": problem, "at": time.monotonic_ns()}, words.EMPTY
