"""The second tab: several frames of one plate, combined."""

import os

import gradio as gr

from data.io import open_picture
from enhancing.burst import combine
from enhancing.examining import Examiner
from enhancing.opening import NoPlateFound, find_sources
from page import results, words
from page.examples import Examples
from page.photo import MAX_PIXELS
from page.single import QUEUE
from page.uploads import own

# others wait meanwhile; enhance.py --burst takes more
MAX_FRAMES = 30


def build(examiner: Examiner, examples: Examples, folder: str) -> None:
    """Lay out the tab and wire it. folder: for the files to download."""
    gr.Markdown("Pictures of one and the same plate, each cut to it. They are enhanced, aligned, and read together.")
    with gr.Row():
        with gr.Column(min_width=300):
            frames = gr.Gallery(
                label="Frames: drop or paste several",
                type="filepath",
                file_types=["image"],
                sources=["upload", "clipboard"],
                columns=3,
                height=270,
                object_fit="contain",
                interactive=True,
                buttons=[],
                elem_id="frames",
            )
            with gr.Row():
                example = gr.Button("Example frames", min_width=120, elem_id="example-frames")
                start = gr.Button("Combine", variant="primary", min_width=120, elem_id="combine")
            notice = gr.HTML(elem_id="burst-notice")
        with gr.Column(min_width=300):
            slider = gr.ImageSlider(
                label="The best frame before, all after",
                format="png",
                buttons=["fullscreen"],
                interactive=False,
                elem_id="burst-slider",
            )
            found = gr.HTML(words.note("Nothing combined yet."), elem_id="burst-findings")
            heat = gr.Image(
                label="Bright where the frames disagree",
                format="png",
                buttons=[],
                interactive=False,
                elem_id="burst-heat",
            )
            download = gr.DownloadButton("Download the result (PNG)", interactive=False, elem_id="burst-download")

    def take_frames(given: list[dict] | None):
        return _combine(examiner, folder, [(each.get("image") or each["video"])["path"] for each in given or []])

    shown = [slider, found, heat, download, notice]
    example.click(lambda: [str(path) for path in examples.burst], None, frames, api_visibility="private")
    start.click(
        take_frames,
        frames,
        shown,
        # else Gradio would open the files
        preprocess=False,
        api_visibility="private",
        concurrency_id=QUEUE,
        concurrency_limit=1,
    )


def _combine(examiner: Examiner, folder: str, paths: list[str]):
    """Slider, findings, map, download and notice."""
    nothing = (gr.skip(),) * 4
    if not 1 < len(paths) <= MAX_FRAMES:
        return *nothing, words.problem(f"take 2 to {MAX_FRAMES} frames of one plate, got {len(paths)}")
    sources, problems = [], ""
    for path in paths:
        try:
            picture = open_picture(own(folder, path), max_pixels=MAX_PIXELS)
            name = os.path.basename(path)
            sources.append(find_sources(examiner.generator, picture, name=name, detector=examiner.detector)[0])
        except NoPlateFound:
            problems += words.problem(f"{os.path.basename(path)}: no plate found")
        except ValueError as error:
            problems += words.problem(f"{os.path.basename(path)}: {error}")
    if not sources:
        return *nothing, problems
    enhanced = examiner.enhance(sources)
    burst = combine(enhanced, examiner)
    path = results.to_download(folder, "burst", burst.picture)
    return (
        results.pair(sources[burst.reference].lq, burst.picture),
        words.burst_findings(enhanced, burst),
        results.heat(burst.disagreement),
        gr.DownloadButton(value=path, interactive=True),
        problems,
    )
