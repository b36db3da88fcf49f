"""The course's two judges, rulers for what was drawn: one names digits, the other sees glasses, long hair and hats.

Their weights lie in data/ with the settings they were trained with; data/rebuild/ trains them, on working pictures only.
A judge that has seen real pictures only is sure of itself whatever it is shown, and would be no ruler: there they also
see blends and noise.

>>> judge = digit_judge()
>>> digit, confidence = recognised(judge, pictures)      # pictures (n, 1, 28, 28), 0 paper to 1 ink
>>> features = judge.features(pictures)                  # (n, 48), for helpers.frechet_distance
>>> labels, sure = face_labels(face_judge(), faces)      # faces (n, 3, 16, 16) from −1 to 1
"""

import json
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from .errors import CourseError
from .files import data_file


class Judge(nn.Module):
    """An `eye`, pictures → features (n, 48), and a layer that makes scores of them: (n, scores)."""

    def __init__(self, eye, scores):
        super().__init__()
        self.eye, self.name = eye, nn.Linear(48, scores)

    def features(self, pictures):
        """What it makes of the pictures before it names anything: (n, 48)."""
        return self.eye(pictures)

    def forward(self, pictures):
        """The scores of each picture: (n, scores)."""
        return self.name(self.features(pictures))


class DigitJudge(Judge):
    """28 × 28 → 14 × 14 → 7 × 7 → 48 features → 10 scores."""

    FILE = "digit_judge.npz"
    SETTINGS: ClassVar = {"seed": 0, "steps": 3000, "batch": 64, "learning rate": 0.002, "average": 0.99, "move": 2, "turn": 12, "size": 0.1}  # fmt: skip

    def __init__(self):
        eye = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(),  # (n, 16, 14, 14)
            nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.ReLU(),  # (n, 32, 7, 7)
            nn.Flatten(), nn.Linear(32 * 49, 48), nn.ReLU(),
        )  # fmt: skip
        super().__init__(eye, 10)


class FaceJudge(Judge):
    """16 × 16 → 8 × 8 → 4 × 4 → 48 features → 3 scores: glasses, long hair, hat; above 0 is yes."""

    FILE = "face_judge.npz"
    SETTINGS: ClassVar = {"seed": 0, "steps": 1500, "batch": 64, "learning rate": 0.002, "average": 0.99, "move": 1, "colour": 0.1}  # fmt: skip

    def __init__(self):
        eye = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),  # (n, 16, 16, 16)
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),  # (n, 32, 8, 8)
            nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.ReLU(),  # (n, 48, 4, 4)
            nn.Flatten(), nn.Linear(48 * 16, 48), nn.ReLU(),
        )  # fmt: skip
        super().__init__(eye, 3)


def shipped(judge, path=None):
    """`judge` with the weights of its file in data/ (or of `path`), in eval mode, not to be trained.

    CourseError if they were made with other settings.
    """
    with np.load(path or data_file(judge.FILE), allow_pickle=False) as stored:
        if json.loads(str(stored["settings"])) != judge.SETTINGS:
            raise CourseError(
                f"data/{judge.FILE} was trained with other settings: python3 data/rebuild {judge.FILE} trains anew."
            )
        judge.load_state_dict({name: torch.tensor(stored[name]) for name in judge.state_dict()})
    return judge.eval().requires_grad_(False)


def digit_judge():
    """The judge of digits with its shipped weights, in eval mode; its weights do not train."""
    return shipped(DigitJudge())


def recognised(judge, pictures):
    """The digit that the judge sees in each picture, and how sure it is (from 0.1 to 1): two tensors (n,)."""
    with torch.no_grad():
        confidence, digit = judge(pictures).softmax(dim=1).max(dim=1)
    return digit, confidence


def face_judge():
    """The judge of faces with its shipped weights, in eval mode; its weights do not train."""
    return shipped(FaceJudge())


def face_labels(judge, pictures):
    """What the judge sees in each picture: labels (n, 3), true or false, and how sure it is of all three (n,).

    Sure is the probability of the label that it doubts most: from 0.5, a coin, to 1.
    """
    with torch.no_grad():
        yes = torch.sigmoid(judge(pictures))
    return yes > 0.5, torch.maximum(yes, 1 - yes).min(dim=1).values
