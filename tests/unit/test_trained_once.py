"""The memory that browser tours and the Colab stand-in use: the same game to the bit, the same callbacks, no training."""

import pytest
import torch
from common import ROOT
from core_games import make_game
from jupyter_client.manager import start_new_kernel
from start import trained_once

from helpers.core import loop


@pytest.fixture
def train(tmp_path, monkeypatch):
    """`train` with a memory in an empty folder; `train.calls` counts how often it really trained."""
    monkeypatch.setenv("COURSE_TRAINED", str(tmp_path))
    monkeypatch.setattr(trained_once, "WORTH", 0)
    monkeypatch.setattr(trained_once, "BEFORE", [])
    pytest.importorskip("IPython")

    def counted(game, arguments):
        counted.calls += 1
        return loop.run(game, arguments)

    counted.calls = 0

    def call(game, until, callback=None, every=2, only=None):
        arguments = {"steps": None, "until": until, "only": only, "callback": callback, "every": every}
        trained_once.remembered(counted, game, {**arguments, "checkpoint": None, "progress": False})
        call.calls = counted.calls

    return call


def test_what_was_trained_is_read_and_callbacks_see_the_same(train, monkeypatch):
    games, seen = [make_game("non-saturating", seeds=[0, 1]) for _ in range(3)], [[], [], []]
    look = [
        lambda game, notes=notes: notes.append((game.step, float(game.state["G"]["weights"].sum()))) for notes in seen
    ]
    train(games[0], 6, look[0])
    trained_once.BEFORE.clear()  # as in another kernel
    train(games[1], 6, look[1])
    trained_once.BEFORE.clear()
    assert train.calls == 2, "without COURSE_TRAINED_READ everything is trained"
    monkeypatch.setenv("COURSE_TRAINED_READ", "1")
    train(games[2], 6, look[2])
    assert train.calls == 2 and games[2].step == 6
    assert seen[0] == seen[1] == seen[2] and [step for step, _ in seen[2]] == [2, 4, 6]
    assert torch.equal(games[2].state["G"]["weights"], games[0].state["G"]["weights"])
    assert (games[2].history["D"] == games[0].history["D"]).all()


def test_another_game_another_goal_and_another_player_are_trained(train, monkeypatch):
    monkeypatch.setenv("COURSE_TRAINED_READ", "1")
    train(make_game("non-saturating", seeds=[0]), 4)
    train(make_game("non-saturating", seeds=[1]), 4)
    train(make_game("non-saturating", seeds=[0]), 5)
    train(make_game("non-saturating", seeds=[0]), 4, only="D")
    assert train.calls == 4
    trained_once.BEFORE.clear()  # as in another kernel
    train(make_game("non-saturating", seeds=[0]), 4)
    assert train.calls == 4
    trained_once.BEFORE.clear()
    other = make_game("non-saturating", seeds=[0])
    other.stacks["D"].worker.bend = torch.tanh  # the same weights, another function: no file shows it
    train(other, 4)
    assert train.calls == 5


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
    """nbval's kernels keep no history of their cells, the others do; a cell that was run twice counts once."""
    monkeypatch.setenv("COURSE_TRAINED", str(tmp_path))

    def execute(cells, **options):
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
        try:
            for cell in cells:
                done = client.execute_interactive(cell, timeout=300, output_hook=lambda message: None, **options)
                assert done["content"]["status"] == "ok", done["content"]
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}

    kept = execute(["import helpers", GAME], store_history=False)
    assert len(kept) == 1
    monkeypatch.setenv("COURSE_TRAINED_READ", "1")
    assert execute(["import helpers", "import helpers", GAME, GAME]) == kept, "read twice, so neither new nor newer"
    assert len(execute(["import helpers", "other = 1", GAME])) == 2, "after other cells it is another training"
    moved = GAME.replace("- 1)", "- aim[0])") + "aim[0] += 1"
    assert len(execute(["import helpers", "aim = [1]", moved, moved])) == 4, "a loss that reads something else, too"
