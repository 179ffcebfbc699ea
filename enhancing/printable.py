"""Names from somebody else's disk on the user's terminal."""


def printable(text: str) -> str:
    """The text without characters that would steer the terminal, or that it cannot encode."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
