"""Members spread over processes and machines, with the same results as one process.

How to run a sweep of 1,000 seeds on a cluster. Write the experiment as a script, `sweep.py`:

    from helpers import Game, collect, share, sweep
    members = sweep(seed=range(1000))
    make = lambda members: Game(nets=..., players=..., sample=..., members=members, device=...)
    game = make(share(members))                      # this process's part of the members
    game.train(until=2000, checkpoint=f"ring.{game.members.columns['seed'][0]}.checkpoint")
    whole = collect(game, make, members)             # one game with all members in process 0, None in the others
    if whole is not None:
        whole.save("ring.checkpoint")

On one machine with 64 cores, 32 processes of two threads each:

    OMP_NUM_THREADS=2 torchrun --standalone --nproc-per-node=32 sweep.py

On 8 machines, the same line on each (through `srun`, `pdsh` or by hand), where the first is called node0:

    OMP_NUM_THREADS=2 torchrun --nnodes=8 --nproc-per-node=32 --rdzv-backend=c10d --rdzv-endpoint=node0:29500 sweep.py

With GPUs, one process for each: `--nproc-per-node=8` and `device=f"cuda:{os.environ['LOCAL_RANK']}"`. Processes do not
speak to each other while they train (members are independent), so the network's speed does not matter; they meet
once, in `collect`. A process that is killed goes on from its checkpoint when the same line is run again, with the
same number of processes. Without torchrun the script runs as it is, in one process, with the same results: a
member's numbers depend on its own seed and hyper-parameters only. Two things decide the last bits and should be
kept if runs are to be compared bit by bit: the number of threads and `Game(group=...)`.
"""

import os

import torch.distributed as dist

from . import checkpoint
from .errors import CourseError


def share(members):
    """The part of the members that this process trains: all of them, unless torchrun has started several processes.

    More processes than members raise CourseError.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if len(members) < world:
        raise CourseError(f"{world} processes were started for {len(members)} members; start at most one for each.")
    bounds = [len(members) * i // world for i in range(world + 1)]
    return members[bounds[rank] : bounds[rank + 1]]


def collect(game, make, members):
    """All processes' games as one, in process 0; None in the others. `make(members)` builds the game of all members.

    All must have trained to the same step, else it raises CourseError. Results travel over gloo, whatever the device.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        return game
    begun = dist.is_initialized()
    if not begun:
        dist.init_process_group("gloo")
    mine = {"arrays": checkpoint.arrays(game), "step": game.step, "turns": game.turns, "frozen": game.frozen,
            "members": len(game.members)}  # fmt: skip
    parts = [None] * world if dist.get_rank() == 0 else None
    dist.gather_object(mine, parts, group=dist.new_group(backend="gloo") if begun else None)
    if not begun:
        dist.destroy_process_group()
    return None if parts is None else _join(make(members), parts)


def _join(whole, parts):
    import numpy as np

    if len({part["step"] for part in parts}) > 1:
        raise CourseError(f"The processes stopped at different steps, {[p['step'] for p in parts]}; train to one step.")
    found = {key: np.concatenate([part["arrays"][key] for part in parts], axis=1 if key.startswith("history/") else 0)
             for key in parts[0]["arrays"]}  # fmt: skip
    frozen, first = {}, 0
    for part in parts:
        frozen |= {first + member: step for member, step in part["frozen"].items()}
        first += part["members"]
    checkpoint.restore(whole, parts[0]["step"], parts[0]["turns"], frozen, found)
    return whole
