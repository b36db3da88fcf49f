"""Rulers: what measures drawn things. Two judges, three scores, and what several seeds say together.

The judges' weights lie in data/; data/rebuild/ trains them, on working pictures only, and holds them against their
settings. A judge that has seen real pictures only is sure of itself whatever it is shown, and would be no ruler: there
they also see blends and noise. A new ruler is a function here that has been tried on what is good and on what is not.
"""

import numpy as np
import torch
from torch import nn

from .data import data_file
from .page import CourseError

# Student's t for 95 %, for 1, 2, ... 30 degrees of freedom (one less than there are values).
T_95 = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
]  # fmt: skip


class Judge(nn.Module):
    """An `eye`, pictures → features (n, 48), and a layer that makes scores of them: (n, scores)."""

    def __init__(self, eye: nn.Module, scores: int):
        super().__init__()
        self.eye, self.name = eye, nn.Linear(48, scores)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """What it makes of the pictures before it names anything, (n, 48): for `frechet_distance`."""
        return self.eye(pictures)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The scores of each picture: (n, scores)."""
        return self.name(self.features(pictures))


class DigitJudge(Judge):
    """Digits (n, 1, 28, 28) → 48 features → 10 scores."""

    FILE = "digit_judge.npz"

    def __init__(self):
        eye = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(),  # (n, 16, 14, 14)
            nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.ReLU(),  # (n, 32, 7, 7)
            nn.Flatten(), nn.Linear(32 * 49, 48), nn.ReLU(),
        )  # fmt: skip
        super().__init__(eye, 10)


class FaceJudge(Judge):
    """Faces (n, 3, 16, 16) → 48 features → 3 scores: glasses, long hair, hat; above 0 is yes."""

    FILE = "face_judge.npz"

    def __init__(self):
        eye = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),  # (n, 16, 16, 16)
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),  # (n, 32, 8, 8)
            nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.ReLU(),  # (n, 48, 4, 4)
            nn.Flatten(), nn.Linear(48 * 16, 48), nn.ReLU(),
        )  # fmt: skip
        super().__init__(eye, 3)


def shipped(judge: Judge, path: object = None) -> Judge:
    """`judge` with the weights of its file in data/ (or of `path`), in eval mode; they do not train."""
    with np.load(path or data_file(judge.FILE), allow_pickle=False) as stored:
        judge.load_state_dict({name: torch.tensor(stored[name]) for name in judge.state_dict()})
    return judge.eval().requires_grad_(False)


def digit_judge() -> DigitJudge:
    """The judge of digits, trained; `judge.features(pictures)` are (n, 48)."""
    return shipped(DigitJudge())


def face_judge() -> FaceJudge:
    """The judge of faces, trained; `judge.features(faces)` are (n, 48)."""
    return shipped(FaceJudge())


@torch.no_grad()
def recognised(judge: DigitJudge, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The digit that the judge sees in each picture, and how sure it is.

    Parameters
    ----------
    judge : from `digit_judge`
    pictures : Tensor (n, 1, 28, 28), 0 (paper) to 1 (ink)

    Returns
    -------
    Tensor (n,), Tensor (n,)
        Digits, and probabilities from 0.1 to 1.
    """
    confidence, digit = judge(pictures).softmax(dim=1).max(dim=1)
    return digit, confidence


@torch.no_grad()
def face_labels(judge: FaceJudge, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the judge sees in each face, and how sure it is of all three labels.

    Parameters
    ----------
    judge : from `face_judge`
    pictures : Tensor (n, 3, 16, 16), from −1 to 1

    Returns
    -------
    Tensor (n, 3) of bool, Tensor (n,)
        Labels, and the probability of the one that it doubts most: from 0.5, a coin, to 1.
    """
    yes = torch.sigmoid(judge(pictures))
    return yes > 0.5, torch.maximum(yes, 1 - yes).min(dim=1).values


def recovered(drawings: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Whether each drawing is most like its own candidate, by correlation.

    Drawings that ignore what was asked for hit by chance, 1 in n; so do drawings that are all the same.

    Parameters
    ----------
    drawings, candidates : Tensor (n, ...), drawing i belongs to candidate i

    Returns
    -------
    Tensor (n,) of bool
        False, too, for a drawing without any ink.
    """
    a, b = _standard(drawings), _standard(candidates)
    likeness = a @ b.T  # (drawings, candidates): correlations
    hit = likeness.argmax(dim=1) == torch.arange(len(a), device=a.device)
    return hit & (a.abs().amax(dim=1) > 0)


def _standard(x: torch.Tensor) -> torch.Tensor:
    x = x.flatten(1) - x.flatten(1).mean(dim=1, keepdim=True)
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-6)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """How far two sets of features are apart as if each were Gaussian: 0 if alike, then growing.

    With the means μ and the covariances Σ (Heusel et al. 2017): d = |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½). The root
    has the same trace as (Σa^½ Σb Σa^½)^½, which is symmetric: its eigenvalues are real and, but for rounding, not
    below 0. The value depends on the features and, when n is small, on n: compare like with like.

    Parameters
    ----------
    a, b : array (n, features) and (m, features)

    Raises
    ------
    CourseError
        For other features than one another's, fewer than two rows, or numbers that are not finite.

    Examples
    --------
    >>> frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])  # the same spread, the means 3 apart
    9.0
    """
    a, b = _features(a), _features(b)
    if a.shape[1] != b.shape[1]:
        raise CourseError(f"Both sets need the same features; they have {a.shape[1]} and {b.shape[1]}.")
    spread_a, spread_b = (np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]) for x in (a, b))
    values, vectors = np.linalg.eigh(spread_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T  # Σa^½
    values = np.linalg.eigvalsh(root @ spread_b @ root)
    trace = np.trace(spread_a) + np.trace(spread_b) - 2 * np.sqrt(values.clip(0)).sum()
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + max(trace, 0.0))


def _features(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise CourseError(f"A set of features is (n, features) with n ≥ 2, all finite; it has the shape {x.shape}.")
    return x


def sharpness(pictures: torch.Tensor, truth: torch.Tensor) -> float:
    """The gradient energy of pictures as a part of that of the truth: 1 is as sharp.

    The energy is the mean squared difference of neighbouring pixels, across plus down. Noise has more than anything,
    so the number praises nothing by itself: read it together with an error.

    Parameters
    ----------
    pictures, truth : Tensor (n, channels, height, width)
    """
    first, second = ((x.diff(dim=-1) ** 2).mean() + (x.diff(dim=-2) ** 2).mean() for x in (pictures, truth))
    return first.item() / second.item()


def mean_and_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean over seeds, and how far its 95 % interval reaches to each side: t · s / √n, with Student's t.

    Parameters
    ----------
    values : array (..., seeds)

    Returns
    -------
    array (...), array (...)
        Numbers for one row of seeds. One value says nothing about luck: its reach is NaN.
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    mean = values.mean(axis=-1)
    if n < 2:
        return mean, mean * np.nan
    free = n - 1  # with many: the first terms of Abramowitz and Stegun 1964, equation 26.7.5
    t = T_95[free - 1] if free <= len(T_95) else 1.96 + 2.37 / free + 2.82 / free**2
    return mean, t * values.std(axis=-1, ddof=1) / np.sqrt(n)
