"""Random numbers asked for inside a loss or a network (`torch.randn`, dropout): taken from the member's own streams.

A trial run with one member writes down what is asked for, in order; from then on the numbers come with the batch.
"""

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from .draws import Draw
from .errors import CourseError

UNIFORM, NORMAL = (torch.rand, torch.rand_like), (torch.randn, torch.randn_like)
DROPOUT = (F.dropout, torch.dropout)
FEATURE_DROPOUT = (F.dropout1d, F.dropout2d, F.dropout3d)  # whole channels are dropped together
SHARED = {
    *("randint", "randint_like", "randperm", "normal", "normal_", "uniform_", "random_", "exponential_"),
    *("bernoulli", "bernoulli_", "multinomial", "poisson", "rrelu", "gumbel_softmax"),
    *("alpha_dropout", "feature_alpha_dropout"),
}


class Trial(TorchFunctionMode):
    """Watches a trial run: `randoms` lists the random numbers drawn in it, `convolves` says whether it convolved."""

    def __init__(self):
        super().__init__()
        self.randoms, self.convolves = [], False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        self.convolves |= name.startswith("conv")
        if func in DROPOUT or func in FEATURE_DROPOUT:
            x, p, training = _dropout_arguments(*args, **kwargs)
            if training and p > 0:
                self._note("uniform", _mask_shape(func, x))
        elif name in SHARED:
            raise CourseError(
                f"{name} inside a loss draws from one source for all members; draw it in `sample` "
                "(normal, uniform or rows), or with torch.rand or torch.randn, which are made each member's own."
            )
        if (func in UNIFORM or func in NORMAL) and kwargs.get("generator") is not None:
            raise CourseError(
                f"{name} inside a loss was given a generator of its own, but there each member draws from its own "
                "stream: draw these numbers before, outside of the loss, and use them in it."
            )
        out = func(*args, **kwargs)
        if func in UNIFORM or func in NORMAL:
            self._note("uniform" if func in UNIFORM else "normal", out.shape)
        return out

    def _note(self, kind, shape):
        self.randoms.append(Draw(kind, (f"random {len(self.randoms)}",), shape))


class Replay(TorchFunctionMode):
    """Answers the same calls with the given numbers, one tensor for each, in the order of the trial."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers = iter(numbers)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in UNIFORM or func in NORMAL:
            like = args[0].dtype if func in (torch.rand_like, torch.randn_like) and args else None
            return self._next().to(kwargs.get("dtype") or like or torch.get_default_dtype())
        if func in DROPOUT or func in FEATURE_DROPOUT:
            x, p, training = _dropout_arguments(*args, **kwargs)
            if training and p > 0:  # a kept number is enlarged, so that the mean stays (Srivastava et al. 2014)
                return x * (self._next().reshape(_mask_shape(func, x)) >= p) / (1 - p)
        return func(*args, **kwargs)

    def _next(self):
        try:
            return next(self.numbers)
        except StopIteration:
            raise CourseError(
                "The loss drew more random numbers than in its trial run; let it draw the same ones at every step."
            ) from None


def _dropout_arguments(input, p=0.5, training=True, inplace=False, train=None):
    return input, p, training if train is None else train


def _mask_shape(func, x):
    return x.shape if func in DROPOUT else (*x.shape[:2], *[1] * (x.dim() - 2))
