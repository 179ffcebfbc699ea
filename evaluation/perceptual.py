"""A distance in VGG19's features, as LPIPS without its learned weights (Zhang et al. 2018, arXiv 1801.03924, Eq. 1, w =
1).

Deviations: VGG19 for VGG16, and three of its layers for five, since the tiles are small.
"""

from collections.abc import Callable

import numpy as np

LAYERS = ("block1_conv2", "block2_conv2", "block3_conv4")
# keeps a position without any feature from a division by zero
TINY = 1e-10


def vgg_distance(weights: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of two (N, H, W, 3) float32 batches in [0, 1] -> (N,), 0 for equal ones. weights: a file, or
    "imagenet"."""
    from models.features import build_features

    networks = [build_features(weights, layer) for layer in LAYERS]

    def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        each = [_between(network, first, second) for network in networks]
        return np.mean(each, axis=0)

    return distance


def _between(network, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared distance of the unit feature vectors, averaged over positions, (N,)."""
    features = network.predict_on_batch(np.concatenate([first, second]))
    # the network stops before the activation
    features = np.maximum(np.asarray(features, np.float32), 0)
    units = features / np.sqrt((features**2).sum(axis=-1, keepdims=True) + TINY)
    squares = (units[: len(first)] - units[len(first) :]) ** 2
    return squares.sum(axis=-1).mean(axis=(1, 2))
