"""One turn of a player, computed for many members at once: from a loss written for ONE member to an update of all.

The forward pass runs under `torch.vmap`; one ordinary backward pass of the summed losses then gives every member its
own gradient, because no member's loss depends on another's weights. Only the player's own weights get gradients.
A group of one member needs no vmap: its networks run as the student wrote them.
"""

import torch

from .draws import Stream
from .errors import CourseError
from .members import Named, Watched
from .optimisers import OPTIMISERS, average
from .randomness import Replay, Trial


class Group:
    """Some members of a game, as views of its state, and their random streams."""

    def __init__(self, game, start, stop):
        self.game, self.start, self.size = game, start, stop - start
        self.state = {net: {k: v[start:stop] for k, v in s.items()} for net, s in game.state.items()}
        self.rates = {name: rate[start:stop, None] for name, rate in game.rates.items()}
        self.hyper = {name: values[start:stop] for name, values in game.hyper.items()}
        self.seeds = game.members.columns["seed"][start:stop]
        self.views = Views(game.stacks, self.state, "weights")
        self.streams = {name: streams(plan, self.seeds, game.device) for name, plan in game.plans.items()}

    def round(self, players, turns, step):
        """One round: each player's turns, then its averages. `turns` counts each player's turns up to now."""
        numbers = {p.name: [self.numbers(p, turns[p.name] + i) for i in range(p.repeats)] for p in players}
        rates = {p.name: _scaled(self.rates[p.name], p.factor(step)) for p in players}
        if self.game.compiled and len(players) == len(self.game.players):
            return self.game.compiled(self, numbers, rates, turns, step)
        return play_round(self.game, players, self.views, self.state, numbers, self.hyper, rates, turns, step)

    def numbers(self, player, turn):
        """The random numbers of one turn, {names: (members, ...)}; for rows of a data set their indices."""
        return {key: stream.at(turn) for key, stream in self.streams[player.name].items()}


def runs_batched(game):
    """Try every player's loss with two members under vmap; returns the error, or None. Changes nothing."""
    state = {n: {k: v[:2].clone() for k, v in s.items()} for n, s in game.state.items()}
    views = Views(game.stacks, state, "weights")
    hyper = {n: v[:2] for n, v in game.hyper.items()}
    try:
        for name, plan in game.plans.items():
            parameters = {n: views.trained[n] if n in plan.player.nets else views.used[n] for n in plan.nets}
            numbers = {key: s.at(0) for key, s in streams(plan, [0, 1], game.device).items()}
            losses = forward(game, plan, plan.player.call, parameters, views.buffers, numbers, hyper, 0, 2)[name]
            losses.sum().backward()
    except CourseError:
        raise
    except Exception as error:  # whatever vmap cannot do, and says in many ways
        return error
    return None


def streams(plan, seeds, device):
    """The random streams of a player for members with these seeds, one for each draw that its loss was seen to use."""
    draws = {d.names: d for d in [*plan.fields.values(), *plan.randoms]}
    return {key: Stream(d, seeds, f"{plan.name}/{','.join(key)}", device) for key, d in draws.items()}


class Views:
    """The networks' weights as parameters: `used` as they are, `trained` with gradients, and the buffers.

    Shapes are (members, *shape), or (*shape) for a group of one. All share memory with the state.
    """

    def __init__(self, stacks, state, weights):
        self.used, self.trained, self.buffers = {}, {}, {}
        for net, stack in stacks.items():
            kept = state.get(net, {})
            views = stack.views(kept.get(weights, kept["weights"])) if kept else []  # a shared net has none
            buffers = [kept[key] for key in stack.buffers]
            if kept and len(kept["weights"]) == 1:
                views, buffers = [v[0] for v in views], [b[0] for b in buffers]
            self.used[net], self.buffers[net] = views, buffers
            self.trained[net] = [v.detach().requires_grad_(t) for v, t in zip(views, stack.trainable, strict=True)]


def _scaled(rate, factor):
    return rate if factor == 1 else rate * factor


def play_round(game, players, views, state, numbers, hyper, rates, turns, step):
    """Each player's turns, then its averages; returns the last losses {name: (members,)}."""
    results = {}
    for player in players:
        for i in range(player.repeats):
            drawn, rate, turn = numbers[player.name][i], rates[player.name], turns[player.name] + 1 + i
            results |= play(game, game.plans[player.name], views, state, drawn, hyper, rate, turn, step)
        for net in player.nets:
            if net in game.averages:
                average(state[net], game.averages[net])
    return results


def play(game, plan, views, state, numbers, hyper, rate, turn, step):
    """One turn of a player: the update number `turn` (from 1) of its weights; returns {name: (members,)}."""
    player = plan.player
    parameters = {n: views.trained[n] if n in player.nets else views.used[n] for n in plan.nets}
    with torch.enable_grad():
        results = forward(game, plan, player.call, parameters, views.buffers, numbers, hyper, step, len(rate))
        leaves = [p for n in player.nets for p in views.trained[n] if p.requires_grad]
        slopes = iter(torch.autograd.grad(results[player.name].sum(), leaves, allow_unused=True))
    for n in player.nets:
        grads = [next(slopes) if p.requires_grad else None for p in views.trained[n]]
        grads = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, views.trained[n], strict=True)]
        grad = torch.cat([g.reshape(len(rate), -1) for g in grads], dim=1)  # (members, numbers)
        OPTIMISERS[player.optimiser][0](state[n], grad, rate, turn, player.betas)
        if player.clip is not None:
            state[n]["weights"].clamp_(-player.clip, player.clip)
    return {name: value.detach() for name, value in results.items()}


def forward(game, plan, function, parameters, buffers, numbers, hyper, step, members):
    """What `function(nets, batch, member)` returns for each member, as {name: (members, ...)}."""
    batch = {name: rows_of(draw, numbers[draw.names], game.data.get(name)) for name, draw in plan.fields.items()}
    if plan.uses_step:
        step = torch.as_tensor(step, dtype=torch.get_default_dtype(), device=game.device)
    trees = [parameters, {n: buffers[n] for n in plan.nets}, batch, [numbers[r.names] for r in plan.randoms],
             {name: hyper[name] for name in plan.hyper}]  # fmt: skip

    def one(parameters, buffers, batch, randoms, hyper):
        nets = {n: game.stacks[n].bind(parameters[n], buffers[n]) for n in parameters}
        arguments = Named("nets", nets), Named("batch", batch | {"step": step}), Named("member", hyper)
        with lower_precision(game, plan.player):
            if not plan.randoms:
                return function(*arguments)
            with Replay(randoms):
                return function(*arguments)

    if members > 1:
        return torch.vmap(one)(*trees)
    batch, randoms, hyper = ({k: v[0] for k, v in trees[2].items()}, [v[0] for v in trees[3]],
                             {k: v[0] for k, v in trees[4].items()})  # fmt: skip
    return {name: value[None] for name, value in one(parameters, trees[1], batch, randoms, hyper).items()}


def lower_precision(game, player):
    """bfloat16 for a player's loss, if the game asks for it; without autocast's memory: what it keeps of a pass without gradients has none."""
    return torch.autocast(
        game.device.type, torch.bfloat16, enabled=game.bf16 and player is not None, cache_enabled=False
    )


def rows_of(draw, numbers, data):
    """Noise as it is; indices (members, size) as rows of the data (members, size, ...)."""
    if draw.kind != "rows":
        return numbers
    return data.index_select(0, numbers.flatten()).view(*numbers.shape, *data.shape[1:])


class Plan:
    """What a loss (or another function of nets, batch, member) was seen to use when tried with the first member.

    nets, hyper: names. fields: {name in the batch: Draw}. randoms: the Draws of random numbers made inside it.
    A loss that does not depend on its player's networks raises CourseError.
    """

    def __init__(self, game, name, function, sample, player=None, weights="weights"):
        self.name, self.player = name, player
        state = {net: {k: v[:1].clone() for k, v in s.items()} for net, s in game.state.items()}
        views = Views(game.stacks, state, weights)
        owned = player.nets if player else []
        nets = {n: s.bind(views.trained[n] if n in owned else views.used[n], views.buffers[n])
                for n, s in game.stacks.items()}  # fmt: skip
        batch = {name: rows_of(d, Stream(d, [0], "trial", game.device).at(0)[:1], game.data.get(name))[0]
                 for name, d in sample.items()}  # fmt: skip
        batch["step"] = torch.zeros((), device=game.device)
        watched = [Watched("nets", nets), Watched("batch", batch),
                   Watched("member", {k: v[0] for k, v in game.hyper.items()})]  # fmt: skip
        with torch.set_grad_enabled(player is not None), torch.random.fork_rng(devices=[]), Trial() as trial, \
                lower_precision(game, player):  # fmt: skip
            result = function(*watched)
        if player and not result[player.name].requires_grad:
            raise CourseError(f"The loss of player {name!r} does not depend on its networks: {', '.join(owned)}.")
        self.nets, fields, self.hyper = (w.seen for w in watched)
        self.fields = {name: game.sample[name] for name in fields if name != "step"}
        self.randoms, self.convolves, self.uses_step = trial.randoms, trial.convolves, "step" in fields
