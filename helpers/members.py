"""Sweeps: the members of a game are the product of named lists, and results are labelled by member.

>>> members = sweep(seed=range(2), penalty=[0.1, 10])
>>> len(members), members.label(3)
(4, 'seed=1, penalty=10')
>>> members.where(penalty=10)
array([1, 3])
"""

import numbers
from collections.abc import Iterable
from itertools import product

import numpy as np

from .errors import CourseError


class Missing(CourseError, AttributeError):
    """A name that is not there; `hasattr` understands it."""


class Named:
    """A few values by name, read as `thing.name`; asking for a name it has not is answered with those it has."""

    def __init__(self, what, values):
        self.__dict__.update(values, _what=what)

    def __getattr__(self, name):  # only called when the name is missing
        if name.startswith("_"):
            raise AttributeError(name)
        raise Missing(f"{self._what} has no {name!r}; it has {', '.join(self._names()) or 'nothing'}.")

    def _names(self):
        return [name for name in self.__dict__ if name != "_what"]

    def __repr__(self):
        return f"{self._what}({', '.join(f'{name}={self.__dict__[name]!r}' for name in self._names())})"


class Watched(Named):
    """The same, but it writes down in `seen` which names were asked for."""

    def __init__(self, what, values):
        self.__dict__.update(_what=what, _values=values, seen=[])

    def __getattr__(self, name):
        if name in self._values and name not in self.seen:
            self.seen.append(name)
        return self._values[name] if name in self._values else super().__getattr__(name)

    def _names(self):
        return list(self._values)


class Members:
    """The members of a game and the hyper-parameters of each; `columns` maps a name to one value per member."""

    def __init__(self, columns):
        self.columns = {name: list(values) for name, values in columns.items()}

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        """One member (by number) or some of them (by slice or list of numbers) as new Members."""
        if isinstance(key, numbers.Integral):
            if not -len(self) <= key < len(self):
                raise CourseError(f"Member {key} was asked for, but there are {len(self)}: 0 to {len(self) - 1}.")
            return Named("member", {name: values[key] for name, values in self.columns.items()})
        chosen = range(len(self))[key] if isinstance(key, slice) else [int(i) for i in key]
        return Members({name: [values[i] for i in chosen] for name, values in self.columns.items()})

    def __repr__(self):
        return f"{len(self)} members: " + ", ".join(f"{k}={list(dict.fromkeys(v))}" for k, v in self.columns.items())

    def label(self, i):
        """Member `i` in words, such as 'seed=3, penalty=10'."""
        return ", ".join(f"{name}={values[i]}" for name, values in self.columns.items())

    def column(self, name):
        """The values of one hyper-parameter, an array (members,); a name that is not there raises CourseError."""
        if name not in self.columns:
            raise CourseError(f"The members have no {name!r}; they have {', '.join(self.columns)}.")
        return np.array(self.columns[name])

    def where(self, **wanted):
        """The numbers of the members that have these values, e.g. `where(penalty=10)`: whole numbers (found,)."""
        hits = np.ones(len(self), dtype=bool)
        for name, value in wanted.items():
            hits &= self.column(name) == value
        return np.flatnonzero(hits)


def sweep(**lists):
    """All combinations of the named lists: `sweep(seed=range(8), penalty=[0.1, 10])` is 16 members.

    `seed` decides a member's first weights and all its random draws, so members that share a seed differ in the
    other hyper-parameters only. Values must be numbers, because the losses of all members are computed together.
    Other values, empty lists and seeds that are not whole numbers from 0 on raise CourseError.
    """
    lists = {"seed": [0], **lists} if "seed" not in lists else lists
    lists = {k: list(v) if isinstance(v, Iterable) and not isinstance(v, str) else [v] for k, v in lists.items()}
    for name, values in lists.items():
        if not values:
            raise CourseError(f"sweep received an empty list for {name!r}; give it at least one value.")
        for value in values:
            if not isinstance(value, (numbers.Real, np.bool_)):
                raise CourseError(
                    f"sweep needs numbers; {name!r} received {value!r}. For names, make one game for each instead."
                )
    if any(int(seed) != seed or seed < 0 for seed in lists["seed"]):
        raise CourseError(f"A seed must be a whole number, 0 or more; sweep received {lists['seed']}.")
    rows = list(product(*lists.values()))
    return Members({name: [_plain(row[i]) for row in rows] for i, name in enumerate(lists)})


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
