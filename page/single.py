"""The first tab: one picture, before and after."""

import os
from dataclasses import replace

import gradio as gr

from data.io import open_picture
from enhancing.examining import Examiner
from enhancing.opening import NoPlateFound, find_sources
from page import results, words
from page.examples import Examples
from page.photo import MAX_PIXELS, Photo, accept, add_corner, marked, parse_corners
from page.uploads import own

# one picture at a time goes through the networks, whichever tab it comes from
QUEUE = "generator"
STATE_SECONDS = 1800
EMPTY_RESULT = (gr.skip(), gr.skip(), gr.skip(), gr.skip())


def build(examiner: Examiner, examples: Examples, folder: str) -> None:
    """Lay out the tab and wire it. folder: for the files to download."""
    state = gr.State(None, time_to_live=STATE_SECONDS)
    with gr.Row():
        with gr.Column(min_width=300):
            photo = gr.Image(
                label="Picture: drop, paste or choose",
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                height=360,
                buttons=[],
                elem_id="photo",
            )
            corners = gr.Textbox(
                label="Corners of the plate, only for a photo of the whole car",
                info="Press on the plate's four corners in the picture, or type them: x,y x,y x,y x,y",
                elem_id="corners",
            )
            strength = gr.Slider(
                0,
                1,
                examiner.generator.strength,
                step=0.1,
                label="Strength",
                info="1 shows the network's output alone; less blends in the input.",
                elem_id="strength",
            )
            with gr.Row():
                clear = gr.Button("Clear corners", min_width=120)
                start = gr.Button("Enhance", variant="primary", interactive=False, min_width=120, elem_id="enhance")
            notice = gr.HTML(elem_id="notice")
            ready = gr.Dataset(
                components=["textbox"],
                samples=[[label] for label in examples.labels],
                sample_labels=examples.labels,
                type="index",
                label="Examples, rendered and damaged by this project",
                elem_id="examples",
            )
        with gr.Column(min_width=300):
            slider = gr.ImageSlider(
                label="Before and after", format="png", buttons=["fullscreen"], interactive=False, elem_id="slider"
            )
            found = gr.HTML(words.note("Nothing enhanced yet."), elem_id="findings")
            heat = gr.Image(
                label="Bright where it is unsure", format="png", buttons=[], interactive=False, elem_id="heat"
            )
            download = gr.DownloadButton("Download the result (PNG)", interactive=False, elem_id="download")

    shown = [slider, found, heat, download]

    def take(uploaded: dict | None):
        return (*_take(folder, uploaded), "")

    def mark(state: Photo | None, text: str, event: gr.SelectData) -> str:
        return add_corner(state, text, *event.index) if state else text

    def redraw(state: Photo | None, text: str):
        return marked(state, text) if state else gr.skip()

    def enhance(state: Photo | None, text: str, strength: float):
        return _enhance(_at(examiner, strength), folder, state, text)

    def again(state: Photo | None, text: str, strength: float):
        return enhance(state, text, strength) if state else (*EMPTY_RESULT, gr.skip())

    def example(number: int, strength: float):
        path, text = examples.singles[number]
        taken, _, message, button = _accept(str(path), path.name)
        if taken is None:
            return None, None, button, "", *EMPTY_RESULT, message
        return taken, marked(taken, text), button, text, *enhance(taken, text, strength)

    taken = [state, photo, notice, start]
    # not preprocessed: Gradio would open the file, and say what is wrong with it in its own words
    photo.upload(take, photo, [*taken, corners], preprocess=False, api_visibility="private", show_progress="minimal")
    photo.clear(lambda: (None, "", gr.Button(interactive=False), ""), None, [state, notice, start, corners])
    # past the queue, and none dropped while another is under way: corners are clicked quickly
    photo.select(
        mark,
        [state, corners],
        corners,
        api_visibility="private",
        show_progress="hidden",
        queue=False,
        trigger_mode="multiple",
    )
    corners.change(
        redraw, [state, corners], photo, api_visibility="private", show_progress="hidden", trigger_mode="always_last"
    )
    clear.click(lambda: "", None, corners, api_visibility="private")
    for event, made in ((start.click, enhance), (strength.release, again)):
        event(
            made,
            [state, corners, strength],
            [*shown, notice],
            api_visibility="private",
            concurrency_id=QUEUE,
            concurrency_limit=1,
        )
    ready.click(
        example,
        [ready, strength],
        [state, photo, start, corners, *shown, notice],
        api_visibility="private",
        concurrency_id=QUEUE,
        concurrency_limit=1,
    )


def _at(examiner: Examiner, strength: float) -> Examiner:
    return replace(examiner, generator=replace(examiner.generator, strength=strength))


def _take(folder: str, uploaded: dict | None):
    """State, picture, notice and button after a file came in. uploaded: path, orig_name and more, as Gradio says it."""
    if not uploaded:
        return None, None, "", gr.Button(interactive=False)
    name = uploaded["orig_name"] or uploaded["path"]
    try:
        path = own(folder, uploaded["path"])
    except ValueError as error:
        return None, None, words.problem(f"{os.path.basename(name)}: {error}"), gr.Button(interactive=False)
    return _accept(path, name)


def _accept(path: str, name: str):
    try:
        photo = accept(path, name)
    except ValueError as error:
        return None, None, words.problem(f"{os.path.basename(name)}: {error}"), gr.Button(interactive=False)
    return photo, photo.preview, "", gr.Button(interactive=True)


def _enhance(examiner: Examiner, folder: str, photo: Photo | None, text: str):
    """Slider, findings, map, download and notice."""
    if photo is None:
        return *EMPTY_RESULT, words.problem("no picture: drop one first")
    try:
        picture = open_picture(photo.path, max_pixels=MAX_PIXELS)
        # the surest of several
        source = find_sources(examiner.generator, picture, parse_corners(text), photo.name, examiner.detector)[0]
    except NoPlateFound:
        return *EMPTY_RESULT, words.problem(words.NO_PLATE)
    except ValueError as error:
        return *EMPTY_RESULT, words.problem(str(error))
    [result] = examiner.enhance([source])
    path = results.to_download(folder, os.path.splitext(photo.name)[0], result.picture)
    return (
        results.pair(source.lq, result.picture),
        words.findings(result),
        results.heat(result.disagreement),
        gr.DownloadButton(value=path, interactive=True),
        "",
    )
