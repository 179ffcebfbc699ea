"""How the page looks. Colours are the theme's own variables, so that light and dark both hold; fonts are the
system's."""

import gradio as gr

CSS = """
.gradio-container { width: 100%; max-width: min(1180px, 100%) !important; margin: 0 auto !important; }
/* a wide table scrolls in its own box, and does not widen the page */
.gradio-container > .main, .gradio-container > .main > .wrap, main.contain {
  min-width: 0; max-width: 100%; width: 100%;
}
#head h1 { margin-bottom: .25rem; }
.hint, #head .hint { border-left: 4px solid #d97706; padding: .45rem .8rem; margin: .5rem 0; font-weight: 600;
  background: var(--background-fill-secondary); color: var(--body-text-color); }
.warning, .problem { border: 2px solid #dc2626; border-radius: 6px; padding: .55rem .8rem; margin: .5rem 0;
  font-weight: 600; background: var(--background-fill-secondary); color: var(--body-text-color); }
.warning::before { content: "⚠ "; }
.note, .faint { color: var(--body-text-color-subdued); font-size: .9rem; }
dl.findings { display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1rem;
  align-items: center; margin: .7rem 0; }
dl.findings dt { color: var(--body-text-color-subdued); }
dl.findings dd { margin: 0; overflow-wrap: anywhere; }
.chars { display: inline-flex; flex-wrap: wrap; gap: .25rem; vertical-align: middle; }
.char { display: inline-flex; flex-direction: column; align-items: center; min-width: 2rem; padding: .1rem .25rem;
  border: 2px solid var(--border-color-primary); border-radius: 5px; }
.char b { font-family: ui-monospace, monospace; font-size: 1.1rem; }
.char small { font-size: .7rem; color: var(--body-text-color-subdued); }
.char.sure, .char.right { border-color: #15803d; }
.char.unsure, .char.wrong { border-color: #dc2626; border-style: dashed; }
.char.wrong b { text-decoration: underline; }
#burst-findings, #figures { overflow: hidden !important; }
.html-container { padding: 0 !important; }
#frames .grid-wrap { padding-top: 2.6rem; }
#frames .thumbnail-lg { aspect-ratio: 2; }
.scroll { overflow-x: auto; margin-bottom: .6rem; }
table.figures { border-collapse: collapse; border: 0 !important; margin: .6rem 0; font-size: .9rem; width: auto; }
table.figures tr, table.figures tbody, table.figures thead { border: 0 !important; }
table.figures th, table.figures td { padding: .25rem .7rem !important; text-align: right !important;
  border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important; white-space: nowrap; }
table.figures th:first-child, table.figures td:first-child { text-align: left !important; }
#burst-findings table.figures th, #burst-findings table.figures td { padding: .25rem .45rem !important; }
#figures table.figures { font-size: .8rem; }
#figures table.figures th, #figures table.figures td { padding: .2rem .4rem !important; }
@media (max-width: 480px) {
  .gradio-container > .main { padding: 0 .75rem 1rem !important; }
  .tab-container button { padding: 0 .55rem !important; }
}
"""


def theme() -> gr.themes.Base:
    """No font is fetched from anywhere."""
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        # the theme's own are too pale to read: 2.6 to 1 on white
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
    )
