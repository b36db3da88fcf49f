"""Notebook 04: its loss by hand and against four real mistakes, its controls, its stored table against its code."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from notebook_code import run_cells
from torch import nn

from helpers import CourseError, Game, Player, choice, data_file, falling, rows, slider, sweep

LIBRARIES = {"np": np, "torch": torch, "F": F, "nn": nn}
CORE = {"Game": Game, "Player": Player, "rows": rows, "sweep": sweep, "falling": falling, "device": torch.device("cpu")}


def soft_loss_is_right(change=()):
    """The loss of two pictures with three classes at T = 2, by hand."""
    soft_loss = run_cells("04", "square-loss", change=change, **LIBRARIES)["soft_loss"]
    z = np.array([[2.0, 0.0, -2.0], [1.0, 1.0, 4.0]])
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    powers = np.exp(z / 2)
    by_hand = 4 * np.mean([-sum(p[i] * np.log(powers[i] / powers[i].sum())) for i in range(2)])
    loss = soft_loss(torch.tensor(z), torch.tensor(p), 2.0)
    assert loss.item() == pytest.approx(by_hand, abs=1e-9)


def test_the_loss_by_hand():
    soft_loss_is_right()


@pytest.mark.parametrize(
    "old, new",
    [
        (".mean() * temperature**2", ".mean()"),  # the square forgotten
        (".mean() * temperature**2", ".mean() * temperature"),
        ("(target * log_q).sum(-1).mean()", "(target * log_q).mean()"),  # as reduction="mean" does
        ("return -(", "return ("),  # the sign
        ("(target * log_q)", "(log_q.exp() * target.log())"),  # teacher and student swapped
        ("(student_scores / temperature)", "student_scores"),  # only the teacher heated
        ("(student_scores / temperature)", "(student_scores * temperature)"),
    ],
)
def test_a_wrong_loss_is_caught(old, new):
    with pytest.raises(AssertionError):
        soft_loss_is_right(change=[(old, new)])


def test_the_push_is_the_square_times_the_difference_of_shares():
    push_on = run_cells("04", "square-loss", **LIBRARIES)["push_on"]
    z, v = torch.tensor([1.0, 0.0, -1.0]).double(), torch.tensor([3.0, 0.0, -3.0]).double()
    for T in (1.0, 5.0):
        torch.testing.assert_close(push_on(z, v, T), T * ((z / T).softmax(-1) - (v / T).softmax(-1)))
    torch.testing.assert_close(push_on(z, v, 1000.0), (z - v) / 3, rtol=0.01, atol=0.01)


def test_softened_shares_by_hand():
    softened = run_cells("04", "temperature-draw", **LIBRARIES)["softened"]
    np.testing.assert_allclose(softened(np.log([0.9, 0.1]), 1.0), [0.9, 0.1])
    np.testing.assert_allclose(softened(np.log([0.9, 0.1]), 2.0), [0.75, 0.25])  # the roots, 3 to 1


def school(change=()):
    """The notebook's students with a made-up teacher of 300 pictures that fall apart into ten kinds."""
    names = {**LIBRARIES, **CORE}
    names |= run_cells("04", "square-loss", "scramble-definition", "student", "student-game", change=change, **names)
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(10).repeat(30)
    centres = torch.randn(10, 196, generator=generator)
    x = centres[y] + 0.5 * torch.randn(300, 196, generator=generator)
    answers = 8.0 * F.one_hot(y, 10).float()[:, None].repeat(1, 2, 1) + torch.randn(300, 2, 10, generator=generator)
    return names, {"train": (x, y)}, answers


def errors(change=()):
    """The mean training errors of the soft arm at T = 4 after a short training."""
    names, room, answers = school(change)
    game = names["students"](room, answers, width=16, steps=150, seeds=2, arms={"soft": ("soft", 4)})
    x, y = room["train"]
    return game.evaluate(lambda nets, member: (nets.student(x).argmax(-1) != y).float().mean()).mean()


def test_students_learn_from_the_teacher_and_not_from_answers_out_of_step():
    assert errors() < 0.05
    assert errors(change=[("soft=answers", "soft=answers.roll(1, 0)")]) > 0.5, "answers shuffled against pictures"


def test_the_teachers_scores_on_both_sides_are_refused():
    with pytest.raises(CourseError, match="does not depend"):
        errors(change=[("soft_loss(nets.student(batch.x),", "soft_loss(batch.soft[:, 0],")])


def test_targets_of_each_source():
    names, room, answers = school()
    y = room["train"][1]

    class batch:
        soft, scrambled = answers, names["scramble"](answers, y)

    batch.y = y

    class member:
        seed = torch.tensor(1)

    target_of, kinds = names["target_of"], names["SOURCES"]
    heat = torch.tensor(4.0)
    made = {kind: target_of(torch.tensor(k), batch, member, heat) for k, kind in enumerate(kinds)}
    for target in made.values():
        torch.testing.assert_close(target.sum(-1), torch.ones(300))
    torch.testing.assert_close(made["hard"], F.one_hot(y, 10).float())
    torch.testing.assert_close(made["smooth"].max(-1).values, torch.full((300,), 0.91))
    torch.testing.assert_close(made["soft"], (answers[:, 1] / 4).softmax(-1))
    torch.testing.assert_close(made["scrambled"].sort(-1).values, made["soft"].sort(-1).values)
    pick = torch.arange(300)
    torch.testing.assert_close(made["scrambled"][pick, y], made["soft"][pick, y])
    moved = (made["scrambled"] != made["soft"]).any(-1).float().mean()
    assert moved > 0.99


def stored():
    return json.loads(data_file("results/04_distillation.json").read_text())


def test_the_table_that_is_shown_is_drawn_as_stored():
    table, names = stored(), {**LIBRARIES, "slider": slider, "choice": choice}
    lines = [type("Line", (), {"set_data": lambda self, x, y: setattr(self, "y", y)})() for _ in range(4)]
    namespace = run_cells("04", "long-code", "mean-and-interval", "long-draw", **names, table=table, long_lines=lines)
    text = namespace["draw_long"]("mnist", 4)
    place = namespace["SETTINGS"]["arms"].index("soft, T = 4")
    test = table["values"]["mnist"]["64"]["test"]
    by_hand = 100 * (np.mean(test[place]) - np.mean(test[0]))
    assert f"64 units {by_hand:+.2f}" in text
    assert lines[3].y[3] == pytest.approx(by_hand) and lines[0].y == pytest.approx(np.zeros(5))


@pytest.mark.slow
def test_one_cell_of_the_stored_table_is_recomputed():
    table = stored()
    names = {**LIBRARIES, **CORE, "load_pictures": __import__("helpers").load_pictures}
    cells = ("square-loss", "pictures", "teacher", "clothes-scores", "scramble-definition", "mean-and-interval", "student",
             "student-game", "long-code")  # fmt: skip
    names = run_cells("04", *cells, **names)
    assert table["settings"] == names["SETTINGS"]
    room = names["classroom"]("mnist", chooser=1000)
    masters = names["teach"](room, seeds=2)
    told = names["scores_of"](masters, "teacher", room["train"][0]).transpose(0, 1).contiguous()
    teachers = names["errors_on"](masters, "teacher", room["test"])
    assert teachers.mean() == pytest.approx(np.mean(table["values"]["mnist"]["teachers"][:2]), abs=0.006)
    again = np.array(names["long_training"](room, told, 8, names["SETTINGS"]["rate"], seeds=2)["test"])
    before = np.array(table["values"]["mnist"]["8"]["test"])[:, :2]
    assert np.abs(again.mean(1) - before.mean(1)).max() < 0.03 and abs(again.mean() - before.mean()) < 0.012
