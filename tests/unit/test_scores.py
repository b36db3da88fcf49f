"""The Fréchet distance, against Gaussians worked out by hand; the sharpness of stripes."""

import numpy as np
import pytest
import torch

from helpers import CourseError, frechet_distance, load_glyphs, sharpness


def with_moments(mean, spread, n=400):
    """Features whose mean and covariance are exactly these."""
    x = np.random.default_rng(0).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False).reshape(len(mean), -1))).T
    return x @ np.linalg.cholesky(np.asarray(spread, dtype=float)).T + np.asarray(mean, dtype=float)


def test_one_feature_by_hand():
    a, b = with_moments([1], [[4]]), with_moments([4], [[25]])
    assert np.isclose(frechet_distance(a, b), 3**2 + (5 - 2) ** 2)  # in one dimension |μ − μ′|² + (σ − σ′)²


def test_two_features_by_hand():
    a, b = with_moments([0, 0], [[4, 0], [0, 9]]), with_moments([1, 2], [[1, 0], [0, 16]])
    assert np.isclose(frechet_distance(a, b), 1 + 4 + (2 - 1) ** 2 + (3 - 4) ** 2)
    turned = with_moments([0, 0], [[2, 1], [1, 2]])  # eigenvalues 3 and 1; against the unit matrix their roots count
    unit = with_moments([0, 0], [[1, 0], [0, 1]])
    assert np.isclose(frechet_distance(turned, unit), (np.sqrt(3) - 1) ** 2)


def test_covariances_that_do_not_commute():
    one, other = [[2.0, 1.0], [1.0, 2.0]], [[3.0, 0.0], [0.0, 1.0]]
    product = np.array(one) @ np.array(other)  # of 2 × 2: tr √M = √(tr M + 2 √det M)
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    a, b = with_moments([0, 0], one), with_moments([0, 0], other)
    assert np.isclose(frechet_distance(a, b), 4 + 4 - 2 * root)


def test_same_from_both_sides_zero_to_itself_and_no_square_root_of_a_rounding_error():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(50, 8)), random.normal(size=(60, 8)) * 2
    flat = np.hstack([a, np.zeros((50, 4))])  # features that never move: a singular covariance
    assert np.isclose(frechet_distance(a, b), frechet_distance(b, a))
    assert abs(frechet_distance(a, a)) < 1e-9 and abs(frechet_distance(flat, flat)) < 1e-9
    assert frechet_distance([[0.0], [2.0]], [[3.0], [5.0]]) == pytest.approx(9)


@pytest.mark.parametrize("bad", [[[1.0]], [1.0, 2.0], [[1.0], [np.nan]]])
def test_what_is_no_set_of_features_is_refused(bad):
    with pytest.raises(CourseError, match="set of features"):
        frechet_distance(bad, [[0.0], [1.0]])


def test_other_features_are_refused():
    with pytest.raises(CourseError, match="they have 1 and 2"):
        frechet_distance([[0.0], [1.0]], [[0.0, 1.0], [1.0, 0.0]])


def test_sharpness_by_hand():
    stripes, pale = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    stripes[..., ::2], pale[..., ::2] = 1, 0.5  # every step across is 1, or ½: ½² is a quarter of the energy
    assert sharpness(stripes, stripes) == 1 and sharpness(pale, stripes) == 0.25
    assert sharpness(torch.ones(2, 1, 4, 4), stripes) == 0
    truth = load_glyphs().test_reggae
    assert sharpness((truth + truth.roll(1, 0)) / 2, truth) < 0.7, "averages blur"
