"""`python -m data.synthetic`: see data/synthetic/rendering.py."""

import sys

from data.synthetic.rendering import main

if __name__ == "__main__":
    sys.exit(main())
