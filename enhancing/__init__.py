"""What enhance.py and app.py share around the generator: opening, judging, combining, drawing and writing pictures."""
