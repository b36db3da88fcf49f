"""How fast the training core is: against a plain PyTorch loop and against JAX (jit + vmap + scan), in one run.

    python3 tests/benchmarks/bench_core.py             # the whole table, about 15 minutes
    python3 tests/benchmarks/bench_core.py --quick     # does it run at all: seconds, figures mean nothing
    python3 tests/benchmarks/bench_core.py --busy      # processor time of one thread, for a machine that is never quiet

The contenders of a row take turns, each waiting for a moment in which no other program computes, and medians over the
turns are compared. (Two threads that wait for each other at every product slow down tenfold on a busy machine.)
Times are milliseconds per member and step; a step is one turn of D and one of G. The share is that of the machine's
own rate at 1024 × 1024 matrix products, measured in the same run.
`start` is what building and compiling the game takes, once.
"""

import argparse
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

BUSY = "--busy" in sys.argv  # must be known before torch and JAX start their threads
PATIENT = not BUSY and "--quick" not in sys.argv  # where figures mean nothing, a quiet moment is not worth waiting for
if BUSY:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ["OMP_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
clock = time.process_time if BUSY else time.perf_counter

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from helpers import Game, Player, normal, rows  # noqa: E402

try:
    import jax_games
except ImportError:
    jax_games = None


def mlp(width, outputs):
    """2 → width → width → outputs."""
    return nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2),
                         nn.Linear(width, outputs))  # fmt: skip


def conv_generator():
    """64 → 3 × 16 × 16."""
    return nn.Sequential(
        nn.Linear(64, 64 * 16), nn.Unflatten(1, (64, 4, 4)), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh())  # fmt: skip


def conv_critic():
    """3 × 16 × 16 → 1."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
        nn.Linear(64 * 16, 1))  # fmt: skip


def d_loss(nets, batch, member):
    """The non-saturating game's discriminator."""
    return F.softplus(-nets.D(batch.x)).mean() + F.softplus(nets.D(nets.G(batch.z).detach())).mean()


def g_loss(nets, batch, member):
    """The non-saturating game's generator."""
    return F.softplus(-nets.D(nets.G(batch.z))).mean()


class Setting:
    """One row's game: networks, data, batch size, size of the noise, and the arithmetic of a member's step."""

    def __init__(self, width=None, batch=64):
        self.width, self.batch = width, batch
        if width:
            self.G, self.D, self.noise = lambda: mlp(width, 2), lambda: mlp(width, 1), 2
            angles = torch.arange(8).repeat(125) * (torch.pi / 4)
            self.data = 2 * torch.stack([angles.cos(), angles.sin()], 1) + 0.02 * torch.randn(1000, 2)
            hidden, ends = 2 * batch * width * width, 2 * batch * width * 2
            self.arithmetic = 12 * hidden + 12 * 2 * ends  # 7 products of each layer in D's turn, 5 in G's
        else:
            self.G, self.D, self.noise, self.arithmetic = conv_generator, conv_critic, 64, None
            self.data = torch.rand(1000, 3, 16, 16) * 2 - 1


def plain(setting, members):
    """The loop everyone writes, one member after another; returns a function that makes so many steps."""

    class nets:
        G, D = setting.G(), setting.D()

    d_adam, g_adam = torch.optim.Adam(nets.D.parameters(), 1e-3), torch.optim.Adam(nets.G.parameters(), 1e-3)

    class batch:
        x = z = None

    def run(steps):
        for _ in range(steps):
            batch.x = setting.data[torch.randint(len(setting.data), (setting.batch,))]
            batch.z = torch.randn(setting.batch, setting.noise)
            loss = d_loss(nets, batch, None)
            d_adam.zero_grad()
            loss.backward()
            d_adam.step()
            batch.z = torch.randn(setting.batch, setting.noise)
            loss = g_loss(nets, batch, None)
            g_adam.zero_grad()
            loss.backward()
            g_adam.step()

    return run, 1


def core(setting, members, compile=False):
    """The same with the training core."""
    players = [Player("D", d_loss, lr=1e-3), Player("G", g_loss, lr=1e-3)]
    sample = [rows(setting.batch, x=setting.data), normal(z=(setting.batch, setting.noise))]
    game = Game({"G": setting.G, "D": setting.D}, players, sample, members, compile=compile)
    return lambda steps: game.train(steps, progress=False), members


def in_jax(setting, members):
    """The same in JAX."""
    return jax_games.runner(setting, members), members


CONTENDERS = {
    "plain": plain,
    "core": core,
    "compiled": lambda setting, members: core(setting, members, compile=True),
    "jax": in_jax,
}


def matrix_rate():
    """The machine's rate at matrix products of 1024 × 1024, in operations per second: the best of several turns."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    times = []
    for turn in range(30):
        if turn % 10 == 0:
            wait_for_quiet()
        begun = clock()
        a @ b
        times.append(clock() - begun)
    return 2 * 1024**3 / min(times)


def wait_for_quiet(limit=5.0):
    """Wait until other programs leave the processors alone for a tenth of a second, at most `limit` seconds."""

    def ticks():
        fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # all, and idle

    end = time.perf_counter() + limit * PATIENT
    while Path("/proc/stat").exists() and time.perf_counter() < end:
        before = ticks()
        time.sleep(0.1)
        after = ticks()
        if after[1] - before[1] >= 0.8 * (after[0] - before[0]):
            return


def measure(setting, members, seconds, turns):
    """{contender: (median ms per member and step, seconds of its first 20 steps)}."""
    runs, first = {}, {}
    for name, make in CONTENDERS.items():
        if name == "jax" and jax_games is None:
            continue
        begun = clock()
        run, count = make(setting, members)
        run(20)
        first[name] = clock() - begun
        begun = clock()
        run(20)
        steps = max(1, round(seconds / max(1e-6, clock() - begun))) * 20
        runs[name] = (run, count, steps, [])
    for _ in range(turns):
        for run, count, steps, times in runs.values():
            wait_for_quiet()
            begun = clock()
            run(steps)
            times.append((clock() - begun) / steps / count * 1e3)
    return {name: (statistics.median(times), first[name]) for name, (*_, times) in runs.items()}


def main(arguments=None):
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small row, to see that it runs")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each contender in each turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--widths", type=int, nargs="*", default=[32, 64, 128, 0], help="0 is the convolutional game")
    parser.add_argument("--members", type=int, nargs="*", default=[1, 4, 8, 32, 128])
    parser.add_argument("--busy", action="store_true", help="one thread and its processor time, instead of seconds")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    seconds, turns = (0.01, 1) if options.quick else (options.seconds, options.turns)
    sizes = [(8, 16)] if options.quick else [(width, 2 * width) for width in options.widths if width]
    counts = [2] if options.quick else [m for m in (1, 8, 32, 128) if m in options.members]
    cases = [(Setting(*size), members) for size in sizes for members in counts]
    cases += [(Setting(), m) for m in (1, 4) if m in options.members and 0 in options.widths and not options.quick]
    rate = matrix_rate()
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
          f"{rate / 1e9:.0f} GFLOP/s at matrix products; ms per member and step\n")  # fmt: skip
    head = (
        "width",
        "batch",
        "members",
        *CONTENDERS,
        "plain/core",
        "plain/comp",
        "core/jax",
        "comp/jax",
        "share",
        "compiling",
    )
    print(" ".join(f"{name:>10}" for name in head), flush=True)
    for setting, members in cases:
        result = measure(setting, members, seconds, turns)
        ms = {name: result[name][0] if name in result else float("nan") for name in CONTENDERS}
        ratios = [
            ms["plain"] / ms["core"],
            ms["plain"] / ms["compiled"],
            ms["core"] / ms["jax"],
            ms["compiled"] / ms["jax"],
        ]
        best = min(ms["core"], ms["compiled"])
        rate = max(rate, matrix_rate())
        share = f"{setting.arithmetic / (best / 1e3) / rate:.0%}" if setting.arithmetic else "-"
        cells = [setting.width or "conv", setting.batch, members, *(f"{ms[name]:.4f}" for name in CONTENDERS),
                 *(f"{ratio:.2f}" for ratio in ratios), share, f"{result['compiled'][1]:.0f} s"]  # fmt: skip
        print(" ".join(f"{cell:>10}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
