"""A small judge of 28 × 28 digits: the ruler that notebooks 05 and 06 hold to drawn digits.

Its weights lie in data/digit_judge.npz, trained on the 8,000 working digits only, by the one command

    python -m helpers.judge

which takes a minute or two and prints the error on the 2,000 held-out digits. In training, digits are moved, turned and
resized a little. Half of every batch are blends of two digits, with both names as the truth, and noise, with
every name: a judge that has seen real digits only is sure of itself whatever it is shown, and would be no ruler.

>>> judge = digit_judge()
>>> digit, confidence = recognised(judge, pictures)      # pictures (n, 1, 28, 28), 0 paper to 1 ink
>>> features = judge.features(pictures)                  # (n, 48), for helpers.frechet_distance
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .draws import rows, uniform
from .game import Game
from .judges import Judge, ship, shipped
from .optimisers import falling
from .pictures import load_pictures
from .players import Player

FILE = "digit_judge.npz"
SETTINGS = {"seed": 0, "steps": 3000, "batch": 64, "learning rate": 0.002, "average": 0.99, "move": 2, "turn": 12, "size": 0.1}  # fmt: skip


class DigitJudge(Judge):
    """28 × 28 → 14 × 14 → 7 × 7 → 48 features → 10 scores."""

    def __init__(self):
        eye = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(),  # (n, 16, 14, 14)
            nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.ReLU(),  # (n, 32, 7, 7)
            nn.Flatten(), nn.Linear(32 * 49, 48), nn.ReLU(),
        )  # fmt: skip
        super().__init__(eye, 10)


def digit_judge():
    """The judge with its shipped weights, in eval mode; its weights do not train."""
    return shipped(DigitJudge(), FILE, SETTINGS, "python -m helpers.judge")


def recognised(judge, pictures):
    """The digit that the judge sees in each picture, and how sure it is (from 0.1 to 1): two tensors (n,)."""
    with torch.no_grad():
        confidence, digit = judge(pictures).softmax(dim=1).max(dim=1)
    return digit, confidence


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


def held_out_error(judge):
    """The part of the 2,000 held-out digits that the judge gets wrong."""
    digits = load_pictures("mnist")
    return (recognised(judge, digits.test_x)[0] != digits.test_y).float().mean().item()


def main():
    game = judge_game(SETTINGS["steps"])
    game.train(SETTINGS["steps"])
    judge = game.member(0).judge
    ship(judge, FILE, SETTINGS)
    print(
        f"{held_out_error(judge):.2%} of the 2,000 held-out digits wrong; data/{FILE} written. Now its line in SHA256SUMS."
    )


if __name__ == "__main__":
    main()
