"""How far a set of drawn things is from a set of real ones, and how sharp pictures are, as one number each."""

import numpy as np

from .errors import CourseError


def frechet_distance(a, b):
    """The Fréchet distance between two sets of features, (n, features) and (m, features): 0 if alike, then growing.

    Each set is described by its mean μ and its covariance Σ, as if it were Gaussian, and then (Heusel et al. 2017)

        d = |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½).

    (Σa Σb)^½ has the same trace as (Σa^½ Σb Σa^½)^½, which is symmetric: its eigenvalues are real and, but for
    rounding, not below 0. The value depends on the features and, when n is small, on n: compare like with like.
    Sets with other features than one another, fewer than two rows or numbers that are not finite raise CourseError.

    >>> frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])  # the same spread, the means 3 apart
    9.0
    """
    a, b = _features(a), _features(b)
    if a.shape[1] != b.shape[1]:
        raise CourseError(f"Both sets need the same features; they have {a.shape[1]} and {b.shape[1]}.")
    spread_a, spread_b = (np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]) for x in (a, b))
    root = _root(spread_a)
    values = np.linalg.eigvalsh(root @ spread_b @ root)
    trace = np.trace(spread_a) + np.trace(spread_b) - 2 * np.sqrt(values.clip(0)).sum()
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + max(trace, 0.0))


def _features(x):
    x = np.asarray(x, dtype=float)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise CourseError(f"A set of features is (n, features) with n ≥ 2, all finite; it has the shape {x.shape}.")
    return x


def _root(spread):
    values, vectors = np.linalg.eigh(spread)
    return vectors * np.sqrt(values.clip(0)) @ vectors.T


def sharpness(pictures, truth):
    """The gradient energy of `pictures`, as a part of that of `truth`, both (n, channels, height, width): 1 is as sharp.

    The energy is the mean squared difference of neighbouring pixels, across plus down. Noise has more than anything,
    so the number praises nothing by itself: read it together with an error.
    """
    return _energy(pictures) / _energy(truth)


def _energy(x):
    return (x.diff(dim=-1).square().mean() + x.diff(dim=-2).square().mean()).item()
