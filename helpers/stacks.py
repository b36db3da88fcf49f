"""Many copies of one network in one tensor: weights (members, numbers), each member started from its own seed."""

import copy
import zlib

import torch
from torch import nn

from . import fastlinear
from .errors import CourseError


class Stack:
    """The copies of one network. `make` is a function that builds one, or a finished module that nobody trains.

    What changes in training is in `state`, tensors with members as their leading axis:
    "weights" (members, numbers) and one "buffer.<name>" (members, ...) for each buffer of the module.
    A finished module has no state: all members share it as it is, in eval mode. Anything else raises CourseError.
    """

    def __init__(self, name, make, seeds, device):
        self.name, self.shared = name, isinstance(make, nn.Module)
        if self.shared:
            self.worker = copy.deepcopy(make).to(device).eval().requires_grad_(False)
            self.state, self.slots, self.buffers, self.buffer_slots, self.recurrent = {}, [], [], [], []
            self.shapes, self.trainable = [], []
            return
        started = {seed: self._start(make, seed) for seed in dict.fromkeys(seeds)}
        self.pristine = started[seeds[0]]  # never bound to members' weights: copies are taken from it
        self.worker = copy.deepcopy(self.pristine).to(device)  # the module whose weights are exchanged
        fastlinear.install(self.worker)
        self.slots = _slots(self.worker)
        self.buffer_slots = _buffers(self.worker)
        self.recurrent = [m for m in self.worker.modules() if isinstance(m, nn.RNNBase)]  # list their weights twice
        parameters = list(self.pristine.parameters())
        self.shapes = [p.shape for p in parameters]
        self.trainable = [p.requires_grad for p in parameters]
        if len({p.dtype for p in parameters}) > 1:
            raise CourseError(f"The network {name!r} mixes number types; give all its weights the same one.")
        rows = {seed: torch.cat([p.detach().flatten() for p in net.parameters()] or [torch.zeros(0)])
                for seed, net in started.items()}  # fmt: skip
        self.state = {"weights": torch.stack([rows[seed] for seed in seeds]).to(device)}
        self.buffers = [f"buffer.{key}" for key, _ in self.pristine.named_buffers()]
        for key, _ in self.pristine.named_buffers():
            values = [started[seed].get_buffer(key) for seed in seeds]
            self.state[f"buffer.{key}"] = torch.stack(values).to(device)

    def _start(self, make, seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(f"{self.name} {seed}".encode()))
            net = make() if callable(make) else make
        if not isinstance(net, nn.Module):
            raise CourseError(
                f"nets[{self.name!r}] must be a function that builds an nn.Module (or a trained module); "
                f"it returned {type(net).__name__}."
            )
        return net.cpu()

    def views(self, weights):
        """The parameters in a weight tensor (members, numbers), as views (members, *shape)."""
        sizes = [shape.numel() for shape in self.shapes]
        parts = weights.split(sizes, dim=1) if sizes else []
        return [part.view(len(weights), *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def bind(self, parameters, buffers):
        """Put tensors where the worker has its parameters and buffers (lists in their order); return the worker."""
        for module, key, index in self.slots:
            module._parameters[key] = parameters[index]
        for module, key, index in self.buffer_slots:
            module._buffers[key] = buffers[index]
        for module in self.recurrent:
            module._flat_weights = [module._parameters[name] for name in module._flat_weights_names]
        return self.worker

    @torch.no_grad()
    def module(self, row, weights):
        """An ordinary module of its own with the weights (numbers,) and the buffers of member `row`, in eval mode."""
        if self.shared:
            return copy.deepcopy(self.worker)
        net = copy.deepcopy(self.pristine)
        for parameter, value in zip(net.parameters(), self.views(weights[None]), strict=True):
            parameter.copy_(value[0])
        for key, buffer in net.named_buffers():
            buffer.copy_(self.state[f"buffer.{key}"][row])
        return net.to(weights.device).eval()


def _slots(net):
    """Where the parameters are: (module, key, number of the parameter); one shared by two layers has two places."""
    number = {id(p): i for i, p in enumerate(net.parameters())}
    return [(m, k, number[id(p)]) for m in net.modules() for k, p in m._parameters.items() if p is not None]


def _buffers(net):
    number = {id(b): i for i, b in enumerate(net.buffers())}
    return [(m, k, number[id(b)]) for m in net.modules() for k, b in m._buffers.items() if b is not None]
