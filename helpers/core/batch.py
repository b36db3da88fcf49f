"""What a loss receives: rows of a data set, noise, and the random numbers that it asks for while it runs.

Every number is a function of (member's seed, player, name, turn) and of nothing else. So a member sees the same
numbers alone, among 32, or after a crash, and no state of a random generator has to be kept.
"""

import contextlib
import math
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from ..page import CourseError

CHUNK = 2**14  # random numbers drawn at a time for one member: enough that starting a generator costs little


def whole(what: str, value: Any, least: int = 0) -> int:
    """`value` as an int, if it is a whole number of at least `least` (2.0 is); else CourseError."""
    value = value.item() if isinstance(value, (np.generic, np.ndarray, torch.Tensor)) and value.ndim == 0 else value
    if not isinstance(value, Real) or not math.isfinite(value) or int(value) != value or value < least:
        raise CourseError(f"{what} must be a whole number, {least} or more; it is {value!r}.")
    return int(value)


def number(what: str, value: Any, least: float = 0.0, most: float = math.inf) -> float:
    """`value` as a float, if it is a number from `least` to `most`; else CourseError."""
    value = value.item() if isinstance(value, (np.generic, np.ndarray, torch.Tensor)) and value.ndim == 0 else value
    if not isinstance(value, Real) or not (math.isfinite(value) and least <= value <= most):
        limits = f"from {least:g} to {most:g}" if most < math.inf else f"{least:g} or more"
        raise CourseError(f"{what} must be a number, {limits}; it is {value!r}.")
    return float(value)


class Missing(CourseError, AttributeError):
    """A name that is not there; `hasattr` understands it."""


class Named:
    """A few values by name, read as `thing.name`; asking for a name it has not is answered with those it has.

    `more(name)` may make a value when it is first asked for; it returns None for a name it does not know.
    """

    def __init__(self, what: str, values: dict, more: Callable | None = None, others: Iterable[str] = ()):
        self.__dict__.update(values, _what=what, _more=more, _others=list(others))

    def __getattr__(self, name):  # only called when the name is missing
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._more(name) if self._more else None
        if value is None:
            names = [*self._known(), *(n for n in self._others if n not in self.__dict__)]
            raise Missing(f"{self._what} has no {name!r}; it has {', '.join(names) or 'nothing'}.")
        self.__dict__[name] = value
        return value

    def _known(self):
        return [name for name in self.__dict__ if not name.startswith("_")]

    def __repr__(self):
        return f"{self._what}({', '.join(f'{name}={self.__dict__[name]!r}' for name in self._known())})"


def free(what: str, names: Iterable[str], taken: Iterable[str] = ()) -> None:
    """CourseError for a name that is taken, is no text, or begins with an underscore (those are Python's own)."""
    for name in names:
        if name in taken:
            raise CourseError(f"{what} {name!r}: that name is taken; give it another one.")
        if not isinstance(name, str) or not name or name.startswith("_"):
            raise CourseError(f"{what} {name!r}: a name is a text that does not begin with an underscore.")


class Draw:
    """One source of a batch: `names` are what the loss calls its parts, `shape` that of one member's turn."""

    def __init__(self, kind: str, names: tuple, shape: tuple, data: dict | None = None):
        self.kind, self.names, self.shape, self.data = kind, names, tuple(shape), data or {}
        self.key = (kind, names, self.shape)


def rows(size: int, **tensors: Any) -> Draw:
    """Rows drawn with replacement, the same from each tensor: picture and label stay together.

    Parameters
    ----------
    size : int
        Rows a turn. Unpaired data are two draws: `[rows(4, horse=horses), rows(4, zebra=zebras)]`.
    **tensors : tensor, array or list (rows, ...)
        What the loss finds as `batch.name`, (size, ...). Tensors of different lengths, or empty ones, raise CourseError.
    """
    free("rows", tensors, taken=["step"])
    tensors = {name: _as_tensor(name, value) for name, value in tensors.items()}
    lengths = {name: len(value) if value.dim() else 0 for name, value in tensors.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise CourseError(f"rows needs tensors of the same length, at least one row long; it received {lengths}.")
    return Draw("rows", tuple(tensors), (whole("The number of rows", size, 1),), tensors)


def normal(**shapes: int | tuple[int, ...]) -> list[Draw]:
    """Standard normal noise, in the shapes by name: `normal(z=(64, 100))` puts `batch.z` into each turn."""
    return [Draw("normal", (name,), _shape(name, shape)) for name, shape in shapes.items()]


def uniform(**shapes: int | tuple[int, ...]) -> list[Draw]:
    """Uniform noise in [0, 1), in the shapes by name: `uniform(eps=(64, 1))`."""
    return [Draw("uniform", (name,), _shape(name, shape)) for name, shape in shapes.items()]


def _shape(name, shape):
    free("Noise", [name], taken=["step"])
    sizes = shape if isinstance(shape, Sequence) and not isinstance(shape, str) else [shape]
    return tuple(whole(f"Each size in the shape of {name!r}", size, 1) for size in sizes)


def _as_tensor(name, value):
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":  # numpy's own double precision was nobody's choice
        value = torch.as_tensor(value, dtype=torch.get_default_dtype())
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise CourseError(f"rows needs numbers; {name!r} is {type(value).__name__} and cannot be a tensor.") from None


def by_name(sample: Any, device: torch.device) -> dict[str, Draw]:
    """The draws of a sample, {name: Draw}, their data on the device; a name given twice raises CourseError."""
    named = {}
    for draw in (d for item in _listed(sample) for d in _listed(item)):
        if not isinstance(draw, Draw):
            raise CourseError(f"The sample is a list of rows, normal and uniform; it received a {type(draw).__name__}.")
        for name in draw.names:
            if name in named:
                raise CourseError(f"The sample gives {name!r} twice; rename one of them.")
        data = {name: tensor.to(device) for name, tensor in draw.data.items()}
        named.update(dict.fromkeys(draw.names, Draw(draw.kind, draw.names, draw.shape, data)))
    return named


def _listed(thing):
    return thing if isinstance(thing, (list, tuple)) else [thing]


class Stream:
    """The numbers of one draw for some members, (members, *shape) at each turn, made a chunk of turns at a time."""

    def __init__(self, draw: Draw, seeds: list[int], key: str, device: torch.device):
        self.draw, self.seeds, self.device = draw, seeds, device
        self.key = zlib.crc32(key.encode())
        self.turns = 2 * max(1, CHUNK // 2 // max(1, math.prod(draw.shape)))  # even; must not depend on the members
        self.chunk, self.numbers = None, None

    def at(self, turn: int) -> torch.Tensor:
        """This turn's numbers, (members, *shape): noise, or the indices of rows. The caller may change them."""
        chunk, offset = divmod(turn, self.turns)
        if chunk != self.chunk:
            self.chunk, self.numbers = chunk, self._make(chunk)
        return self.numbers[offset].clone()

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
        if kind == "rows":
            return numbers
        if torch.get_default_dtype() == torch.float64:
            numbers = numbers.double()
        numbers = _normal_from_uniform(numbers) if kind == "normal" else numbers
        return cast(numbers, torch.get_default_dtype())


def _normal_from_uniform(u):
    """Standard normal numbers from uniform ones in [0, 1), halves of the turns in pairs (Box and Muller 1958)."""
    first, second = u.chunk(2)
    radius, angle = (-2 * torch.log1p(-first)).sqrt_(), second * (2 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()])


def cast(numbers: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The numbers in another precision; one below 1 stays below 1 where half precision would round it up."""
    if dtype == numbers.dtype or torch.finfo(dtype).bits >= 32:
        return numbers.to(dtype)
    return torch.where(numbers < 1, numbers.to(dtype).clamp(max=1 - torch.finfo(dtype).eps / 2), numbers.to(dtype))


class Turn(dict):
    """The numbers of one player's turn by draw key, made when first asked for: `turn[draw.key]`, (members, *shape)."""

    def __init__(self, player: str, turn: int, seeds: list[int], sample: dict, device, streams: dict):
        super().__init__()
        self.player, self.turn, self.seeds, self.device = player, turn, seeds, device
        self.name = f"{seeds[0]}/{player}/{turn}"
        self.data, self.streams = {draw.key: draw.data for draw in sample.values()}, streams

    def __missing__(self, key):
        kind, names, shape = key
        if (self.player, key) not in self.streams:
            draw, name = Draw(kind, names, shape, self.data.get(key)), f"{self.player}/{','.join(names)}"
            self.streams[self.player, key] = Stream(draw, self.seeds, name, self.device)
        self[key] = self.streams[self.player, key].at(self.turn)
        return self[key]


def rows_of(draw: Draw, name: str, numbers: dict) -> torch.Tensor:
    """Noise as it is; indices (members, size) as rows of the data (members, size, ...)."""
    found = numbers[draw.key]
    if draw.kind != "rows":
        return found
    return draw.data[name].index_select(0, found.flatten()).view(*found.shape, *draw.data[name].shape[1:])


UNIFORM, NORMAL = (torch.rand, torch.rand_like), (torch.randn, torch.randn_like)
FEATURES = {F.dropout1d: (2,), F.dropout2d: (), F.dropout3d: (2, 3, 4)}  # whole channels; shapes without a batch axis
WHERE = "draw in `sample` (normal, uniform or rows), or with torch.rand, torch.randn or nn.Dropout"


class OwnRandom(TorchFunctionMode):
    """Answers what a loss asks of torch's random numbers from the member's own streams: rand, randn, and the dropouts.

    What else draws is the member's own where it is computed alone (see `seeded`). A generator of the student's own is
    refused. `own` gives a member its part of a tensor (members, ...).
    """

    def __init__(self, numbers: dict, own: Callable, device: torch.device):
        super().__init__()
        self.numbers, self.own, self.device = numbers, own, device
        self.count, self.convolves, self.pads = 0, False, False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        self.convolves |= name.startswith("conv")
        if func in (F.dropout, torch.dropout) or func in FEATURES:
            return self._dropout(func, *args, **kwargs)
        if any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values())):
            raise CourseError(
                f"{name} inside a loss was given a generator of its own, but there each member draws from its own "
                "stream: draw these numbers before, outside of the loss, and use them in it."
            )
        if func in UNIFORM or func in NORMAL:
            return self._fresh(func, args, kwargs)
        if func is F.embedding:
            return self._embedding(*args, **kwargs)
        return func(*args, **kwargs)

    def _next(self, kind, shape):
        key = (kind, (f"random {self.count}",), tuple(shape))
        self.count += 1
        return self.own(self.numbers[key])

    def _fresh(self, func, args, kwargs):
        like = (args[0] if args else kwargs["input"]) if func in (torch.rand_like, torch.randn_like) else None
        size = kwargs.get("size", args[0] if len(args) == 1 and isinstance(args[0], Sequence) else args)
        dtype = kwargs.get("dtype") or (torch.get_default_dtype() if like is None else like.dtype)
        if kwargs.get("out") is not None or not dtype.is_floating_point:
            raise CourseError(f"{func.__name__} inside a loss makes new real numbers; it received {kwargs or dtype}.")
        numbers = self._next("uniform" if func in UNIFORM else "normal", size if like is None else like.shape)
        numbers = cast(numbers, dtype).to(kwargs.get("device") or (self.device if like is None else like.device))
        return numbers.requires_grad_() if kwargs.get("requires_grad") else numbers

    def _dropout(self, func, input, p=0.5, training=True, inplace=False, train=None):
        if not (training if train is None else train) or p == 0 or not 0 <= p <= 1:
            return func(input, p, False) if 0 <= p <= 1 else func(input, p, True)  # torch says what is wrong
        lead = 0 if func not in FEATURES else 1 if input.dim() in FEATURES[func] else 2
        shape = (*input.shape[:lead], *[1] * (input.dim() - lead)) if lead else input.shape
        kept = self._next("uniform", shape) >= p  # enlarged, so that the mean stays (Srivastava et al. 2014)
        if inplace:
            return input.mul_(kept).div_(1 - p or 1)
        return input * kept / (1 - p or 1)

    def _embedding(self, input, weight, padding_idx=None, *rest, **more):
        """The padding row learns nothing; said with a `where`, because vmap forgets it in the backward pass."""
        self.pads |= padding_idx is not None
        out = F.embedding(input, weight, padding_idx, *rest, **more)
        if padding_idx is None:
            return out
        padding = input == padding_idx % weight.shape[0]
        return torch.where(padding[..., None], out.detach(), out)


def random_states(device: torch.device) -> list:
    """Where torch's, numpy's and Python's random generators stand, to be compared."""
    states = [torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), np.random.get_state()[2:]]
    if device.type in ("cuda", "mps"):
        states.append(getattr(torch, device.type).get_rng_state().numpy().tobytes())
    return [*states, random.getstate()]


@contextlib.contextmanager
def seeded(key: str, device: torch.device) -> Iterator[Callable]:
    """All sources of random numbers begin anew from the key; afterwards they are as they were.

    Gives a function that says whether anything was drawn. It makes whatever a loss draws while one member is computed
    alone (a dropout inside an LSTM, a Beta distribution, numpy) a function of its seed, player and turn.
    """
    kept, number = (np.random.get_state(), random.getstate()), zlib.crc32(key.encode())
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(number)
        np.random.seed(number)
        random.seed(number)
        before = random_states(device)
        try:
            yield lambda: random_states(device) != before
        finally:
            np.random.set_state(kept[0])
            random.setstate(kept[1])
