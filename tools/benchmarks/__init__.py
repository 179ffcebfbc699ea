"""How fast each part is on this machine (`speed.py`, `make bench`), and how well single parts do on real pictures."""
