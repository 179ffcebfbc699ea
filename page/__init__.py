"""The local page of app.py: three tabs around the functions that enhance.py calls, with no logic of their own."""
