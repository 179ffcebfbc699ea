"""The distributed training steps of both stages, with Adam and the running average of weights.

A step takes one global batch (low-quality and clean tiles, uint8), spread over the replicas of a strategy, and returns
its loss terms as scalars of the whole batch. The losses are divided by the global batch inside the tape and the
gradients are summed over the replicas, so that any number of devices takes the same step.

Keras' own optimisers clip the gradients of each device before they add them up, which changes the result with the
number of devices. Here `reduce_and_clip` adds first and clips then; `Adam` also takes the learning rate per call, so
that a schedule counts the trainer's steps, and skips a step whose half-precision gradients overflowed.
"""

import keras
import numpy as np
import tensorflow as tf

import losses
from data.dataset import Batches
from training.networks import Networks
from training.settings import BETA_1, BETA_2, EPSILON, ScheduleSettings, stage_one

LAST_LAYER = "difference"


class Trainer:
    """The networks with their optimisers. Make it inside `strategy.scope()`.

    weights: name of a term -> its weight in stage two. scale_loss: for half precision, see `Adam`.
    """

    def __init__(
        self, strategy, networks: Networks, weights: dict, schedule: ScheduleSettings, scale_loss: bool = False
    ) -> None:
        self.strategy, self.weights, self.schedule = strategy, weights, schedule
        self.pretrain_weights = stage_one(weights)
        self.generator, self.discriminator, self.observers = networks
        self.g_variables = [each.value for each in self.generator.trainable_variables]
        self.g_adam = Adam(strategy, self.g_variables, scale_loss)
        self.averages = Averages(strategy, self.g_variables, schedule.ema_decay) if schedule.ema else None
        self.last_kernel = self.generator.get_layer(LAST_LAYER).kernel.value
        if self.discriminator is not None:
            self.d_variables = [each.value for each in self.discriminator.trainable_variables]
            self.d_adam = Adam(strategy, self.d_variables, scale_loss)

    def state(self) -> dict[str, list]:
        """All variables that a resumed run needs, by name."""
        groups = {"generator": self.g_variables, **_prefixed("g_adam", self.g_adam.state())}
        if self.averages is not None:
            groups |= _prefixed("averages", self.averages.state())
        if self.discriminator is not None:
            groups["discriminator"] = [each.value for each in self.discriminator.weights]
            groups |= _prefixed("d_adam", self.d_adam.state())
        return groups

    def dataset(self, batches: Batches, first_step: int, steps: int):
        """The batches of steps first_step .. steps - 1; every replica gets its own equal part of each."""
        shares = self.strategy.num_replicas_in_sync

        def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
            local = shares // context.num_input_pipelines
            own = range(context.input_pipeline_id * local, (context.input_pipeline_id + 1) * local)
            return batches.dataset(first_step, steps, self.schedule.batch_size, shares, own)

        if shares == 1:
            return make(tf.distribute.InputContext())
        return self.strategy.distribute_datasets_from_function(make)

    def restart_from(self, weights: list) -> None:
        """Give the generator new weights, and forget the steps that led to the old ones."""
        for variable, weight in zip(self.g_variables, weights, strict=True):
            variable.assign(weight)
        self.g_adam.reset()
        if self.averages is not None:
            self.averages.reset()

    @tf.function(autograph=False)
    def pretrain(self, batch, g_rate) -> dict:
        """Stage one: the generator on MSE (and on those of `OPTIONS` that are asked for)."""
        gradients, finite, terms = self.strategy.run(self._pretrain_gradients, args=(batch,))
        self._update_generator(gradients, finite, g_rate)
        return self._total(terms)

    @tf.function(autograph=False)
    def adversarial(self, batch, g_rate, d_rate, update_g: bool, update_d: bool) -> dict:
        """Stage two: both sides from the same forward pass; a side that is not updated is not differentiated either."""
        g_part, d_part, terms = self.strategy.run(self._adversarial_gradients, args=(batch, update_g, update_d))
        if update_d:
            self.d_adam.apply(*d_part, d_rate)
        if update_g:
            self._update_generator(*g_part, g_rate)
        return self._total(terms)

    @tf.function(autograph=False)
    def gradient_norms(self, batch) -> dict:
        """The norm of each weighted term's gradient at the generator's last layer: what 0.1 and 0.2 weigh."""
        norms = self.strategy.run(self._term_norms, args=(batch,))
        return {name: self.strategy.experimental_local_results(norm)[0] for name, norm in norms.items()}

    def any_worker(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes; all of them must ask."""
        return float(self._sum_over_replicas(tf.constant(float(flag)))) > 0

    def of_the_chief(self, arrays: list[np.ndarray], chief: bool) -> list[np.ndarray]:
        """The chief's arrays, in every one of the processes; all of them must ask."""
        # 1: to count its replicas
        flat = np.concatenate([*(array.ravel() for array in arrays), [1]]).astype(np.float32)
        flat = np.asarray(self._sum_over_replicas(tf.constant(flat if chief else np.zeros_like(flat))))
        parts = np.split(flat[:-1] / flat[-1], np.cumsum([array.size for array in arrays])[:-1])
        return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]

    @tf.function(autograph=False)
    def _sum_over_replicas(self, number):
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(lambda: number), axis=None)

    def _update_generator(self, gradients, finite, rate) -> None:
        self.g_adam.apply(gradients, finite, rate)
        if self.averages is not None:
            self.averages.update()

    def _total(self, terms: dict) -> dict:
        return {
            name: self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for name, value in terms.items()
        }

    def _mean(self, per_picture):
        """This replica's share of the mean over the global batch."""
        return tf.reduce_sum(per_picture) / self.schedule.batch_size

    def _share(self, whole):
        """This replica's share of a number that all replicas hold, so that the sum over replicas is that number."""
        return whole / self.strategy.num_replicas_in_sync

    def _pretrain_gradients(self, batch):
        lq, hr = _to_pictures(batch)
        with tf.GradientTape() as tape:
            sr = self.generator(lq, training=True)
            terms = self._generator_terms(hr, sr)
            loss = self._weighted(terms, self.pretrain_weights)
            scaled = loss * self.g_adam.loss_scale
        gradients = tape.gradient(scaled, self.g_variables)
        gradients, norm, finite = reduce_and_clip(gradients, self.schedule.clip_norm, self.g_adam.loss_scale)
        terms |= {"g_loss": loss, "g_gradient_norm": self._share(norm)}
        return gradients, finite, terms | self._scale_term()

    def _adversarial_gradients(self, batch, update_g: bool, update_d: bool):
        """Both sides are judged as they stand before the step. Real and fake tiles pass the discriminator as separate
        batches, the usual way with batch norm; it never learns from, nor changes in, the generator's turn."""
        lq, hr = _to_pictures(batch)
        terms, g_part, d_part = {}, (), ()
        with tf.GradientTape(persistent=True) as tape:
            sr = self.generator(lq, training=True)
            fake_logits = self.discriminator(sr, training=True)
            g_terms = self._generator_terms(hr, sr, fake_logits)
            g_scaled = self._weighted(g_terms, self.weights) * self.g_adam.loss_scale
            if update_d:
                real_logits = self.discriminator(hr, training=True)
                d_loss = self._mean(losses.discriminator_loss(real_logits, fake_logits))
                d_scaled = d_loss * self.d_adam.loss_scale
        if update_g:
            gradients = tape.gradient(g_scaled, self.g_variables)
            g_part = reduce_and_clip(gradients, self.schedule.clip_norm, self.g_adam.loss_scale)
        if update_d:
            gradients = tape.gradient(d_scaled, self.d_variables)
            d_part = reduce_and_clip(gradients, self.schedule.clip_norm, self.d_adam.loss_scale)
            terms |= {"d_loss": d_loss, **self._judgement(real_logits, fake_logits)}
        terms |= g_terms | {"g_loss": self._weighted(g_terms, self.weights)}
        terms["fake_spread"] = self._share(_spread(sr) / _spread(hr))
        for name, part in (("g_gradient_norm", g_part), ("d_gradient_norm", d_part)):
            if part:
                terms[name] = self._share(part[1])
        return _without_norm(g_part), _without_norm(d_part), terms | self._scale_term()

    def _generator_terms(self, hr, sr, fake_logits=None) -> dict:
        """The terms of stage one, or with the discriminator's answer those of stage two."""
        wanted = self.pretrain_weights if fake_logits is None else self.weights
        features = {
            name: [keras.tree.flatten(observer(pictures, training=False)) for pictures in (hr, sr)]
            for name, observer in self.observers.items()
            if name in wanted
        }
        terms = losses.generator_terms(hr, sr, features, fake_logits, options=self.weights)
        return {name: self._mean(term) for name, term in terms.items()}

    def _weighted(self, terms: dict, weights: dict):
        return tf.add_n([weights[name] * term for name, term in terms.items()])

    def _judgement(self, real_logits, fake_logits) -> dict:
        """The discriminator's mean logits and accuracy on this batch."""
        right = tf.cast(real_logits > 0, tf.float32) + tf.cast(fake_logits <= 0, tf.float32)
        return {
            "d_real": self._mean(real_logits),
            "d_fake": self._mean(fake_logits),
            "d_accuracy": self._mean(right) / 2,
        }

    def _scale_term(self) -> dict:
        return {"loss_scale": self._share(self.g_adam.loss_scale)} if self.g_adam.scale_loss else {}

    def _term_norms(self, batch) -> dict:
        lq, hr = _to_pictures(batch)
        with tf.GradientTape(persistent=True) as tape:
            sr = self.generator(lq, training=True)
            if self.discriminator is None:
                terms = self._generator_terms(hr, sr)
            else:
                # inference mode: a look at the gradients must not move the batch norm's averages
                terms = self._generator_terms(hr, sr, self.discriminator(sr, training=False))
            weighted = {name: self.weights[name] * term * self.g_adam.loss_scale for name, term in terms.items()}
        context = tf.distribute.get_replica_context()
        gradients = [tape.gradient(term, self.last_kernel) for term in weighted.values()]
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norms = [tf.norm(gradient) / self.g_adam.loss_scale for gradient in gradients]
        return dict(zip(weighted, norms, strict=True))


def _to_pictures(batch) -> tuple[tf.Tensor, tf.Tensor]:
    """uint8 (lq, hr) -> float32 in [0, 1]; converted on the device, so that a quarter of the bytes travels."""
    return tuple(tf.cast(pictures, tf.float32) / 255.0 for pictures in batch)


def _without_norm(part: tuple) -> tuple:
    return (part[0], part[2]) if part else ()


def _spread(pictures):
    """How much the pictures of a batch differ from each other: standard deviation over the batch, mean over the
    pixels."""
    return tf.reduce_mean(tf.math.reduce_std(pictures, axis=0)) + 1e-6


def _prefixed(prefix: str, groups: dict[str, list]) -> dict[str, list]:
    return {f"{prefix}/{name}": variables for name, variables in groups.items()}


FIRST_LOSS_SCALE = 2.0**15
# steps without overflow after which the loss scale is doubled (NVIDIA's and Keras' value)
SCALE_UP_STEPS = 2000


def reduce_and_clip(gradients: list, clip_norm: float, loss_scale) -> tuple[list, tf.Tensor, tf.Tensor]:
    """Inside a replica: (gradients summed over all replicas, unscaled, then clipped; their norm; whether all are
    finite)."""
    context = tf.distribute.get_replica_context()
    gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    gradients = [gradient / loss_scale for gradient in gradients]
    norm = tf.linalg.global_norm(gradients)
    finite = tf.math.is_finite(norm)
    factor = tf.where(finite, clip_norm / tf.maximum(norm, clip_norm), 0.0)
    # a multiplication alone would leave the NaN of an overflow in place
    return [tf.where(finite, gradient * factor, 0.0) for gradient in gradients], norm, finite


class Adam:
    """Adam over a list of variables of one strategy, with dynamic loss scaling if asked for.

    Make it inside `strategy.scope()`. `variables` are the plain tf.Variables of a model.
    """

    def __init__(self, strategy: tf.distribute.Strategy, variables: list, scale_loss: bool = False) -> None:
        self.strategy, self.variables, self.scale_loss = strategy, variables, scale_loss
        self.first = [_slot(variable.shape) for variable in variables]
        self.second = [_slot(variable.shape) for variable in variables]
        self.count = _slot(())
        self.loss_scale = _slot((), FIRST_LOSS_SCALE if scale_loss else 1.0)
        # finite steps since the loss scale last changed
        self.steady = _slot(())

    def state(self) -> dict[str, list]:
        """Everything that a resumed run needs, by name."""
        return {"first": self.first, "second": self.second, "counters": [self.count, self.loss_scale, self.steady]}

    def reset(self) -> None:
        """Forget all steps taken (the weights have been replaced)."""
        for variable in (*self.first, *self.second, self.count, self.steady):
            variable.assign(tf.zeros(variable.shape))

    def apply(self, gradients: list, finite, learning_rate) -> None:
        """One step, outside of replicas. `gradients` and `finite` as `reduce_and_clip` returned them from every
        replica."""
        update = self.strategy.extended.update
        update(self.count, _count_up, args=(finite,))
        for variable, first, second, gradient in zip(self.variables, self.first, self.second, gradients, strict=True):
            update(variable, _adam_step, args=(first, second, self.count, gradient, finite, learning_rate))
        if self.scale_loss:
            update(self.loss_scale, _rescale, args=(self.steady, finite))


class Averages:
    """Exponential running average of weights; the decay warms up, so that early weights are soon forgotten."""

    def __init__(self, strategy: tf.distribute.Strategy, variables: list, decay: float) -> None:
        self.strategy, self.variables, self.decay = strategy, variables, decay
        self.values = [_slot(variable.shape) for variable in variables]
        self.count = _slot(())
        self.reset()

    def state(self) -> dict[str, list]:
        return {"values": self.values, "counters": [self.count]}

    def reset(self) -> None:
        """Start anew from the variables as they are."""
        self.count.assign(0.0)
        for value, variable in zip(self.values, self.variables, strict=True):
            value.assign(variable.numpy())

    def update(self) -> None:
        update = self.strategy.extended.update
        update(self.count, lambda count: count.assign_add(1.0))
        for value, variable in zip(self.values, self.variables, strict=True):
            update(value, _average, args=(variable, self.count, self.decay))


def _slot(shape, value: float = 0.0) -> tf.Variable:
    return tf.Variable(tf.fill(shape, value), trainable=False)


def _count_up(count, finite):
    return count.assign_add(tf.cast(finite, tf.float32))


def _adam_step(variable, first, second, count, gradient, finite, learning_rate):
    """The fused operation; after an overflow it runs with factors that leave everything as it is."""
    step = tf.maximum(count, 1.0)
    keep = 1.0 - tf.cast(finite, tf.float32)
    return tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=first.handle,
        v=second.handle,
        beta1_power=tf.pow(BETA_1, step),
        beta2_power=tf.pow(BETA_2, step),
        lr=learning_rate * (1.0 - keep),
        beta1=tf.maximum(BETA_1, keep),
        beta2=tf.maximum(BETA_2, keep),
        epsilon=EPSILON,
        grad=gradient,
    )


def _rescale(loss_scale, steady, finite):
    """Halve after an overflow, double after a long time without."""
    steps = tf.where(finite, steady + 1.0, 0.0)
    doubled = steps >= SCALE_UP_STEPS
    steady.assign(tf.where(doubled, 0.0, steps))
    scale = tf.where(finite, tf.where(doubled, loss_scale * 2.0, loss_scale), loss_scale / 2.0)
    return loss_scale.assign(tf.maximum(scale, 1.0))


def _average(value, variable, count, decay: float):
    warm = tf.minimum(decay, (1.0 + count) / (10.0 + count))
    return value.assign_sub((1.0 - warm) * (value - variable))
