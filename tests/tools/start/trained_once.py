"""What one kernel has trained, another need not train again: for tests that move sliders, not for those that compare results.

A notebook is executed by several kinds of test. nbval is there to see what comes out of training: it always trains, and
keeps what it reached. The others (browser tours; every cell twice, as on Colab) set COURSE_TRAINED_READ=1 and take it
from there, to the bit the same. A training is known by all the cells that ran before it, by the sources of
helpers/, by the processor's instructions and threads, by the state it began with, by what its losses read from the
notebook, and by where it was to stop. The folder (COURSE_TRAINED) lives as long as one run of the tests, unless it is given.
"""

import dis
import hashlib
import importlib.abc
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path

WORTH = 0.3  # seconds: a shorter training is done again
STOPS = 20  # at so many steps, at most, a callback's game is kept too


class Finder(importlib.abc.MetaPathFinder):
    """Listens to the cells from the first import of helpers on, and hooks into `train` as soon as it has been loaded."""

    def find_spec(self, name, path=None, target=None):
        if name == "helpers":
            listen()
        if name != "helpers.core.loop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.HOOKS.append(remembered)

        spec.loader.exec_module = exec_module
        return spec


def install():
    """Watch for the import of the training loop, if the tests asked for it."""
    if os.environ.get("COURSE_TRAINED"):
        sys.meta_path.insert(0, Finder())


def remembered(train, game, arguments):
    """A hook of the loop: reads or keeps what a training reaches, where there is a notebook behind it."""
    steps, until, only, callback, every, checkpoint = (
        arguments[name] for name in ("steps", "until", "only", "callback", "every", "checkpoint")
    )
    if "IPython" not in sys.modules or checkpoint or (steps is None) == (until is None):
        return train(game, arguments)
    goal = until if steps is None else game.step + steps
    picture = type(callback).__name__ == "TrainingPicture"  # its last state is all that stays
    stops = [s for s in range(game.step + 1, goal + 1) if s % every == 0] if callback and not picture else []
    if len(stops) > STOPS:
        return train(game, arguments)
    name = Path(os.environ["COURSE_TRAINED"]) / known_by(game, goal, only)
    end = name.with_suffix(".end.npz")
    if os.environ.get("COURSE_TRAINED_READ") and end.exists():
        for stop in stops:
            game.load(name.with_suffix(f".{stop}.npz"))
            callback(game)
        game.load(end)
        if picture:
            callback.game = game
        return None

    def kept(game):
        game.save(name.with_suffix(f".{game.step}.npz"))
        callback(game)

    begun = time.monotonic()
    train(game, {**arguments, "callback": kept if stops else callback})
    if game.step == goal and time.monotonic() - begun > WORTH:
        game.save(end)  # last: where it is, the others are
    return None


CELLS = []  # what this kernel ran, from the first import of helpers on (its own history is empty when nbval asks)
BEFORE = []  # for each training of this kernel, how many cells had been run


def listen():
    """Keep the code of the cell that runs now, and of each that will be run."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel") and not CELLS:
        CELLS.append(shell.kernel.get_parent("shell").get("content", {}).get("code", ""))
        shell.events.register("pre_run_cell", lambda info: CELLS.append(info.raw_cell))


def traits(module):
    """What a module holds beside its parts and numbers, in words that are the same in every kernel."""
    plain = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {
        name: getattr(value, "__qualname__", None) or str(value) for name, value in plain.items() if name != "forward"
    }


def read_by(function, seen):
    """The plain values that a function of the notebook, and those that it calls by name, read from outside."""
    code = getattr(function, "__code__", None)
    if code is None or code in seen or function.__module__ != "__main__":
        return []
    seen.add(code)
    inner = [code, *(part for part in code.co_consts if hasattr(part, "co_names"))]
    steps = [step for part in inner for step in dis.get_instructions(part) if step.opname == "LOAD_GLOBAL"]
    found = [(step.argval, function.__globals__.get(step.argval)) for step in steps]
    found += zip(code.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True)
    plain = []
    for name, value in found:
        if isinstance(value, bool | int | float | str | tuple | list | dict | set):
            plain.append(
                (name, re.sub(r" at 0x\w+", "", repr(sorted(value, key=repr) if isinstance(value, set) else value)))
            )
        else:
            plain += read_by(value, seen)
    return plain


def known_by(game, goal, only):
    """The name of a training: a digest of the notebook's code so far, helpers/, the game as it is, and the goal."""
    import torch

    import helpers
    from helpers.core import checkpoint

    digest = hashlib.sha256()
    for source in sorted(Path(helpers.__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    BEFORE.append(len(CELLS))  # games of one cell may differ in what no file shows, an activation function say:
    place = BEFORE.count(len(CELLS))  # so it counts, too, which training of its cell this is
    code = [
        cell for cell, last in zip(CELLS, [None, *CELLS], strict=False) if cell != last
    ]  # one run twice counts once
    nets = [[str(stack.worker), *map(traits, stack.worker.modules())] for stack in game.stacks.values()]
    about = [torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
    about += [code, place, nets, checkpoint.describe(game), game.step, game.turns]
    about += [sorted(game.frozen), goal, only, [read_by(player.loss, set()) for player in game.players.values()]]
    digest.update(json.dumps(about, default=str).encode())
    for tensors in [*game.state.values(), game.hyper]:
        for tensor in tensors.values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
