"""The networks of a run: built inside its strategy, new ones or those of an earlier run, with more blocks where asked;
and written as `.keras` archives, each with a .json beside it that says how it was made."""

import dataclasses
import tempfile
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import keras
import ml_dtypes
import numpy as np

from data.files import PART, replacing
from losses import build_discriminator, build_features
from models.generator import architecture, build_generator, change_nothing, freeze, take_over
from models.loading import in_policy, load_archive
from models.recogniser import HEAD, NAMES, Shape, build_eye, layers_of_recogniser, shape_of
from models.recogniser import NAME as RECOGNISER
from models.shipped import read_info
from training.run_folder import INIT_NAME, write_json
from training.settings import NetworkSettings, Settings


class Networks(NamedTuple):
    """discriminator: None where there is no stage two. observers: name of a term of the loss -> the frozen network in
    whose features clean and restored pictures are compared."""

    generator: keras.Model
    discriminator: keras.Model | None
    observers: dict[str, keras.Model]


def build_networks(
    settings: NetworkSettings, terms: Collection[str], size: tuple[int, int], scale: int, policy: str, run: Path
) -> Networks:
    """The networks that the loss needs, computing in `policy`.

    terms: of the loss, in both stages. size: (height, width) of what the discriminator sees. run: the run folder, from
    which a resumed run takes the generator that it began with.
    """
    keras.mixed_precision.set_global_policy(policy)
    generator = _generator(settings, scale, policy, run / INIT_NAME)
    discriminator = build_discriminator(size, settings.discriminator_filters) if "adversarial" in terms else None
    observers = {}
    if "vgg" in terms:
        observers["vgg"] = build_features(settings.vgg_weights, settings.vgg_layer)
    if "reading" in terms:
        observers["reading"] = _eye_of(generator)
    return Networks(generator, discriminator, observers)


def _generator(settings: NetworkSettings, scale: int, policy: str, begun: Path) -> keras.Model:
    """The generator that the run begins with: that of the file `begun` where the run has one, that of --init, grown by
    --more-blocks, or a new one; with the recogniser of --recogniser built in, and with --light-only all else frozen.

    Raises ValueError for an --init of another scale or one that cannot grow, and for files that are missing or hold
    something else.
    """
    known = begun.exists()
    generator = in_policy(load_archive(begun), policy) if known else _beginning(settings, scale, policy)
    if settings.light_only and not architecture(generator):
        raise ValueError(f"--light-only: {settings.init} has no illumination layers; give a generator of train.py")
    freeze(generator, illumination_only=settings.light_only)
    return generator


def _beginning(settings: NetworkSettings, scale: int, policy: str) -> keras.Model:
    recogniser = _asked_recogniser(settings)
    given = {"scale": scale, "filters": settings.filters, "blocks": settings.blocks, "body": settings.generator}
    given |= {"reads": None, "names": ""}
    if recogniser is not None:
        given |= {"reads": shape_of(recogniser), "names": _names_of(settings.recogniser)}
    if settings.init:
        return _grown(settings, given, recogniser, policy)
    generator = build_generator(**given)
    if recogniser is not None:
        _build_in(recogniser, generator)
    return generator


def _grown(settings: NetworkSettings, given: dict, recogniser: keras.Model | None, policy: str) -> keras.Model:
    """The generator of --init, with more blocks and a recogniser where they are asked for."""
    init = load_given(settings.init, "--init", "a generator.keras that a run has left")
    own = init.compute_output_shape((1, 16, 16, 3))[1] // 16
    if own != given["scale"]:
        raise ValueError(f"--init {settings.init} enlarges {own} times, the tiles ask for {given['scale']} times")
    if recogniser is None and not settings.more_blocks:
        return in_policy(init, policy)
    was = {**given, **architecture(init)}
    blocks = was["blocks"] + settings.more_blocks
    try:
        reads = _deeper(was["reads"], given["reads"])
        names = was["names"] if recogniser is None else given["names"]
        generator = build_generator(**{**was, "blocks": blocks, "reads": reads, "names": names})
        # the names of a recogniser that is replaced go with it
        take_over(generator, (layer for layer in init.layers if recogniser is None or layer.name != NAMES))
        for block in range(was["blocks"] + 1, blocks + 1):
            change_nothing(generator, block)
        if recogniser is not None:
            _build_in(recogniser, generator)
    except ValueError as error:
        raise ValueError(f"--init {settings.init} cannot take a recogniser or blocks in: {error}") from error
    return generator


def _deeper(own: Shape | None, given: Shape | None) -> Shape | None:
    """The shape that a generator's recogniser takes from the one given. Raises ValueError for a shallower one, since
    the generator's further blocks would remain."""
    if own is None or given is None:
        return own or given
    if given.deepened(own) != given:
        raise ValueError("its own recogniser has more blocks than the one given")
    return given


def _asked_recogniser(settings: NetworkSettings) -> keras.Model | None:
    """The recogniser of --recogniser, with kernels that compress well."""
    if not settings.recogniser:
        return None
    recogniser = load_given(settings.recogniser, "--recogniser", "what training.recogniser has left")
    if recogniser.name != RECOGNISER:
        raise ValueError(
            f"--recogniser {settings.recogniser} is not a recogniser; train one with python -m training.recogniser"
        )
    recogniser.set_weights(rounded(recogniser.get_weights()))
    return recogniser


def _names_of(recogniser: str) -> str:
    """The characters that the archive of a recogniser has names for; "" where the .json beside it does not tell."""
    characters = read_info(Path(recogniser)).get("characters", "")
    return characters if isinstance(characters, str) else ""


def _build_in(recogniser: keras.Model, generator: keras.Model) -> None:
    """Its layers, and its names for characters where the generator has a place for them."""
    take_over(generator, (layer for layer in recogniser.layers if layer.name != HEAD))
    if characters_of(generator):
        generator.get_layer(NAMES).set_weights(recogniser.get_layer(HEAD).get_weights())


def characters_of(generator: keras.Model) -> str:
    """That the recogniser in it has names for; "" for none."""
    return architecture(generator).get("names", "")


def with_architecture(settings: Settings, generator: keras.Model) -> Settings:
    """The settings with the generator's real architecture: that of --init may differ from the flags."""
    found = architecture(generator)
    if not found:
        return settings
    return dataclasses.replace(settings, generator=found["body"], filters=found["filters"], blocks=found["blocks"])


def _eye_of(generator: keras.Model) -> keras.Model:
    """The recogniser that the generator carries, by itself."""
    inside = layers_of_recogniser(generator)
    if not inside:
        raise ValueError("--reading-weight needs a generator that carries a recogniser: see --recogniser")
    eye = build_eye(shape_of(generator))
    take_over(eye, inside)
    eye.trainable = False
    return eye


def keep_beginning(settings: Settings, generator: keras.Model) -> None:
    """Keep the generator that the run begins with where seed and flags cannot rebuild it."""
    if settings.init or settings.recogniser:
        Path(settings.run).mkdir(parents=True, exist_ok=True)
        save_archive(in_policy(generator, "float32"), Path(settings.run) / INIT_NAME)


def write_archive(model: keras.Model, path: Path, about: dict) -> None:
    """`path` (.keras, deflated) and the .json beside it, each replaced in one move."""
    save_archive(model, path, deflated=True)
    write_json(path.with_suffix(".json"), about)


def save_archive(model: keras.Model, path: Path, deflated: bool = False) -> None:
    """Replaced in one move. deflated: smaller, and seconds slower; Keras itself only stores."""
    # Keras wants a path that ends in .keras
    with tempfile.TemporaryDirectory(prefix=".", suffix=PART, dir=path.parent) as folder:
        partial = Path(folder) / path.name
        model.save(partial)
        if deflated:
            _deflate(partial)
        with replacing(path, durable=True) as file:
            file.write(partial.read_bytes())


def _deflate(archive: Path) -> None:
    with zipfile.ZipFile(archive) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)


def rounded(weights: list[np.ndarray]) -> list[np.ndarray]:
    """The weights with kernels rounded to the nearest bfloat16, with which training in bfloat16 computes anyway, and
    which deflates to less than half; still float32."""
    return [w.astype(ml_dtypes.bfloat16).astype(np.float32) if w.ndim > 1 else w for w in weights]


def as_shipped(weights: list[np.ndarray], precision: str) -> list[np.ndarray]:
    """The weights with kernels as training in this precision computed with them."""
    return rounded(weights) if precision == "mixed_bfloat16" else weights


def load_given(path: str, flag: str, what: str) -> keras.Model:
    """The model in an archive that a flag names. Raises ValueError where there is none; `what` says what to give."""
    if not Path(path).is_file():
        raise ValueError(f"{flag} {path}: no such file; give {what}")
    return load_archive(Path(path))
