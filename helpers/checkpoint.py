"""Checkpoints: everything training needs to go on exactly, in one file of plain arrays that is replaced as a whole.

The file is numpy's .npz, so reading it runs no code and each array carries a checksum. Random streams need no state:
they are functions of the seed and the turn, so the numbers of turns made are all there is to keep.
"""

import json
import os
import tempfile
import zipfile

import numpy as np
import torch

from .errors import CourseError

FORMAT = "course checkpoint 1"


def describe(game):
    """What this game is, to be compared with what a file says: a file of another game is refused."""
    return {
        "members": game.members.columns,
        "players": [player.describe() for player in game.players.values()],
        "learning rates": {name: rate.tolist() for name, rate in game.rates.items()},
        "networks": {n: [list(shape) for shape in stack.shapes] for n, stack in game.stacks.items()},
        "averages": game.averages,
        "sample": {name: draw.describe() for name, draw in game.sample.items()},
        "group": game.asked_group,
        "bf16": game.bf16,
    }


def arrays(game):
    """The state (members, ...) and the history (steps, members) of a game, as {name: array}."""
    state = {f"state/{n}/{k}": v.cpu().numpy() for n, s in game.state.items() for k, v in s.items()}
    return state | {f"history/{name}": game.history[name] for name in game.history}


def save(game, path):
    """Write the game to `path`: first to a file beside it, which then takes its name, so a crash leaves the old one."""
    counters = {"step": game.step, "turns": game.turns, "frozen": {str(m): step for m, step in game.frozen.items()}}
    about = {"format": FORMAT, "game": describe(game), "compiled": bool(game.compiled), **counters}
    path = os.path.abspath(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays(game))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def load(game, path):
    """Put the state in the file into the game; one that is damaged, or another game's, raises CourseError first."""
    name = os.path.basename(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            found = {key: file[key] for key in file.files if key != "about"}
        if about["format"] != FORMAT:
            raise KeyError(about["format"])
    except FileNotFoundError:
        raise CourseError(f"There is no checkpoint {name!r}; train(..., checkpoint={name!r}) writes one.") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, TypeError) as error:
        raise CourseError(
            f"{name!r} is not a whole checkpoint of this course (cut short, damaged, or another kind of file); "
            "delete it and train again, or use an older copy."
        ) from error
    ours = json.loads(json.dumps(describe(game)))
    for part, value in ours.items():
        if about["game"].get(part) != value:
            raise CourseError(
                f"The checkpoint {name!r} belongs to another game: its {part} differ from this one's; "
                "give it another name, or make the game as it was when the file was written."
            )
    game.compile = game.compile or about["compiled"]  # the last bits differ between compiled code and not
    restore(game, about["step"], about["turns"], {int(m): s for m, s in about["frozen"].items()}, found)


@torch.no_grad()
def restore(game, step, turns, frozen, found):
    """Put arrays, as `arrays` gives them, and counters into the game."""
    for net, state in game.state.items():
        for key, tensor in state.items():
            tensor.copy_(torch.from_numpy(found[f"state/{net}/{key}"]))
    game.step, game.turns, game.frozen = step, dict(turns), dict(frozen)
    game.history.steps = step
    game.history.parts = {k.split("/", 1)[1]: [v] for k, v in found.items() if k.startswith("history/")}
