"""A small judge of 16 × 16 faces: the ruler that notebooks 07 and 08 hold to drawn faces.

It says of a face whether it wears glasses, has long hair, wears a hat. Its weights lie in data/face_judge.npz, trained
on the 3,000 working faces only, by the one command

    python -m helpers.face_judging

which takes about a minute and prints the errors on the 1,000 held-out faces. In training, faces are moved by a pixel and
their colours changed a little. Beside them stand blends of two faces, with half of each one's labels as the truth,
and faces that drown in noise, with "fifty-fifty" as the truth where nothing of the face is left: a judge that has seen
clean faces only is sure of itself whatever it is shown, and would be no ruler.

>>> judge = face_judge()
>>> labels, sure = face_labels(judge, pictures)          # pictures (n, 3, 16, 16) from −1 to 1
>>> features = judge.features(pictures)                  # (n, 48), for helpers.frechet_distance
"""

import torch
from torch import nn
from torch.nn import functional as F

from .draws import rows, uniform
from .faces import NAMES, load_faces
from .game import Game
from .judges import Judge, ship, shipped
from .optimisers import falling
from .players import Player

FILE = "face_judge.npz"
SETTINGS = {"seed": 0, "steps": 1500, "batch": 64, "learning rate": 0.002, "average": 0.99, "move": 1, "colour": 0.1}


class FaceJudge(Judge):
    """16 × 16 → 8 × 8 → 4 × 4 → 48 features → 3 scores: glasses, long hair, hat; above 0 is yes."""

    def __init__(self):
        eye = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),  # (n, 16, 16, 16)
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),  # (n, 32, 8, 8)
            nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.ReLU(),  # (n, 48, 4, 4)
            nn.Flatten(), nn.Linear(48 * 16, 48), nn.ReLU(),
        )  # fmt: skip
        super().__init__(eye, 3)


def face_judge():
    """The judge with its shipped weights, in eval mode; its weights do not train."""
    return shipped(FaceJudge(), FILE, SETTINGS, "python -m helpers.face_judging")


def face_labels(judge, pictures):
    """What the judge sees in each picture: labels (n, 3), true or false, and how sure it is of all three (n,).

    Sure is the probability of the label that it doubts most: from 0.5, a coin, to 1.
    """
    with torch.no_grad():
        yes = torch.sigmoid(judge(pictures))
    return yes > 0.5, torch.maximum(yes, 1 - yes).min(dim=1).values


def jiggled(pictures, u):
    """Pictures moved by up to a pixel, each colour channel a little stronger or weaker: u (n, 8) uniform numbers."""
    u = 2 * u - 1
    contrast, light = 1 + SETTINGS["colour"] * u[:, 2:5, None, None], SETTINGS["colour"] * u[:, 5:, None, None]
    steps = (u[:, :2] * (SETTINGS["move"] + 0.5)).round() / 8  # whole pixels: the grid reaches from −1 to 1
    one, none = torch.ones_like(steps[:, 0]), torch.zeros_like(steps[:, 0])
    affine = torch.stack([one, none, steps[:, 0], none, one, steps[:, 1]], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(affine, pictures.shape, align_corners=False)
    return F.grid_sample(pictures, grid, "nearest", padding_mode="border", align_corners=False) * contrast + light


def noise_for(batch):
    """Noise that is fine, coarse (4 × 4 patches of colour) or anything between: (n, 3, 16, 16) from −1 to 1."""
    coarse = F.interpolate(batch.patches, scale_factor=4)
    return 2 * torch.lerp(batch.noise, coarse, batch.level) - 1


def judge_loss(nets, batch, member):
    """Cross-entropy on jiggled faces, on blends of two of them, and on faces that drown in noise."""
    x, truth = jiggled(batch.x, batch.jiggle), batch.y
    blends, both = (x + x.roll(1, 0)) / 2, (truth + truth.roll(1, 0)) / 2
    left = batch.left  # how much of the face is left, (n, 1)
    drowned = torch.lerp(noise_for(batch), x, left[:, :, None, None])
    doubt = torch.lerp(torch.full_like(truth, 0.5), truth, left)
    loss = lambda pictures, names: F.binary_cross_entropy_with_logits(nets.judge(pictures), names)  # noqa: E731
    return loss(x, truth) + loss(blends, both) / 2 + loss(drowned, doubt) / 2


def judge_game(steps):
    """The game that trains the judge, to be trained for `steps`."""
    faces, n = load_faces(), SETTINGS["batch"]
    shapes = {"jiggle": (n, 8), "noise": (n, 3, 16, 16), "patches": (n, 3, 4, 4), "level": (n, 1, 1, 1), "left": (n, 1)}
    sample = [rows(n, x=faces.x, y=faces.y), uniform(**shapes)]
    player = Player("judge", judge_loss, lr=SETTINGS["learning rate"], schedule=falling(steps // 2, steps))
    return Game({"judge": FaceJudge}, [player], sample, average={"judge": SETTINGS["average"]})


def held_out_errors(judge):
    """The part of the 1,000 held-out faces that the judge gets wrong, for each label: {name: part}."""
    faces = load_faces()
    wrong = face_labels(judge, faces.test_x)[0] != (faces.test_y > 0.5)
    return dict(zip(NAMES, wrong.float().mean(dim=0).tolist(), strict=True))


def main():
    game = judge_game(SETTINGS["steps"])
    game.train(SETTINGS["steps"])
    judge = game.member(0).judge
    ship(judge, FILE, SETTINGS)
    errors = ", ".join(f"{name} {part:.2%}" for name, part in held_out_errors(judge).items())
    print(f"Wrong on the 1,000 held-out faces: {errors}; data/{FILE} written. Now its line in SHA256SUMS.")


if __name__ == "__main__":
    main()
