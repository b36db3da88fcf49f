"""Linear layers of many members as one batched matrix product: what makes a batch of small networks fast on a CPU.

Under `torch.vmap`, a linear layer becomes a product, a reshape and an addition. Here the layers of a network are given
a forward that hands all members' weights to `torch.baddbmm` at once; the student's module is still an `nn.Linear`.
"""

import types

import torch
import torch.nn.functional as F
from torch import nn

try:  # how vmap wraps tensors is not public: where a release of torch has moved it, the ordinary way is taken
    from torch._C._functorch import _add_batch_dim, get_unwrapped, is_batchedtensor, maybe_get_bdim, maybe_get_level
    from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
except ImportError:  # pragma: no cover
    is_batchedtensor = None


def install(net):
    """Give each plain nn.Linear of `net` the fast forward; subclasses with a forward of their own keep theirs."""
    for module in net.modules():
        if is_batchedtensor is not None and type(module) is nn.Linear:
            module.forward = types.MethodType(_forward, module)


def _forward(self, x):
    weight, bias = self.weight, self.bias
    if bias is None or x.dim() != 2 or not (_members_first(x) and _members_first(weight) and _members_first(bias)):
        return F.linear(x, weight, bias)
    level = maybe_get_level(x)
    if not level == maybe_get_level(weight) == maybe_get_level(bias):  # a vmap of the student's own inside the loss
        return F.linear(x, weight, bias)
    inputs, matrices, offsets = get_unwrapped(x), get_unwrapped(weight), get_unwrapped(bias)
    if any(is_batchedtensor(t) for t in (inputs, matrices, offsets)):
        return F.linear(x, weight, bias)
    with temporarily_pop_interpreter_stack():  # the product is recorded one level down, by ordinary autograd
        out = torch.baddbmm(offsets.unsqueeze(1), inputs, matrices.transpose(1, 2))  # (members, batch, outputs)
    return _add_batch_dim(out, 0, level)


def _members_first(tensor):
    return is_batchedtensor(tensor) and maybe_get_bdim(tensor) == 0
