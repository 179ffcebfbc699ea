"""Reading plates: the OCR that judges pictures, and the one way to compare a reading with a text. Nothing here knows
the networks."""
