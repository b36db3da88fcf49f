"""A whole round (all players, gradients, Adam) compiled to one piece of machine code by torch's inductor.

What it costs: 10 to 30 seconds once, and a C++ compiler (Colab has one). What it saves: half of the time or more of
dense networks. So it pays for runs of minutes, not for a cell of ten seconds; "auto" compiles from LONG member-steps.
The student's losses are traced once with real numbers, as they run anyway, so the compiler never sees their Python.
"""

import warnings

import torch
from torch.utils import _pytree as pytree

from .engine import Views, play_round

LONG = 300_000  # members × steps


class Compiled:
    """`compiled(group, numbers, rates, turns, step)` plays one round of all players, as `engine.play_round` does."""

    def __init__(self, game):
        self.game, self.code = game, {}  # {members in the group: compiled function}

    def __call__(self, group, numbers, rates, turns, step):
        if group.size not in self.code:
            self.code[group.size] = self._compile(*self._inputs(group, numbers, rates, turns, step, clone=True))
        inputs, _ = self._inputs(group, numbers, rates, turns, step)
        function, names = self.code[group.size]
        return dict(zip(names, function(*inputs), strict=True))

    def _inputs(self, group, numbers, rates, turns, step, clone=False):
        """Everything a round reads or changes, as a flat list of tensors, and how to put it together again."""
        state = group.state
        if clone:
            state = {n: {k: v.clone() for k, v in s.items()} for n, s in state.items()}
        turns = {name: torch.tensor(float(turn), dtype=torch.float64) for name, turn in turns.items()}
        step = torch.tensor(float(step), dtype=torch.get_default_dtype(), device=self.game.device)
        return pytree.tree_flatten([state, numbers, group.hyper, rates, turns, step])

    def _compile(self, inputs, spec):
        names = []

        def whole_round(*tensors):
            state, numbers, hyper, rates, turns, step = pytree.tree_unflatten(list(tensors), spec)
            players, views = list(self.game.players.values()), Views(self.game.stacks, state, "weights")
            results = play_round(self.game, players, views, state, numbers, hyper, rates, turns, step)
            names[:] = results
            return list(results.values())

        import torch._inductor as inductor  # slow to import, so only where it is used
        from torch.fx.experimental.proxy_tensor import make_fx

        graph = make_fx(whole_round)(*inputs)
        return inductor.compile(graph, inputs), names


def prepare(game, member_steps):
    """Decide, once, whether this game is compiled, and compile it; where that fails, say so and train without."""
    wanted = game.compile is True or (game.compile == "auto" and member_steps >= LONG and game.group > 1)
    if game.compiled or not wanted:
        return
    game.compiled = Compiled(game)
    try:
        with torch.no_grad():
            for group in {g.size: g for g in game.groups}.values():
                state = {n: {k: v.clone() for k, v in s.items()} for n, s in group.state.items()}
                group.round(list(game.players.values()), game.turns, game.step)
                for net, tensors in state.items():
                    for key, tensor in tensors.items():
                        group.state[net][key].copy_(tensor)
    except Exception as error:
        game.compile, game.compiled = False, None
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        warnings.warn(f"These losses could not be compiled ({reason}), so they run as they are: slower, but the same.",
                      stacklevel=4)  # fmt: skip
