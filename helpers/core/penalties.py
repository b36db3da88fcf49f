"""Slopes inside a loss: the gradient of a network with respect to its input, and the penalties built from it."""

from collections.abc import Callable

import torch

from ..page import CourseError


def gradient(function: Callable, x: torch.Tensor) -> torch.Tensor:
    """The slope of `function` at each row of `x` (batch, ...), in its shape; it can itself be differentiated.

    `function` maps (batch, ...) to one number per row, each depending on its own row only: the gradient of the sum over
    the batch is then the gradient of each.
    """
    try:
        x.detach().requires_grad_()
    except RuntimeError:  # inside vmap, where many members are computed at once, only this form works
        return torch.func.grad(lambda x: function(x).sum())(x)
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        out = function(x).sum()
        if not out.requires_grad:
            return torch.zeros_like(x)
        return torch.autograd.grad(out, x, create_graph=further, allow_unused=True, materialize_grads=True)[0]


def gradient_penalty(critic: Callable, real: torch.Tensor, fake: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    """WGAN-GP's penalty, the mean of (‖∇D(x̂)‖ − 1)² at x̂ = ε·real + (1 − ε)·fake (Gulrajani et al. 2017, eq. 3).

    Parameters
    ----------
    critic : callable
        Maps (batch, ...) to (batch,) or (batch, 1).
    real, fake : tensor (batch, ...)
        Nothing here trains the generator that drew `fake` unless the loss's player owns it.
    eps : tensor (batch,) or (batch, 1)
        One uniform number per sample; shapes that do not fit raise CourseError.

    Returns
    -------
    0-d tensor, to be multiplied by λ: 10 for images, about 0.1 for toy data in the plane
    """
    if real.shape != fake.shape or eps.numel() != len(real):
        shapes = ", ".join(str(tuple(t.shape)) for t in (real, fake, eps))
        raise CourseError(
            f"gradient_penalty needs real and fake of one shape, and one eps per sample; it got {shapes}."
        )
    eps = eps.reshape(-1, *[1] * (real.dim() - 1))
    slope = _rows(gradient(critic, eps * real + (1 - eps) * fake))
    norm = (slope.square().sum(1) + 1e-12).sqrt()  # the root has no slope at 0: stay off it
    return (norm - 1).square().mean()


def zero_gradient_penalty(critic: Callable, x: torch.Tensor) -> torch.Tensor:
    """The mean of ‖∇D(x)‖², D the `critic`: R1 at real x, R2 at generated x (Mescheder et al. 2018, eq. 9 and 10). Multiply by γ/2."""
    return _rows(gradient(critic, x)).square().sum(1).mean()


def _rows(slope):
    """(batch, numbers), not in half precision, in which squares of small slopes vanish."""
    slope = slope.reshape(len(slope), -1)
    return slope.float() if slope.element_size() < 4 else slope
