"""The parts of train.py's loop: settings, devices, networks, steps, validation, the run folder."""
