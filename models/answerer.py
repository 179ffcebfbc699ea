"""The answer of a generator's built-in recogniser: the character in each column of a plate, without drawing a picture.
Eye and names for characters come from the generator's own archive."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.loading import load_archive


@dataclass(frozen=True)
class Answerer:
    """run: pictures (N, H, W, 3) float32 in [0, 1], as large as the generator's output, H and W divisible by 16 ->
    probabilities (N, W / 4, 1 + len(characters)) float32, from left to right. Class 0 is CTC's blank, the others are
    `characters`, in this order."""

    run: Callable[[np.ndarray], np.ndarray]
    characters: str


def load_answerer(path: str | Path) -> Answerer | None:
    """From a generator's `.keras` archive; None where it carries no recogniser, or one without names for characters.
    Raises ValueError for a file that cannot be loaded."""
    generator = load_archive(Path(path))
    # late: keras takes seconds
    from keras import ops

    from models.recogniser import recogniser_of

    carried = recogniser_of(generator)
    if carried is None:
        return None
    recogniser, characters = carried
    return Answerer(lambda batch: np.asarray(ops.softmax(recogniser.predict_on_batch(batch), axis=-1)), characters)
