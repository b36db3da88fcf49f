"""digit_judge.npz: a small judge of 28 × 28 digits, trained on the 8,000 working digits only, in a minute or two.

Digits are moved, turned and resized a little. Half of every batch are blends of two digits, with both names as the
truth, and noise, with every name: a judge that has seen real digits only is sure of itself whatever it is shown.
"""

import math

import torch
from torch.nn import functional as F

from helpers import Game, Player, falling, load_pictures, recognised, rows, uniform
from helpers.rulers import DigitJudge

NETWORK = DigitJudge
SETTINGS = {"seed": 0, "steps": 3000, "batch": 64, "learning rate": 0.002, "average": 0.99, "move": 2, "turn": 12, "size": 0.1}  # fmt: skip


def jiggled(pictures, u):
    """Pictures moved, turned and resized a little, by four uniform numbers each: u (n, 4)."""
    u = 2 * u - 1
    angle, size = u[:, 0] * math.radians(SETTINGS["turn"]), 1 + u[:, 1] * SETTINGS["size"]
    move = u[:, 2:] * SETTINGS["move"] / 14  # the grid reaches from −1 to 1: 14 pixels to each side
    cos, sin = angle.cos() * size, angle.sin() * size
    affine = torch.stack([cos, -sin, move[:, 0], sin, cos, move[:, 1]], dim=1).view(-1, 2, 3)
    return F.grid_sample(pictures, F.affine_grid(affine, pictures.shape, align_corners=False), align_corners=False)


def judge_loss(nets, batch, member):
    """Cross-entropy on jiggled digits, on blends of two of them, and on noise that has no name."""
    x, truth = jiggled(batch.x, batch.jiggle), F.one_hot(batch.y, 10).float()
    blends, both = (x + x.roll(1, 0)) / 2, (truth + truth.roll(1, 0)) / 2
    noise, nothing = batch.noise ** (1 + 8 * batch.level), torch.full_like(truth, 0.1)  # from grey to sparse specks
    loss = lambda pictures, names: F.cross_entropy(nets.judge(pictures), names)  # noqa: E731
    return loss(x, truth) + loss(blends, both) / 2 + loss(noise, nothing) / 2


def judge_game(steps):
    """The game that trains the judge, to be trained for `steps`."""
    digits, batch = load_pictures("mnist"), SETTINGS["batch"]
    sample = [
        rows(batch, x=digits.x, y=digits.y),
        uniform(jiggle=(batch, 4), noise=(batch, 1, 28, 28), level=(batch, 1, 1, 1)),
    ]
    player = Player("judge", judge_loss, lr=SETTINGS["learning rate"], schedule=falling(steps // 2, steps))
    return Game({"judge": DigitJudge}, [player], sample, average={"judge": SETTINGS["average"]})


def answers(judge):
    """What the judge says of the 2,000 held-out digits, and the truth: {"digits": (digits (n,), digits (n,))}."""
    digits = load_pictures("mnist")
    return {"digits": (recognised(judge, digits.test_x)[0], digits.test_y)}
