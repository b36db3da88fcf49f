"""The pictures that the notebooks share: shapes, ranges, one split, and what is refused."""

import pytest
import torch

from helpers import CourseError, load_pictures


@pytest.mark.parametrize("name, work", [("mnist", 8000), ("fashion_mnist", 4000)])
def test_the_split_and_the_range(name, work):
    pictures = load_pictures(name)
    assert pictures.x.shape == (work, 1, 28, 28) and pictures.test_x.shape == (2000, 1, 28, 28)
    assert pictures.x.min() == 0 and pictures.x.max() == 1 and len(pictures.names) == 10
    assert torch.bincount(pictures.y).min() > work / 10 * 0.8 and torch.bincount(pictures.test_y).min() >= 150


def test_smaller_ones_are_averages_of_the_same_pictures():
    large, small = load_pictures("mnist"), load_pictures("mnist", size=14)
    assert small.x.shape == (8000, 1, 14, 14)
    torch.testing.assert_close(small.x[0, 0, 5, 7], large.x[0, 0, 10:12, 14:16].mean())
    assert torch.equal(small.test_y, large.test_y)


@pytest.mark.parametrize("asked", [("cifar", 28), ("mnist", 20)])
def test_what_is_not_there_gets_a_sentence(asked):
    with pytest.raises(CourseError, match="asked for"):
        load_pictures(*asked)
