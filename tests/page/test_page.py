"""The page in a real browser: Chromium, without a window, driven by Playwright."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data.ccpd import format_name
from data.straighten import crop_plate
from data.synthetic.rendering import render

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# on a busy machine
PATIENCE_MS = 90_000
# looks at a place, 0.1 s apart, that find it unchanged
REST = 5
TABS = ("One picture", "Several frames", "Its limits")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    """A tiny generator that changes every picture a little."""
    from models.generator import build_generator

    model = build_generator(filters=8, blocks=1)
    rng = np.random.default_rng(0)
    last = model.get_layer("difference")
    last.set_weights([rng.normal(0, 0.05, weights.shape) for weights in last.get_weights()])
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.keras"
    model.save(path)
    return str(path)


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    """The address of a running app.py, and the folder that its temporary files lie in."""
    if CHROMIUM is None:
        pytest.skip("no Chromium found: apt-get install chromium")
    temporary = tmp_path_factory.mktemp("temporary")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--checkpoint", checkpoint, "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(temporary), "CUDA_VISIBLE_DEVICES": "-1"}
    log = tmp_path_factory.mktemp("log") / "app.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        _wait_for(lambda: "The page is at" in log.read_text(), process, log)
        yield f"http://127.0.0.1:{port}", temporary
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0, log.read_text()
    # uploads and results are gone with the page
    assert not list(temporary.glob("plates-*"))


def _wait_for(ready, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 180
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def browser(server):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    context = browser.new_context(accept_downloads=True, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(server[0])
    page.wait_for_selector("#photo input[type=file]", state="attached")
    yield page
    context.close()


def upload(page, path: Path) -> None:
    page.set_input_files("#photo input[type=file]", str(path))
    page.wait_for_selector("#enhance:not([disabled])")


def enhanced(page) -> None:
    page.click("#enhance")
    page.wait_for_selector("#findings .findings")
    page.wait_for_selector("#download:not([disabled])")


def download(page, button: str, folder: Path) -> np.ndarray:
    with page.expect_download() as started:
        page.click(button)
    # the name is that of the input
    path = folder / "downloaded" / started.value.suggested_filename
    started.value.save_as(path)
    assert path.suffix == ".png"
    return cv2.imread(str(path))


def by_command(checkpoint: str, out: Path, *arguments: str) -> np.ndarray:
    """What enhance.py makes of the same."""
    import enhance

    assert enhance.main([*arguments, "--out", str(out), "--checkpoint", checkpoint]) == 0
    [path] = out.rglob("*.png")
    return cv2.imread(str(path))


@pytest.fixture
def crop(tmp_path) -> Path:
    photo, corners, _, _ = render(77, 0)
    path = tmp_path / "a plate & more.png"
    Image.fromarray(crop_plate(photo, corners)[0]).resize((150, 75)).save(path)
    return path


def test_the_strength_is_the_visitors_choice(page, crop, checkpoint, tmp_path):
    upload(page, crop)
    enhanced(page)
    whole = download(page, "#download", tmp_path / "whole")
    slider = page.locator("#strength input[type=range]")
    slider.fill("0.2")
    # let go, which is enough: no press on the button
    slider.dispatch_event("pointerup")
    until = time.monotonic() + PATIENCE_MS / 1000
    while np.array_equal(little := download(page, "#download", tmp_path / "little"), whole):
        assert time.monotonic() < until
    expected = by_command(checkpoint, tmp_path / "out", str(crop), "--strength", "0.2")
    np.testing.assert_array_equal(little, expected)


def test_a_picture_is_enhanced_as_by_the_command(page, crop, checkpoint, tmp_path):
    upload(page, crop)
    enhanced(page)
    assert "hint, not evidence" in page.inner_text("#findings")
    assert page.inner_text("#findings").count("confidence") == 2
    assert page.locator("#heat img").count() == 1
    got = download(page, "#download", tmp_path)
    expected = by_command(checkpoint, tmp_path / "out", str(crop))
    assert np.abs(expected.astype(int) - cv2.resize(cv2.imread(str(crop)), expected.shape[1::-1])).max() > 3
    np.testing.assert_array_equal(got, expected)


def test_the_slider_moves(page, crop):
    upload(page, crop)
    enhanced(page)
    handle = page.locator("#slider .outer")
    before = at_rest(page, handle, page.locator("#slider img"))
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(before["x"] - 100, before["y"] + before["height"] / 2, steps=5)
    page.mouse.up()
    assert handle.bounding_box()["x"] < before["x"] - 50


def test_four_corners_are_clicked(page, checkpoint, tmp_path):
    photo, corners, _, _ = render(77, 15)
    path = tmp_path / "photo.png"
    Image.fromarray(photo).resize((photo.shape[1] * 3, photo.shape[0] * 3)).save(path)
    upload(page, path)
    picture = page.locator("#photo img")
    # the preview, not the file
    _until(page, lambda: picture.evaluate("e => e.naturalWidth") == 1280)
    for x, y in corners:
        shown = picture.get_attribute("src")
        click_at(page, picture, x / photo.shape[1], y / photo.shape[0])
        # the corner is drawn
        _until(page, lambda shown=shown: picture.get_attribute("src") != shown)
    text = page.locator("#corners input, #corners textarea").input_value()
    clicked = [tuple(map(float, word.split(","))) for word in text.split()]
    assert np.abs(np.array(clicked) - 3 * corners).max() < 8
    enhanced(page)
    got = download(page, "#download", tmp_path)
    np.testing.assert_array_equal(got, by_command(checkpoint, tmp_path / "out", str(path), "--corners", *text.split()))


def at_rest(page, element, pictures) -> dict:
    """Where an element lies once the pictures around it, which come after the words, are there and move it no more."""
    places = []

    def stays() -> bool:
        places.append(element.bounding_box())
        loaded = pictures.evaluate_all("all => all.length > 0 && all.every(e => e.complete && e.naturalWidth > 0)")
        return loaded and len(places) > REST and all(place == places[-1] for place in places[-REST:])

    _until(page, stays)
    return places[-1]


def click_at(page, picture, across: float, down: float) -> None:
    """Click at a place given in parts of the picture, which lies centred in its element, once it is there."""
    _until(page, lambda: picture.evaluate("e => e.complete && e.naturalWidth > 0"))
    box = picture.bounding_box()
    natural = picture.evaluate("e => [e.naturalWidth, e.naturalHeight]")
    factor = min(box["width"] / natural[0], box["height"] / natural[1])
    left = (box["width"] - factor * natural[0]) / 2
    top = (box["height"] - factor * natural[1]) / 2
    picture.click(position={"x": left + across * factor * natural[0], "y": top + down * factor * natural[1]})


def _until(page, holds) -> None:
    until = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < until
        page.wait_for_timeout(100)


@pytest.mark.parametrize("corners", ["", "10,10 140,10 140,65 10,65"])
def test_another_picture_is_taken_after_one_was_removed(page, crop, tmp_path, corners):
    other = tmp_path / "other.png"
    Image.open(crop).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
    for path in (crop, other, crop):
        upload(page, path)
        shown = page.locator("#photo img").get_attribute("src")
        if corners:
            page.locator("#corners input, #corners textarea").fill(corners)
            _until(page, lambda shown=shown: page.locator("#photo img").get_attribute("src") != shown)
        page.click("#photo button[aria-label='Remove Image']")
        page.wait_for_selector("#enhance[disabled]")
        _until(page, lambda: page.locator("#corners input, #corners textarea").input_value() == "")
        assert page.locator("#photo img").count() == 0
    upload(page, other)
    enhanced(page)
    assert page.locator(TOAST).count() == 0
    assert page.locator(NOTICE).count() == 0


def test_three_corners_are_not_enough(page, crop):
    upload(page, crop)
    page.locator("#corners input, #corners textarea").fill("1,1 20,1 20,20")
    page.click("#enhance")
    page.wait_for_selector("#notice .problem")
    assert "four corners, got 3" in page.inner_text("#notice")


def test_a_photo_is_cropped_by_its_ccpd_name(page, checkpoint, tmp_path):
    photo, corners, text, _ = render(77, 15)
    path = tmp_path / (format_name(corners, text, area=3, tilt=(90, 90), brightness=100, blurriness=9) + ".png")
    Image.fromarray(photo).save(path)
    upload(page, path)
    enhanced(page)
    got = download(page, "#download", tmp_path)
    np.testing.assert_array_equal(got, by_command(checkpoint, tmp_path / "out", str(path)))


# what app.py says, and what Gradio does
NOTICE, TOAST = "#notice .problem", "[data-testid=toast-body]"


def refusal(page, path: Path, place: str) -> str:
    """What is said of a file that is not taken."""
    page.set_input_files("#photo input[type=file]", str(path))
    page.wait_for_selector(place)
    assert page.locator("#enhance").is_disabled()
    return page.inner_text(place)


@pytest.mark.parametrize(
    ("name", "place", "words"), [("letter.png", NOTICE, "not a picture"), ("letter.txt", TOAST, "Invalid file type")]
)
def test_a_text_file_is_refused_whatever_its_name(page, tmp_path, name, place, words):
    path = tmp_path / name
    path.write_text("Dear reader, this is no picture.")
    assert words in refusal(page, path, place)


def test_60_megapixels_are_refused(page, tmp_path):
    path = tmp_path / "huge.png"
    Image.new("1", (10_000, 6_000)).save(path)
    assert "too large: 10000 x 6000, at most 50 megapixels are taken" in refusal(page, path, NOTICE)


def test_a_file_of_more_than_20_mb_is_refused(page, tmp_path):
    path = tmp_path / "heavy.png"
    path.write_bytes(os.urandom(22 << 20))
    assert "maximum allowed size of 20" in refusal(page, path, TOAST)


def test_a_picture_is_pasted(page, crop):
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(192, 96);
            canvas.getContext('2d').fillRect(20, 20, 50, 50);
            const blob = await canvas.convertToBlob({type: 'image/png'});
            await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
        }"""
    )
    page.click("#photo button[aria-label='Paste from clipboard']")
    page.wait_for_selector("#enhance:not([disabled])")
    enhanced(page)


def test_frames_are_combined_as_by_the_command(page, checkpoint, tmp_path):
    from page.examples import read_examples

    frames = [str(path) for path in read_examples().burst]
    page.get_by_role("tab", name=TABS[1]).click()
    page.set_input_files("#frames input[type=file]", frames)
    _until(page, lambda: page.locator("#frames .thumbnail-lg img").count() == len(frames))
    page.click("#combine")
    page.wait_for_selector("#burst-findings .findings")
    page.wait_for_selector("#burst-download:not([disabled])")
    assert page.locator("#burst-findings tr").count() == 1 + len(frames)
    got = download(page, "#burst-download", tmp_path)
    np.testing.assert_array_equal(got, by_command(checkpoint, tmp_path / "out", *frames, "--burst"))


def test_damage_is_live_by_keyboard(page):
    page.get_by_role("tab", name=TABS[2]).click()
    page.wait_for_selector("#live-findings .findings")
    pictures = page.locator("#live-slider img")
    _until(page, lambda: pictures.count() > 0)
    before = pictures.first.get_attribute("src")
    size = page.locator("#size input[type=range]")
    size.focus()
    page.keyboard.press("Home")
    assert size.input_value() == "16"
    _until(page, lambda: pictures.first.get_attribute("src") != before)
    page.wait_for_selector("#live-findings .warning")
    assert "characters may be invented" in page.inner_text("#live-findings")


def test_everything_is_reached_by_keyboard(page):
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.innerText || document.activeElement.getAttribute('aria-label')"))
    first_lines = {(text or "").strip().split("\n")[0].strip() for text in seen}
    assert {"Drop Image Here", "Clear corners", "defocused", TABS[0]} <= first_lines


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone(browser, server, scheme):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE_MS)
    hosts, refused = set(), []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    page.on("request", lambda request: hosts.add(request.url.split("/")[2] if "//" in request.url else ""))
    page.goto(server[0])
    page.get_by_text("defocused").first.click()
    page.wait_for_selector("#findings .findings")
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        if tab == TABS[1]:
            page.click("#example-frames")
            _until(page, lambda: page.locator("#frames .thumbnail-lg img").count() > 1)
            page.click("#combine")
            page.wait_for_selector("#burst-findings .findings")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
    assert ("dark" in page.evaluate("document.body.className")) == (scheme == "dark")
    assert all(host == "" or host.startswith("127.0.0.1:") for host in hosts)
    # all that Gradio's script asks for is let in
    assert not refused
    page.close()


def test_others_cannot_make_it_read_files_of_this_machine(page, server):
    for path in ("/etc/passwd", str(ROOT / "app.py")):
        assert page.request.get(f"{server[0]}/gradio_api/file={path}").status in (403, 404)
