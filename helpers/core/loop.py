"""The loop over steps: what is seen, what is kept when it is stopped, and what happens to a member that turns NaN."""

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..page import LOCK, CourseError
from . import checkpoint as checkpoints
from . import compiled
from .batch import WHERE, random_states, whole

ROUNDS = 20  # at most so many at a time for one group of members, while its weights are in the processor's cache
PATIENCE = 0.4  # seconds that they should take at most, so that Ctrl-C is answered
# Functions hook(train, game, arguments), the last one outermost: each stands in the place of a training and calls
# train(game, arguments), or not. For tests that watch trainings or remember them.
HOOKS: list[Callable] = []


class History:
    """What the losses returned, as arrays (steps, members): `history["D"]`; `list(history)` gives the names."""

    def __init__(self, members: int):
        self.members, self.steps, self.parts = members, 0, {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.parts:
            raise CourseError(f"The history has no {name!r}; it has {', '.join(self.parts) or 'nothing yet'}.")
        self.parts[name] = [np.concatenate(self.parts[name])]
        return self.parts[name][0]

    def __iter__(self):
        return iter(self.parts)

    def append(self, records: dict, steps: int) -> None:
        """Add {name: (steps, members)}; a name that is missing now, or was until now, gets NaN there."""
        for name in {**self.parts, **records}:
            part = records.get(name, np.full((steps, self.members), np.nan, np.float32))
            before = [] if not self.steps else [np.full((self.steps, self.members), np.nan, np.float32)]
            self.parts.setdefault(name, before).append(part)
        self.steps += steps


def train(game, **arguments: Any) -> None:
    """`Game.train`: through the HOOKS to `run`."""
    call = run
    for hook in HOOKS:
        call = lambda game, arguments, hook=hook, inner=call: hook(inner, game, arguments)  # noqa: E731
    call(game, arguments)


def run(game, arguments: dict) -> None:
    """Train as `Game.train` was asked to."""
    steps, until, callback, checkpoint = (arguments[name] for name in ("steps", "until", "callback", "checkpoint"))
    if (steps is None) == (until is None):
        raise CourseError("train needs how many steps to train, train(2000), or where to stop, train(until=2000).")
    steps = steps if steps is None else whole("The number of steps", steps)
    until = until if until is None else whole("The step to train until", until)
    every = whole("every", arguments["every"], 1)
    players = _players(game, arguments["only"])
    if callback is not None and not callable(callback):
        raise CourseError(f"callback must be a function of the game; it is {callback!r}.")
    if checkpoint is not None:
        checkpoints.check_place(checkpoint)
        if game.step == 0 and os.path.exists(checkpoint):
            game.load(checkpoint)
    goal = game.step + steps if until is None else until
    saved, rounds, done = time.monotonic(), 1, 0
    with explain_memory(game), _bar(game, goal, arguments["progress"]) as bar, _Interrupt() as interrupt:
        try:
            if game.compile and goal > game.step and len(players) == len(game.players):
                with LOCK:
                    compiled.prepare(game, len(game.members) * (goal - game.step), interrupt)
            while not interrupt.asked:
                with LOCK:  # another thread may train the same game: what is left is asked and done in one turn
                    left = until - game.step if steps is None else steps - done
                    if left <= 0:
                        break
                    begun = time.monotonic()
                    count = min(rounds, left, every - game.step % every if callback else ROUNDS)
                    advance(game, players, count, interrupt)
                rounds = max(1, min(ROUNDS, int(PATIENCE / max(1e-9, time.monotonic() - begun) * count)))
                done += count
                bar(count)
                if callback and game.step % every == 0:
                    callback(game)
                if checkpoint is not None and time.monotonic() - saved > 30:
                    game.save(checkpoint)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            interrupt.asked = True
    if checkpoint is not None:
        game.save(checkpoint)
    if interrupt.asked:
        print(f"Stopped at step {game.step} of {goal}. Nothing is lost: game.train(until={goal}) goes on.")


def _players(game, only):
    names = list(game.players) if only is None else [only] if isinstance(only, str) else list(only)
    if not names or any(name not in game.players for name in names):
        raise CourseError(f"train(only={only!r}) names no player of this game; they are {', '.join(game.players)}.")
    return [game.players[name] for name in dict.fromkeys(names)]


def advance(game, players: list, count: int, interrupt=None) -> None:
    """`count` rounds for all members: either all of it is done and recorded, or (on any error) none of it.

    If random numbers were drawn that no trial run had shown, the rounds are made again with all sources watched
    (`game.strict`).
    """
    undo, records, broken, states = [], [], {}, random_states(game.device)
    try:
        with torch.no_grad():
            for group in game.groups:
                before = _copy(group)
                undo.append((group, before))
                records.append(_run(game, group, before, players, count, game.step, broken))
        if not game.strict and random_states(game.device) != states:
            raise RuntimeError("something in the losses moved the state of a randomness source")
    except BaseException as error:
        for group, before in undo:
            _restore(group, before, slice(None))
        if not isinstance(error, RuntimeError) or "randomness" not in str(error):
            raise
        if game.strict:
            raise CourseError(
                f"From step {game.step} on a loss draws random numbers for all members at once; {WHERE}. "
                "Or make the game with group=1, where each member draws its own."
            ) from error
        game.strict = True
        advance(game, players, count, interrupt)
        return
    with interrupt or contextlib.nullcontext():  # from here a Ctrl-C waits
        whole_records = _joined(records, [(count, group.size) for group in game.groups], lambda r: torch.cat(r, 1))
        game.history.append({name: record.cpu().numpy() for name, record in whole_records.items()}, count)
        game.step += count
        for player in players:
            game.turns[player.name] += count * player.repeats
        game.frozen.update(broken)
    for member, step in broken.items():
        warnings.warn(
            f"Member {member} ({game.members.label(member)}) stopped being a finite number after step {step}; "
            "it stays as it was then, and the others go on.", stacklevel=4)  # fmt: skip


def _run(game, group, before, players, count, step, broken):
    """`count` rounds of one group, {name: (count, members)}. Members that turn NaN or infinite are put into `broken`.

    Looking at every number in every round would cost time, so it is done once, at the end: if a member has
    broken, the rounds are repeated one by one (the random streams give the same numbers again) to find the last
    round in which it was whole.
    """
    frozen = [m - group.start for m in {**game.frozen, **broken} if group.start <= m < group.start + group.size]
    rounds = []
    for i in range(count):
        turns = {p.name: game.turns[p.name] + (step - game.step + i) * p.repeats for p in players}
        rounds.append(group.round(players, turns, step + i))
    records = _joined(rounds, [(group.size,)] * count, torch.stack)
    whole = _whole(group, records, players)
    lost = [m for m in (~whole).nonzero().flatten().tolist() if m not in frozen]
    if lost and count > 1:
        _restore(group, before, slice(None))
        parts = [_run(game, group, _copy(group), players, 1, step + i, broken) for i in range(count)]
        return _joined(parts, [(1, group.size)] * count, torch.cat)
    broken.update({group.start + m: step for m in lost})
    if frozen or lost:
        _restore(group, before, frozen + lost)
        for record in records.values():
            record[:, frozen + lost] = float("nan")
    return records


def _joined(records, shapes, join):
    """Records {name: numbers} joined by name; one that lacks a name has NaN there."""
    found = {name: tensor for record in records for name, tensor in record.items()}
    return {name: join([record[name] if name in record else like.new_full(shape, float("nan"))
                        for record, shape in zip(records, shapes, strict=True)]) for name, like in found.items()}  # fmt: skip


def _whole(group, records, players):
    """Which members (members,) have finite losses, weights, moments and buffers."""
    whole = torch.stack([records[p.name].isfinite().all(0) for p in players]).all(0)
    for state in group.state.values():
        for tensor in state.values():
            if tensor.is_floating_point():
                whole &= tensor.flatten(1).isfinite().all(1)
    return whole


def _copy(group):
    return {n: {k: v.clone() for k, v in s.items()} for n, s in group.state.items()}


def _restore(group, before, members):
    for net, state in group.state.items():
        for key, tensor in state.items():
            tensor[members] = before[net][key][members]


class _Interrupt:
    """Ctrl-C asks the loop to stop after the rounds at hand; a second one stops at once, and they are undone.

    As a context manager inside itself (`with interrupt`), it holds a second one back while results are recorded.
    """

    def __init__(self):
        self.asked, self.depth = False, 0

    def __enter__(self):
        self.depth += 1
        if self.depth == 1 and threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *error):
        self.depth -= 1
        if self.depth == 0 and hasattr(self, "previous"):
            signal.signal(signal.SIGINT, self.previous)

    def _ask(self, *_):
        if self.asked and self.depth == 1:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def _bar(game, goal, progress):
    """A function (steps done) that moves a progress bar and shows the mean loss of each player."""
    env = os.environ
    quiet = "CI" in env or "PYTEST_CURRENT_TEST" in env or env.get("COURSE_PROGRESS") == "0"
    if progress is False or (progress is None and quiet) or goal <= game.step:
        yield lambda count: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=goal, initial=game.step, unit="step", leave=False, file=sys.stdout) as bar:

        def move(count):
            whole = [i for i in range(len(game.members)) if i not in game.frozen]
            last = {n: game.history.parts[n][-1][-1, whole].mean() for n in game.players if n in game.history.parts}
            bar.set_postfix({name: f"{loss:.3f}" for name, loss in last.items()}, refresh=False)
            bar.update(count)

        yield move


@contextlib.contextmanager
def explain_memory(game):
    """Turns running out of memory into a CourseError that says which number to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate" not in str(error):  # what torch says on CPU and GPU
            raise
        sizes = {name: tuple(draw.shape) for name, draw in game.sample.items()}
        raise CourseError(
            f"There is not enough memory for {game.group} members at a time with the batch {sizes} on {game.device}; "
            f"lower the batch size in `sample`, or Game(group={max(1, game.group // 2)}), or the number of members."
        ) from error
