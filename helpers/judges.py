"""What the course's two judges share: a network that looks before it names, and its weights in data/ with their settings."""

import json

import numpy as np
import torch
from torch import nn

from .errors import CourseError
from .files import DATA, data_file


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


def shipped(judge, file, settings, command):
    """`judge` with the weights in data/`file`, in eval mode, not to be trained; CourseError if made with other settings."""
    with np.load(data_file(file), allow_pickle=False) as stored:
        if json.loads(str(stored["settings"])) != settings:
            raise CourseError(f"data/{file} was trained with other settings: {command} trains anew.")
        judge.load_state_dict({name: torch.tensor(stored[name]) for name in judge.state_dict()})
    return judge.eval().requires_grad_(False)


def ship(judge, file, settings):
    """Write a judge's weights and settings to data/`file`; its line in SHA256SUMS is then to be written anew."""
    weights = {name: weight.numpy().astype(np.float32) for name, weight in judge.state_dict().items()}
    np.savez_compressed(DATA / file, settings=np.array(json.dumps(settings)), **weights)
