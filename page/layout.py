"""The whole page: what is said at its top, and the three tabs."""

from pathlib import Path

import gradio as gr

from enhancing.examining import Examiner
from page import limits, several, single
from page.examples import read_examples
from page.words import HINT

TITLE = "Licence plate enhancer"
HEAD = f"""
# {TITLE}
<div class="hint">{HINT} Where the picture holds too little, the network draws characters that were never there,
and they look just as crisp.</div>
"""
# seconds between two clean-ups, and for how long a file is kept
SWEEP_SECONDS, KEEP_SECONDS = 300, 1800


def build_page(examiner: Examiner, folder: str, report: Path) -> gr.Blocks:
    """examiner: asks again and has a reader that keeps its steps. folder: for files to download, as `GRADIO_TEMP_DIR`
    says. report: what evaluate.py left. Raises ValueError where the examples are not there."""
    examples = read_examples()
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)) as page:
        gr.Markdown(HEAD, elem_id="head")
        with gr.Tab("One picture"):
            single.build(examiner, examples, folder)
        with gr.Tab("Several frames"):
            several.build(examiner, examples, folder)
        with gr.Tab("Its limits") as tab:
            limits.build(tab, examiner, examples, report)
    return page.queue(max_size=20, api_open=False)
