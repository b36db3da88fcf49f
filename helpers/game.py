"""A game: players that own networks and train them, for many members (seeds × hyper-parameters) at once.

>>> game = Game(nets={"G": make_generator, "D": make_discriminator},
...             players=[Player("D", d_loss, repeats=3), Player("G", g_loss)],
...             sample=[rows(64, x=points), normal(z=(64, 2))],
...             members=sweep(seed=range(8), penalty=[0.1, 10]))
>>> game.train(2000)
>>> game.history["D"]              # losses, (steps, members)
>>> game.member(3).G               # one network as an ordinary module
"""

import contextlib
import warnings
from itertools import pairwise

import torch

from . import checkpoint, training
from .draws import Stream, by_name
from .engine import Group, Plan, Views, forward, rows_of, runs_batched, streams
from .errors import CourseError
from .gpu import has_fast_bf16
from .members import Members, Named, sweep
from .optimisers import OPTIMISERS
from .stacks import Stack
from .turns import in_turn

CACHE = 3 * 2**19  # bytes of weights and moments that one group of members should fill
LEAST, LEAST_COMPILED, MOST = 32, 8, 64  # members per group: uncompiled, each call costs, so it should serve more


class Game:
    """Networks, players and members. One player is supervised learning, two a GAN, two with two networks each CycleGAN.

    nets: {name: a function that builds one network, or a trained module that all members use as it is}.
    players: a list of `Player`, in the order of their turns; every round (step), each makes its `repeats` turns.
    sample: a list of what a batch holds: `rows`, `normal`, `uniform`.
    members: a `sweep`, or a number n for seeds 0 to n − 1.
    average: {name of a network: decay} for those whose weights are averaged, e.g. {"G": 0.99}.
    group: how many members are computed together; by default chosen for the processor's cache. 1 computes member
    after member, which is how networks with convolutions run fastest on a CPU.
    compile: True compiles the whole round first: 10 to 30 seconds once, then dense networks train about twice as fast.
    "auto" does so for a long run of many members. It needs a C++ compiler; without one, training goes on uncompiled.
    bf16: True computes the losses in bfloat16 where torch deems it safe (autocast); weights and moments stay float32.
    Networks with convolutions train nearly twice as fast on a processor that has it (`has_fast_bf16`); on any other
    it is refused.
    What does not fit together (a name that nobody gave, a loss that no weight moves) raises CourseError.
    """

    @in_turn  # starting networks sets the random seed for a moment
    def __init__(self, nets, players, sample=(), members=1, average=None, device="cpu", group=None, compile=False,
                 bf16=False):  # fmt: skip
        self.members = members if isinstance(members, Members) else sweep(seed=range(members))
        self.device, self.averages, self.bf16 = torch.device(device), dict(average or {}), bool(bf16)
        if bf16 and not has_fast_bf16(self.device):
            raise CourseError(
                f"bf16=True was asked for, but this {self.device.type} only emulates bfloat16, which is slower than "
                "float32; leave it out, or write bf16=has_fast_bf16(device)."
            )
        self.players = {player.name: player for player in players}
        self.sample = by_name(sample)
        self.data = {n: d.data[n].to(self.device) for n, d in self.sample.items() if d.kind == "rows"}
        self.stacks = {n: Stack(n, make, self.members.columns["seed"], self.device) for n, make in nets.items()}
        self._check(players)
        self.state = {n: stack.state for n, stack in self.stacks.items() if stack.state}
        for player in self.players.values():
            for net in player.nets:
                for key in OPTIMISERS[player.optimiser][1]:
                    self.state[net][key] = torch.zeros_like(self.state[net]["weights"])
        for net in self.averages:
            self.state[net]["average"] = self.state[net]["weights"].clone()
        values = {n: torch.tensor(self.members.columns[n], device=self.device) for n in self.members.columns}
        self.hyper = {n: v.to(torch.get_default_dtype()) if n != "seed" else v for n, v in values.items()}
        self.rates = {p.name: self._tensor(p.rates(self.members)) for p in self.players.values()}
        self.compile, self.compiled, self.asked_group, self.group = compile, None, group, group or len(self.members)
        with training.explain_memory(self):
            self.plans = {p.name: Plan(self, p.name, p.call, self.sample, p) for p in self.players.values()}
            self.batchable = self._batchable()
            self.regroup()
        self.step, self.turns, self.frozen = 0, dict.fromkeys(self.players, 0), {}
        self.history = training.History(len(self.members))

    def __repr__(self):
        return f"Game of {', '.join(self.players)} at step {self.step}; {self.members}"

    def train(self, steps=None, *, until=None, only=None, callback=None, every=100, checkpoint=None, progress=None):
        """Train `steps` rounds more, or `until` a step is reached; see `helpers.training.train` for all arguments."""
        return training.train(self, steps, until, only, callback, every, checkpoint, progress)

    @in_turn
    def evaluate(self, function, averaged=True):
        """`function(nets, member)` for every member, in eval mode and without gradients: an array (members, ...).

        It is written for one member and returns a tensor. Where a network's weights are averaged, the averages
        are used, unless `averaged=False`. Random numbers drawn in it are the member's own, the same at each call.
        """
        weights = "average" if averaged else "weights"
        with training.explain_memory(self), torch.no_grad(), _eval_mode(self.stacks.values()):
            plan = Plan(self, "evaluate", lambda nets, batch, member: function(nets, member), {}, weights=weights)
            size, results = (1 if self.group == 1 or plan.convolves else self.group), []
            for i in range(0, len(self.members), size):
                part = slice(i, i + size)
                state = {n: {k: v[part] for k, v in s.items()} for n, s in self.state.items()}
                seeds = self.members.columns["seed"][part]
                numbers = {r.names: Stream(r, seeds, f"evaluate/{r.names[0]}", self.device).at(0) for r in plan.randoms}
                views = Views(self.stacks, state, weights)
                used = {n: views.used[n] for n in plan.nets}
                hyper = {n: v[part] for n, v in self.hyper.items()}
                call = lambda nets, batch, member: {"result": function(nets, member)}  # noqa: E731
                results.append(
                    forward(self, plan, call, used, views.buffers, numbers, hyper, self.step, len(seeds))["result"]
                )
        return torch.cat(results).cpu().numpy()

    @in_turn
    def member(self, i, averaged=True):
        """Member `i`'s networks as ordinary modules of their own, in eval mode: `game.member(3).G`."""
        i = range(len(self.members))[i] if -len(self.members) <= i < len(self.members) else self.members[i]
        nets = {}
        for name, stack in self.stacks.items():
            state = self.state.get(name, {})
            weights = state.get("average") if averaged and "average" in state else state.get("weights")
            nets[name] = stack.module(i, None if weights is None else weights[i])
        return Named(f"member {i}", nets)

    def batch(self, player, turn=0):
        """What the player's loss receives at its turn `turn` (from 0): {name: (members, ...)}. Changes nothing."""
        plan = self.plans[player]
        numbers = {key: s.at(turn) for key, s in streams(plan, self.members.columns["seed"], self.device).items()}
        return {name: rows_of(draw, numbers[draw.names], self.data.get(name)) for name, draw in plan.fields.items()}

    @in_turn
    def set_rate(self, player, lr):
        """Give a player another learning rate from here on: one number, or one for each member (a live slider's way).

        A checkpoint belongs to the rates that it was written with: set them before `load`, too. A player who is not
        there, a rate below 0 or not one for each member raises CourseError.
        """
        if player not in self.players:
            raise CourseError(f"set_rate knows no player {player!r}; they are {', '.join(self.players)}.")
        rates = torch.as_tensor(lr, dtype=torch.get_default_dtype(), device=self.device)
        if rates.dim() > 1 or rates.numel() not in (1, len(self.members)) or not (rates >= 0).all():
            raise CourseError(f"A learning rate is one number, 0 or more, or one for each member; set_rate got {lr}.")
        self.rates[player].copy_(rates.expand(len(self.members)))  # in place: the groups of members look at it

    @in_turn
    def save(self, path):
        """Write everything that training needs to go on exactly from here to one file, replaced as a whole."""
        checkpoint.save(self, path)

    @in_turn
    def load(self, path):
        """Go back to the state in the file; refuses a file that is damaged or was written by another game."""
        checkpoint.load(self, path)

    def _tensor(self, values):
        return torch.tensor(values, dtype=torch.get_default_dtype(), device=self.device)

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
        for net in self.averages:
            if net not in owners:
                raise CourseError(f"average names {net!r}, which no player trains; there are {', '.join(owners)}.")

    def _batchable(self):
        """Whether members are computed together: not if a loss convolves on a CPU, or does what vmap cannot."""
        if len(self.members) == 1 or self.asked_group == 1:
            return False
        if self.asked_group is None and self.device.type == "cpu" and any(p.convolves for p in self.plans.values()):
            return False  # vmap turns them into grouped convolutions, which cost more than one member after another
        error = runs_batched(self)
        if error is not None:
            warnings.warn(
                "These losses cannot be computed for all members at once, so members are trained one after another: "
                f"{str(error).splitlines()[0]}", stacklevel=4)  # fmt: skip
        return error is None

    def regroup(self):
        """Divide the members into groups of nearly the same size: as asked for, or as many as the cache holds."""
        size = sum(t[0].numel() * t.element_size() for s in self.state.values() for t in s.values())
        least = LEAST_COMPILED if self.compiled else LEAST
        size = self.asked_group or max(least, min(MOST, CACHE // max(1, size)))
        parts = -(-len(self.members) // (size if self.batchable else 1))
        bounds = [len(self.members) * i // parts for i in range(parts + 1)]
        self.groups = [Group(self, start, stop) for start, stop in pairwise(bounds)]
        self.group = self.groups[0].size


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
