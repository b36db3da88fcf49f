"""What you ask for: a game, its players, and its members (seeds × hyper-parameters), all trained at once.

>>> game = Game(nets={"G": make_generator, "D": make_discriminator},
...             players=[Player("D", d_loss, repeats=3), Player("G", g_loss)],
...             sample=[rows(64, x=points), normal(z=(64, 2))],
...             members=sweep(seed=range(8), penalty=[0.1, 10]))
>>> game.train(2000)
>>> game.history["D"]              # losses, (steps, members)
>>> game.member(3).G               # one network as an ordinary module
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise, product
from numbers import Real
from typing import Any

import numpy as np
import torch

from ..gpu import has_fast_bf16
from ..page import CourseError, locked
from . import checkpoint, loop
from .batch import Named, by_name, free, number, rows_of, whole
from .step import OPTIMISERS, Group, Plan, Stack, State, apart, forward

CACHE, CACHE_COMPILED = 2**22, 3 * 2**19  # bytes of weights and moments that one group of members should fill
LEAST, LEAST_COMPILED, MOST = 32, 8, 256  # members of a group: uncompiled, each call costs, so it should serve more


def Schedule(*points: tuple[float, float]) -> Callable[[int], float]:
    """What the learning rate is multiplied by at each step, from points (step, factor) joined by straight lines.

    The function that it returns is constant before the first point and after the last, and carries its `points`. No
    points, steps that do not grow and factors below 0 raise CourseError.
    """
    points = tuple((number("A step of a schedule", s), number("A factor of a schedule", f)) for s, f in points)
    if not points or any(a[0] >= b[0] for a, b in pairwise(points)):
        raise CourseError(f"A schedule needs points with growing steps; it received {points}.")

    def factor(step):
        if step <= points[0][0]:
            return points[0][1]
        for (s0, f0), (s1, f1) in pairwise(points):
            if step < s1:
                return f0 + (f1 - f0) * (step - s0) / (s1 - s0)
        return points[-1][1]

    factor.points = points
    return factor


def falling(start: float, end: float) -> Callable[[int], float]:
    """The full learning rate up to step `start`, then in a straight line to zero at step `end`."""
    return Schedule((start, 1.0), (end, 0.0))


class Player:
    """One player: the networks it owns, the loss it minimises, and how its weights move.

    Parameters
    ----------
    name : str
    loss : callable
        `loss(nets, batch, member)`, written for one member, returns one number to minimise. `nets.G`, `batch.x`,
        `member.penalty` are the networks, this turn's batch and the member's hyper-parameters (0-d tensors);
        `batch.step` is the round. It may return further numbers for the history: `return loss, {"margin": m}`.
    nets : list of str, optional
        The networks it owns (default: the one with its name); only these are trained by it.
    lr : float or str, optional
        The learning rate, or the name of a swept hyper-parameter; default: swept "learning_rate", or 1e-3.
    repeats : int
        Turns in each round.
    clip : float, optional
        After each turn, weights are clipped to [−clip, clip] (WGAN).
    schedule : callable, optional
        step → factor on the learning rate, such as `falling(1000, 2000)`.
    optimiser : "adam" with `betas`, or "sgd"

    What cannot be played (no function, an unknown optimiser, half a turn, a rate below 0) raises CourseError.
    """

    def __init__(self, name: str, loss: Callable, nets: list[str] | str | None = None, *, lr: float | str | None = None,
                 repeats: int = 1, clip: float | None = None, schedule: Callable | None = None,
                 optimiser: str = "adam", betas: tuple[float, float] = (0.9, 0.999)):  # fmt: skip
        free("Player", [name])
        self.name, self.loss, self.schedule, self.optimiser = name, loss, schedule, optimiser
        self.nets = [name] if nets is None else [nets] if isinstance(nets, str) else list(nets)
        self.lr = (
            lr if lr is None or isinstance(lr, str) else number(f"The learning rate of {name!r} (not below 0)", lr)
        )
        self.repeats = whole(f"Player {name!r} received repeats={repeats}, which", repeats, 1)
        self.clip = None if clip is None else number(f"The clip of {name!r}", clip, 1e-12)
        betas = list(betas) if isinstance(betas, Iterable) else [betas]
        self.betas = tuple(number(f"Each of Adam's two betas of {name!r}", beta, 0, 1 - 1e-9) for beta in betas)
        if not callable(loss):
            raise CourseError(f"Player {name!r} needs a function as its loss; it received {loss!r}.")
        if optimiser not in OPTIMISERS:
            raise CourseError(f"Player {name!r} asks for optimiser {optimiser!r}; there are {', '.join(OPTIMISERS)}.")
        if len(self.betas) != 2 or len(set(self.nets)) < max(1, len(self.nets)):
            raise CourseError(
                f"Player {name!r} needs two betas, and each network once; it received {betas}, {self.nets}."
            )
        if schedule is not None and not callable(schedule):
            raise CourseError(f"The schedule of {name!r} must be a function step → factor; it is {schedule!r}.")
        self.factor(0)

    def call(self, nets: Named, batch: Named, member: Named) -> dict[str, torch.Tensor]:
        """The loss and further numbers for one `member` (its `nets`, its `batch`), as {name: number}, the loss under its name."""
        result = self.loss(nets, batch, member)
        loss, extras = result if isinstance(result, tuple) and len(result) == 2 else (result, {})
        if not isinstance(extras, Mapping) or self.name in extras:
            raise CourseError(f"The loss of player {self.name!r} may return `loss, {{name: number}}` with other names than "
                              f"{self.name!r}; it returned {extras!r}.")  # fmt: skip
        for name, value in {self.name: loss, **extras}.items():
            if not isinstance(value, torch.Tensor) or value.dim() != 0 or value.is_complex():
                shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
                raise CourseError(
                    f"The loss of player {self.name!r} must give one number for {name!r} (a 0-d tensor), such as "
                    f"the mean over the batch; it gave {shape}."
                )
        numbers = {self.name: loss, **extras}  # a count or a yes or no becomes a float, so that it can be NaN one day
        kept = (torch.float32, torch.float64)  # and what autocast has left in half precision is summed up in full
        return {n: v if v.dtype in kept else v.to(torch.get_default_dtype()) for n, v in numbers.items()}

    def factor(self, step: int) -> float:
        """What its learning rate is multiplied by in round `step`; a schedule that gives no such number is refused."""
        if self.schedule is None:
            return 1.0
        return number(f"What the schedule of {self.name!r} gives at step {step}", self.schedule(step))

    def rates(self, members: "Members") -> list[float]:
        """The learning rate of each member; a name that the members have not, or a rate below 0, raises CourseError."""
        lr = ("learning_rate" if "learning_rate" in members.columns else 1e-3) if self.lr is None else self.lr
        rates = members.column(lr).tolist() if isinstance(lr, str) else [lr] * len(members)
        return [number(f"A learning rate of {self.name!r} (not below 0)", rate) for rate in rates]


class Members:
    """The members of a game and the hyper-parameters of each; `columns` maps a name to one value per member.

    >>> members = sweep(seed=range(2), penalty=[0.1, 10])
    >>> len(members), members.label(3), members.where(penalty=10)
    (4, 'seed=1, penalty=10', array([1, 3]))
    """

    def __init__(self, columns: dict[str, list]):
        self.columns = {name: list(values) for name, values in columns.items()}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: Any) -> "Members | Named":
        """One member (by number), or some as new Members: by slice, list of numbers, or a True or False for each."""
        if isinstance(key, slice):
            chosen = range(len(self))[key]
        elif np.ndim(key) == 0:
            row = self._row(key)
            return Named("member", {name: values[row] for name, values in self.columns.items()})
        else:
            key = np.asarray(key)
            if key.dtype == bool and len(key) != len(self):
                raise CourseError(
                    f"A mask of members has one True or False for each of {len(self)}; it has {len(key)}."
                )
            chosen = np.flatnonzero(key) if key.dtype == bool else [self._row(i) for i in key]
        if len(chosen) == 0:
            raise CourseError(f"No member was chosen; there are {len(self)}: 0 to {len(self) - 1}.")
        return Members({name: [values[i] for i in chosen] for name, values in self.columns.items()})

    def __repr__(self):
        return f"{len(self)} members: " + ", ".join(f"{k}={list(dict.fromkeys(v))}" for k, v in self.columns.items())

    def _row(self, key):
        row = whole("The number of a member", key, -len(self))
        if row >= len(self) or isinstance(key, (bool, np.bool_)):
            raise CourseError(f"Member {key} was asked for, but there are {len(self)}: 0 to {len(self) - 1}.")
        return row

    def label(self, i: int) -> str:
        """Member `i` in words, such as 'seed=3, penalty=10'."""
        return ", ".join(f"{name}={values[i]}" for name, values in self.columns.items())

    def column(self, name: str) -> np.ndarray:
        """The values of one hyper-parameter, (members,); a name that is not there raises CourseError."""
        if name not in self.columns:
            raise CourseError(f"The members have no {name!r}; they have {', '.join(self.columns)}.")
        return np.array(self.columns[name])

    def where(self, **wanted) -> np.ndarray:
        """The numbers of the members with these values, `where(penalty=10)`: (found,); CourseError if there is none.

        Fractions are compared to six digits: 0.3 finds what 3 * 0.1 or single precision have made of it.
        """
        hits = np.ones(len(self), dtype=bool)
        for name, value in wanted.items():
            column = self.column(name)
            if np.ndim(value):
                raise CourseError(f"where compares {name!r} with one number; it received {value!r}.")
            same = column == value
            hits &= same if same.any() or column.dtype.kind != "f" else np.isclose(column, value, rtol=1e-6, atol=1e-12)
        if not hits.any():
            raise CourseError(f"No member has {', '.join(f'{n}={v}' for n, v in wanted.items())}; there are {self!r}.")
        return np.flatnonzero(hits)


def sweep(**lists: Iterable[float] | float) -> Members:
    """All combinations of the named lists: `sweep(seed=range(8), penalty=[0.1, 10])` is 16 members.

    `seed` decides a member's first weights and all its random draws, so members that share a seed differ in the
    other hyper-parameters only. Values must be numbers, because the losses of all members are computed together; other
    values, empty lists and seeds that are not whole numbers from 0 on raise CourseError.
    """
    free("sweep", lists)
    lists = {"seed": [0], **lists} if "seed" not in lists else lists
    lists = {k: list(v) if isinstance(v, Iterable) and not isinstance(v, str) else [v] for k, v in lists.items()}
    for name, values in lists.items():
        if not values:
            raise CourseError(f"sweep received an empty list for {name!r}; give it at least one value.")
        values[:] = [v.item() if isinstance(v, (np.generic, torch.Tensor)) and np.ndim(v) == 0 else v for v in values]
        for value in values:
            if not isinstance(value, Real):
                raise CourseError(
                    f"sweep needs numbers; {name!r} received {value!r}. For names, make one game for each instead."
                )
            number(f"Each {name!r} of a sweep", value, -float("inf")) if name != "seed" else None
    lists["seed"] = [whole("A seed", seed) for seed in lists["seed"]]
    if max(lists["seed"]) >= 2**63:
        raise CourseError(f"A seed must be a whole number below 2**63; sweep received {max(lists['seed'])}.")
    rows = list(product(*lists.values()))
    return Members({name: [row[i] for row in rows] for i, name in enumerate(lists)})


class Game:
    """Networks, players and members. One player is supervised learning, two a GAN, two with two networks each CycleGAN.

    Parameters
    ----------
    nets : dict
        {name: a function that builds one network, or a trained module that all members use as it is}.
    players : list of Player
        In the order of their turns; every round (step), each makes its `repeats` turns.
    sample : list
        What a batch holds: `rows`, `normal`, `uniform`.
    members : Members or int
        A `sweep`, or a number n for seeds 0 to n − 1.
    average : dict, optional
        {network: decay} for those whose weights are averaged, e.g. {"G": 0.99}.
    device : str or torch.device
    group : int, optional
        How many members are computed together; by default chosen for the processor. 1 computes member after member,
        which is how networks with convolutions run fastest on a CPU.
    compile : bool or "auto"
        True compiles the whole round first: 10 to 30 seconds once, then dense networks train about twice as fast. "auto"
        does so for a long run of many members. It needs a C++ compiler; without one, training goes on uncompiled. The
        losses' Python runs once, when they are compiled: what they read from the notebook is looked at again at the next
        `train`, but a print, a counter or an `if` on something else in them is not run in each step.
    bf16 : bool
        Compute the losses in bfloat16 where torch deems it safe (autocast); weights and moments stay float32. Networks
        with convolutions train nearly twice as fast on a processor that has it (`has_fast_bf16`).

    What does not fit together (a name that nobody gave or that is taken, a loss that does not depend on its player's
    networks, a random generator in a loss, bfloat16 where it would be emulated) raises CourseError.
    """

    @locked  # starting networks sets the random seed for a moment
    def __init__(self, nets: dict, players: list[Player], sample: list = (), members: Members | int = 1,
                 average: dict | None = None, device: str | torch.device = "cpu", group: int | None = None,
                 compile: bool | str = False, bf16: bool = False):  # fmt: skip
        if isinstance(members, (list, tuple, range, np.ndarray)):
            raise CourseError(f"members is a number or a sweep; for these seeds write sweep(seed={members!r}).")
        self.members = members if isinstance(members, Members) else sweep(seed=range(whole("members", members, 1)))
        if not isinstance(average or {}, Mapping):
            raise CourseError(f"average maps a network's name to its decay, such as {{'G': 0.99}}; it is {average!r}.")
        self.device, self.averages, self.bf16 = _device(device), dict(average or {}), bool(bf16)
        if bf16 and not has_fast_bf16(self.device):
            raise CourseError(
                f"bf16=True was asked for, but this {self.device.type} only emulates bfloat16, which is slower than "
                "float32; leave it out, or write bf16=has_fast_bf16(device)."
            )
        players = [players] if isinstance(players, Player) else list(players)
        if not isinstance(nets, Mapping) or not all(isinstance(player, Player) for player in players):
            raise CourseError("A game needs nets={name: function that builds it} and players=[Player(...), ...].")
        if compile not in (True, False, "auto"):
            raise CourseError(f"compile is True, False or 'auto'; it received {compile!r}.")
        free("nets", nets)
        self.players = {player.name: player for player in players}
        self.sample = by_name(sample, self.device)
        self.stacks = {n: Stack(n, make, self.members.columns["seed"], self.device) for n, make in nets.items()}
        self._check(players)
        self.state = State({n: State(stack.state) for n, stack in self.stacks.items() if stack.state})
        for player in self.players.values():
            for net in player.nets:
                weights = self.stacks[net].state["weights"]
                moments = {key: torch.zeros_like(weights) for key in OPTIMISERS[player.optimiser][1]}
                averaged = {"average": weights.clone()} if net in self.averages else {}
                dict.update(self.state[net], moments | averaged)
        values = {n: torch.tensor(column, device=self.device) for n, column in self.members.columns.items()}
        self.hyper = {n: v.to(torch.get_default_dtype()) if n != "seed" else v for n, v in values.items()}
        self.rates = {p.name: torch.tensor(p.rates(self.members), dtype=torch.get_default_dtype(), device=self.device)
                      for p in self.players.values()}  # fmt: skip
        self.step, self.turns, self.frozen = 0, dict.fromkeys(self.players, 0), {}
        self.history = loop.History(len(self.members))
        self.compile, self.compiled, self.strict = compile, None, False
        self.asked = None if group is None else whole("group", group, 1)
        self.group = self.asked or len(self.members)
        self.code = checkpoint.code(self)
        with loop.explain_memory(self):
            self.plans = {p.name: Plan(self, p.name, p.call, p) for p in self.players.values()}
            for plan in self.plans.values():
                others = [
                    name for other in self.plans.values() if other is not plan for name in [other.name, *other.extras]
                ]
                free(f"Player {plan.name!r} returns", plan.extras, taken=others)
            self.together = self._together()
            self.regroup()

    def __repr__(self):
        return f"Game of {', '.join(self.players)} at step {self.step}; {self.members}"

    def train(self, steps: int | None = None, *, until: int | None = None, only: str | list[str] | None = None,
              callback: Callable | None = None, every: int = 100, checkpoint: str | os.PathLike | None = None,
              progress: bool | None = None) -> None:  # fmt: skip
        """Train `steps` rounds more, or `until` a step is reached. Ctrl-C keeps everything; call it again to go on.

        Parameters
        ----------
        only : str or list of str, optional
            The player, or players, that make their turns.
        callback : callable, optional
            A function of the game, called after every `every` steps, for live pictures.
        checkpoint : path, optional
            A file there is loaded first if the game has not begun; it is written every 30 seconds and at the end. The
            same line (with `until`), run again after a crash, goes on exactly.
        progress : bool, optional
            Show a bar; by default not under tests, CI or COURSE_PROGRESS=0.

        Neither or both of `steps` and `until`, an unknown player, a folder that is not there raise CourseError; so does
        running out of memory, with the number to lower.
        """
        arguments = {"steps": steps, "until": until, "only": only, "callback": callback, "every": every,
                     "checkpoint": checkpoint, "progress": progress}  # fmt: skip
        loop.train(self, **arguments)

    @locked
    def evaluate(self, function: Callable, averaged: bool = True) -> np.ndarray:
        """`function(nets, member)` for every member, in eval mode and without gradients.

        Parameters
        ----------
        function : callable
            Written for one member; returns a tensor. Random numbers drawn in it are the member's own, the same each time.
        averaged : bool
            Use the averages of the weights, where there are any.

        Returns
        -------
        array (members, ...)
        """
        weights = "average" if averaged else "weights"
        call = lambda nets, batch, member: {"result": torch.as_tensor(function(nets, member))}  # noqa: E731
        with loop.explain_memory(self), torch.no_grad(), _eval_mode(self.stacks.values()):
            plan = Plan(self, "evaluate", call, weights=weights)
            size, results = (1 if self.group == 1 or plan.convolves else self.group), []
            for start in range(0, len(self.members), size):
                group = Group(self, start, min(start + size, len(self.members)), weights, apart=True)
                results.append(forward(group, plan, group.numbers("evaluate", 0), self.step)["result"])
        return torch.cat(results).cpu().numpy()

    @locked
    def member(self, i: int, averaged: bool = True) -> Named:
        """Member `i`'s networks as modules of their own, in eval mode: `game.member(3).G`; `averaged` as in `evaluate`."""
        i = self.members._row(i) % len(self.members)
        nets = {}
        for name, stack in self.stacks.items():
            state = self.state.get(name, {})
            weights = state.get("average") if averaged and "average" in state else state.get("weights")
            nets[name] = stack.module(i, None if weights is None else weights[i])
        return Named(f"member {i}", nets)

    def batch(self, player: str, turn: int = 0) -> dict[str, torch.Tensor]:
        """What the player's loss receives at its turn `turn` (from 0): {name: (members, ...)}. Changes nothing."""
        if player not in self.players:
            raise CourseError(f"batch knows no player {player!r}; they are {', '.join(self.players)}.")
        numbers = Group(self, 0, len(self.members)).numbers(player, whole("A turn", turn))
        return {name: rows_of(self.sample[name], name, numbers) for name in self.plans[player].fields}

    @locked
    def set_rate(self, player: str, lr: float | Iterable[float]) -> None:
        """Give a player another learning rate `lr` from here on: one, or one for each member (a live slider's way).

        A checkpoint belongs to the rates that it was written with: set them before `load`, too. A player who is not
        there, a rate below 0 or not one for each member raises CourseError.
        """
        if player not in self.players:
            raise CourseError(f"set_rate knows no player {player!r}; they are {', '.join(self.players)}.")
        try:
            rates = torch.as_tensor(lr, dtype=torch.get_default_dtype(), device=self.device)
        except (TypeError, ValueError, RuntimeError):
            rates = torch.full((), float("nan"))
        one_each = rates.dim() < 2 and rates.numel() in (1, len(self.members))
        if not one_each or not (rates >= 0).all() or not rates.isfinite().all():
            raise CourseError(f"A learning rate is one number, 0 or more, or one for each member; set_rate got {lr}.")
        self.rates[player].copy_(rates.expand(len(self.members)))  # in place: the groups of members look at it

    @locked
    def save(self, path: str | os.PathLike) -> None:
        """Write everything that training needs to go on exactly from here to the file `path`, replaced as a whole."""
        checkpoint.save(self, path)

    @locked
    def load(self, path: str | os.PathLike) -> None:
        """Go back to the state in the file `path`; refuses one that is damaged or was written by another game."""
        checkpoint.load(self, path)

    def _check(self, players):
        if len(self.players) < len(players):
            raise CourseError(f"Two players have the same name: {', '.join(p.name for p in players)}.")
        owners = {}
        for player in players:
            for net in player.nets:
                if net not in self.stacks or self.stacks[net].shared:
                    raise CourseError(
                        f"Player {player.name!r} owns {net!r}, which is not a function in nets; nets has "
                        f"{', '.join(self.stacks)}. Name the networks it owns: Player({player.name!r}, loss, ['...'])."
                    )
                if net in owners:
                    raise CourseError(f"{net!r} is owned by both {owners[net]!r} and {player.name!r}; let one own it.")
                owners[net] = player.name
        for net, decay in self.averages.items():
            if net not in owners:
                raise CourseError(f"average names {net!r}, which no player trains; there are {', '.join(owners)}.")
            self.averages[net] = number(f"The decay of {net!r}'s average", decay, 0, 1)

    def _together(self):
        """Whether members are computed together: not if a loss convolves on a CPU, or does what vmap cannot."""
        if len(self.members) == 1 or self.asked == 1:
            return False
        if self.asked is None and self.device.type == "cpu" and any(p.convolves for p in self.plans.values()):
            return False  # vmap turns them into grouped convolutions, which cost more than one member after another
        reason = apart(self)
        if reason is not None:
            warnings.warn(
                "These losses cannot be computed for all members at once, so members are trained one after another: "
                f"{str(reason).splitlines()[0]}", stacklevel=4)  # fmt: skip
        return reason is None

    def regroup(self) -> None:
        """Divide the members into groups of nearly the same size: as asked for, or what the processor does fastest."""
        size = sum(t[0].numel() * t.element_size() for s in self.state.values() for t in s.values())
        cache, least = (CACHE_COMPILED, LEAST_COMPILED) if self.compiled else (CACHE, LEAST)
        most = max(least, min(MOST, cache // max(1, size)))
        parts = -(-len(self.members) // ((self.asked or most) if self.together else 1))
        bounds = [len(self.members) * i // parts for i in range(parts + 1)]
        self.groups = [Group(self, start, stop) for start, stop in pairwise(bounds)]
        self.group = self.groups[0].size


def _device(device):
    try:
        device = torch.device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise CourseError(f"There is no device {device!r} here ({str(error).splitlines()[0][:80]}); use the one that "
                          "check_gpu() returns.") from None  # fmt: skip
    return device


@contextlib.contextmanager
def _eval_mode(stacks):
    """Networks in eval mode for a while; then each of their modules in the mode that it had."""
    modes = [(module, module.training) for stack in stacks for module in stack.worker.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
