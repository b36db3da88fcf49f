"""What a batch holds: rows of a data set drawn by index, and noise, each member from its own random streams.

>>> sample = [rows(64, x=images, y=labels), normal(z=(64, 100)), uniform(eps=(64, 1))]

Every number is a function of (member's seed, player, name, turn) and of nothing else. So a member sees the same
numbers alone, among 32, or after a crash, and no state of a random generator has to be kept.
"""

import math
import zlib

import numpy as np
import torch

from .errors import CourseError

CHUNK = 2**14  # random numbers drawn at a time for one member: enough that starting a generator costs little


class Draw:
    """One source of a batch: `names` are what the loss calls its parts, `shape` that of one member's turn."""

    def __init__(self, kind, names, shape, data=None):
        self.kind, self.names, self.shape, self.data = kind, names, tuple(shape), data or {}

    def describe(self):
        """What a checkpoint remembers of this source, to tell another game's file from this one's."""
        parts = {name: [list(t.shape), str(t.dtype)] for name, t in self.data.items()}
        return {"kind": self.kind, "names": list(self.names), "shape": list(self.shape), "data": parts}


def rows(size, **tensors):
    """`size` rows drawn with replacement from tensors of equal length, the same rows from each: picture and label.

    Independent rows (unpaired data) are two draws: `[rows(4, horse=horses), rows(4, zebra=zebras)]`.
    Tensors of different lengths, or empty ones, raise CourseError.
    """
    tensors = {name: torch.as_tensor(value) for name, value in tensors.items()}
    lengths = {name: len(value) for name, value in tensors.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise CourseError(f"rows needs tensors of the same length, at least one row long; it received {lengths}.")
    return Draw("rows", tuple(tensors), (size,), tensors)


def normal(**shapes):
    """Standard normal noise: `normal(z=(64, 100))` puts `batch.z` of that shape into each turn."""
    return [Draw("normal", (name,), shape) for name, shape in shapes.items()]


def uniform(**shapes):
    """Uniform noise in [0, 1): `uniform(eps=(64, 1))`."""
    return [Draw("uniform", (name,), shape) for name, shape in shapes.items()]


def by_name(sample):
    """The sources of a sample, {name: Draw}; a name given twice raises CourseError."""
    named = {}
    for draw in (d for item in sample for d in (item if isinstance(item, list) else [item])):
        for name in draw.names:
            if name in named:
                raise CourseError(f"The sample gives {name!r} twice; rename one of them.")
            named[name] = draw
    return named


class Stream:
    """The numbers of one draw for some members, (members, *shape) at each turn, made a chunk of turns at a time."""

    def __init__(self, draw, seeds, key, device):
        self.draw, self.seeds, self.device = draw, seeds, device
        self.key = zlib.crc32(key.encode())
        self.turns = 2 * max(1, CHUNK // 2 // max(1, math.prod(draw.shape)))  # even; must not depend on the members
        self.chunk, self.numbers = None, None

    def at(self, turn):
        """This turn's numbers, (members, *shape): noise, or the indices of rows."""
        chunk, offset = divmod(turn, self.turns)
        if chunk != self.chunk:
            self.chunk, self.numbers = chunk, self._make(chunk)
        return self.numbers[offset]

    def _make(self, chunk):
        shape, kind = (self.turns, *self.draw.shape), self.draw.kind
        out = np.empty((self.turns, len(self.seeds), *self.draw.shape), np.int64 if kind == "rows" else np.float32)
        for i, seed in enumerate(self.seeds):
            generator = np.random.Generator(np.random.SFC64([seed, self.key, chunk]))
            if kind == "rows":
                out[:, i] = generator.integers(0, len(next(iter(self.draw.data.values()))), shape)
            else:
                out[:, i] = generator.random(shape, dtype=np.float32)
        numbers = torch.from_numpy(out).to(self.device)
        if kind != "rows":
            numbers = numbers.to(torch.get_default_dtype())
        return _normal_from_uniform(numbers) if kind == "normal" else numbers


def _normal_from_uniform(u):
    """Standard normal numbers from uniform ones in [0, 1), halves of the turns in pairs (Box and Muller 1958)."""
    first, second = u.chunk(2)
    radius, angle = (-2 * torch.log1p(-first)).sqrt_(), second * (2 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()])
