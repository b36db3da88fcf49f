"""The tests of exactness would notice: each mistake below is put in the place of a part of the core; the check must fail."""

import copy

import core_games
import numpy as np
import pytest
import torch
from core_games import d_loss, make_game, plain_critic_loss_gp, plain_loop, state_of

from helpers.core import batch, game, step


def adam(patch, mean=1, square=1, root=1):
    """Adam with one thing forgotten: a bias correction, or that epsilon is added to the root and not to what stands in it."""

    def forgetful(state, grad, rate, turn, betas, eps=1e-8):
        (b1, b2), m, s = betas, state["adam.mean"], state["adam.square"]
        m.lerp_(grad, 1 - b1)
        s.mul_(b2).addcmul_(grad, grad, value=1 - b2)
        s_hat = s / (1 - b2**turn) ** square
        below = s_hat.sqrt() + eps if root else (s_hat + eps).sqrt()
        state["weights"].sub_(rate * m / (1 - b1**turn) ** mean / below)

    patch.setitem(step.OPTIMISERS, "adam", (forgetful, step.OPTIMISERS["adam"][1]))


def received(patch, change):
    """Adam receives other slopes and rates: change(grad, rate)."""
    right, moments = step.OPTIMISERS["adam"]
    wrong = lambda state, grad, rate, *rest: right(state, *change(grad, rate), *rest)  # noqa: E731
    patch.setitem(step.OPTIMISERS, "adam", (wrong, moments))


def streams(patch, parts):
    """A stream begins from some of (seed, draw, chunk) only."""
    right = np.random.SFC64
    patch.setattr(np.random, "SFC64", lambda seed: right(seed[parts]))


def instead(patch, place, name, wrong):
    """`wrong(right, ...)` in the place of place.name."""
    right = getattr(place, name)
    patch.setattr(place, name, lambda *args, **kwargs: wrong(right, *args, **kwargs))


def of_another(right, group, plan, *rest, **changes):
    """What `right` does for a player with these changes."""
    plan = copy.copy(plan)
    plan.player = copy.copy(plan.player)
    vars(plan.player).update(changes)
    return right(group, plan, *rest)


def views(patch, change):
    """`change` of the networks' weights as a group sees them."""
    instead(patch, step.Views, "__init__", lambda right, self, *rest: (right(self, *rest), change(self))[1])


MISTAKES = {
    "the bias correction of Adam's mean is forgotten": lambda patch: adam(patch, mean=0),
    "the bias correction of Adam's square is forgotten": lambda patch: adam(patch, square=0),
    "epsilon stands under the root": lambda patch: adam(patch, root=0),
    "members share a random stream": lambda patch: streams(patch, slice(1, None)),
    "draws share a random stream": lambda patch: streams(patch, slice(None, None, 2)),
    "two members' random streams are mixed": lambda patch: instead(
        patch, batch.Stream, "_make", lambda right, *rest: right(*rest).flip(1)
    ),
    "the gradient is averaged across members": lambda patch: received(
        patch, lambda grad, rate: (grad.mean(0, keepdim=True).expand_as(grad), rate)
    ),
    "the loss is averaged across members": lambda patch: received(patch, lambda grad, rate: (grad / len(grad), rate)),
    "members share the first one's learning rate": lambda patch: received(
        patch, lambda grad, rate: (grad, rate[:1].expand_as(rate))
    ),
    "detach is removed": lambda patch: views(patch, lambda self: self.used.update(self.trained)),
    "batch norm's statistics are lost": lambda patch: views(
        patch, lambda self: self.buffers.update({net: [b.clone() for b in kept] for net, kept in self.buffers.items()})
    ),
    "a loss trains every network it uses": lambda patch: instead(
        patch, step, "slopes",
        lambda right, group, plan, *rest: of_another(right, group, plan, *rest, nets=list(group.game.state)),
    ),
    "weights are not clipped": lambda patch: instead(
        patch, step, "play", lambda *args: of_another(*args, clip=None)
    ),
    "the schedule is ignored": lambda patch: patch.setattr(game.Player, "factor", lambda self, step: 1.0),
    "the penalty has one epsilon for the batch": lambda patch: instead(
        patch, core_games, "gradient_penalty",
        lambda right, critic, real, fake, eps: right(critic, real, fake, eps[:1].expand_as(eps)),
    ),
    "averages move too fast": lambda patch: instead(
        patch, step, "average", lambda right, state, decay: right(state, 1 - decay)
    ),
}  # fmt: skip


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def check():
    """Small games of several kinds against a plain loop and against each member alone; streams that must differ."""
    close = {"rtol": 1e-7, "atol": 1e-9}
    for kind in ("non-saturating", "wgan-clip", "wgan-gp"):
        among = make_game(kind, seeds=range(3), average={"G": 0.9})
        among.train(20)
        alone = make_game(kind, seeds=[2], average={"G": 0.9}, group=1)
        modules, _, averages = plain_loop(alone, 1, 20, {"D": plain_critic_loss_gp} if kind == "wgan-gp" else None)
        alone.train(20)
        other = state_of(alone, 1)
        for key, value in state_of(among, 5).items():
            torch.testing.assert_close(value, other[key], **close)
        for name, module in modules.items():
            theirs = getattr(among.member(5, averaged=False), name).state_dict()
            for key, value in module.state_dict().items():
                torch.testing.assert_close(theirs[key], value, **close)
        mean = torch.cat([p.flatten() for p in averages["G"]])
        torch.testing.assert_close(among.state["G"]["average"][5], mean, **close)

    small = make_game("non-saturating", seeds=range(2))
    d, g = small.batch("D"), small.batch("G")
    assert not torch.equal(d["z"][0], d["z"][2]), "two seeds see the same noise"
    assert not torch.equal(d["z"], g["z"]), "two players see the same noise"
    assert torch.equal(d["z"][0], d["z"][1]), "members with one seed see different noise"

    def forgetful(nets, batch, member):  # a loss that forgets to detach what it only uses
        assert not nets.G(batch.z).requires_grad
        return d_loss(nets, batch, member)

    small = make_game("saturating", seeds=[0], group=1)
    small.players["D"].loss = forgetful
    small.train(2)


@pytest.mark.filterwarnings("error::UserWarning")  # members that could not be computed together would hide a mistake
def test_without_a_mistake_nothing_is_found(double):
    check()


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_caught(mistake, double, monkeypatch):
    MISTAKES[mistake](monkeypatch)
    with pytest.raises(AssertionError):
        check()
