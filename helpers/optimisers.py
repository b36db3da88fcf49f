"""How weights move: Adam and plain gradient descent for all members at once, clipping, averaging, schedules."""

from itertools import pairwise

from .errors import CourseError


def adam(state, grad, rate, step, betas, eps=1e-8):
    """One step of Adam (Kingma and Ba 2015, algorithm 1), in place, for weights and slopes (members, numbers).

    `rate`: (members, 1), each member's learning rate now. `step`: 0-d, the number of this update, from 1.
    The means start at zero and are therefore too small by 1 − βᵗ at step t: the bias correction divides by that.
    """
    beta1, beta2 = betas
    mean, square = state["adam.mean"], state["adam.square"]
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = (square / (1 - beta2**step)).sqrt_().add_(eps)
    state["weights"].sub_(mean.div(root).mul_(rate / (1 - beta1**step)))


def sgd(state, grad, rate, step, betas=None):
    """Plain gradient descent: θ ← θ − η∇L."""
    state["weights"].sub_(rate * grad)


OPTIMISERS = {"adam": (adam, ["adam.mean", "adam.square"]), "sgd": (sgd, [])}


def average(state, decay):
    """The exponential moving average of the weights: a ← decay · a + (1 − decay) · θ (Yazıcı et al. 2019)."""
    state["average"].lerp_(state["weights"], 1 - decay)


class Schedule:
    """What the learning rate is multiplied by at each step, from points (step, factor) joined by straight lines.

    No points, or steps that do not grow, raise CourseError.
    """

    def __init__(self, *points):
        self.points = points
        if not points or any(a[0] >= b[0] for a, b in pairwise(points)):
            raise CourseError(f"A schedule needs points with growing steps; it received {points}.")

    def __call__(self, step):
        """The factor at this step; before the first point and after the last it is constant."""
        if step <= self.points[0][0]:
            return self.points[0][1]
        for (s0, f0), (s1, f1) in pairwise(self.points):
            if step < s1:
                return f0 + (f1 - f0) * (step - s0) / (s1 - s0)
        return self.points[-1][1]

    def __repr__(self):
        return f"Schedule{self.points}"


def falling(start, end):
    """The full learning rate up to step `start`, then in a straight line to zero at step `end`."""
    return Schedule((start, 1.0), (end, 0.0))
