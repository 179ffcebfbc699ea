"""Adam and the running average of weights, for one device or many.

Keras' own optimisers clip the gradients of each device before they add them up, which changes the result with the
number of devices. Here `reduce_and_clip` adds first and clips then; `Adam` also takes the learning rate per call, so
that a schedule counts the trainer's steps, and skips a step whose half-precision gradients overflowed.
"""

import tensorflow as tf

# Kingma and Ba 2015, arXiv 1412.6980, Algorithm 1
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
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
