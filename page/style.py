"""How the page looks. Colours are the theme's own variables, so that light and dark both hold; fonts are the system's."""

import gradio as gr

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#head h1 { margin-bottom: .25rem; }
.hint, #head .hint { border-left: 4px solid #d97706; padding: .45rem .8rem; margin: .5rem 0; font-weight: 600;
  background: var(--background-fill-secondary); color: var(--body-text-color); }
.warning, .problem { border: 2px solid #dc2626; border-radius: 6px; padding: .55rem .8rem; margin: .5rem 0;
  font-weight: 600; background: var(--background-fill-secondary); color: var(--body-text-color); }
.warning::before { content: "⚠ "; }
.note, .faint { color: var(--body-text-color-subdued); font-size: .9rem; }
dl.findings { display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1rem; align-items: center; margin: .7rem 0; }
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
.scroll { overflow-x: auto; }
table.figures { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }
table.figures th, table.figures td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid
  var(--border-color-primary); white-space: nowrap; }
table.figures th:first-child, table.figures td:first-child { text-align: left; }
"""


def theme() -> gr.themes.Base:
    """No font is fetched from anywhere."""
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
