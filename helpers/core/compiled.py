"""A whole round (all players, gradients, Adam) compiled to one piece of machine code by torch's inductor.

What it costs: 10 to 30 seconds once, and a C++ compiler (Colab has one). What it saves: half of the time or more of
dense networks. So it pays for runs of minutes, not for a cell of ten seconds; "auto" compiles from LONG member-steps.
The student's losses are traced once with real numbers, as they run anyway, so the compiler never sees their Python.
What the compiler of an older torch cannot do (2.4: some losses with a softmax) runs uncompiled, and a warning says so.
"""

import copy
import warnings

import torch

from . import checkpoint
from .step import Views, play_round

LONG = 300_000  # members × steps


class Compiled:
    """`compiled(group, numbers, rates, turns, step)` plays one round of all players, as `step.play_round` does."""

    def __init__(self, game):
        self.game, self.code, self.fixed = game, {}, {}  # by the size of a group; by the group itself
        self.losses = checkpoint.code(game)["losses"]

    def __call__(self, group, numbers: dict, rates: dict, turns: dict, step: int) -> dict:
        turns = {name: torch.tensor(float(turn), dtype=torch.float64) for name, turn in turns.items()}
        step = torch.tensor(float(step), dtype=torch.get_default_dtype(), device=self.game.device)
        drawn = {name: [{key: turn[key] for key in self.game.plans[name].keys} for turn in part]
                 for name, part in numbers.items()}  # fmt: skip
        moving = [drawn, rates, turns, step]
        if group not in self.fixed:  # what stays the same tensors: weights and moments, changed in place, and settings
            self.fixed[group] = list(_leaves([group.state, group.hyper]))
        if group.size not in self.code:
            self.code[group.size] = self._compile(group, [group.state, group.hyper, *moving])
        function, names = self.code[group.size]
        return dict(zip(names, function(*self.fixed[group], *_leaves(moving)), strict=True))

    def _compile(self, group, tree):
        names, players = [], list(self.game.players.values())

        def whole_round(*tensors):
            traced = copy.copy(group)
            traced.state, traced.hyper, *moving = _rebuild(tree, iter(tensors))
            traced.views = Views(self.game.stacks, traced.state)
            results = play_round(traced, players, *moving)
            names[:] = results
            return list(results.values())

        import torch._inductor as inductor  # slow to import, so only where it is used
        from torch.fx.experimental.proxy_tensor import make_fx

        written_out = {torch.ops.aten.bmm.default: _bmm, torch.ops.aten.baddbmm.default: _baddbmm}
        written_out[torch.ops.aten.convolution.default] = _convolution
        inputs = [t.clone() for t in _leaves(tree)]  # tracing runs the round once, on these
        graph = make_fx(whole_round, written_out)(*inputs)
        if any(torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) for node in graph.graph.nodes):
            raise RuntimeError("a loss draws random numbers that its trial run did not")
        return inductor.compile(graph, inputs), names


def _leaves(tree):
    """The tensors of nested dicts and lists, in their order."""
    if isinstance(tree, torch.Tensor):
        yield tree
    else:
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(part)


def _rebuild(tree, tensors):
    """The same nest with the next tensors in place of its own."""
    if isinstance(tree, torch.Tensor):
        return next(tensors)
    if isinstance(tree, dict):
        return {key: _rebuild(part, tensors) for key, part in tree.items()}
    return [_rebuild(part, tensors) for part in tree]


THIN = 4  # a matrix product with a side this short costs less as part of a loop than as a call to the BLAS


def _bmm(a, b):
    """(members, n, k) times (members, k, m): written out where n, k or m is short, e.g. for points in the plane."""
    k, short = a.shape[2], min(a.shape[1], b.shape[2])
    if k <= THIN:  # a sum of k outer products, which fuses with what comes next
        return sum((a[:, :, i : i + 1] * b[:, i : i + 1, :] for i in range(1, k)), a[:, :, :1] * b[:, :1, :])
    if short > THIN:
        return NotImplemented
    if b.shape[2] <= THIN:
        return torch.cat([(a * b[:, :, i].unsqueeze(1)).sum(2, keepdim=True) for i in range(b.shape[2])], 2)
    return torch.cat([(a[:, i, :].unsqueeze(2) * b).sum(1, keepdim=True) for i in range(a.shape[1])], 1)


def _baddbmm(c, a, b, *, beta=1, alpha=1):
    product = _bmm(a, b)
    return NotImplemented if product is NotImplemented or beta != 1 or alpha != 1 else c + product


def _convolution(x, weight, bias, *settings):
    """The bias is added afterwards: inductor up to torch 2.11, at least, takes none that is part of a longer tensor."""
    if bias is None:
        return NotImplemented
    return torch.ops.aten.convolution.default(x, weight, None, *settings) + bias.view(-1, *[1] * (x.dim() - 2))


def prepare(game, member_steps: int, interrupt) -> None:
    """Decide, once in a game's life, whether it is compiled, and compile it; where that fails, say so and go on.

    What the losses read from the notebook is part of the machine code: if it has changed, it is compiled anew.
    """
    wanted = game.compile is True or (game.compile == "auto" and member_steps >= LONG and game.group > 1)
    if (game.compiled and game.compiled.losses == checkpoint.code(game)["losses"]) or not (wanted or game.compiled):
        return
    if game.strict or any(plan.draws for plan in game.plans.values()):
        game.compile, game.compiled = False, None
        warnings.warn("Losses that draw random numbers of other kinds than torch.rand and torch.randn are not compiled: "
                      "they run as they are, slower.", stacklevel=4)  # fmt: skip
        return game.regroup()
    game.compiled = Compiled(game)
    game.regroup()
    try:
        with torch.no_grad():
            for group in {g.size: g for g in game.groups}.values():
                before = [t.clone() for t in _leaves(group.state)]
                try:
                    group.round(list(game.players.values()), game.turns, game.step)
                finally:
                    for tensor, value in zip(_leaves(group.state), before, strict=True):
                        tensor.copy_(value)
    except BaseException as error:  # no compiler, or something that it cannot do; or somebody pressed stop twice
        game.compiled = None
        game.regroup()
        if not isinstance(error, Exception):
            raise
        if interrupt.asked:  # the press reached the compiler's process, too, and ended it: nothing is wrong with it
            return
        game.compile = False
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        if " " in torch.__file__ and "C++ compile error" in reason:  # its commands have no quotes round its own folder
            reason = "torch's compiler cannot be used from a folder whose name has a blank in it"
        warnings.warn(f"These losses could not be compiled ({reason}), so they run as they are: slower, but the same.",
                      stacklevel=4)  # fmt: skip
