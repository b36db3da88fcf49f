"""bfloat16 as one switch of a game: near the float32 run, its weights float32, refused where it would be emulated."""

import pytest
import torch
from core_games import Conv, make_game, one_thread, state_of  # noqa: F401

from helpers import CourseError
from helpers.core import game as game_module


@pytest.fixture
def allowed(monkeypatch):
    """As if this processor had it: emulated, the numbers are the same."""
    monkeypatch.setattr(game_module, "has_fast_bf16", lambda device: True)


@pytest.mark.parametrize("kind", ["supervised", "non-saturating", "wgan-gp"])
def test_near_the_float32_run(kind, allowed):
    games = [make_game(kind, Conv, seeds=[0], bf16=bf16) for bf16 in (False, True)]
    for game in games:
        game.train(20)
    full, low = (torch.cat([t.flatten() for t in state_of(game, 0).values()]) for game in games)
    assert low.dtype == torch.float32 and not torch.equal(low, full)
    assert (low - full).abs().max() < 0.05 < full.abs().max()


def test_what_is_computed_lower_is_known(allowed):
    seen = []
    game = make_game("supervised", Conv, seeds=[0], bf16=True)
    (player,) = game.players.values()
    loss = player.loss
    player.loss = lambda nets, batch, member: (
        seen.append(getattr(nets, player.nets[0])(batch.x).dtype),
        loss(nets, batch, member),
    )[1]
    game.train(1)
    assert set(seen) == {torch.bfloat16}
    result = game.evaluate(lambda nets, member: getattr(nets, player.nets[0])(torch.ones(1, *Conv.shape)).mean())
    assert result.dtype == "float32"


def test_pass_without_gradients_first_loses_no_gradient(allowed):
    """Autocast remembers a weight's copy; one made without gradients must not serve the pass that needs them."""
    game = make_game("supervised", Conv, seeds=[0], bf16=True)
    (player,) = game.players.values()
    loss, before = player.loss, state_of(game, 0)

    def peeking(nets, batch, member):
        with torch.no_grad():
            getattr(nets, player.nets[0])(batch.x)
        return loss(nets, batch, member)

    player.loss = peeking
    game.train(3)
    other = make_game("supervised", Conv, seeds=[0], bf16=True)
    other.train(3)
    assert any(not torch.equal(state_of(game, 0)[key], value) for key, value in before.items())
    for key, value in state_of(game, 0).items():
        torch.testing.assert_close(value, state_of(other, 0)[key], rtol=0, atol=1e-6)


def test_refused_where_it_is_emulated(monkeypatch):
    monkeypatch.setattr(game_module, "has_fast_bf16", lambda device: False)
    with pytest.raises(CourseError, match="emulates bfloat16"):
        make_game("supervised", Conv, bf16=True)
