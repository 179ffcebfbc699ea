"""The learning rate as a function of the trainer's own step, never of an optimiser's count."""

import math

# of a stage, at most: short runs still reach the highest rate
WARMUP_SHARE = 0.1


def rate_at(step: int, steps: int, highest: float, warmup_steps: int, final: float) -> float:
    """Learning rate of step 0, 1, ... `steps` - 1: rising in a line, then a cosine from `highest` to `final *
    highest`."""
    warmup = min(warmup_steps, int(WARMUP_SHARE * steps))
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    return highest * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))
