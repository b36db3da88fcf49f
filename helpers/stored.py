"""What long experiments leave behind: tables in data/results/, trained weights in data/weights/.

`COURSE_BUDGET=full python3 tests/tools/execute.py 04` makes a notebook's anew; otherwise the notebook reads them.
With `COURSE_ONLY=09_heads` before it, only the file of that name is made.
Weights are safetensors files in half precision: names, shapes and plain numbers, so reading one runs no code.

>>> save_weights("08_faces", {"G": generator}, SETTINGS)
>>> generator = load_weights("08_faces", {"G": Generator()}, SETTINGS)["G"]
"""

import json
import os
import platform

import numpy as np
import torch
from torch import nn

from . import data
from .page import CourseError

Nets = nn.Module | dict[str, nn.Module]


def full_budget(name: str | None = None) -> bool:
    """Whether the long experiments are to be run now (COURSE_BUDGET=full), instead of read.

    Parameters
    ----------
    name : str, optional, the file that one of them makes: with COURSE_ONLY=name, that one alone is to be run
    """
    return os.environ.get("COURSE_BUDGET") == "full" and os.environ.get("COURSE_ONLY") in (None, name)


def save_results(name: str, settings: dict, values: object, seconds: float) -> None:
    """Write the table data/results/`name`.json with the versions, and its sum into SHA256SUMS.

    Parameters
    ----------
    settings : dict, what the table was made with
    values : nested dicts and lists of numbers, what came out
    seconds : float, how long it took
    """
    made = {"settings": settings, "versions": _versions(), "minutes": round(seconds / 60, 1), "values": values}
    path = data.DATA / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8", newline="\n")
    data.write_sum(f"results/{name}.json")


def load_results(name: str, settings: dict | None = None) -> dict:
    """The table data/results/`name`.json: {"settings", "versions", "minutes", "values"}.

    Parameters
    ----------
    settings : dict, the page's own; where the table was made with others, a sentence says with which

    Raises
    ------
    CourseError
        When it is missing or was changed.
    """
    table = json.loads(data.data_file(f"results/{name}.json").read_text(encoding="utf-8"))
    if settings is not None:
        _say_other(f"results/{name}.json", settings, table["settings"])
    return table


def save_weights(name: str, nets: Nets, settings: dict) -> None:
    """Write data/weights/`name`.safetensors, and its sum into SHA256SUMS.

    Parameters
    ----------
    nets : a module, or {name: module}
    settings : dict that JSON can hold, what they were trained with

    Raises
    ------
    CourseError
        For numbers that half precision cannot hold.
    """
    from safetensors.torch import save_file

    tensors = {key: _small(key, tensor) for key, tensor in _tensors(nets).items()}
    path = data.DATA / "weights" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    about = {"settings": settings, "versions": _versions()}
    save_file(tensors, path, {"about": json.dumps(about, sort_keys=True)})  # one entry: the order of more is chance
    data.write_sum(f"weights/{name}.safetensors")


def load_weights(name: str, nets: Nets, settings: dict) -> Nets:
    """Fill `nets` from data/weights/`name`.safetensors; returns them in eval mode, their weights do not train.

    Parameters
    ----------
    nets, settings
        As `save_weights` had them. Where they were trained with other settings, a sentence says with which.

    Raises
    ------
    CourseError
        When the file is damaged or holds other networks; then nothing is changed.
    """
    from safetensors import SafetensorError, safe_open

    path, anew = data.data_file(f"weights/{name}.safetensors"), "COURSE_BUDGET=full makes it anew"
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, KeyError, ValueError) as error:
        raise CourseError(f"data/weights/{path.name} was not written by save_weights; {anew}.") from error
    wanted = _tensors(nets)
    if {k: t.shape for k, t in wanted.items()} != {k: t.shape for k, t in found.items()}:
        raise CourseError(f"data/weights/{path.name} holds networks of another form than yours; {anew}.")
    _say_other(f"weights/{path.name}", settings, about["settings"])
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(found[key])
    for net in [nets] if isinstance(nets, nn.Module) else nets.values():
        net.eval().requires_grad_(False)
    return nets


def _say_other(file: str, ours: dict, theirs: dict) -> None:
    """Say where what is stored was made with other settings than the page's: its numbers are then its own."""
    ours = json.loads(json.dumps(ours))
    other = [key for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)]
    if other:
        words = "; ".join(
            f"{key}: {theirs.get(key, 'none')} there, {ours.get(key, 'none')} on this page" for key in other
        )
        print(f"data/{file} was made with other settings than this page's, and its numbers belong to those ({words}).")


def _tensors(nets: Nets) -> dict[str, torch.Tensor]:
    """All weights and buffers, {"name of the net.name of the weight": tensor}; a single module is called "net"."""
    nets = {"net": nets} if isinstance(nets, nn.Module) else nets
    return {f"{net}.{key}": tensor for net, module in nets.items() for key, tensor in module.state_dict().items()}


def _small(key: str, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in half precision, if it holds fractions."""
    small = tensor.detach().cpu().contiguous()
    if small.is_floating_point():
        small = small.half()
        if not small.isfinite().all():
            raise CourseError(f"{key} has numbers that half precision cannot hold (NaN, or beyond 65,504).")
    return small


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
