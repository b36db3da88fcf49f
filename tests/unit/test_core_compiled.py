"""Compiled, the games are the same games; without a compiler they run uncompiled and say so."""

import os
import signal
import warnings

import numpy as np
import pytest
import torch
from core_games import COMPILES, Conv, make_game, one_thread  # noqa: F401
from torch import nn

from helpers import Game, Player, normal
from helpers.core import compiled as compiling

UNABLE = torch.__version__.startswith("2.4.")  # its compiler fails on one of these games, which then runs uncompiled


@pytest.mark.slow
def test_compiled_equals_uncompiled(kind="wgan-gp"):  # the hardest: second derivatives, repeats, batch norm
    torch.set_default_dtype(torch.float64)
    try:
        plain, compiled = make_game(kind), make_game(kind, compile=True)
        plain.train(50)
        compiled.train(20)
        compiled.train(30)
        assert bool(compiled.compiled) == COMPILES
        for net, state in plain.state.items():
            for key, value in state.items():
                torch.testing.assert_close(compiled.state[net][key], value, rtol=1e-7, atol=1e-9, msg=f"{net}.{key}")
        for name in plain.history:
            np.testing.assert_allclose(compiled.history[name], plain.history[name], rtol=1e-6, atol=1e-9)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
def test_compiled_and_resumed_is_bit_identical(tmp_path):
    calm = make_game("supervised", seeds=range(3), compile=True, average={"C": 0.9})
    calm.train(25)
    calm.save(tmp_path / "a.checkpoint")
    calm.train(until=60)
    resumed = make_game("supervised", seeds=range(3), average={"C": 0.9})  # the file says that it was compiled
    resumed.load(tmp_path / "a.checkpoint")
    resumed.train(until=60)
    assert bool(resumed.compiled) == COMPILES or UNABLE
    for key, value in calm.state["C"].items():
        assert torch.equal(value, resumed.state["C"][key]), key


@pytest.mark.slow
def test_compiled_convolutions_one_by_one():
    plain, compiled = (make_game("saturating", Conv, seeds=[0], compile=compile) for compile in (False, True))
    plain.train(20)
    compiled.train(20)
    assert bool(compiled.compiled) == COMPILES and compiled.group == 1
    np.testing.assert_allclose(compiled.history["D"], plain.history["D"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_without_a_compiler_one_sentence_and_the_same_result(monkeypatch):
    import torch._inductor as inductor

    def no_compiler(*_):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nlong traceback")

    monkeypatch.setattr(inductor, "compile", no_compiler)
    plain, compiled = make_game("saturating", seeds=range(2)), make_game("saturating", seeds=range(2), compile=True)
    plain.train(10)
    with pytest.warns(UserWarning, match=r"could not be compiled .*No working C\+\+ compiler.* slower, but the same"):
        compiled.train(10)
    for net, state in plain.state.items():
        for key, value in state.items():
            assert torch.equal(value, compiled.state[net][key])


def test_stop_while_it_compiles_leaves_the_game_as_it_was(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compiling.Compiled, "_compile", stopped)
    game, untouched = (make_game("saturating", seeds=range(2), compile=how) for how in (True, False))
    game.train(10)
    assert "Stopped at step 0 of 10. Nothing is lost" in capsys.readouterr().out
    assert game.step == 0 and game.compiled is None and game.compile is True, "the next call compiles"
    for net, state in untouched.state.items():
        for key, value in state.items():
            assert torch.equal(value, game.state[net][key])


def test_a_press_that_also_ends_the_compiler_does_not_switch_compiling_off(monkeypatch, capsys):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGINT)
        raise RuntimeError("g++ was ended by a signal")

    monkeypatch.setattr(compiling.Compiled, "_compile", killed)
    game = make_game("saturating", seeds=range(2), compile=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        game.train(10)
    assert "Stopped at step 0 of 10. Nothing is lost" in capsys.readouterr().out
    assert game.compiled is None and game.compile is True


def test_auto_compiles_long_runs_only(monkeypatch):
    decided = []
    monkeypatch.setattr(compiling, "Compiled", lambda game: decided.append(game.step))
    game = make_game("saturating", compile="auto")
    game.train(5)
    assert not decided
    monkeypatch.setattr(compiling, "LONG", 32 * 10)
    game.train(10)
    assert decided == [5]


def test_short_matrix_products_are_products():
    for n, k, m in [(5, 2, 7), (5, 7, 1), (2, 7, 9), (1, 9, 9), (9, 1, 3), (6, 4, 4)]:
        a, b, c = torch.randn(3, n, k), torch.randn(3, k, m), torch.randn(3, 1, m)
        torch.testing.assert_close(compiling._bmm(a, b), a @ b)
        torch.testing.assert_close(compiling._baddbmm(c, a, b), c + a @ b)
    assert compiling._bmm(torch.randn(3, 9, 9), torch.randn(3, 9, 9)) is NotImplemented


def test_what_vmap_cannot_do_runs_one_by_one():
    def loss(nets, batch, member):
        out = nets.G(batch.z)
        return out.square().mean() if out.sum() > 0 else out.abs().mean()  # a branch on data

    with pytest.warns(UserWarning, match="trained one after another"):
        game = Game({"G": lambda: nn.Linear(2, 2)}, [Player("G", loss)], [normal(z=(4, 2))], members=3)
    game.train(5)
    assert game.group == 1 and np.isfinite(game.history["G"]).all()
