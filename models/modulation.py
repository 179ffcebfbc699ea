"""Features scaled and shifted by what was seen elsewhere."""

from collections.abc import Sequence

from keras import layers


def scaled_and_shifted(x, seen, names: Sequence[str]):
    """x * (1 + gate) + shift, both linear in `seen` (the spatial feature transform, Wang et al. 2018, arXiv 1804.02815, Eq. 3).

    x: (..., features); seen has as many axes, of length 1 where it holds for all places. Untrained, gate and shift are zero: a
    trained network goes on as it is, and learns to use what is seen. names: of gate, shift, product and sum.
    """
    gate_name, shift_name, gated_name, sum_name = names
    gate, shift = (
        layers.Dense(x.shape[-1], kernel_initializer="zeros", name=name)(seen) for name in (gate_name, shift_name)
    )
    return layers.Add(name=sum_name)([x, layers.Multiply(name=gated_name)([x, gate]), shift])
