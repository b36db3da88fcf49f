"""A sweep of many seeds, spread over processes and machines: the same results as in one process.

On one machine with 64 cores, 32 processes of two threads each (`torchrun` comes with torch):

    OMP_NUM_THREADS=2 torchrun --standalone --nproc-per-node=32 notebooks/sweep.py 1000

On 8 machines, the same line on each (through `srun`, `pdsh` or by hand), where the first is called node0:

    OMP_NUM_THREADS=2 torchrun --nnodes=8 --nproc-per-node=32 --rdzv-backend=c10d --rdzv-endpoint=node0:29500 notebooks/sweep.py 1000

With GPUs, one process for each: `--nproc-per-node=8`. Without torchrun the script runs as it is, in one process. Members are
independent, so processes do not speak to each other while they train; they meet once, in `collect`. One that is killed
goes on from its checkpoint when the same line is run again, with the same number of processes. Two things decide the last
bits and should be kept if runs are to be compared bit by bit: the number of threads and `Game(group=...)`.
"""

import os
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers import Game, Player, collect, normal, rows, share, sweep

ANGLES = torch.arange(8).repeat(125) * (torch.pi / 4)
RING = 2 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


def network(outputs):
    return nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


def d_loss(nets, batch, member):
    return F.softplus(-nets.D(batch.x)).mean() + F.softplus(nets.D(nets.G(batch.z).detach())).mean()


def g_loss(nets, batch, member):
    return F.softplus(-nets.D(nets.G(batch.z))).mean()


def make(members):
    """The game of these members; each process calls it with its share, the first one also with all."""
    gpus = torch.cuda.device_count()
    device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % gpus}" if gpus else "cpu"
    nets = {"G": lambda: network(2), "D": lambda: network(1)}
    return Game(
        nets, [Player("D", d_loss), Player("G", g_loss)], [rows(64, x=RING), normal(z=(64, 2))], members, device=device
    )


if __name__ == "__main__":
    seeds, steps = (
        (int(word) for word in (*sys.argv[1:], "8", "200")[:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 200)
    )
    members = sweep(seed=range(seeds))
    game = make(share(members))
    game.train(until=steps, checkpoint=f"sweep.{game.members.columns['seed'][0]}.checkpoint")
    whole = collect(game, make, members)
    if whole is not None:
        whole.save("sweep.checkpoint")
        print(
            f"{len(whole.members)} members at step {whole.step}: G's last loss is {whole.history['G'][-1].mean():.3f} on average"
        )
