"""What maintainers run: exports, benchmarks, and the pictures of the documents; and the commands of the wheel."""

import sys
from pathlib import Path


def enhance() -> int:
    """The command `plate-enhance`."""
    _find_this_project()
    from enhance import main

    return main()


def page() -> int:
    """The command `plate-enhance-page`."""
    _find_this_project()
    from app import main

    return main()


def _find_this_project() -> None:
    """The wheel keeps all of it below one package, while its parts import one another from the top."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
