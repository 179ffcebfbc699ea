"""Writes a generator in another format, for programs without Keras: see tools/export.py."""

import sys

from tools.export import main

if __name__ == "__main__":
    sys.exit(main())
