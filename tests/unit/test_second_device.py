"""No tensor crosses by accident: each notebook that trains, run as if its networks lay on a GPU.

There is no GPU where these tests run. In its place stands a mark: what `check_gpu` returns is a device whose tensors are
ordinary ones that carry the mark, and everything computed from them carries it, too. As on a GPU, an operation that meets
both kinds is an error, and so are `numpy()` of a marked tensor and a marked draw from a generator of the CPU.

Each code cell of a notebook runs once, in order, with at most two rounds for each training (the game then stands at the step
that was asked for) and without verdicts. So a notebook is taken as it comes: one that trains belongs into NOTEBOOKS, asks
`check_gpu()` by that name, and hands its answer to each `Game`. A cell that needs a trained network to run at all is named
in NEEDS_TRAINING, with why.
"""

import contextlib
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from common import masters, read_notebook, source
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import helpers
from helpers import figures
from helpers.core import loop

NOTEBOOKS = ("05", "06", "07", "08", "09", "10")
NEEDS_TRAINING: dict[tuple[str, str], str] = {}
THERE, HERE = (
    torch.device("meta"),
    torch.device("cpu"),
)  # "meta" is a device that every torch knows and no notebook uses
MAY_CROSS = ("aten.copy_.", "aten._to_copy.", "aten.index.", "aten.index_put_.")  # as on a GPU, for what they write to


class Crossing(RuntimeError):
    pass


def bare(tensor):
    """The tensor inside those that vmap and grad wrap round it."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


class SecondDevice(TorchDispatchMode):
    """While it is entered, `device=THERE` makes marked tensors, and `to` gives or takes the mark."""

    def __init__(self):
        super().__init__()
        self.marked = {}

    def is_there(self, tensor):
        storage = bare(tensor).untyped_storage()
        kept = self.marked.get(storage._cdata)
        if kept is not None and kept.expired():
            del self.marked[storage._cdata]
            return False
        return kept is not None

    def mark(self, tensor, there=True):
        storage = bare(tensor).untyped_storage()
        if there:
            self.marked[storage._cdata] = StorageWeakRef(storage)
        else:
            self.marked.pop(storage._cdata, None)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), str(function)
        asked = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
        if asked is not None:
            kwargs["device"] = HERE
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        there = [x for x in tensors if self.is_there(x)]
        lone = [x for x in tensors if x.dim() and not self.is_there(x)]
        if there and lone and not (name.startswith(MAY_CROSS) and (self.is_there(args[0]) or "copy" in name)):
            raise Crossing(f"{name} meets tensors of both devices: {[tuple(x.shape) for x in tensors]}")
        if asked == THERE and kwargs.get("generator") is not None:
            raise Crossing(f"{name} draws on the second device from a generator of the CPU")
        out = function(*args, **kwargs)
        goes = asked == THERE if asked is not None else bool(there)
        if name.startswith("aten.copy_."):
            goes = False  # it stays where it is
        for made in tree_leaves(out) if goes else ():
            if isinstance(made, torch.Tensor):
                self.mark(made)
        return out


@pytest.fixture
def second(monkeypatch):
    mode = SecondDevice()
    plain = {name: getattr(torch.Tensor, name) for name in ("to", "numpy", "__array__")}
    make = {name: getattr(torch, name) for name in ("tensor", "as_tensor")}

    def to(self, *args, **kwargs):
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if args and isinstance(args[0], torch.Tensor):
            device = args[0].device
        out = plain["to"](self, dtype) if dtype is not None else self
        if device is not None and (device == THERE) != mode.is_there(self):
            out = out.clone()
            mode.mark(out, device == THERE)
        return out

    def stays(tensor):
        if mode.is_there(tensor):
            raise Crossing("numpy of a tensor on the second device: it needs .cpu() first")
        return tensor

    def numpy(self, *, force=False):
        return plain["numpy"](self if force else stays(self))

    def array(self, dtype=None, copy=None):
        return plain["__array__"](stays(self), *([] if dtype is None else [dtype]))

    def made(name):
        def create(*args, device=None, **kwargs):
            out = make[name](*args, **kwargs)
            return out if device is None else out.to(device)

        return create

    monkeypatch.setattr(torch.Tensor, "device", property(lambda self: THERE if mode.is_there(self) else HERE))
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: to(self, HERE))
    monkeypatch.setattr(torch.Tensor, "numpy", numpy)
    monkeypatch.setattr(torch.Tensor, "__array__", array)
    for name in make:
        monkeypatch.setattr(torch, name, made(name))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # which knows no such device
    with mode:
        yield mode


def test_the_stand_in_notices_what_a_gpu_would(second):
    on, off = torch.ones(3, device=THERE), torch.ones(3)
    assert (on + on).device == THERE and (off + off).device == HERE and on.cpu().device == HERE
    assert (on + torch.tensor(1.0)).device == THERE, "one number may come from the CPU"
    assert torch.tensor([1.0, 2], device=THERE).tolist() == [1, 2] and (2 * on).sum().item() == 6
    assert on[torch.tensor([0, 1])].device == THERE and torch.zeros_like(on).device == THERE
    assert off.copy_(on).device == HERE and off.to(on).device == THERE
    layer = torch.nn.Linear(3, 2).to(THERE)
    layer(on).sum().backward()
    assert layer.weight.grad.device == THERE
    vmapped = torch.vmap(lambda x: torch.func.grad(lambda y: (y**2).sum())(x))(torch.ones(2, 3, device=THERE))
    assert vmapped.device == THERE
    for wrong in (
        lambda: on + off,
        lambda: layer(off),
        lambda: torch.cat([on, off]),
        lambda: off[torch.tensor([0], device=THERE)],
        lambda: torch.vmap(lambda x: x + off)(torch.ones(2, 3, device=THERE)),
        lambda: on.numpy(),
        lambda: np.asarray(on),
        lambda: torch.randn(3, generator=torch.Generator(), device=THERE),
    ):
        with pytest.raises(Crossing):
            wrong()


@pytest.fixture
def short(monkeypatch):
    """Two rounds at most; then the game stands where it was asked to."""

    def shortened(train, game, asked):
        until, callback, every = asked["until"], asked["callback"], asked["every"]
        goal = game.step + asked["steps"] if until is None else until
        begun = game.step
        if goal > begun:
            train(game, {**asked, "steps": min(2, goal - begun), "until": None, "callback": None, "checkpoint": None})
        for step in range(begun, goal + 1) if callback else ():
            if step % every == 0:
                game.step = step
                callback(game)
        game.step = max(goal, begun)

    monkeypatch.setattr(loop, "HOOKS", [shortened])


@pytest.mark.slow
@pytest.mark.parametrize("number", NOTEBOOKS)
def test_no_tensor_of_a_notebook_crosses_by_accident(number, second, short, monkeypatch, capsys):
    monkeypatch.setattr(helpers, "check_gpu", lambda say=print: THERE)
    monkeypatch.setattr(helpers, "check", lambda claim, holds, hint="": bool(holds))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    notebook = read_notebook(next(path for path in masters() if path.name.startswith(number)))
    monkeypatch.setattr(figures, "display", lambda *_, **__: SimpleNamespace(update=lambda *_, **__: None))
    begin, devices = helpers.Game.__init__, []
    monkeypatch.setattr(
        helpers.Game, "__init__", lambda game, *a, **k: (begin(game, *a, **k), devices.append(game.device))[0]
    )
    names, crossed, failed = {}, [], []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or cell["id"] == "setup":
            continue
        code = "\n".join(line for line in source(cell).splitlines() if not line.lstrip().startswith(("%", "!")))
        with np.errstate(all="ignore"):
            try:
                exec(compile(code, f"{number}:{cell['id']}", "exec"), names)
            except Crossing as error:
                crossed.append((cell["id"], str(error)))
            except Exception as error:
                if (number, cell["id"]) not in NEEDS_TRAINING:
                    failed.append((cell["id"], f"{type(error).__name__}: {error}"))
    assert not crossed
    assert not failed
    assert devices and set(devices) == {THERE}, "each game is handed what check_gpu returned"
