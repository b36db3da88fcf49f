"""How a quiz is marked. That each question of the course has one right answer is seen in tests/colab/."""

import numpy as np
import pytest
import torch

from helpers import direction, mark_quiz


@pytest.mark.parametrize("before, after, moves", [
    (1, 2, "rises"), (2, 1, "falls"), (1, 1, "stays"), (0.0, 1e-9, "stays"), (0.1, 0.0001, "falls"),
    (1e6, 1e6 + 0.5, "stays"), (1e6, 1e6 + 5, "rises"), (np.float32(0.25), np.float64(0.25), "stays"),
    (np.array([0.5]), np.array([0.25]), "falls"), (torch.tensor(0.5), torch.tensor([0.75]), "rises"),
])  # fmt: skip
def test_direction(before, after, moves):
    assert direction(before, after) == moves


def test_direction_within():
    assert direction(0.30, 0.33, within=0.04) == "stays" and direction(0.30, 0.35, within=0.04) == "rises"


def test_marks():
    facts = {"a": ("rises", 2), "b": ("20", "“A third choice”"), "c": ("stays", 5)}
    said = mark_quiz({"a": "rises", "b": "?", "c": "falls"}, facts)
    assert said == "1. ✓\n2. not answered yet\n3. ✗ read section 5 again"
    assert "2. ✗ read “A third choice” again" in mark_quiz({"a": "?", "b": "24", "c": "?"}, facts)
