"""face_judge.npz: a small judge of 16 × 16 faces, trained on the 3,000 working faces only, in about a minute.

Faces are moved by a pixel and their colours changed a little. Beside them stand blends of two faces, with half of each
one's labels as the truth, and faces that drown in noise, with "fifty-fifty" as the truth where nothing of the face is
left: a judge that has seen clean faces only is sure of itself whatever it is shown.
"""

import torch
from torch.nn import functional as F

from helpers import Game, Player, face_labels, falling, load_faces, rows, uniform
from helpers.rulers import FaceJudge

NETWORK = FaceJudge
SETTINGS = {"seed": 0, "steps": 1500, "batch": 64, "learning rate": 0.002, "average": 0.99, "move": 1, "colour": 0.1}


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


def answers(judge):
    """What the judge says of the 1,000 held-out faces, and the truth: {label: (booleans (n,), booleans (n,))}."""
    faces = load_faces()
    said = face_labels(judge, faces.test_x)[0]
    return {name: (said[:, i], faces.test_y[:, i] > 0.5) for i, name in enumerate(faces.names)}
