"""The loop over steps: what is seen, what is kept when it is stopped, and what happens to a member that turns NaN."""

import contextlib
import os
import signal
import threading
import time
import warnings

import numpy as np
import torch

from . import compiling
from .errors import CourseError
from .progress import progress_bar
from .turns import TURN

ROUNDS = 20  # at most so many at a time for one group of members, while its weights are in the processor's cache
PATIENCE = 0.4  # seconds that they should take at most, so that Ctrl-C is answered


class History:
    """What the losses returned, as arrays (steps, members): `history["D"]`; `list(history)` gives the names."""

    def __init__(self, members):
        self.members, self.steps, self.parts = members, 0, {}

    def __getitem__(self, name):
        if name not in self.parts:
            raise CourseError(f"The history has no {name!r}; it has {', '.join(self.parts) or 'nothing yet'}.")
        self.parts[name] = [np.concatenate(self.parts[name])]
        return self.parts[name][0]

    def __iter__(self):
        return iter(self.parts)

    def append(self, records, steps):
        """Add {name: (steps, members)}; a name that is missing now, or was until now, gets NaN there."""
        for name in {**self.parts, **records}:
            part = records.get(name, np.full((steps, self.members), np.nan, np.float32))
            before = [] if not self.steps else [np.full((self.steps, self.members), np.nan, np.float32)]
            self.parts.setdefault(name, before).append(part)
        self.steps += steps


def train(game, steps, until, only, callback, every, checkpoint, progress):
    """Train for `steps` rounds, or `until` a step is reached. Ctrl-C keeps everything; call it again to go on.

    only: the name of the one player that makes its turns, or a list of names.
    callback: a function of the game, called after every `every` steps, for live pictures.
    checkpoint: a path; a file there is loaded first if the game has not begun; it is written every 30 seconds and
        at the end. The same line (with `until`), run again after a crash, goes on exactly.
    progress: show a bar; by default not under tests, CI or COURSE_PROGRESS=0.
    Neither or both of `steps` and `until`, or an unknown player, raise CourseError; so does running out of memory, with
    the number to lower.
    """
    if (steps is None) == (until is None):
        raise CourseError("train needs how many steps to train, train(2000), or where to stop, train(until=2000).")
    players = [game.players[n] for n in _names(game, only)]
    if checkpoint is not None and game.step == 0 and os.path.exists(checkpoint):
        game.load(checkpoint)
    goal = game.step + steps if until is None else until
    saved, rounds, done = time.monotonic(), 1, 0
    with explain_memory(game), progress_bar(game, goal, progress) as bar, _Interrupt() as interrupt:
        try:
            if game.compile and goal > game.step and len(players) == len(game.players):
                with TURN:
                    compiling.prepare(game, len(game.members) * (goal - game.step), interrupt)
            while not interrupt.asked:
                with TURN:  # another thread may train the same game: what is left is asked and done in one turn
                    left = until - game.step if steps is None else steps - done
                    if left <= 0:
                        break
                    begun = time.monotonic()
                    count = min(rounds, left, every - game.step % every if callback else ROUNDS)
                    advance(game, players, count, interrupt)
                rounds = max(1, min(ROUNDS, int(PATIENCE / max(1e-9, time.monotonic() - begun) * count)))
                done += count
                bar(game, count)
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


def _names(game, only):
    names = list(game.players) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names:
        if name not in game.players:
            raise CourseError(f"train(only={only!r}) names no player of this game; they are {', '.join(game.players)}.")
    return names


def advance(game, players, count, interrupt=None):
    """`count` rounds for all members: either all of it is done and recorded, or (on any error) none of it."""
    undo, records, broken = [], [], {}
    try:
        with torch.no_grad():
            for group in game.groups:
                before = _copy(group)
                undo.append((group, before))
                records.append(_run(game, group, before, players, count, game.step, broken))
    except BaseException:
        for group, before in undo:
            _restore(group, before, slice(None))
        raise
    with interrupt or contextlib.nullcontext():  # from here a Ctrl-C waits
        game.history.append({n: torch.cat([r[n] for r in records], 1).cpu().numpy() for n in records[0]}, count)
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
    records = {name: torch.stack([r[name] for r in rounds]) for name in rounds[0]}
    whole = _whole(group, records, players)
    lost = [m for m in (~whole).nonzero().flatten().tolist() if m not in frozen]
    if lost and count > 1:
        _restore(group, before, slice(None))
        parts = [_run(game, group, _copy(group), players, 1, step + i, broken) for i in range(count)]
        return {name: torch.cat([part[name] for part in parts]) for name in records}
    broken.update({group.start + m: step for m in lost})
    if frozen or lost:
        _restore(group, before, frozen + lost)
        for record in records.values():
            record[:, frozen + lost] = float("nan")
    return records


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
        self.asked, self.depth, self.waiting = False, 0, False

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
