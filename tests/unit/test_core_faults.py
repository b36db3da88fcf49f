"""Nothing is lost: Ctrl-C, kill -9, damaged files, members that turn NaN, too little memory."""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from core_games import Dense, bce, data, make_game, one_thread, state_of  # noqa: F401
from torch import nn

from helpers import CourseError, Game, Player, falling, normal, rows, sweep

HERE = Path(__file__).parent


def same(a, b):
    """Two games are bit for bit the same: counters, weights, moments, averages, buffers, history."""
    assert (a.step, a.turns, a.frozen) == (b.step, b.turns, b.frozen)
    for net, state in a.state.items():
        for key, value in state.items():
            assert torch.equal(value, b.state[net][key]), f"{net}.{key}"
    assert list(a.history) == list(b.history)
    for name in a.history:
        np.testing.assert_array_equal(a.history[name], b.history[name])


def small(average=None, **settings):
    return make_game("non-saturating", seeds=range(2), average=average or {"G": 0.9}, **settings)


def test_calls_add_up():
    once, often = small(), small()
    once.train(47)
    for steps in (1, 7, 39):
        often.train(steps)
    same(once, often)
    often.train(until=47)
    assert often.step == 47


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_in_the_middle_of_a_round(times, capsys):
    """An interrupt from inside a loss, once (the rounds at hand are finished) or twice (they are undone)."""
    calm, stopped = small(), small()
    calls = []
    ask = stopped.players["D"].loss

    def interrupting(nets, batch, member):
        calls.append(1)
        if len(calls) == 30:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return ask(nets, batch, member)

    stopped.players["D"].loss = interrupting
    stopped.train(60)
    assert 0 < stopped.step < 60
    assert "game.train(until=60) goes on" in capsys.readouterr().out
    assert stopped.history["D"].shape == (stopped.step, 4)
    stopped.train(until=60)
    calm.train(60)
    same(calm, stopped)


def test_an_error_in_a_loss_undoes_the_rounds_at_hand():
    calm, broken = small(), small()
    original = broken.players["G"].loss

    def failing(nets, batch, member):
        raise ZeroDivisionError

    broken.train(30)
    broken.players["G"].loss = failing
    with pytest.raises(ZeroDivisionError):
        broken.train(30)
    assert broken.step == 30
    broken.players["G"].loss = original
    broken.train(30)
    calm.train(60)
    same(calm, broken)


def test_checkpoint_goes_on_exactly(tmp_path):
    calm, first, second = small(), small(), small()
    first.train(31)
    first.save(tmp_path / "a.checkpoint")
    second.load(tmp_path / "a.checkpoint")
    same(first, second)
    second.train(29)
    calm.train(60)
    same(calm, second)
    assert os.listdir(tmp_path) == ["a.checkpoint"]


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99, "flip", "text", "numpy"])
def test_damaged_checkpoint_gets_one_sentence(tmp_path, keep):
    path, game = tmp_path / "a.checkpoint", small()
    game.save(path)
    whole = path.read_bytes()
    if keep == "flip":
        middle = whole.index(
            b"m\0\0\0e\0\0\0m\0\0\0b"
        )  # in what the file says of its game; headers have bytes to spare
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    elif keep == "text":
        path.write_text("hello")
    elif keep == "numpy":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(3))
    else:
        path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    before = state_of(game, 0)
    with pytest.raises(CourseError, match="not a whole checkpoint") as error:
        game.load(path)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in state_of(game, 0).items())


def test_foreign_checkpoint_is_named(tmp_path):
    small().save(tmp_path / "a.checkpoint")
    for other, what in [
        (make_game("non-saturating", seeds=range(3), average={"G": 0.9}), "members"),
        (make_game("saturating", seeds=range(2), average={"G": 0.99}), "averages"),
        (make_game("wgan-clip", seeds=range(2), average={"G": 0.9}), "players"),
        (make_game("cycle", seeds=range(2)), "members"),
    ]:
        with pytest.raises(CourseError, match=f"another game: its {what} differ"):
            other.load(tmp_path / "a.checkpoint")
    with pytest.raises(CourseError, match="There is no checkpoint"):
        small().load(tmp_path / "b.checkpoint")


def test_checkpoint_never_runs_code(tmp_path):
    """A pickled object in the file is refused, not built."""
    with (tmp_path / "a.checkpoint").open("wb") as file:
        np.savez(file, about=np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(CourseError, match="not a whole checkpoint"):
        small().load(tmp_path / "a.checkpoint")


CHILD = """
import sys
sys.path[:0] = [{here!r}, {root!r}]
import torch; torch.set_num_threads(1)
from core_games import make_game
game = make_game("wgan-gp", seeds=range(3), average={{"G": 0.9}})
game.train(until=240, checkpoint=sys.argv[1], callback=lambda game: game.save(sys.argv[1]), every=7, progress=False)
"""


def run_child(path):
    code = CHILD.format(here=str(HERE), root=str(HERE.parents[1]))
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed(tmp_path):
    """kill -9 at 12 random moments of a run's life; what ends is bit for bit a run never stopped."""
    calm = make_game("wgan-gp", seeds=range(3), average={"G": 0.9})
    calm.train(240)
    path, kills, moments = tmp_path / "run.checkpoint", 0, random.Random(0)
    while kills < 12:
        child = run_child(path)
        while not path.exists() and child.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.3) if kills % 3 else moments.uniform(0, 4))  # some while saving, some loading
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            kills += 1
        elif kills < 12:
            resumed = make_game("wgan-gp", seeds=range(3), average={"G": 0.9})
            resumed.load(path)
            same(calm, resumed)
            path.unlink()  # it had ended before the blow: begin again
        child.wait()
    assert run_child(path).wait() == 0
    resumed = make_game("wgan-gp", seeds=range(3), average={"G": 0.9})
    resumed.load(path)
    same(calm, resumed)


def diverging(rate, group=None):
    """Six members, of which number 3 has this learning rate; with batch norm, averages and a schedule."""
    members = sweep(seed=range(6))
    members.columns["learning_rate"] = [1e-3] * 3 + [rate] + [1e-3] * 2
    nets = {"G": Dense.generator, "D": Dense.critic}

    def d_loss(nets, batch, member):
        return nets.D(batch.x).exp().mean() - nets.D(nets.G(batch.z).detach()).mean()

    def g_loss(nets, batch, member):
        return bce(nets.D(nets.G(batch.z)), 1.0)

    players = [Player("D", d_loss, repeats=2), Player("G", g_loss, schedule=falling(20, 80))]
    sample = [rows(8, x=data((2,))), normal(z=(8, 2))]
    return Game(nets, players, sample, members, average={"G": 0.9}, group=group)


@pytest.mark.slow
@pytest.mark.parametrize("group", [None, 4, 1])
def test_a_member_that_turns_nan_is_frozen_and_the_others_go_on(group):
    sound, sick = diverging(1e-3, group), diverging(30.0, group)
    sound.train(60)
    with pytest.warns(UserWarning, match=r"Member 3 \(seed=3, learning_rate=30.0\) stopped being a finite number") as w:
        sick.train(25)
        sick.train(35)
    assert len(w) == 1 and list(sick.frozen) == [3]
    step = sick.frozen[3]
    for member in (0, 1, 2, 4, 5):
        for key, value in state_of(sound, member).items():
            assert torch.equal(value, state_of(sick, member)[key]), (member, key)
    assert all(value.isfinite().all() for value in state_of(sick, 3).values())
    assert np.isfinite(sick.history["D"][:step]).all() and np.isnan(sick.history["D"][step:, 3]).all()
    assert np.isfinite(np.delete(sick.history["D"], 3, axis=1)).all()
    short = diverging(30.0, group)
    short.train(step)
    assert not short.frozen
    for key, value in state_of(short, 3).items():
        assert torch.equal(value, state_of(sick, 3)[key]), key


def test_a_count_beside_the_loss_turns_nan_with_its_member():
    def loss(nets, batch, member):
        out = nets.G(batch.z)
        return out.square().mean(), {"many": (out > 0).sum(), "some": (out > 0).any()}

    player = Player("G", loss, optimiser="sgd")
    members = sweep(learning_rate=[1e-3, 1e30])
    game = Game({"G": lambda: torch.nn.Linear(2, 1)}, [player], [normal(z=(8, 2))], members)
    with pytest.warns(UserWarning, match="Member 1"):
        game.train(10)
    for name in ("many", "some"):
        assert np.isfinite(game.history[name][:, 0]).all() and np.isnan(game.history[name][-1, 1])
    assert 0 <= game.history["many"][0, 0] <= 8 and game.history["many"].dtype == np.float32


def test_frozen_members_stay_frozen_through_a_checkpoint(tmp_path):
    sick, resumed = diverging(30.0), diverging(30.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sick.train(30)
        sick.save(tmp_path / "a.checkpoint")
        sick.train(30)
        resumed.load(tmp_path / "a.checkpoint")
        resumed.train(30)
    same(sick, resumed)


def test_too_little_memory_says_which_number_to_lower():
    loss = lambda nets, batch, member: (nets.G(batch.z[:1]) ** 2).mean()  # noqa: E731
    nets = {"G": lambda: nn.Linear(2, 2)}
    game = Game(nets, [Player("G", loss)], [normal(z=(8, 2))], members=4)

    def greedy(nets, batch, member):
        return loss(nets, batch, member) + torch.zeros(2**46).sum()

    game.players["G"].loss = greedy
    with pytest.raises(CourseError, match=r"not enough memory for 4 members .*'z': \(8, 2\).*lower the batch size"):
        game.train(3)
    assert game.step == 0
    with pytest.raises(CourseError, match="lower the batch size"):
        Game(nets, [Player("G", loss)], [normal(z=(2**44, 2))], members=4)
