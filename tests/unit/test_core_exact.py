"""A member among 32 is the same member alone, and the same as a plain PyTorch loop: for every kind of game."""

import pytest
import torch
from core_games import KINDS, Conv, Dense, make_game, one_thread, plain_critic_loss_gp, plain_loop, state_of  # noqa: F401

STEPS = 55


@pytest.fixture(params=[torch.float64, torch.float32], ids=["double", "single"])
def tolerance(request):
    torch.set_default_dtype(request.param)
    yield {"rtol": 1e-7, "atol": 1e-9} if request.param == torch.float64 else {"rtol": 2e-2, "atol": 2e-3}
    torch.set_default_dtype(torch.float32)


def check_against_plain(kind, nets, among, member, tolerance):
    """Member `member` of a trained game against a plain loop from the same start, weights, buffers and losses."""
    fresh = make_game(
        kind, nets, average=among.averages, seeds=[among.members.columns["seed"][member]]
    )  # two members: take the same one
    other_words = {"D": plain_critic_loss_gp} if kind == "wgan-gp" else None
    modules, history, averages = plain_loop(fresh, member % 2, among.step, other_words)
    trained = among.member(member, averaged=False)
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            torch.testing.assert_close(
                getattr(trained, name).state_dict()[key], value, **tolerance, msg=f"{name}.{key}"
            )
    for name, losses in history.items():
        ours = torch.from_numpy(among.history[name][:, member]).double()
        torch.testing.assert_close(ours, torch.tensor(losses).double(), **tolerance)
    for name, weights in averages.items():
        averaged = torch.cat([p.flatten() for p in weights])
        torch.testing.assert_close(among.state[name]["average"][member], averaged, **tolerance)


def check_against_alone(kind, nets, among, member, tolerance):
    """The same member trained alone: make a game of its seed, and look at the one with its hyper-parameters."""
    seed = among.members.columns["seed"][member]
    alone = make_game(kind, nets, seeds=[seed], group=1, average=among.averages)
    alone.train(among.step)
    other = state_of(alone, member % 2)
    for key, value in state_of(among, member).items():
        torch.testing.assert_close(value, other[key], **tolerance, msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_dense_member_among_32(kind, tolerance):
    among = make_game(kind, average=None if kind == "cycle" else {"C" if kind == "supervised" else "G": 0.9})
    assert len(among.members) == 32 and among.group > 1
    among.train(STEPS)
    for member in (0, 13):
        check_against_plain(kind, Dense, among, member, tolerance)
    check_against_alone(kind, Dense, among, 13, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("group", [1, 32], ids=["one by one", "batched"])
@pytest.mark.parametrize("kind", KINDS)
def test_convolutional_member_among_32(kind, group):
    torch.set_default_dtype(torch.float64)
    try:
        among = make_game(kind, Conv, group=group)
        among.train(STEPS)
        check_against_plain(kind, Conv, among, 13, {"rtol": 1e-7, "atol": 1e-9})
        check_against_alone(kind, Conv, among, 13, {"rtol": 1e-7, "atol": 1e-9})
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_convolutional_member_of_two(kind, tolerance):
    among = make_game(kind, Conv, seeds=[0])
    assert among.group == 1
    among.train(STEPS)
    check_against_plain(kind, Conv, among, 1, tolerance)
