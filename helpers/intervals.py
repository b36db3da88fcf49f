"""What several seeds say together: their mean, and how far luck could have moved it."""

import numpy as np

# Student's t for 95 %, for 1, 2, ... 30 degrees of freedom (one less than there are values).
T_95 = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
]  # fmt: skip


def mean_and_interval(values):
    """The mean over the last axis, (..., seeds) → (...), and how far its 95 % interval reaches to each side.

    mean ± t · s / √n with Student's t and s² = Σ (x − mean)² / (n − 1). One value says nothing about luck: its reach is
    NaN. The two are numbers for one row of seeds, arrays for more. (Many degrees of freedom f: t ≈ 1.96 + 2.37 / f +
    2.82 / f², the first terms of Abramowitz and Stegun 1964, equation 26.7.5.)
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    mean = values.mean(axis=-1)
    if n < 2:
        return mean, mean * np.nan
    free = n - 1
    t = T_95[free - 1] if free <= len(T_95) else 1.96 + 2.37 / free + 2.82 / free**2
    return mean, t * values.std(axis=-1, ddof=1) / np.sqrt(n)
