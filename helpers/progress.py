"""The progress bar of a training: how far it is, and the mean loss of each player."""

import contextlib
import os
import sys


@contextlib.contextmanager
def progress_bar(game, goal, progress):
    """A function (game, steps done) that moves a progress bar and shows the mean loss of each player."""
    env = os.environ
    quiet = "CI" in env or "PYTEST_CURRENT_TEST" in env or env.get("COURSE_PROGRESS") == "0"
    if progress is False or (progress is None and quiet) or goal <= game.step:
        yield lambda game, count: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=goal, initial=game.step, unit="step", leave=False, file=sys.stdout) as bar:

        def move(game, count):
            whole = [i for i in range(len(game.members)) if i not in game.frozen]
            last = {n: game.history.parts[n][-1][-1, whole].mean() for n in game.players if n in game.history.parts}
            bar.set_postfix({name: f"{loss:.3f}" for name, loss in last.items()}, refresh=False)
            bar.update(count)

        yield move
