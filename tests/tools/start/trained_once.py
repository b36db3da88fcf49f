"""What one kernel has trained, another need not train again: for tests that move sliders, not for those that compare results.

A notebook is executed by several kinds of test. nbval is there to see what comes out of training: it always trains, and
keeps what it reached. The others (browser tours; every cell twice, as on Colab) set COURSE_TRAINED_READ=1 and take it
from there, to the bit the same. A training is found by the game as it begins (settings, data, every number), by where it
is to stop, by the sources of helpers/ and by the processor. What its losses do is tried, not looked at: one round from
the beginning and one more from the end, trained now, have to come out as they did then, to the bit; otherwise all of it is
trained. The folder (COURSE_TRAINED) lives as long as one run of the tests, unless it is given.
"""

import hashlib
import json
import os
import sys
import time
import warnings
from pathlib import Path

WORTH = 0.3  # seconds: a shorter training is done again
STOPS = 20  # at so many steps, at most, a callback's game is kept too


def install():
    """Before each cell of this kernel: if it has loaded the training core by now, put `remember` around its trainings."""

    def look(info):
        loop = sys.modules.get("helpers.core.loop")
        if loop and remember not in loop.HOOKS:
            loop.HOOKS.append(remember)

    sys.modules["IPython"].get_ipython().events.register("pre_run_cell", look)


def remember(train, game, arguments):
    """A hook of the training core: read what the training reaches, or train and keep it."""
    steps, goal, callback, every = (arguments[name] for name in ("steps", "until", "callback", "every"))
    if arguments["checkpoint"] or (steps is None) == (goal is None):
        return train(game, arguments)
    goal = goal if steps is None else game.step + steps
    picture = type(callback).__name__ == "TrainingPicture"  # its last state is all that stays
    stops = [s for s in range(game.step + 1, goal + 1) if s % every == 0] if callback and not picture else []
    if len(stops) > STOPS or goal <= game.step:
        return train(game, arguments)
    name = Path(os.environ["COURSE_TRAINED"]) / known_by(game, goal, arguments["only"])
    first, end, beyond = (name.with_suffix(f".{part}.npz") for part in ("first", "end", "beyond"))
    begin, more = kept(game), {**arguments, "until": None, "steps": 1, "callback": None, "progress": False}
    if os.environ.get("COURSE_TRAINED_READ") and end.exists():
        train(game, more)
        if same(game, first):
            game.load(end)
            train(game, more)
            if same(game, beyond):
                for stop in stops:
                    game.load(name.with_suffix(f".{stop}.npz"))
                    callback(game)
                game.load(end)
                if picture:
                    callback.game = game
                return None
        put_back(game, begin)

    def keep(game):
        game.save(name.with_suffix(f".{game.step}.npz"))
        callback(game)

    begun, frozen = time.monotonic(), dict(game.frozen)
    train(game, {**arguments, "callback": keep} if stops else arguments)
    if game.step == goal and game.frozen == frozen and time.monotonic() - begun > WORTH:
        after = kept(game)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for start, file in ((after, beyond), (begin, first)):
                put_back(game, start)
                train(game, more)
                game.save(file)
        put_back(game, after)
        game.save(end)  # last: where it is, the others are
    return None


def kept(game):
    """All that training changes, as a copy."""
    from helpers.core import checkpoint

    arrays = {key: value.copy() for key, value in checkpoint.arrays(game).items()}
    return game.step, dict(game.turns), dict(game.frozen), arrays


def put_back(game, state):
    from helpers.core import checkpoint

    checkpoint.restore(game, *state[:3], {key: value.copy() for key, value in state[3].items()})


def same(game, file):
    """Whether the game stands, to the bit, where it stood when the file was written."""
    import numpy as np

    with np.load(file) as then:
        return all(np.array_equal(value, then[key], equal_nan=True) for key, value in kept(game)[3].items())


def known_by(game, goal, only):
    """The name of a training: a digest of helpers/, the processor, the game as it begins, and the goal."""
    import torch

    from helpers.core import checkpoint

    digest = hashlib.sha256()
    for source in sorted(Path(checkpoint.__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    about = [torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
    about += [checkpoint.describe(game), game.step, game.turns, sorted(game.frozen), goal, only]
    digest.update(json.dumps(about, default=str).encode())
    for tensor in (tensor for state in game.state.values() for tensor in state.values()):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
