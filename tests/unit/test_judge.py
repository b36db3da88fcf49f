"""The judge of digits: its shipped weights are what the code says, read held-out digits, and are a ruler."""

import json
import math

import numpy as np
import pytest
import torch

from data.rebuild import digit_judge as training
from data.rebuild.judges import errors
from helpers import data_file, digit_judge, frechet_distance, load_pictures, recognised, rows


@pytest.fixture(scope="module")
def digits():
    return load_pictures("mnist")


def test_the_shipped_weights_were_made_with_these_settings_and_load_without_pickle():
    path = data_file("digit_judge.npz")
    assert path.stat().st_size < 400_000
    with np.load(path, allow_pickle=False) as stored:
        assert json.loads(str(stored["settings"])) == training.SETTINGS
        assert all(stored[name].dtype == np.float32 for name in stored.files if name != "settings")


def test_at_most_three_in_a_hundred_held_out_digits_are_misread(digits):
    assert errors(training.answers(digit_judge()))["digits"] < 0.03


def test_a_ruler_knows_what_is_no_digit(digits):
    ruler, random = digit_judge(), torch.Generator().manual_seed(0)
    digit, confidence = recognised(ruler, digits.test_x)
    assert digit.shape == confidence.shape == (2000,) and (confidence > 0.9).float().mean() > 0.93
    noise = torch.rand(500, 1, 28, 28, generator=random)
    assert (recognised(ruler, noise)[1] > 0.9).float().mean() < 0.02
    blends = (digits.test_x + digits.test_x.roll(1, 0)) / 2
    assert (recognised(ruler, blends)[1] > 0.9).float().mean() < 0.3
    features = [ruler.features(x).numpy() for x in (digits.test_x, digits.x[:2000], blends, noise)]
    real, blended, noisy = (frechet_distance(features[0], other) for other in features[1:])
    assert real < 10 < 100 < blended < noisy


def test_it_saw_the_working_digits_only(digits, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "rows", lambda size, **tensors: seen.append(tensors) or rows(size, **tensors))
    training.judge_game(10)
    assert seen[0]["x"] is not None and torch.equal(seen[0]["x"], digits.x) and torch.equal(seen[0]["y"], digits.y)


def test_jiggling_moves_turns_and_keeps_what_stays():
    picture = torch.zeros(1, 1, 28, 28)
    picture[0, 0, 10, 18] = 1
    still = training.jiggled(picture, torch.full((1, 4), 0.5))
    torch.testing.assert_close(still, picture, atol=1e-5, rtol=0)
    moved = training.jiggled(picture, torch.tensor([[0.5, 0.5, 1.0, 0.5]]))  # the window goes right, the ink left
    assert moved[0, 0].argmax() == 10 * 28 + 18 - training.SETTINGS["move"]
    turned = training.jiggled(picture, torch.tensor([[1.0, 0.5, 0.5, 0.5]]))
    y, x = divmod(int(turned[0, 0].argmax()), 28)
    angle = math.atan2(y - 13.5, x - 13.5) - math.atan2(10 - 13.5, 18 - 13.5)
    assert abs(abs(angle) - math.radians(training.SETTINGS["turn"])) < 0.12


@pytest.mark.slow
def test_the_game_of_the_command_learns():
    game = training.judge_game(150)
    game.train(150)
    assert errors(training.answers(game.member(0).judge))["digits"] < 0.15
