"""The mean over seeds and its interval, against sums by hand and against Student's t integrated anew."""

import math
from itertools import pairwise

import numpy as np
import pytest

from helpers import mean_and_interval
from helpers.rulers import T_95


def test_by_hand():
    mean, reach = mean_and_interval([1.0] * 5 + [3.0] * 5)
    assert mean == 2 and reach == pytest.approx(2.262 * math.sqrt(10 / 9) / math.sqrt(10))
    mean, reach = mean_and_interval(np.arange(16.0))
    assert mean == 7.5 and reach == pytest.approx(2.131 * math.sqrt(340 / 15) / 4)


def test_over_the_last_axis():
    means, reaches = mean_and_interval([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    np.testing.assert_allclose(means, [2, 5])
    np.testing.assert_allclose(reaches, [4.303 / math.sqrt(3), 0])


def test_one_value_has_no_interval():
    mean, reach = mean_and_interval([4.0])
    assert mean == 4 and np.isnan(reach)


@pytest.mark.parametrize("free", [1, 2, 3, 4, 7, 9, 15, 30, 31, 63, 99, 999])
def test_t_leaves_five_percent_outside(free):
    """What reach · √n / s is, put into Student's density, which is integrated here with t = √f · tan(angle)."""
    values = np.array([1.0, -1.0] + [0.0] * (free - 1))  # free + 1 values with the mean 0
    t = mean_and_interval(values)[1] * math.sqrt(len(values)) / values.std(ddof=1)
    angles = np.linspace(0, math.pi / 2, 200_001)
    density = np.cos(angles) ** (free - 1)
    inside = density[angles <= math.atan(t / math.sqrt(free))].sum() / density.sum()
    assert inside == pytest.approx(0.95, abs=2e-4)


def test_t_falls_with_every_value_more():
    reaches = [mean_and_interval(np.array([1.0, -1.0] + [0.0] * more))[1] for more in range(60)]
    assert all(later < earlier for earlier, later in pairwise(reaches))
    assert len(T_95) == 30


def test_about_nineteen_of_twenty_intervals_hold_the_truth():
    means, reaches = mean_and_interval(np.random.default_rng(0).normal(3.0, 2.0, size=(20_000, 5)))
    assert (np.abs(means - 3) <= reaches).mean() == pytest.approx(0.95, abs=0.006)
