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

DOCS = Path(__file__).resolve().parents[1] / "docs"
# px; a page that is longer is cut
WIDTH, TALL = 1240, 1300
COLOURS = 256
PATIENCE_MS = 60_000
PHOTO = "a whole photo with its corners"


def save(shot: bytes, path: Path) -> None:
    """In few colours, but all of the rare ones, such as the bar beside the warning: a third of the size."""
    with Image.open(io.BytesIO(shot)) as picture:
        few = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def press(page, button: str, kind: str = "") -> None:
    """Press, and wait for the result."""
    page.click(button)
    page.wait_for_selector(f"#{kind}findings .findings")
    page.wait_for_selector(f"#{kind}download:not([disabled])")


def one_picture(page) -> None:
    page.get_by_role("button", name=PHOTO).click()
    page.wait_for_selector("#enhance:not([disabled])")
    press(page, "#enhance")


def several_frames(page) -> None:
    page.get_by_role("tab", name="Several frames").click()
    page.get_by_role("button", name="Example frames").click()
    page.wait_for_selector("#frames .thumbnail-lg img")
    press(page, "#combine", "burst-")


def its_limits(page) -> None:
    page.get_by_role("tab", name="Its limits").click()
    page.wait_for_selector("#live-findings .findings")


SHOTS = {"page_one": one_picture, "page_several": several_frames, "page_limits": its_limits}


def main(argv: list[str] | None = None) -> int:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:7860", help="where app.py serves the page")
    flags = parser.parse_args(argv)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, prepare in SHOTS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
            page.set_default_timeout(PATIENCE_MS)
            page.goto(flags.address)
            page.wait_for_selector("#photo input[type=file]", state="attached")
            prepare(page)
            # until pictures have faded in
            page.wait_for_timeout(1500)
            page.wait_for_function("!document.body.innerText.includes('processing |')")
            height = min(TALL, page.evaluate("document.querySelector('main').scrollHeight") + 32)
            page.set_viewport_size({"width": WIDTH, "height": height})
            save(page.screenshot(), DOCS / f"{name}.png")
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
