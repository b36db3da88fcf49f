"""Members spread over two processes give the same results as one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from core_games import make_game, one_thread  # noqa: F401

from helpers import CourseError, share, sweep

HERE = Path(__file__).parent

SCRIPT = """
import sys
sys.path[:0] = [{here!r}, {root!r}]
import torch; torch.set_num_threads(1)
from core_games import make_game
from helpers import Game, collect, share, sweep
import core_games

def make(members):
    core_games.sweep = lambda **lists: members      # the same game, with this part of its members
    return make_game("wgan-gp", average={{"G": 0.9}})

members = sweep(seed=range(5), penalty=[0.1, 10])
game = make(share(members))
assert len(game.members) == 5
game.train(40, progress=False)
whole = collect(game, make, members)
if whole is not None:
    whole.save(sys.argv[1])
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    script, result = tmp_path / "sweep.py", tmp_path / "whole.checkpoint"
    script.write_text(SCRIPT.format(here=str(HERE), root=str(HERE.parents[1])))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, str(script), str(result)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    one, two = (make_game("wgan-gp", seeds=range(5), average={"G": 0.9}) for _ in range(2))
    one.train(40)
    two.load(result)
    assert two.step == 40
    for net, state in one.state.items():
        for key, value in state.items():
            torch.testing.assert_close(two.state[net][key], value, rtol=1e-3, atol=1e-5)
    for name in one.history:
        torch.testing.assert_close(
            torch.tensor(two.history[name]), torch.tensor(one.history[name]), rtol=1e-3, atol=1e-4
        )
    two.train(5)  # and it goes on, all members together
    assert two.history["D"].shape == (45, 10)


def test_shares_are_all_the_members_once(monkeypatch):
    members, seen = sweep(seed=range(7)), []
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        seen += share(members).columns["seed"]
    assert seen == list(range(7))
    with pytest.raises(CourseError, match="3 processes were started for 2 members"):
        share(sweep(seed=range(2)))
