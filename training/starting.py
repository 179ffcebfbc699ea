"""Where a recogniser starts from that goes on from another: `python -m training.recogniser --init`."""

from pathlib import Path

import keras
import numpy as np

from data.dataset import Pairs
from data.io import to_float
from models.generator import take_over
from models.loading import read_info
from models.recogniser import HEAD, layers_of_recogniser
from training.networks import load_given
from training.validation import spread_evenly

# Clean tiles from which a recogniser without names for characters learns them, and the steps that it takes
NAMED_FROM, NAMING_STEPS, NAMING_BATCH = 4000, 1500, 32


def start_from(init: str, model: keras.Model, pairs: Pairs, labels: np.ndarray, characters: str) -> None:
    """Give the model the weights of a recogniser, or of the one that a generator carries. That has no names for
    characters, and another alphabet's are of no use: then they are learned first. Raises ValueError where there is none
    in `init`."""
    source = load_given(init, "--init", "what training.recogniser has left, or a generator that carries it")
    eye = layers_of_recogniser(source)
    if not eye:
        raise ValueError(f"--init {init} holds no recogniser")
    take_over(model, eye)
    if read_info(Path(init)).get("characters") == characters:
        take_over(model, [source.get_layer(HEAD)])
    else:
        learn_names(model, pairs, labels)


def learn_names(model: keras.Model, pairs: Pairs, labels: np.ndarray) -> None:
    """Fit the layer that names characters alone, on what the rest sees in clean tiles: the errors of a layer that knows
    nothing would spoil that rest."""
    chosen = spread_evenly(len(pairs), NAMED_FROM)
    pictures = to_float(np.stack([pairs.read("hr", tile) for tile in chosen]))
    columns = keras.Model(model.input, model.get_layer(HEAD).input).predict(pictures, batch_size=16, verbose=0)
    head = keras.Sequential(
        [keras.Input(columns.shape[1:]), keras.layers.Dense(model.output_shape[-1], dtype="float32")]
    )
    head.compile(keras.optimizers.Adam(1e-2), keras.losses.CTC())
    rng, names = np.random.default_rng(0), labels[chosen]
    some = (rng.choice(len(chosen), NAMING_BATCH) for _ in range(NAMING_STEPS))
    known = ((columns[each], names[each]) for each in some)
    head.fit(known, steps_per_epoch=NAMING_STEPS, shuffle=False, verbose=0)
    model.get_layer(HEAD).set_weights(head.get_weights())
