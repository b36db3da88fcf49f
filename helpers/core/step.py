"""One turn of a player, computed for many members at once: from a loss written for ONE member to an update of all.

The copies of a network lie in one tensor (members, numbers). The forward pass runs under `torch.vmap`; one ordinary
backward pass of the summed losses then gives every member its own gradient, because no member's loss depends on
another's weights. Only the player's own weights get gradients. A group of one member needs no vmap: its networks run as
the student wrote them.
"""

import contextlib
import copy
import itertools
import types
import zlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ..page import CourseError
from .batch import WHERE, Named, OwnRandom, Turn, random_states, rows_of, seeded

try:  # how vmap wraps tensors is not public: where a release of torch has moved it, `linear` takes the ordinary way
    from torch._C._functorch import _add_batch_dim, get_unwrapped, maybe_get_bdim, maybe_get_level
    from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
except ImportError:  # pragma: no cover
    maybe_get_bdim = None


def adam(state: dict, grad: torch.Tensor, rate: torch.Tensor, turn, betas: tuple, eps: float = 1e-8) -> None:
    """One step of Adam (Kingma and Ba 2015, algorithm 1), in place, for weights and slopes (members, numbers).

    `rate`: (members, 1), each member's learning rate now. `turn`: the number of this update, from 1.
    The means start at zero and are therefore too small by 1 − βᵗ at turn t: the bias correction divides by that.
    """
    beta1, beta2 = betas
    mean, square = state["adam.mean"], state["adam.square"]
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = (square / (1 - beta2**turn)).sqrt_().add_(eps)
    state["weights"].sub_(mean.div(root).mul_(rate / (1 - beta1**turn)))


def sgd(state: dict, grad: torch.Tensor, rate: torch.Tensor, turn=None, betas: tuple | None = None) -> None:
    """Plain gradient descent: θ ← θ − η∇L. A new optimiser has this form, and its moments a name in OPTIMISERS."""
    state["weights"].sub_(rate * grad)


OPTIMISERS = {"adam": (adam, ["adam.mean", "adam.square"]), "sgd": (sgd, [])}


def average(state: dict, decay: float) -> None:
    """The exponential moving average of the weights: a ← decay · a + (1 − decay) · θ (Yazıcı et al. 2019)."""
    state["average"].lerp_(state["weights"], 1 - decay)


def linear(self, x: torch.Tensor) -> torch.Tensor:
    """The forward of an nn.Linear, for all members one `baddbmm`: 5 to 15 % less processor time than what vmap makes of it.

    It needs the private names above; without them, or for anything but (batch, features), it is F.linear.
    """
    weight, bias = self._parameters["weight"], self._parameters["bias"]
    if bias is None or x.dim() != 2 or maybe_get_bdim(x) or maybe_get_bdim(weight) or maybe_get_bdim(bias):
        return F.linear(x, weight, bias)
    inputs, matrices, offsets, level = get_unwrapped(x), get_unwrapped(weight), get_unwrapped(bias), maybe_get_level(x)
    nested = maybe_get_bdim(inputs) >= 0 or maybe_get_bdim(matrices) >= 0 or maybe_get_bdim(offsets) >= 0
    if nested or maybe_get_level(weight) != level or maybe_get_level(bias) != level:  # a vmap of the student's own
        return F.linear(x, weight, bias)
    with temporarily_pop_interpreter_stack():  # the product is recorded one level down, by ordinary autograd
        out = torch.baddbmm(offsets.unsqueeze(1), inputs, matrices.transpose(1, 2))  # (members, batch, outputs)
    return _add_batch_dim(out, 0, level)


class State(dict):
    """Tensors by name that other tensors look at: `state["weights"] = w` copies w into the one that is there."""

    def __setitem__(self, name, value):
        kept = self.get(name)
        if kept is None or not isinstance(value, torch.Tensor) or value.shape != kept.shape:
            form = lambda thing: tuple(thing.shape) if isinstance(thing, torch.Tensor) else type(thing).__name__  # noqa: E731
            raise CourseError(f"state[{name!r}] takes a tensor of the same shape; there are "
                              f"{ {key: form(tensor) for key, tensor in self.items()} }, it received {form(value)}.")  # fmt: skip
        kept.copy_(value.detach())

    def update(self, *others, **more):
        for name, value in dict(*others, **more).items():
            self[name] = value


class Stack:
    """The copies of one network. `make` is a function that builds one, or a finished module that nobody trains.

    What changes in training is in `state`, tensors with members as their leading axis: "weights" (members, numbers) and
    one "buffer.<name>" (members, ...) for each buffer. A finished module has no state: all members share it, in eval mode.
    """

    def __init__(self, name: str, make: Callable | nn.Module, seeds: list[int], device: torch.device):
        self.name, self.shared = name, isinstance(make, nn.Module)
        self.state, self.slots, self.buffer_slots, self.empty, self.recurrent, self.parameters = {}, [], [], [], [], []
        if self.shared:
            self.pristine = self.worker = _copied(name, make).to(device).eval().requires_grad_(False)
            return
        started = {seed: self._start(make, seed) for seed in dict.fromkeys(seeds)}
        self.pristine = started[seeds[0]]  # never bound to members' weights: copies are taken from it
        self._same_form(started)
        self.worker = _copied(name, self.pristine).to(device)  # the module whose weights are exchanged
        for module in self.worker.modules():
            if type(module) is nn.Linear and "weight" in module._parameters and maybe_get_bdim is not None:
                module.forward = types.MethodType(linear, module)
        self.parameters = list(self.pristine.parameters())
        self.slots = _slots(self.worker, "_parameters", self.worker.parameters())
        self.buffer_slots = _slots(self.worker, "_buffers", self.worker.buffers())
        self.empty = [(m, k) for m in self.worker.modules() for k, t in m._buffers.items() if t is None]
        self.recurrent = [m for m in self.worker.modules() if isinstance(m, nn.RNNBase)]  # list their weights twice
        weights = [torch.cat([p.detach().flatten() for p in started[seed].parameters()] or [torch.zeros(0)])
                   for seed in seeds]  # fmt: skip
        self.state["weights"] = torch.stack(weights).to(device)
        for key, _ in self.pristine.named_buffers():
            self.state[f"buffer.{key}"] = torch.stack([started[seed].get_buffer(key) for seed in seeds]).to(device)

    def _start(self, make, seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(f"{self.name} {seed}".encode()))
            net = make() if callable(make) else make
        if not isinstance(net, nn.Module):
            raise CourseError(
                f"nets[{self.name!r}] must be a function that builds an nn.Module (or a trained module); "
                f"it returned {type(net).__name__}."
            )
        return net.cpu()

    def _same_form(self, started):
        """CourseError where members could not lie in one tensor, or would differ in what is no weight and no buffer."""
        tensors = [*self.pristine.parameters(), *self.pristine.buffers()]
        if any(nn.parameter.is_lazy(t) for t in tensors):
            raise CourseError(
                f"The network {self.name!r} has lazy layers; give them their sizes (nn.Linear, not Lazy)."
            )
        types_ = {p.dtype for p in self.pristine.parameters()} or {torch.float32}
        if len(types_) > 1 or not types_ <= {torch.float32, torch.float64}:
            raise CourseError(
                f"The network {self.name!r} has weights of type {', '.join(map(str, types_))}; all must be float32, or all "
                "float64 (Game(bf16=True) computes losses in bfloat16)."
            )
        forms = [_form(net) for net in started.values()]
        for other in forms[1:]:
            odd = [key for key in {**forms[0], **other} if forms[0].get(key) != other.get(key)]
            if odd:
                raise CourseError(
                    f"The network {self.name!r} is built otherwise for other seeds ({odd[0]} differs); what differs from "
                    "member to member must be a weight or a buffer: self.register_buffer(...)."
                )

    def views(self, weights: torch.Tensor) -> list[torch.Tensor]:
        """The parameters in a weight tensor (members, numbers), as views (members, *shape)."""
        parts = weights.split([p.numel() for p in self.parameters], dim=1) if self.parameters else []
        return [part.view(len(weights), *p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def bind(self, parameters: list, buffers: list) -> nn.Module:
        """Put tensors where the worker has its parameters and buffers (lists in their order); return the worker."""
        for module, key, index in self.slots:
            module._parameters[key] = parameters[index]
        for module, key, index in self.buffer_slots:
            module._buffers[key] = buffers[index]
        for module in self.recurrent:
            module._flat_weights = [module._parameters[name] for name in module._flat_weights_names]
        return self.worker

    def keep(self, parameters: list, buffers: list) -> None:
        """Copy what the forward pass assigned (`self.mean = …`, instead of changing it in place) into the buffers."""
        for module, key, index in self.buffer_slots:
            assigned, kept = module._buffers[key], buffers[index]
            if assigned is not kept:
                form = lambda t: (t.shape, t.dtype) if isinstance(t, torch.Tensor) else None  # noqa: E731
                if form(assigned) != form(kept):
                    raise CourseError(
                        f"The network {self.name!r} gave its buffer {key!r} another shape or type as it ran."
                    )
                with torch.no_grad():
                    kept.copy_(assigned.detach())
        strange = [key for module, key in self.empty if module._buffers[key] is not None]
        strange += [key for module, key, index in self.slots if module._parameters.get(key) is not parameters[index]]
        if strange:
            raise CourseError(f"The network {self.name!r} assigned {strange[0]!r} as it ran: give a buffer its first value "
                              "where it is registered, and change a weight in place.")  # fmt: skip

    @torch.no_grad()
    def module(self, row: int, weights: torch.Tensor | None) -> nn.Module:
        """An ordinary module of its own with the weights (numbers,) and the buffers of member `row`, in eval mode."""
        net = _copied(self.name, self.pristine)
        if self.shared:
            return net
        for parameter, value in zip(net.parameters(), self.views(weights[None]), strict=True):
            parameter.copy_(value[0])
        for key, buffer in net.named_buffers():
            buffer.copy_(self.state[f"buffer.{key}"][row])
        return net.to(weights.device).eval()


def _slots(net, kind, tensors):
    """Where the tensors are: (module, key, number of the tensor); one shared by two layers has two places."""
    index = {id(t): i for i, t in enumerate(tensors)}
    return [(m, k, index[id(t)]) for m in net.modules() for k, t in getattr(m, kind).items() if t is not None]


def _copied(name, net):
    try:
        return copy.deepcopy(net)
    except RuntimeError as error:  # a weight that is computed by a hook, as the old weight_norm does
        raise CourseError(f"The network {name!r} cannot be copied ({str(error).splitlines()[0][:80]}); use "
                          "torch.nn.utils.parametrizations for weights that are computed.") from None  # fmt: skip


def _form(net):
    """Shapes, and the plain tensors and numbers that the modules hold beside weights and buffers."""
    form = {name: tuple(t.shape) for name, t in [*net.named_parameters(), *net.named_buffers()]}
    for path, module in net.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, torch.Tensor) and f"{key}_orig" not in module._parameters:  # computed by spectral_norm
                form[f"{path}.{key}".strip(".")] = (str(value.shape), str(value.detach().cpu().flatten().tolist()))
            if isinstance(value, (int, float, str, tuple)) and not key.startswith("_"):
                form[f"{path}.{key}".strip(".")] = str(value)
    return form


class Views:
    """The networks' weights as parameters: `used` as they are, `trained` with gradients, and the buffers.

    Shapes are (members, *shape), or (*shape) for a group of one. All share memory with the state.
    """

    def __init__(self, stacks: dict[str, Stack], state: dict, weights: str = "weights"):
        self.used, self.trained, self.buffers = {}, {}, {}
        for net, stack in stacks.items():
            kept = state.get(net, {})
            views = stack.views(kept.get(weights, kept["weights"])) if kept else []  # a shared net has none
            buffers = [tensor for key, tensor in kept.items() if key.startswith("buffer.")]
            if kept and len(kept["weights"]) == 1:
                views, buffers = [v[0] for v in views], [b[0] for b in buffers]
            self.used[net], self.buffers[net] = views, buffers
            self.trained[net] = [v.detach().requires_grad_(p.requires_grad)
                                 for v, p in zip(views, stack.parameters, strict=True)]  # fmt: skip


class Group:
    """Some members of a game as views of its state, and their random streams. `apart`: buffers of its own."""

    def __init__(self, game, start: int, stop: int, weights: str = "weights", apart: bool = False):
        self.game, self.start, self.size, self.streams = game, start, stop - start, {}
        self.state = {net: {k: v[start:stop].clone() if apart and k.startswith("buffer.") else v[start:stop]
                            for k, v in state.items()} for net, state in game.state.items()}  # fmt: skip
        self.rates = {name: rate[start:stop, None] for name, rate in game.rates.items()}
        self.hyper = {name: values[start:stop] for name, values in game.hyper.items()}
        self.seeds = game.members.columns["seed"][start:stop]
        self.index, self.views = torch.arange(self.size, device=game.device), Views(game.stacks, self.state, weights)

    def numbers(self, player: str, turn: int) -> Turn:
        """The random numbers of one turn, by draw key, (members, ...); for rows of a data set their indices."""
        return Turn(player, turn, self.seeds, self.game.sample, self.game.device, self.streams)

    def round(self, players: list, turns: dict, step: int) -> dict:
        """One round: each player's turns, then its averages. `turns` counts each player's turns up to now."""
        game = self.game
        numbers = {p.name: [self.numbers(p.name, turns[p.name] + i) for i in range(p.repeats)] for p in players}
        factors = {p.name: p.factor(step) for p in players}
        rates = {n: self.rates[n] if factor == 1 else self.rates[n] * factor for n, factor in factors.items()}
        if game.compiled and len(players) == len(game.players):
            return game.compiled(self, numbers, rates, turns, step)
        return play_round(self, players, numbers, rates, turns, step)


def play_round(group: Group, players: list, numbers: dict, rates: dict, turns: dict, step) -> dict:
    """Each player's turns, then its averages; returns the last losses {name: (members,)}."""
    results = {}
    for player in players:
        others = set(results)
        for i in range(player.repeats):
            plan, turn = group.game.plans[player.name], turns[player.name] + 1 + i
            mine = play(group, plan, numbers[player.name][i], rates[player.name], turn, step)
            if others & mine.keys():
                raise CourseError(
                    f"Two players return a number called {min(others & mine.keys())!r}; rename one of them."
                )
            results |= mine
        for net in player.nets:
            if net in group.game.averages:
                average(group.state[net], group.game.averages[net])
    return results


def play(group: Group, plan, numbers: dict, rate: torch.Tensor, turn, step) -> dict:
    """One turn of a player: the update number `turn` (from 1) of its weights; returns {name: (members,)}."""
    player = plan.player
    results, grads = slopes(group, plan, numbers, step)
    for net, grad in grads.items():
        OPTIMISERS[player.optimiser][0](group.state[net], grad, rate, turn, player.betas)
        if player.clip is not None:
            group.state[net]["weights"].clamp_(-player.clip, player.clip)
    return {name: value.detach() for name, value in results.items()}


def slopes(group: Group, plan, numbers: dict, step) -> tuple[dict, dict]:
    """A player's losses {name: (members,)} and their gradients {network: (members, numbers)}, of its own networks only."""
    trained = {net: group.views.trained[net] for net in plan.player.nets}
    with torch.enable_grad():
        results = forward(group, plan, numbers, step)
        leaves = [p for parameters in trained.values() for p in parameters if p.requires_grad]
        found = iter(torch.autograd.grad(results[plan.name].sum(), leaves, allow_unused=True))
    grads = {}
    for net, parameters in trained.items():
        parts = [next(found) if p.requires_grad else None for p in parameters]
        parts = [torch.zeros_like(p) if g is None else g.to_dense() if g.is_sparse else g
                 for g, p in zip(parts, parameters, strict=True)]  # fmt: skip
        grads[net] = torch.cat([g.reshape(group.size, -1) for g in parts], dim=1)
    return results, grads


def forward(group: Group, plan, numbers: dict, step, seen: dict | None = None) -> dict:
    """What the plan's function of (nets, batch, member) returns for each member, as {name: (members, ...)}.

    What it was seen to read from the batch goes through vmap; what it asks for later is made when it does.
    """
    game, owned = group.game, plan.player.nets if plan.player else []
    views, alone, strict = group.views, group.size == 1, game.strict or seen is not None
    parts = [views.trained[net] if net in owned else used for net, used in views.used.items()]
    parts += views.buffers.values()  # for each network its parameters, then for each its buffers
    fields = {name: rows_of(game.sample[name], name, numbers) for name in plan.fields}
    values = [*fields.values(), *(value.clone() for value in group.hyper.values())]

    def one(index, *tensors):
        take = iter(tensors)
        bound = [[next(take) for _ in part] for part in parts]
        buffers = dict(zip(game.stacks, bound[len(game.stacks) :], strict=True))
        nets = {net: stack.bind(mine, buffers[net])
                for (net, stack), mine in zip(game.stacks.items(), bound, strict=False)}  # fmt: skip
        own = lambda t: t[0] if alone else t.index_select(0, index[None])[0]  # noqa: E731

        def more(name):
            if seen is not None:
                seen["asked"].append(name)
            if name in game.sample:
                return own(rows_of(game.sample[name], name, numbers))
            return (
                torch.as_tensor(step, dtype=torch.get_default_dtype(), device=game.device) if name == "step" else None
            )

        batch = Named("batch", dict(zip(fields, take, strict=False)), more, [*game.sample, "step"])
        arguments = Named("nets", nets), batch, Named("member", dict(zip(group.hyper, take, strict=False)))
        with contextlib.ExitStack() as around:
            if (
                game.bf16 and plan.player
            ):  # without autocast's memory: what it keeps of a pass without gradients has none
                around.enter_context(torch.autocast(game.device.type, torch.bfloat16, cache_enabled=False))
            if plan.watched or strict:
                mode = around.enter_context(OwnRandom(numbers, own, game.device))
            if alone and (plan.draws or strict):
                drew = around.enter_context(seeded(numbers.name, game.device))
            before = random_states(game.device) if strict and not alone else None
            results = plan.function(*arguments)
            if strict and not alone and random_states(game.device) != before:
                raise RuntimeError("numpy's or Python's randomness")
            if seen is not None:
                seen.update(mode=mode, drew=drew())
        for (net, stack), mine in zip(game.stacks.items(), bound, strict=False):
            stack.keep(mine, buffers[net])
        return results

    if alone:
        return {k: v[None] for k, v in one(None, *itertools.chain(*parts), *(value[0] for value in values)).items()}
    return torch.vmap(one)(group.index, *itertools.chain(*parts), *values)


class Plan:
    """A loss (or another function of nets, batch, member), and what it was seen to use when tried with the first member.

    fields: names in the batch. keys: of all random numbers that it read. watched: whether it asks torch for some.
    draws: whether it draws others, which only a member computed alone can have of its own.
    A loss that gives two values for the same numbers, or does not depend on its player's networks, raises CourseError.
    """

    def __init__(self, game, name: str, function: Callable, player=None, weights: str = "weights"):
        self.name, self.function, self.player = name, function, player
        self.fields, self.watched, self.draws, self.game, self.weights = [], True, True, game, weights
        with torch.set_grad_enabled(player is not None):
            results, seen, numbers = self._try()
            if player:
                again, *_ = self._try()  # of the same numbers
        if player and not results[name].requires_grad:
            raise CourseError(f"The loss of player {name!r} does not depend on its networks: {', '.join(player.nets)}.")
        for key in results if player else ():
            if key not in again or not torch.allclose(results[key], again[key], 1e-3, equal_nan=True):
                raise CourseError(
                    f"The loss of player {name!r} gave two values of {key!r} for the same numbers: something changes from "
                    f"call to call. For random numbers, {WHERE}; the round's number is batch.step."
                )
        self.fields, self.keys = [n for n in dict.fromkeys(seen["asked"]) if n in game.sample], list(numbers)
        self.extras, mode = [key for key in results if key != name], seen["mode"]
        self.convolves, self.watched, self.draws = mode.convolves, bool(mode.count or mode.pads), seen["drew"]

    def _try(self):
        group, seen = Group(self.game, 0, 1, self.weights, apart=True), {"asked": []}
        numbers = group.numbers(self.name, 0)
        return forward(group, self, numbers, 0, seen), seen, numbers


def apart(game) -> Exception | str | None:
    """Why members cannot be computed together: vmap's error, or that a member's gradient is not what it is alone."""
    try:
        for plan in game.plans.values():
            if plan.draws:
                return f"the loss of player {plan.name!r} draws random numbers for all members at once; {WHERE}"
            found = []
            for start, stop in ((0, 2), (0, 1), (1, 2)):
                group = Group(game, start, stop, apart=True)
                _, grads = slopes(group, plan, group.numbers(plan.name, 0), 0)
                found.append([*grads.values(), *(b.reshape(group.size, -1) for s in group.state.values() for k, b in s.items()
                                                 if k.startswith("buffer."))])  # fmt: skip
            for together, *alone in zip(*found, strict=True):
                right = torch.cat(alone).double()
                if (together - right).norm() > (0.05 if game.bf16 else 0.01) * right.norm() + 1e-6:
                    return (
                        f"computed together, the members of player {plan.name!r} would learn something else than alone"
                    )
    except CourseError:
        raise
    except Exception as error:  # whatever vmap cannot do, and says in many ways
        return error
    return None
