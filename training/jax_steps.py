"""Stage one on JAX, for a machine whose accelerator only JAX knows: the steps of `training/steps.py`, on one device.

KERAS_BACKEND=jax python train.py --adversarial-steps 0 ...
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import keras
import numpy as np

import losses
from data.dataset import Batches
from training.networks import Networks
from training.settings import BETA_1, BETA_2, EPSILON, ScheduleSettings, stage_one


class Slot:
    """An array that each step replaces; the rest of the program uses it like a variable."""

    def __init__(self, value) -> None:
        self.assign(value)

    @property
    def shape(self) -> tuple:
        return self.value.shape

    def assign(self, value) -> None:
        self.value = jnp.array(value, jnp.float32)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.value, dtype)


class JaxTrainer:
    """The generator with its optimiser. weights: as in `training.steps.Trainer`. The state has the same names there
    and here."""

    strategy = None

    def __init__(self, networks: Networks, weights: dict, schedule: ScheduleSettings) -> None:
        self.generator, _, self.observers = networks
        self.weights, self.schedule = weights, schedule
        self.pretrain_weights = stage_one(weights)
        self.g_variables = [Slot(each.value) for each in self.generator.trainable_variables]
        zeros = [jnp.zeros(slot.shape) for slot in self.g_variables]
        self.slots = {
            "generator": self.g_variables,
            "g_adam/first": [Slot(each) for each in zeros],
            "g_adam/second": [Slot(each) for each in zeros],
            "g_adam/counters": [Slot(number) for number in (0.0, 1.0, 0.0)],
        }
        self.g_adam, self.averages = SimpleNamespace(scale_loss=False), None
        if schedule.ema:
            self.averages = SimpleNamespace(values=[Slot(slot.value) for slot in self.g_variables])
            self.slots |= {"averages/values": self.averages.values, "averages/counters": [Slot(0.0)]}
        # not constants of the compiled step: a recogniser alone is millions of numbers
        models = {"generator": self.generator, **self.observers}
        self.frozen = {name: [each.value for each in model.non_trainable_variables] for name, model in models.items()}
        self._step = jax.jit(self._pretrain, donate_argnums=0)

    def state(self) -> dict[str, list[Slot]]:
        """All arrays that a resumed run needs, by name."""
        return self.slots

    def dataset(self, batches: Batches, first_step: int, steps: int):
        """The batches of steps first_step .. steps - 1."""
        return batches.stream(first_step, steps, self.schedule.batch_size)

    def pretrain(self, batch, g_rate) -> dict:
        """One step of stage one, on uint8 (lq, hr); returns the terms."""
        values = {name: [slot.value for slot in slots] for name, slots in self.slots.items()}
        values, terms = self._step(values, self.frozen, batch, g_rate)
        for name, slots in self.slots.items():
            for slot, value in zip(slots, values[name], strict=True):
                slot.value = value
        return terms

    def _pretrain(self, values: dict, frozen: dict, batch, rate) -> tuple[dict, dict]:
        lq, hr = (pictures.astype(jnp.float32) / 255 for pictures in batch)

        def loss(weights: list):
            sr, _ = self.generator.stateless_call(weights, frozen["generator"], lq, training=True)
            features = {name: [self._features(name, frozen, each) for each in (hr, sr)] for name in self.observers}
            terms = losses.generator_terms(hr, sr, features, options=self.weights)
            terms = {name: jnp.mean(term) for name, term in terms.items()}
            return sum(weight * terms[name] for name, weight in self.pretrain_weights.items()), terms

        (whole, terms), gradients = jax.value_and_grad(loss, has_aux=True)(values["generator"])
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        factor = self.schedule.clip_norm / jnp.maximum(norm, self.schedule.clip_norm)
        new = self._adam(values, [gradient * factor for gradient in gradients], rate)
        return new | self._average(values, new), terms | {"g_loss": whole, "g_gradient_norm": norm}

    def _features(self, name: str, frozen: dict, pictures) -> list:
        seen, _ = self.observers[name].stateless_call([], frozen[name], pictures, training=False)
        return keras.tree.flatten(seen)

    @staticmethod
    def _adam(values: dict, gradients: list, rate) -> dict:
        count, scale, steady = values["g_adam/counters"]
        count, new = count + 1, {"generator": [], "g_adam/first": [], "g_adam/second": []}
        rate = rate * jnp.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
        for weight, first, second, gradient in zip(*(values[name] for name in new), gradients, strict=True):
            first = BETA_1 * first + (1 - BETA_1) * gradient
            second = BETA_2 * second + (1 - BETA_2) * jnp.square(gradient)
            weight = weight - rate * first / (jnp.sqrt(second) + EPSILON)
            for name, value in zip(new, (weight, first, second), strict=True):
                new[name].append(value)
        return new | {"g_adam/counters": [count, scale, steady]}

    def _average(self, values: dict, new: dict) -> dict:
        """As `training.steps.Averages` does."""
        if self.averages is None:
            return {}
        count = values["averages/counters"][0] + 1
        warm = jnp.minimum(self.schedule.ema_decay, (1 + count) / (10 + count))
        pairs = zip(values["averages/values"], new["generator"], strict=True)
        return {"averages/values": [old - (1 - warm) * (old - now) for old, now in pairs], "averages/counters": [count]}
