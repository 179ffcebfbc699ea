"""The page's tests need Gradio, which `make test` does not install: `make test-all` does."""

import importlib.util

GRADIO = importlib.util.find_spec("gradio") is not None
collect_ignore_glob = [] if GRADIO else ["test_*.py"]


def pytest_report_header() -> str:
    return "page: tested" if GRADIO else "page: not tested, Gradio is not installed (make test-all installs it)"
