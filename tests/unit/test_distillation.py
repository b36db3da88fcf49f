"""Notebook 04: its loss by hand and against four real mistakes, its controls, its stored table against its code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from notebook_code import run_cells
from torch import nn

from helpers import CourseError, Game, Player, choice, falling, load_pictures, load_results, rows, slider, sweep

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
        torch.testing.assert_close(push_on(z, v, T), T * ((v / T).softmax(-1) - (z / T).softmax(-1)))
    torch.testing.assert_close(push_on(z, v, 1000.0), (v - z) / 3, rtol=0.01, atol=0.01)


def test_softened_shares_by_hand():
    softened = run_cells("04", "temperature-draw", **LIBRARIES)["softened"]
    np.testing.assert_allclose(softened(np.log([0.9, 0.1]), 1.0), [0.9, 0.1])
    np.testing.assert_allclose(softened(np.log([0.9, 0.1]), 2.0), [0.75, 0.25])  # the roots, 3 to 1


def school(change=()):
    """The notebook's students with a made-up teacher of 300 pictures that fall apart into ten kinds."""
    names = {**LIBRARIES, **CORE}
    cells = ("square-loss", "scramble-definition", "class-means", "arms", "student", "student-game")
    names |= run_cells("04", *cells, change=change, **names)
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
        soft, scrambled, mean = answers, names["scramble"](answers, y), names["class_means"](answers, y)

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
    torch.testing.assert_close(made["levelled"][pick, y], made["soft"][pick, y])
    assert made["levelled"].sort(-1).values[:, :9].diff(dim=1).abs().max() < 1e-6, "nine equal shares"
    for digit in range(10):
        wanted = made["soft"][y == digit].mean(0).expand(30, 10)
        torch.testing.assert_close(made["class mean"][y == digit], wanted)
    moved = (made["scrambled"] != made["soft"]).any(-1).float().mean()
    assert moved > 0.99


def stored():
    return load_results("04_distillation")


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
    names = {**LIBRARIES, **CORE, "load_pictures": load_pictures}
    cells = ("square-loss", "pictures", "teacher", "clothes-scores", "scramble-definition", "class-means",
             "mean-and-interval", "arms", "student", "student-game", "long-code")  # fmt: skip
    names = run_cells("04", *cells, **names)
    assert table["settings"] == names["SETTINGS"]
    room = names["classroom"]("mnist", chooser=1000)
    masters = names["teach"](room, seeds=2)
    told = names["scores_of"](masters, "teacher", room["train"][0]).transpose(0, 1).contiguous()
    teachers = names["errors_on"](masters, "teacher", room["test"])
    assert teachers.mean() == pytest.approx(np.mean(table["values"]["mnist"]["teachers"][:2]), abs=0.006)
    again = np.array(names["long_training"](room, told, 32, names["SETTINGS"]["rate"], seeds=2)["test"]).mean(1)
    before = np.array(table["values"]["mnist"]["32"]["test"])[:, :2].mean(1)
    assert np.abs(again - before).max() < 0.012 and abs(again.mean() - before.mean()) < 0.005
    hard, soft = (table["settings"]["arms"].index(arm) for arm in ("hard labels", "soft, T = 4"))
    assert again[hard] - again[soft] > 0.003, "arms that changed places would not pass"


def test_the_interval_by_hand():
    mean_and_interval = run_cells("04", "mean-and-interval", **LIBRARIES)["mean_and_interval"]
    mean, reach = mean_and_interval([1.0] * 5 + [3.0] * 5)
    assert mean == 2 and reach == pytest.approx(2.262 * np.sqrt(10 / 9) / np.sqrt(10))


def test_the_classroom_keeps_its_three_parts_apart():
    names = {**LIBRARIES, "load_pictures": load_pictures}
    room = run_cells("04", "pictures", **names)["classroom"]("mnist", chooser=1000)
    every = load_pictures("mnist", size=14)
    assert torch.equal(room["train"][0], every.x[:7000].flatten(1)) and torch.equal(room["train"][1], every.y[:7000])
    assert torch.equal(room["choose"][0], every.x[7000:].flatten(1)) and torch.equal(room["test"][1], every.test_y)
    x, y = room["moved"]  # nine positions of the training pictures, the one in the middle unmoved
    assert len(x) == 63_000 and torch.equal(y[:7000], every.y[:7000])
    torch.testing.assert_close(x[4 * 7000 : 5 * 7000], every.x[:7000].flatten(1))


def chosen_bias(change=()):
    """The bias that is chosen where the training digits want 2 and the test digits 5."""
    y, threes = torch.tensor([3, 3, 0, 0]), torch.tensor([True, True, False, False])

    def scores(gap):  # 3s that lie `gap` behind, and others that lie a little more than that ahead
        rows = torch.zeros(30, 4, 10)
        rows[:, :, 0] = torch.tensor([gap - 0.1, gap - 0.1, gap + 0.1, gap + 0.1])
        return rows

    names = {**LIBRARIES, "digits": {"train": ("train", y), "test": ("test", y)}, "no_three": None, "threes": threes,
             "scores_of": lambda game, net, x: scores(2.0), "test_scores": scores(5.0), "SOME_ARMS": ["a", "b", "c"]}  # fmt: skip
    names = run_cells("04", "bias-run", change=change, **names)
    assert names["BIASES"][names["chosen"]].unique().tolist() == [2.0]


def test_the_bias_is_chosen_on_training_digits():
    chosen_bias()
    with pytest.raises(AssertionError):
        chosen_bias(change=[("on_train.argmin(0)", 'errors_by_bias(test_scores, digits["test"][1], [3]).argmin(0)')])
