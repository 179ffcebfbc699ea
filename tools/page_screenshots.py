"""Takes the screenshots of the three tabs that the README shows, with Playwright and an installed Chromium.

    python app.py &
    python -m tools.page_screenshots

leaves docs/page_one.png, page_several.png and page_limits.png.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image

from data.settings import Parser

DOCS = Path(__file__).resolve().parents[1] / "docs"
# px; a page that is longer is cut
WIDTH, TALL = 1240, 1300
COLOURS = 256
PATIENCE_MS = 300_000
PHOTO = "a whole photo"
# of the third tab
PLATE = "BR XXC8F78"


def save(shot: bytes, path: Path) -> None:
    """In few colours, but all of the rare ones, such as the bar beside the warning: a third of the size."""
    with Image.open(io.BytesIO(shot)) as picture:
        few = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def one_picture(page) -> None:
    page.get_by_role("button", name=PHOTO, exact=True).click()
    page.wait_for_selector("#result .compare")


def several_frames(page) -> None:
    page.get_by_role("tab", name="Several frames").click()
    page.get_by_role("button", name="Example frames").click()
    page.wait_for_selector("#burst-result .compare")


def its_limits(page) -> None:
    page.get_by_role("tab", name="Its limits").click()
    page.get_by_label(PLATE).check()
    page.wait_for_function(f"document.querySelector('#curves b')?.textContent === '{PLATE.split()[1]}'")


SHOTS = {"page_one": one_picture, "page_several": several_frames, "page_limits": its_limits}


def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:7860", help="where app.py serves the page")
    flags = parser.parse_args(argv)
    # not among what the project itself needs
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, prepare in SHOTS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
            page.set_default_timeout(PATIENCE_MS)
            page.goto(flags.address)
            page.wait_for_selector("#photo .choose")
            prepare(page)
            # until pictures have faded in
            page.wait_for_timeout(1500)
            page.wait_for_function("!document.querySelector('.status.busy')")
            height = min(TALL, page.evaluate("document.querySelector('main').scrollHeight") + 32)
            page.set_viewport_size({"width": WIDTH, "height": height})
            save(page.screenshot(), DOCS / f"{name}.png")
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
