"""Shipped weights: trained networks as safetensors files in data/weights/, checked when they are read.

A safetensors file is a short list of names and shapes, then plain numbers: reading it runs no code, as reading a pickle
does. Numbers are stored in half precision (float16), which halves the file; the settings they were trained with stand in it.

>>> save_weights("08_faces", {"G": generator}, SETTINGS)          # with COURSE_BUDGET=full
>>> generator = load_weights("08_faces", {"G": Generator()}, SETTINGS)["G"]
"""

import json

import torch
from torch import nn

from . import files
from .errors import CourseError
from .results import versions


def save_weights(name, nets, settings):
    """Write data/weights/`name`.safetensors, and its sum into SHA256SUMS.

    nets: a module, or {name: module}. settings: what they were trained with, a dict that JSON can hold.
    """
    from safetensors.torch import save_file

    tensors = {key: _small(key, tensor) for key, tensor in _tensors(nets).items()}
    path = files.DATA / "weights" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    about = {"settings": settings, "versions": versions()}
    save_file(tensors, path, {"about": json.dumps(about, sort_keys=True)})  # one entry: the order of more is chance
    files.write_sum(f"weights/{name}.safetensors")


def load_weights(name, nets, settings):
    """Fill `nets` (a module, or {name: module}) from data/weights/`name`.safetensors; returns them, in eval mode.

    Raises CourseError, and changes nothing, if the file is damaged, holds other networks, or was made with other settings.
    """
    from safetensors import SafetensorError, safe_open

    path, anew = files.data_file(f"weights/{name}.safetensors"), "COURSE_BUDGET=full makes it anew"
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, KeyError, ValueError) as error:
        raise CourseError(f"data/weights/{path.name} was not written by save_weights; {anew}.") from error
    ours = json.loads(json.dumps(settings))
    if about["settings"] != ours:
        theirs = about["settings"]
        other = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        raise CourseError(f"data/weights/{path.name} was made with other settings ({', '.join(other)}); {anew}.")
    wanted = _tensors(nets)
    if {k: t.shape for k, t in wanted.items()} != {k: t.shape for k, t in found.items()}:
        raise CourseError(f"data/weights/{path.name} holds networks of another form than yours; {anew}.")
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(found[key])
    for net in [nets] if isinstance(nets, nn.Module) else nets.values():
        net.eval().requires_grad_(False)
    return nets


def _tensors(nets):
    """All weights and buffers, {"name of the net.name of the weight": tensor}; a single module is called "net"."""
    nets = {"net": nets} if isinstance(nets, nn.Module) else nets
    return {f"{net}.{key}": tensor for net, module in nets.items() for key, tensor in module.state_dict().items()}


def _small(key, tensor):
    """The tensor in half precision, if it holds fractions; refuses what half precision cannot hold."""
    small = tensor.detach().cpu().contiguous()
    if small.is_floating_point():
        small = small.half()
        if not small.isfinite().all():
            raise CourseError(f"{key} has numbers that half precision cannot hold (NaN, or beyond 65,504).")
    return small
