"""The terms of both objectives (README, "The recipe").

    discriminator = CE(D(G(x)), 0) + CE(D(y), 1)
    generator     = MSE(G(x), y) + 0.1 * VGG(G(x), y) + 0.2 * CE(D(G(x)), 1)

Pictures are NHWC float32 in [0, 1], logits (N, 1). Every term is one number per picture, (N,) float32, so that the caller can
average over the global batch, however many devices it is spread over.
"""

from keras import ops

MSE_WEIGHT, VGG_WEIGHT, ADVERSARIAL_WEIGHT = 1.0, 0.1, 0.2


def mse(hr, sr):
    """Mean squared error of each picture, or of each picture's features (the VGG term, SRGAN Eq. 5)."""
    difference = ops.cast(hr, "float32") - ops.cast(sr, "float32")
    return ops.mean(ops.square(difference), axis=(1, 2, 3))


def cross_entropy(logits, real: bool):
    """-log p of the given answer. `real` True: CE(., 1) = softplus(-logit); False: CE(., 0) = softplus(logit)."""
    logits = ops.cast(logits[:, 0], "float32")
    return ops.softplus(-logits if real else logits)


def discriminator_loss(real_logits, fake_logits):
    """CE(D(G(x)), 0) + CE(D(y), 1); 2 ln 2 for a discriminator that cannot tell."""
    return cross_entropy(fake_logits, real=False) + cross_entropy(real_logits, real=True)


def generator_terms(hr, sr, hr_features=None, sr_features=None, fake_logits=None) -> dict:
    """The generator's unweighted terms by name: "mse" always, "vgg" and "adversarial" where their inputs are given."""
    terms = {"mse": mse(hr, sr)}
    if sr_features is not None:
        terms["vgg"] = mse(hr_features, sr_features)
    if fake_logits is not None:
        terms["adversarial"] = cross_entropy(fake_logits, real=True)
    return terms
