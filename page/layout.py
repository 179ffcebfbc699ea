"""The whole page: what is said at its top, and the three tabs."""

import base64
from pathlib import Path

import gradio as gr

from data.synthetic.canvas import FONT_FOLDER, HANZI
from enhancing.examining import Examiner
from page import limits, several, single
from page.guard import KEEP_SECONDS
from page.pictures import read_examples
from page.words import HINT

TITLE = "Licence plate enhancer"
HEAD = f"""
# {TITLE}
<div class="hint">{HINT} Where the picture holds too little, the network draws characters that were never there,
and they look just as crisp.</div>
"""
HERE = Path(__file__).resolve().parent
# between two clean-ups
SWEEP_SECONDS = 300


def build_page(examiner: Examiner, folder: str, report: Path) -> gr.Blocks:
    """examiner: asks again, for the map, and has a reader that keeps its steps. folder: for files to download, as
    `GRADIO_TEMP_DIR` says. report: what evaluate.py left. Raises ValueError where the examples are not there."""
    examples = read_examples()
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)) as page:
        gr.Markdown(HEAD, elem_id="head")
        with gr.Tab("One picture"):
            visit = single.build(examiner, examples, folder)
            single.add_api(examiner, folder)
        with gr.Tab("Several frames"):
            several.build(examiner, examples, folder)
        with gr.Tab("Its limits") as tab:
            limits.build(tab, examiner, examples, report, folder, visit)
    return page.queue(max_size=20, api_open=False)


def assets() -> dict[str, str]:
    """What the page's own parts need in the browser, for `launch`."""
    script, css = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    font = base64.b64encode((FONT_FOLDER / HANZI).read_bytes()).decode()
    # for browsers whose system has no Chinese font
    face = f'<style>@font-face {{ font-family: provinces; src: url("data:font/otf;base64,{font}"); }}</style>'
    return {"css": css, "head": f"{face}<script>{script}</script>"}


def theme() -> gr.themes.Base:
    """No font is fetched from anywhere."""
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=["provinces", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        # the theme's own are too pale to read: 2.6 to 1 on white
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
    )
