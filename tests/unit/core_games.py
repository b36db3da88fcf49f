"""Small games of every kind, and a plain PyTorch loop with torch.optim.Adam to hold the core against.

No bias stands before a batch norm: its true gradient is zero, and Adam turns the rounding errors around it into full
steps, so that two correct runs would differ.
"""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import Game, Player, falling, gradient_penalty, normal, rows, sweep, uniform

BATCH, SIDE = 8, 4
COMPILES = (
    " " not in torch.__file__
)  # torch's compiler puts no quotes round its own folder: there, games run uncompiled


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks gain nothing from two threads, and lose much when the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Dense:
    """Networks for points in the plane; G with batch norm."""

    shape = (2,)

    @staticmethod
    def generator():
        return nn.Sequential(nn.Linear(2, 6, bias=False), nn.BatchNorm1d(6), nn.LeakyReLU(0.2), nn.Linear(6, 2))

    translator = generator

    @staticmethod
    def critic(outputs=1):
        return nn.Sequential(nn.Linear(2, 6), nn.LeakyReLU(0.2), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, outputs))


class Conv:
    """Networks for one-channel pictures of 4×4; G with batch norm."""

    shape = (1, SIDE, SIDE)

    @staticmethod
    def generator():
        return nn.Sequential(
            nn.Unflatten(1, (2, 1, 1)), nn.ConvTranspose2d(2, 4, 2, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(4, 1, 3, padding=1))  # fmt: skip

    @staticmethod
    def translator():
        first = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        return nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))

    @staticmethod
    def critic(outputs=1):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(4, outputs))  # fmt: skip


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def classify(nets, batch, member):
    logits = nets.C(batch.x) / member.temperature
    return F.cross_entropy(logits, batch.y), {"right": (logits.argmax(1) == batch.y).to(logits.dtype).mean()}


def d_loss(nets, batch, member):
    fake = nets.G(batch.z).detach()
    return bce(nets.D(batch.x), 1.0) + bce(nets.D(fake), 0.0)


def g_saturating(nets, batch, member):
    return -bce(nets.D(nets.G(batch.z)), 0.0)


def g_non_saturating(nets, batch, member):
    return bce(nets.D(nets.G(batch.z)), 1.0)


def critic_loss(nets, batch, member):
    return nets.D(nets.G(batch.z).detach()).mean() - nets.D(batch.x).mean()


def wgan_g(nets, batch, member):
    return -nets.D(nets.G(batch.z)).mean()


def critic_loss_gp(nets, batch, member):
    fake = nets.G(batch.z).detach()
    penalty = gradient_penalty(nets.D, batch.x, fake, batch.eps)
    return nets.D(fake).mean() - nets.D(batch.x).mean() + member.penalty * penalty


def plain_critic_loss_gp(nets, batch, member):
    """The same in the words of Gulrajani et al.'s algorithm 1, with torch.autograd.grad."""
    fake = nets.G(batch.z).detach()
    eps = batch.eps.view(-1, *[1] * (batch.x.dim() - 1))
    between = (eps * batch.x + (1 - eps) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(nets.D(between).sum(), between, create_graph=True)
    norm = (slope.flatten(1).pow(2).sum(1) + 1e-12).sqrt()
    return nets.D(fake).mean() - nets.D(batch.x).mean() + member.penalty * ((norm - 1) ** 2).mean()


def cycle_d(nets, batch, member):
    a, b = nets.toA(batch.b).detach(), nets.toB(batch.a).detach()
    real = bce(nets.DA(batch.a), 1.0) + bce(nets.DB(batch.b), 1.0)
    return real + bce(nets.DA(a), 0.0) + bce(nets.DB(b), 0.0)


def cycle_g(nets, batch, member):
    a, b = nets.toA(batch.b), nets.toB(batch.a)
    back = (nets.toA(b) - batch.a).abs().mean() + (nets.toB(a) - batch.b).abs().mean()
    return bce(nets.DA(a), 1.0) + bce(nets.DB(b), 1.0) + member.cycle * back


def data(shape, n=40, seed=0, scale=1.0):
    return scale * torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


KINDS = ["supervised", "saturating", "non-saturating", "wgan-clip", "wgan-gp", "cycle"]


def make_game(kind, nets=Dense, seeds=range(16), **settings):
    """A game of this kind with two members per seed; 32 by default."""
    x, z = rows(BATCH, x=data(nets.shape)), normal(z=(BATCH, 2))
    pair = {"G": nets.generator, "D": nets.critic}
    if kind == "supervised":
        labels = torch.arange(40) % 3
        return Game({"C": lambda: nets.critic(3)}, [Player("C", classify)], [rows(BATCH, x=data(nets.shape), y=labels)],
                    sweep(seed=seeds, temperature=[1, 2.5], learning_rate=[3e-3]), **settings)  # fmt: skip
    if kind == "cycle":
        four = {"toA": nets.translator, "toB": nets.translator, "DA": nets.critic, "DB": nets.critic}
        players = [
            Player("D", cycle_d, ["DA", "DB"], lr=2e-3, betas=(0.5, 0.999)),
            Player("G", cycle_g, ["toA", "toB"]),
        ]
        sample = [rows(BATCH, a=data(nets.shape)), rows(BATCH, b=data(nets.shape, 30, 1, 2.0))]
        return Game(four, players, sample, sweep(seed=seeds, cycle=[0, 5]), **settings)
    if kind == "wgan-gp":
        players = [Player("D", critic_loss_gp, repeats=2, betas=(0.0, 0.9)), Player("G", wgan_g)]
        return Game(pair, players, [x, z, uniform(eps=(BATCH,))], sweep(seed=seeds, penalty=[0.1, 10]), **settings)
    if kind == "wgan-clip":
        players = [Player("D", critic_loss, repeats=3, clip=0.1), Player("G", wgan_g)]
        return Game(pair, players, [x, z], sweep(seed=seeds, learning_rate=[1e-3, 3e-3]), **settings)
    g_loss = g_saturating if kind == "saturating" else g_non_saturating
    players = [Player("D", d_loss, lr=2e-3), Player("G", g_loss, schedule=falling(10, 60))]
    return Game(pair, players, [x, z], sweep(seed=seeds, learning_rate=[1e-3, 3e-3]), **settings)


def plain_loop(game, member, steps, losses=None):
    """Train one member of a fresh game with ordinary modules and torch.optim.Adam; returns the modules and losses."""
    nets = game.member(member, averaged=False)
    modules = {name: getattr(nets, name).train() for name in game.stacks}
    values = {name: torch.tensor(float(column[member])) for name, column in game.members.columns.items()}
    hyper, turns, history = SimpleNamespace(**values), dict.fromkeys(game.players, 0), {n: [] for n in game.players}
    averages = {n: [p.detach().clone() for p in modules[n].parameters()] for n in game.averages}
    optimisers = {}
    for name, player in game.players.items():
        weights = [p for net in player.nets for p in modules[net].parameters()]
        optimisers[name] = torch.optim.Adam(weights, lr=player.rates(game.members)[member], betas=player.betas)
    for step in range(steps):
        for name, player in game.players.items():
            for _ in range(player.repeats):
                batch = {k: v[member] for k, v in game.batch(name, turns[name]).items()}
                turns[name] += 1
                loss = (losses or {}).get(name, player.loss)(
                    SimpleNamespace(**modules), SimpleNamespace(**batch), hyper
                )
                loss = loss[0] if isinstance(loss, tuple) else loss
                optimisers[name].zero_grad()
                loss.backward()
                for group in optimisers[name].param_groups:
                    group["lr"] = player.rates(game.members)[member] * (player.schedule(step) if player.schedule else 1)
                optimisers[name].step()
                if player.clip is not None:
                    for net in player.nets:
                        for p in modules[net].parameters():
                            p.data.clamp_(-player.clip, player.clip)
            history[name].append(loss.item())
        for net, decay in game.averages.items():
            for mean, p in zip(averages[net], modules[net].parameters(), strict=True):
                mean.mul_(decay).add_(p.detach(), alpha=1 - decay)
    return modules, history, averages


def state_of(game, member):
    """Everything that one member is, {name: tensor}."""
    return {f"{n}.{k}": v[member].clone() for n, s in game.state.items() for k, v in s.items()}
