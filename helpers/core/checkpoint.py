"""Checkpoints: everything training needs to go on exactly, in one file of plain arrays that is replaced as a whole.

The file is numpy's .npz, so reading it runs no code and each array carries a checksum. Random streams need no state:
they are functions of the seed and the turn. `share` and `collect` spread members over processes (notebooks/sweep.py).
"""

import dis
import functools
import hashlib
import json
import os
import random
import sys
import tempfile
import types
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..page import CourseError

if TYPE_CHECKING:
    from .game import Game, Members

FORMAT = "course checkpoint 2"
ELSEWHERE = {"torch", "numpy", "helpers", "math", "builtins", "functools", "random"}  # known by their names
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
GLOBAL = (np.random.rand.__self__, random.random.__self__)  # which `seeded` looks after
MAKERS = {"default_rng", "RandomState", "SystemRandom", "urandom"}


def known_by(thing: Any, seen: dict, loss: str = "") -> str:
    """Words that are the same for two things only if they compute the same: code, settings, numbers, by content.

    Of a function: its code, and what it reads from outside, functions and modules included. Lists and sets are left
    out, being where a notebook collects things. `loss`: whose it is; there, a random generator raises CourseError.
    """
    inner = functools.partial(known_by, seen=seen, loss=loss)
    source = getattr(thing, "__self__", thing)  # of rng.random, rng
    if thing is None or isinstance(thing, (bool, int, float, complex, str, bytes)):
        return repr(thing)
    if loss and isinstance(source, GENERATORS) and source not in GLOBAL:
        raise CourseError(f"The loss of player {loss!r} reads a random generator, one source for all members; draw in "
                          "`sample` (normal, uniform or rows), or with torch.rand or torch.randn.")  # fmt: skip
    if id(thing) in seen:
        return "again"
    seen[id(thing)] = thing  # kept, so that no other thing takes its place in memory
    if isinstance(thing, (torch.Tensor, np.ndarray)):
        array = torch.as_tensor(thing).detach().cpu().contiguous()
        content = array.flatten().view(torch.uint8).numpy() if array.numel() else b""
        return f"{array.dtype}{tuple(array.shape)}{hashlib.sha256(content).hexdigest()}"
    if isinstance(thing, (tuple, dict)):
        parts = thing.items() if isinstance(thing, dict) else enumerate(thing)
        return str([(str(key), inner(value)) for key, value in parts])
    if isinstance(thing, functools.partial):
        return inner((thing.func, thing.args, thing.keywords))
    if isinstance(thing, types.MethodType) and not isinstance(source, GENERATORS):
        return inner((thing.__func__, source))
    if isinstance(thing, nn.Module):
        words = [str(thing), inner(thing.state_dict()) if loss else ""]
        for module in thing.modules():
            plain = {k: v for k, v in vars(module).items() if k[0] != "_" and k not in ("training", "forward")}
            words.append(inner((type(module), plain)))
        return str(words)
    if (
        isinstance(thing, types.BuiltinFunctionType)
        or (getattr(thing, "__module__", "") or "").split(".")[0] in ELSEWHERE
    ):
        return getattr(thing, "__qualname__", type(thing).__qualname__) + inner(getattr(thing, "points", None))
    if isinstance(thing, types.FunctionType):
        read = tuple(_content(cell) for cell in thing.__closure__ or ())
        return _code(thing.__code__, thing.__globals__, inner, loss) + inner((read, thing.__defaults__))
    if isinstance(thing, type):
        kinds = [kind for kind in thing.__mro__ if kind.__module__.split(".")[0] not in ELSEWHERE]
        methods = [method for kind in kinds for _, method in sorted(vars(kind).items())]
        return thing.__qualname__ + inner(tuple(m for m in methods if isinstance(m, types.FunctionType)))
    own = vars(thing) if callable(thing) and hasattr(thing, "__dict__") else {}
    return inner((type(thing), {key: value for key, value in own.items() if isinstance(value, (int, float, str))}))


def _code(code, outside, inner, loss):
    made = MAKERS & set(code.co_names)
    if loss and made:
        raise CourseError(f"The loss of player {loss!r} makes a random generator ({min(made)}), one source for all members; "
                          "draw in `sample` (normal, uniform or rows), or with torch.rand or torch.randn.")  # fmt: skip
    read = dict.fromkeys(step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    consts = [_code(part, outside, inner, loss) if isinstance(part, types.CodeType) else
              repr(sorted(part, key=repr) if isinstance(part, frozenset) else part) for part in code.co_consts]  # fmt: skip
    return str([code.co_code.hex(), code.co_names, [(name, inner(outside.get(name))) for name in read], consts])


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not given yet
        return None


def _digest(*words):
    return hashlib.sha256("".join(words).encode()).hexdigest()[:24]


def code(game) -> dict[str, str]:
    """What the losses and networks of a game compute, as digests of their code and of what it reads."""
    losses = [known_by(p.loss, {}, p.name) + known_by(p.schedule, {}) for p in game.players.values()]
    nets = [name + known_by(stack.pristine, {}, name * stack.shared) for name, stack in game.stacks.items()]
    return {"losses": _digest(*losses), "networks": _digest(*nets)}


def describe(game) -> dict:
    """What this game is, to be compared with what a file says: a file of another game is refused."""
    if "data" not in game.code:
        game.code["data"] = _digest(known_by(tuple(d.data[n] for n, d in game.sample.items() if d.data), {}))
    return {
        "members": game.members.columns,
        "players": [[p.name, p.nets, p.repeats, p.clip, p.optimiser, p.betas] for p in game.players.values()],
        "schedules": [[p.factor(step) for step in (0, 1, 10, 100, 1000, 10_000)] for p in game.players.values()],
        "learning rates": {name: rate.tolist() for name, rate in game.rates.items()},
        "networks": {n: {k: [list(t.shape[1:]), str(t.dtype)] for k, t in s.items()} for n, s in game.state.items()},
        "averages": game.averages,
        "sample": {name: draw.key for name, draw in game.sample.items()},
        "group": game.asked,
        "bf16": game.bf16,
        "Python": list(sys.version_info[:2]),
        **{f"code of {part}": digest for part, digest in game.code.items()},
    }


def arrays(game) -> dict[str, np.ndarray]:
    """The state (members, ...) and the history (steps, members) of a game, as {name: array}."""
    state = {f"state/{n}/{k}": v.cpu().numpy() for n, s in game.state.items() for k, v in s.items()}
    return state | {f"history/{name}": game.history[name] for name in game.history}


def check_place(path: str | os.PathLike) -> str:
    """The path in full; CourseError if a checkpoint cannot be written there."""
    try:
        path = os.path.abspath(os.fspath(path))
        if os.path.isdir(path):
            raise IsADirectoryError("it is a folder")
        with tempfile.TemporaryFile(dir=os.path.dirname(path)):
            return path
    except (OSError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CourseError(f"A checkpoint cannot be written to {path!s} ({reason}): name a file in a folder that is there "
                          "(on Colab, is Drive mounted?).") from None  # fmt: skip


def save(game, path: str | os.PathLike) -> None:
    """Write the game to `path`: first to a file beside it, which then takes its name, so a crash leaves the old one."""
    counters = {"step": game.step, "turns": game.turns, "frozen": {str(m): step for m, step in game.frozen.items()}}
    about = {"format": FORMAT, "game": describe(game), "compiled": bool(game.compiled), **counters}
    path = check_place(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays(game))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise CourseError(f"The checkpoint {path} could not be written ({error.strerror}).") from error
        raise


def load(game, path: str | os.PathLike) -> None:
    """Put the state in the file into the game; one that is damaged, or another game's, raises CourseError first."""
    name = os.path.basename(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            found = {key: file[key] for key in file.files if key != "about"}
        if about["format"] != FORMAT:
            raise KeyError(about["format"])
        step, turns, frozen = about["step"], about["turns"], {int(m): s for m, s in about["frozen"].items()}
    except FileNotFoundError:
        raise CourseError(f"There is no checkpoint {name!r}; train(..., checkpoint={name!r}) writes one.") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, TypeError) as error:
        raise CourseError(
            f"{name!r} is not a whole checkpoint of this course (cut short, damaged, or another kind of file); "
            "delete it and train again, or use an older copy."
        ) from error
    ours = json.loads(json.dumps(describe(game)))
    other = [part for part, value in ours.items() if about["game"].get(part) != value]
    if other:
        raise CourseError(
            f"The checkpoint {name!r} belongs to another game: its {other[0].removeprefix('code of ')} differ from this "
            "one's; give it another name, or make the game as it was when the file was written."
        )
    game.compile = game.compile or about["compiled"]  # the last bits differ between compiled code and not
    restore(game, step, turns, frozen, found)


@torch.no_grad()
def restore(game, step: int, turns: dict, frozen: dict, found: dict[str, np.ndarray]) -> None:
    """Put arrays, as `arrays` gives them, and counters into the game."""
    for net, state in game.state.items():
        for key, tensor in state.items():
            tensor.copy_(torch.from_numpy(found[f"state/{net}/{key}"]))
    game.step, game.turns, game.frozen, game.history.steps = step, dict(turns), dict(frozen), step
    game.history.parts = {k.split("/", 1)[1]: [v] for k, v in found.items() if k.startswith("history/")}


def share(members: "Members") -> "Members":
    """The part of the members that this process trains: all of them, unless torchrun has started several processes.

    More processes than members raise CourseError.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if len(members) < world:
        raise CourseError(f"{world} processes were started for {len(members)} members; start at most one for each.")
    return members[len(members) * rank // world : len(members) * (rank + 1) // world]


def collect(game: "Game", make: Callable, members: "Members") -> "Game | None":
    """All processes' games as one, in process 0; None in the others. `make(members)` builds the game of all members.

    All must have trained to the same step, else it raises CourseError. Results travel over gloo, whatever the device.
    """
    import torch.distributed as dist

    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return game
    begun = dist.is_initialized()
    if not begun:
        dist.init_process_group("gloo")
    mine = (arrays(game), game.step, game.turns, game.frozen, len(game.members))
    parts = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(mine, parts, group=dist.new_group(backend="gloo") if begun else None)
    if not begun:
        dist.destroy_process_group()
    if parts is None:
        return None
    found, steps, turns, frozen, sizes = zip(*parts, strict=True)
    if len(set(steps)) > 1:
        raise CourseError(f"The processes stopped at different steps, {list(steps)}; train to one step.")
    joined = {key: np.concatenate([part[key] for part in found], int(key.startswith("history/"))) for key in found[0]}
    first = np.cumsum([0, *sizes]).tolist()
    whole = make(members)
    restore(
        whole, steps[0], turns[0], {first[i] + m: s for i, part in enumerate(frozen) for m, s in part.items()}, joined
    )
    return whole
