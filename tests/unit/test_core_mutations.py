"""The tests of exactness would notice: each mistake below is made in the source, and the check must then fail.

A mutation replaces one piece of text in a copy of helpers/. One child process goes through all of them: it imports each
copy afresh and runs `check`.
"""

import importlib
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MUTATIONS = {
    "nothing": None,
    "the bias correction of Adam's mean is forgotten": ("step.py", "rate / (1 - beta1**turn)", "rate"),
    "the bias correction of Adam's square is forgotten": ("step.py", "(square / (1 - beta2**turn))", "square"),
    "epsilon stands under the root": ("step.py", ".sqrt_().add_(eps)", ".add_(eps).sqrt_()"),
    "members share a random stream": ("batch.py", "SFC64([seed, self.key, chunk])", "SFC64([self.key, chunk])"),
    "two members' random streams are mixed": ("batch.py", "enumerate(self.seeds)", "enumerate(reversed(self.seeds))"),
    "draws share a random stream": ("batch.py", "SFC64([seed, self.key, chunk])", "SFC64([seed, chunk])"),
    "the gradient is averaged across members": (
        "step.py",
        "(group.state[net], grad,",
        "(group.state[net], grad.mean(0, keepdim=True).expand_as(grad),",
    ),
    "the loss is averaged across members": ("step.py", "results[plan.name].sum()", "results[plan.name].mean()"),
    "members share the first one's learning rate": (
        "step.py",
        "rate[start:stop, None] for",
        "rate[start:stop, None][:1] for",
    ),
    "detach is removed": ("step.py", "[v.detach().requires_grad_(p", "[v.requires_grad_(p"),
    "a loss trains every network it uses": (
        "step.py",
        "plan.player.nets if plan.player else []\n    views",
        "list(group.game.state) if plan.player else []\n    views",
    ),
    "batch norm's statistics are lost": (
        "step.py",
        "buffers = [tensor for key, tensor in kept",
        "buffers = [tensor.clone() for key, tensor in kept",
    ),
    "the schedule is ignored": ("game.py", "self.schedule(step))", "self.schedule(0))"),
    "weights are not clipped": ("step.py", ".clamp_(-player.clip, player.clip)", ".clone()"),
    "the penalty has one epsilon for the batch": ("penalties.py", "eps = eps.", "eps = eps[:1].expand_as(eps)."),
    "averages move too fast": ("step.py", "1 - decay)", "decay)"),
}


def check():
    """Small games of several kinds against a plain loop and against each member alone; streams that must differ."""
    import torch
    from core_games import d_loss, make_game, plain_critic_loss_gp, plain_loop, state_of

    torch.set_num_threads(1)
    warnings.simplefilter("error", UserWarning)  # members that could not be computed together would hide a mistake
    torch.set_default_dtype(torch.float64)
    close = {"rtol": 1e-7, "atol": 1e-9}
    for kind in ("non-saturating", "wgan-clip", "wgan-gp"):
        among = make_game(kind, seeds=range(3), average={"G": 0.9})
        among.train(20)
        alone = make_game(kind, seeds=[2], average={"G": 0.9}, group=1)
        modules, _, averages = plain_loop(alone, 1, 20, {"D": plain_critic_loss_gp} if kind == "wgan-gp" else None)
        alone.train(20)
        other = state_of(alone, 1)
        for key, value in state_of(among, 5).items():
            torch.testing.assert_close(value, other[key], **close)
        for name, module in modules.items():
            theirs = getattr(among.member(5, averaged=False), name).state_dict()
            for key, value in module.state_dict().items():
                torch.testing.assert_close(theirs[key], value, **close)
        mean = torch.cat([p.flatten() for p in averages["G"]])
        torch.testing.assert_close(among.state["G"]["average"][5], mean, **close)

    game = make_game("non-saturating", seeds=range(2))
    d, g = game.batch("D"), game.batch("G")
    assert not torch.equal(d["z"][0], d["z"][2]), "two seeds see the same noise"
    assert not torch.equal(d["z"], g["z"]), "two players see the same noise"
    assert torch.equal(d["z"][0], d["z"][1]), "members with one seed see different noise"

    def forgetful(nets, batch, member):  # a loss that forgets to detach what it only uses
        assert not nets.G(batch.z).requires_grad
        return d_loss(nets, batch, member)

    game = make_game("saturating", seeds=[0], group=1)
    game.players["D"].loss = forgetful
    game.train(2)


def survivors():
    """The mutations after which `check` still passes. For the child process: it imports helpers again and again."""
    passed = []
    for name, change in MUTATIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(ROOT / "helpers", Path(folder) / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
            if change:
                path, (_, old, new) = Path(folder) / "helpers" / "core" / change[0], change
                source = path.read_text(encoding="utf-8")
                assert source.count(old) == 1, f"{name}: {old!r} stands {source.count(old)} times in {change[0]}"
                path.write_text(source.replace(old, new), encoding="utf-8")
            for module in [m for m in sys.modules if m.split(".")[0] in ("helpers", "core_games")]:
                del sys.modules[module]
            importlib.invalidate_caches()
            sys.path[:0] = [folder, str(HERE)]
            try:
                check()
                passed.append(name)
            except Exception as error:
                print(f"caught: {name}: {type(error).__name__} {str(error).splitlines()[:1]}", flush=True)
            del sys.path[:2]
    return passed


@pytest.mark.slow
def test_each_mistake_is_caught():
    child = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-2000:]
    assert child.stdout.splitlines()[-1] == "passed: ['nothing']", child.stdout


if __name__ == "__main__":
    print(f"passed: {survivors()}")
