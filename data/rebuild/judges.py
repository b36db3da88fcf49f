"""What the two judges share: training, writing, errors on held-out pictures, and a comparison within a tolerance.

Trained weights differ in their last bits between processors and versions of torch, and a long training makes more of
it: two trainings are alike if they err alike and say the same of held-out pictures.
"""

import json

import numpy as np

from helpers.rulers import shipped

from . import digit_judge, face_judge

JUDGES = {training.NETWORK.FILE: training for training in (digit_judge, face_judge)}
WORSE, SAME = 0.005, 0.98  # an error may be off by half a hundredth, and 98 in a hundred answers have to be the same


def train(name, path):
    """Train the judge whose file is `name`, and write its weights and settings to `path`."""
    training = JUDGES[name]
    game = training.judge_game(training.SETTINGS["steps"])
    game.train(training.SETTINGS["steps"])
    ship(game.member(0).judge, training.SETTINGS, path)


def ship(judge, settings, path):
    """Write a judge's weights and settings to `path`, as plain arrays: nothing is pickled."""
    weights = {name: weight.numpy().astype(np.float32) for name, weight in judge.state_dict().items()}
    np.savez_compressed(path, settings=np.array(json.dumps(settings)), **weights)


def errors(answers):
    """The part of the held-out pictures that a judge gets wrong, for each question: {name: part}."""
    return {name: (said != truth).float().mean().item() for name, (said, truth) in answers.items()}


def alike(name, made, stored):
    """Whether two files of weights are the same judge within the tolerance, and a sentence: (bool, str)."""
    training = JUDGES[name]
    ours, theirs = (training.answers(shipped(training.NETWORK(), path)) for path in (made, stored))
    new, old = errors(ours), errors(theirs)
    same = min((ours[key][0] == theirs[key][0]).float().mean().item() for key in ours)
    text = ", ".join(f"{key} {new[key]:.2%} wrong (stored: {old[key]:.2%})" for key in ours)
    good = same >= SAME and all(abs(new[key] - old[key]) <= WORSE for key in ours)
    return good, f"trained anew: {text}; the same answer to {same:.2%} of the held-out pictures"
