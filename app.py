"""A local page to try the enhancer on: one picture, several frames of one plate, and how far to trust it.

    python app.py

opens http://127.0.0.1:7860 with the shipped generator. Pictures stay on this machine; temporary files go when the page
does. Exit code: 0 stopped by the user, 2 the page could not be opened. A restored plate is a hint, not evidence.
"""

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.console import STOPPED, ending_signals, prepare_console, prepare_libraries, say
from data.settings import field, parse, path, require

REPORT = Path(__file__).resolve().parent / "docs" / "evaluation"
MAX_FILE_SIZE = "100mb"
LOCAL = ("localhost", "127.0.0.1", "::1")
# whose last picture is remembered
SESSIONS = 50


@dataclass(frozen=True)
class Settings:
    checkpoint: str | None = field(
        None, type=path, metavar="FILE", help="a .keras or .onnx generator instead of the shipped one"
    )
    host: str = field("127.0.0.1", metavar="ADDRESS", help="address to listen on; 0.0.0.0 lets others in")
    port: int = field(7860, metavar="N", help="port to listen on")
    report: str | None = field(
        None, type=path, metavar="DIR", help="folder of evaluate.py, whose figures are shown (default: docs/evaluation)"
    )
    browser: bool = field(False, help="also open it in a browser")

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, "--port", "0 to 65535", self.port)


def serve(settings: Settings) -> None:
    """Serve the page until Ctrl-C, a plain kill or a closed terminal. Raises ValueError or OSError where it cannot be
    opened."""
    from data.files import temporary_folder
    from enhancing.examining import make_examiner
    from models.shipped import default_checkpoint

    # before the networks are loaded, which takes a while
    check_port(settings.host, settings.port)
    checkpoint = settings.checkpoint or default_checkpoint()
    examiner = make_examiner(checkpoint, read=True, ask_again=True, find=True)
    stop = threading.Event()
    # else a kill would leave the temporary files
    for number in ending_signals():
        signal.signal(number, lambda *_: stop.set())
    # for uploads and results: all of it is deleted in the end
    with temporary_folder(tempfile.gettempdir(), "plates-page-") as folder:
        page = open_page(settings, examiner, folder)
        say(f"The page is at {page.local_url} (Ctrl-C ends it)")
        try:
            stop.wait()
        finally:
            page.close(verbose=False)


def check_port(host: str, port: int) -> None:
    """Raises OSError where nothing can listen there."""
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        raise OSError(f"cannot listen on {host}, port {port}: {error.strerror}: give another --port") from error


def open_page(settings: Settings, examiner, folder: str):
    """Build the page and start its server, in threads of its own. folder: for all that is uploaded and made."""
    prepare_libraries()
    os.environ["GRADIO_TEMP_DIR"] = folder
    # of uvicorn: there is no proxy, so forwarded headers are not trusted
    os.environ["FORWARDED_ALLOW_IPS"] = ""
    # Gradio looks whether its page answers; a proxy for the web could not reach it
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), settings.host, *LOCAL)))
    from page.guard import Guard, GuardedApp, Uploads
    from page.layout import assets, build_page, theme

    page = build_page(examiner, folder, Path(settings.report or REPORT))
    page.launch(
        server_name=settings.host,
        server_port=settings.port,
        inbrowser=settings.browser,
        max_file_size=MAX_FILE_SIZE,
        theme=theme(),
        **assets(),
        share=False,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        quiet=True,
        state_session_capacity=SESSIONS,
        prevent_thread_lock=True,
        _app=GuardedApp(Guard(settings.host, Uploads(folder))),
    )
    return page


def main(argv: Sequence[str] | None = None) -> int:
    prepare_console()
    try:
        serve(parse(Settings, __doc__, argv))
    except (ValueError, OSError) as error:
        say(f"app: {error}", error=True)
        return 2
    except ImportError as error:
        say(f"app: {error}: pip install -r requirements-enhance.txt", error=True)
        return 2
    # before the page is open; afterwards it ends it as it should
    except KeyboardInterrupt:
        say("app: stopped", error=True)
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
