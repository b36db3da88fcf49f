"""A player of a game: the networks it owns, the loss it minimises, and how its weights move."""

import torch

from .errors import CourseError
from .optimisers import OPTIMISERS


class Player:
    """One player. `loss(nets, batch, member)` is written for one member and returns one number to minimise.

    `nets.G`, `batch.x`, `member.penalty` are the networks, this turn's batch and the member's hyper-parameters (0-d
    tensors). The loss may also return a dict of further numbers to keep in the history: `return loss, {"margin": m}`.

    nets: the names of the networks it owns (default: the one with the player's name); only these are trained by it.
    lr: the learning rate, a number or the name of a swept hyper-parameter; default: swept "learning_rate", or 1e-3.
    repeats: turns in each round. clip: after each turn, weights are clipped to [−clip, clip] (WGAN).
    schedule: a function step → factor on the learning rate, such as `falling(1000, 2000)`.
    optimiser: "adam" with these betas, or "sgd".
    What cannot be played (no function, an unknown optimiser, half a turn) raises CourseError.
    """

    def __init__(self, name, loss, nets=None, *, lr=None, repeats=1, clip=None, schedule=None,
                 optimiser="adam", betas=(0.9, 0.999)):  # fmt: skip
        self.name, self.loss, self.lr, self.repeats, self.clip = name, loss, lr, repeats, clip
        self.nets = [name] if nets is None else [nets] if isinstance(nets, str) else list(nets)
        self.schedule, self.optimiser, self.betas = schedule, optimiser, tuple(betas)
        if not callable(loss):
            raise CourseError(f"Player {name!r} needs a function as its loss; it received {loss!r}.")
        if optimiser not in OPTIMISERS:
            raise CourseError(f"Player {name!r} asks for optimiser {optimiser!r}; there are {', '.join(OPTIMISERS)}.")
        if int(repeats) != repeats or repeats < 1:
            raise CourseError(f"Player {name!r} received repeats={repeats}; give a whole number, 1 or more.")

    def call(self, nets, batch, member):
        """The loss and further numbers for one member, as {name: number}, the loss under the player's name.

        A loss that is not one number (a 0-d tensor) raises CourseError.
        """
        result = self.loss(nets, batch, member)
        loss, extras = result if isinstance(result, tuple) else (result, {})
        for name, value in {self.name: loss, **extras}.items():
            if not isinstance(value, torch.Tensor) or value.dim() != 0:
                shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
                raise CourseError(
                    f"The loss of player {self.name!r} must give one number for {name!r} (a 0-d tensor), such as "
                    f"the mean over the batch; it gave {shape}."
                )
        numbers = {self.name: loss, **extras}  # a count or a yes or no becomes a float, so that it can be NaN one day
        kept = (torch.float32, torch.float64)  # and what autocast has left in half precision is summed up in full
        return {n: v if v.dtype in kept else v.to(torch.get_default_dtype()) for n, v in numbers.items()}

    def factor(self, step):
        """What its learning rate is multiplied by in round `step`."""
        return 1.0 if self.schedule is None else float(self.schedule(step))

    def rates(self, members):
        """The learning rate of each member, a list; one below 0 raises CourseError."""
        lr = self.lr
        if lr is None:
            lr = "learning_rate" if "learning_rate" in members.columns else 1e-3
        rates = members.column(lr).tolist() if isinstance(lr, str) else [float(lr)] * len(members)
        if min(rates) < 0:
            raise CourseError(f"Player {self.name!r} received a learning rate below 0: {min(rates)}.")
        return rates

    def describe(self):
        """What a checkpoint remembers of this player."""
        factors = [self.factor(step) for step in (0, 1, 10, 100, 1000, 10_000)]
        return [self.name, self.nets, self.repeats, self.clip, self.optimiser, list(self.betas), factors]
