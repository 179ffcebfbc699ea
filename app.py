"""A local page to try the enhancer on: one picture, several frames of one plate, and how far to trust it.

    python app.py

opens http://127.0.0.1:7860 with the shipped generator. Pictures stay on this machine; temporary files go when the page
does. Exit code: 0 stopped by the user, 2 the page could not be opened. A restored plate is a hint, not evidence.
"""

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path

from data.console import prepare_libraries, printable
from data.settings import Parser

REPORT = Path(__file__).resolve().parent / "docs" / "evaluation"
MAX_FILE_SIZE = "100mb"
LOCAL = ("localhost", "127.0.0.1", "::1")
# whose last picture is remembered
SESSIONS = 50


def serve(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C, a plain kill or a closed terminal. Raises ValueError or OSError where it cannot be
    opened."""
    from data.files import temporary_folder
    from enhancing.examining import make_examiner
    from models.shipped import default_checkpoint

    # before the networks are loaded, which takes a while
    check_port(options.host, options.port)
    checkpoint = options.checkpoint or default_checkpoint()
    examiner = make_examiner(checkpoint, read=True, ask_again=True, find=True)
    stop = threading.Event()
    # else a kill would leave the temporary files
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Windows knows no closed terminal, and under nohup it is ignored
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    # for uploads and results: all of it is deleted in the end
    with temporary_folder(tempfile.gettempdir(), "plates-page-") as folder:
        page = open_page(options, examiner, folder)
        print(f"The page is at {page.local_url} (Ctrl-C ends it)", flush=True)
        try:
            stop.wait()
        finally:
            page.close(verbose=False)


def check_port(host: str, port: int) -> None:
    """Raises OSError where nothing can listen there, ValueError for what is no port."""
    if not 0 <= port <= 65535:
        raise ValueError(f"--port is 0 to 65535, got {port}")
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        raise OSError(f"cannot listen on {host}, port {port}: {error.strerror}: give another --port") from error


def open_page(options: argparse.Namespace, examiner, folder: str):
    """Build the page and start its server, in threads of its own. folder: for all that is uploaded and made."""
    prepare_libraries()
    os.environ["GRADIO_TEMP_DIR"] = folder
    # of uvicorn: there is no proxy, so forwarded headers are not trusted
    os.environ["FORWARDED_ALLOW_IPS"] = ""
    # Gradio looks whether its page answers; a proxy for the web could not reach it
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), options.host, *LOCAL)))
    from page.guard import Guard, GuardedApp, Uploads
    from page.layout import assets, build_page, theme

    page = build_page(examiner, folder, Path(options.report))
    page.launch(
        server_name=options.host,
        server_port=options.port,
        inbrowser=options.browser,
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
        _app=GuardedApp(Guard(options.host, Uploads(folder))),
    )
    return page


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    first, *rest = __doc__.splitlines()
    parser = Parser(description=first, epilog=rest[-1], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--checkpoint", help="a .keras or .onnx generator; None: the shipped one that is recommended")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets others in")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on")
    parser.add_argument("--report", default=str(REPORT), help="folder of evaluate.py, whose figures are shown")
    parser.add_argument("--browser", action="store_true", help="also open it in a browser")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse_arguments(argv)
    try:
        serve(options)
    except (ValueError, OSError) as error:
        print(f"app: {printable(error)}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"app: {printable(error)}: pip install -r requirements-enhance.txt", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
