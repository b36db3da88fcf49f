"""The memory that browser tours and the Colab stand-in use: the same game to the bit, the same callbacks, no training."""

import pytest
import torch
from common import ROOT
from core_games import make_game
from jupyter_client.manager import start_new_kernel
from start import trained_once

from helpers.core import loop


@pytest.fixture
def rounds(tmp_path, monkeypatch):
    """A memory in an empty folder; the list has how many rounds each training really made."""
    monkeypatch.setenv("COURSE_TRAINED", str(tmp_path))
    monkeypatch.setattr(trained_once, "WORTH", 0)
    made = []

    def counted(train, game, arguments):
        before = game.step
        train(game, arguments)
        made.append(game.step - before)

    monkeypatch.setattr(loop, "HOOKS", [counted, trained_once.remember])
    return made


def small(**changes):
    return make_game("non-saturating", **{"seeds": [0, 1]} | changes)


def test_what_was_trained_is_read_and_callbacks_see_the_same(rounds, monkeypatch):
    games, seen = [small() for _ in range(3)], [[], [], []]
    look = [lambda game, n=n: n.append((game.step, float(game.state["G"]["weights"].sum()))) for n in seen]
    games[0].train(6, callback=look[0], every=2)
    games[1].train(6, callback=look[1], every=2)
    assert rounds == [6, 1, 1] * 2, "without COURSE_TRAINED_READ everything is trained"
    monkeypatch.setenv("COURSE_TRAINED_READ", "1")
    games[2].train(6, callback=look[2], every=2)
    assert rounds[6:] == [1, 1] and games[2].step == 6
    assert seen[0] == seen[1] == seen[2] and [step for step, _ in seen[2]] == [2, 4, 6]
    for game in games[1:]:
        assert torch.equal(game.state["G"]["weights"], games[0].state["G"]["weights"])
        assert (game.history["D"] == games[0].history["D"]).all() and game.turns == games[0].turns
    games[2].train(3)
    games[0].train(3)
    assert torch.equal(games[2].state["D"]["weights"], games[0].state["D"]["weights"]), "and it goes on the same way"


def test_another_game_another_goal_and_another_player_are_trained(rounds, monkeypatch):
    monkeypatch.setenv("COURSE_TRAINED_READ", "1")
    for seed, steps, only in ((0, 4, None), (1, 4, None), (0, 5, None), (0, 4, "D")):
        small(seeds=[seed]).train(steps, only=only)
    assert rounds == [4, 1, 1, 4, 1, 1, 5, 1, 1, 4, 1, 1]
    small(seeds=[0]).train(4)
    assert rounds[12:] == [1, 1]


def test_a_loss_that_does_something_else_is_trained_whatever_it_reads(rounds, monkeypatch):
    monkeypatch.setenv("COURSE_TRAINED_READ", "1")
    small().train(4)
    for later in (0, 5):  # from the first round on, or only after the last one
        game, calls = small(), []
        loss = game.players["D"].loss

        def other(nets, batch, member, loss=loss, calls=calls, later=later):
            calls.append(1)
            return loss(nets, batch, member) * (2.0 if len(calls) > later else 1.0)

        game.players["D"].loss = other
        del rounds[:]
        game.train(4)
        assert 4 in rounds, "the memory gave what another loss had reached"


GAME = """
import torch
from torch import nn
from helpers import Game, Player, rows

def loss(nets, batch, member):
    return (nets.line(batch.x) - 1).square().mean()

draws = [rows(8, x=torch.arange(10.0)[:, None])]
game = Game({"line": lambda: nn.Linear(1, 1)}, [Player("line", loss)], draws, members=2)
game.train(3000, progress=False)
"""


@pytest.mark.slow
def test_what_nbval_trains_is_read_by_those_who_run_each_cell_twice(tmp_path, monkeypatch):
    """And neither kernel has a name more than without the memory."""
    monkeypatch.setenv("COURSE_TRAINED", str(tmp_path))

    def execute(cells, **options):
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
        try:
            for cell in ["assert not [name for name in dir() if 'train' in name]", "import helpers", *cells]:
                done = client.execute_interactive(cell, timeout=300, output_hook=lambda message: None, **options)
                assert done["content"]["status"] == "ok", done["content"]
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.end.npz")}

    kept = execute([GAME], store_history=False)
    assert len(kept) == 1
    monkeypatch.setenv("COURSE_TRAINED_READ", "1")
    assert execute([GAME, GAME]) == kept, "read twice, so neither new nor newer"
    moved = GAME.replace("- 1)", "- aim[0])") + "aim[0] += 1"
    assert execute(["aim = [1]", moved, moved]) != kept, "a loss that reads something else is trained"
