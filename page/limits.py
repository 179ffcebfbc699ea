"""The third tab: one clean plate damaged live, to see where the generator starts to invent; and what the tests
measured."""

from pathlib import Path

import gradio as gr
import numpy as np

from data import degrade
from data.io import open_picture, to_float
from enhancing.examining import Examiner
from enhancing.opening import make_source
from page import results, words
from page.examples import Examples
from page.measured import figures, grid
from page.single import QUEUE

TILE_PX = 192
NOISE_SEED = 5


def build(tab: gr.Tab, examiner: Examiner, examples: Examples, report: Path) -> None:
    """Lay out the tab and wire it. report: the folder that evaluate.py left."""
    plates = {f"{plate.country} {plate.text}": plate for plate in examples.clean}
    gr.Markdown("### Damage a clean plate, and see where the result starts to invent")
    with gr.Row():
        with gr.Column(min_width=300):
            which = gr.Radio(list(plates), value=next(iter(plates)), label="Plate (rendered)")
            blur = gr.Slider(0, 8, 1.5, step=0.25, label="Blur: radius of the defocus, px", elem_id="blur")
            dark = gr.Slider(0, 5, 1, step=0.25, label="Darkness: stops of missing light", elem_id="dark")
            noise = gr.Slider(0, 0.3, 0.02, step=0.01, label="Noise: its standard deviation", elem_id="noise")
            size = gr.Slider(16, TILE_PX, 128, step=4, label="Size: width of the picture, px", elem_id="size")
        with gr.Column(min_width=300):
            slider = gr.ImageSlider(
                label="Damaged and restored",
                format="png",
                buttons=["fullscreen"],
                interactive=False,
                elem_id="live-slider",
            )
            found = gr.HTML(elem_id="live-findings")
    _measured(report)

    def show(name: str, blur: float, dark: float, noise: float, size: float):
        plate = plates[name]
        return _show(examiner, to_float(open_picture(plate.path)), plate.text, steps(blur, dark, noise, size))

    given = [which, blur, dark, noise, size]
    gr.on(
        [tab.select, *(component.change for component in given)],
        show,
        given,
        [slider, found],
        api_visibility="private",
        # of a slider's many values on its way, the last one counts
        trigger_mode="always_last",
        # else an old result might be taken for that of the present sliders
        show_progress="minimal",
        show_progress_on=slider,
        concurrency_id=QUEUE,
        concurrency_limit=1,
    )


def steps(blur: float, dark: float, noise: float, size: float) -> list[degrade.Step]:
    """The damage that the sliders stand for, in the order in which a camera does it."""
    wanted: list[degrade.Step] = []
    if blur > 0:
        wanted.append({"stage": "defocus", "radius": blur})
    if dark > 0:
        wanted.append({"stage": "exposure", "stops": -dark})
    if size < TILE_PX:
        wanted.append({"stage": "down", "factor": TILE_PX / size})
    if noise > 0:
        wanted.append({"stage": "noise", "read": noise, "shot": noise, "seed": NOISE_SEED})
    return [*wanted, {"stage": "up"}] if size < TILE_PX else wanted


def _show(examiner: Examiner, clean: np.ndarray, truth: str, damage: list[degrade.Step]):
    lq = degrade.apply(clean, damage)
    source = make_source(examiner.generator, lq)
    source = source._replace(native_width=degrade.sampled_width(damage, clean.shape[1]))
    [result] = examiner.enhance([source])
    return results.pair(source.lq, result.picture), words.against_truth(result, truth)


def _measured(report: Path) -> None:
    gr.Markdown("### What the tests of the shipped generator found")
    gr.HTML(figures(report), elem_id="figures")
    path = grid(report)
    if path:
        gr.Markdown(
            "The best, the middle and the worst plates, picked by rule, not by hand. Wrong characters are red and "
            "underlined."
        )
        gr.Image(
            str(path), label="Test grid", show_label=False, buttons=["fullscreen"], interactive=False, elem_id="grid"
        )
