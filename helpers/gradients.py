"""Slopes inside a loss: the gradient of a network with respect to its input, and the penalties built from it."""

import torch


def gradient(function, x):
    """The slope of `function` at each row of `x`, the same shape as `x`; it can itself be differentiated.

    `function` maps (batch, ...) to one number per row, each depending on its own row only: the gradient of the sum
    over the batch is then the gradient of each. (This is `torch.autograd.grad(function(x).sum(), x,
    create_graph=True)`, in the form that also works while many members are computed at once.)
    """
    return torch.func.grad(lambda x: function(x).sum())(x)


def gradient_penalty(critic, real, fake, eps):
    """WGAN-GP's penalty, the mean of (‖∇D(x̂)‖ − 1)² at x̂ = ε·real + (1 − ε)·fake (Gulrajani et al. 2017, eq. 3).

    `real`, `fake`: (batch, ...). `eps`: one uniform number per sample, (batch,) or (batch, 1). Multiply the result
    by λ: 10 for images, about 0.1 for toy data in the plane. Nothing here trains the generator that drew `fake`
    unless the loss's player owns it.
    """
    eps = eps.reshape(-1, *[1] * (real.dim() - 1))
    slope = gradient(critic, eps * real + (1 - eps) * fake)
    norm = (slope.flatten(1).square().sum(1) + 1e-12).sqrt()  # the root has no slope at 0: stay off it
    return (norm - 1).square().mean()


def zero_gradient_penalty(critic, x):
    """The mean of ‖∇D(x)‖²: R1 at real x, R2 at generated x (Mescheder et al. 2018, eq. 9 and 10). Multiply by γ/2."""
    return gradient(critic, x).flatten(1).square().sum(1).mean()
