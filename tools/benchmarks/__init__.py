"""How fast each part is on this machine: `make bench`, or one at a time with `python -m tools.benchmarks.NAME`."""
