"""The parts of train.py's loop: settings, devices, steps, balance, saved state and the journal."""
