"""Notebook 04: its loss by hand and against four real mistakes, its controls, its stored table against its code."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from notebook_code import run_cells
from torch import nn

from helpers import (
    COLOURS,
    CourseError,
    Game,
    Player,
    choice,
    falling,
    load_pictures,
    load_results,
    rows,
    slider,
    sweep,
)

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
    game.train(until=150)
    x, y = room["train"]
    return game.evaluate(lambda nets, member: (nets.student(x).argmax(-1) != y).float().mean()).mean()


def test_students_learn_from_the_teacher_and_not_from_answers_out_of_step():
    assert errors() < 0.05
    shuffled = [
        (
            "goals[(arm * seeds + member.seed) * len(y) + batch.picture]",
            "goals[(arm * seeds + member.seed) * len(y) + (batch.picture + 1) % len(y)]",
        )
    ]
    assert errors(change=shuffled) > 0.5, "answers shuffled against pictures"


def test_the_teachers_scores_on_both_sides_are_refused():
    with pytest.raises(CourseError, match="does not depend"):
        errors(change=[("loss_of(nets.student(batch.x),", "loss_of(own.log(),")])


def test_targets_of_each_source():
    names, room, answers = school()
    y = room["train"][1]
    target_of = {source: names["targets_of"](source, answers, y, 4.0) for source, _ in names["ARMS"].values()}
    assert len(target_of) == 6
    for target in target_of.values():
        torch.testing.assert_close(target.sum(-1), torch.ones(300, 2))
    soft, pick = target_of["soft"], torch.arange(300)
    torch.testing.assert_close(soft, (answers / 4).softmax(-1))
    torch.testing.assert_close(target_of["hard"][:, 1], F.one_hot(y, 10).float())
    torch.testing.assert_close(target_of["smooth"].max(-1).values, torch.full((300, 2), 0.91))
    torch.testing.assert_close(target_of["scrambled"].sort(-1).values, soft.sort(-1).values)
    for source in ("scrambled", "levelled"):  # the right digit's share stays
        torch.testing.assert_close(target_of[source][pick, :, y], soft[pick, :, y])
    levels = target_of["levelled"].sort(-1).values[..., :9]
    assert levels.diff(dim=-1).abs().max() < 1e-6, "nine equal shares"
    for digit in range(10):
        wanted = soft[y == digit].mean(0).expand(30, 2, 10)
        torch.testing.assert_close(target_of["class mean"][y == digit], wanted)
    assert (target_of["scrambled"] != soft).any(-1).float().mean() > 0.99


def goals_are_right(change=()):
    """The loss of each student against targets that are put together by hand, at its first turn."""
    names, room, answers = school(change)
    x, y = room["train"]
    seen = []
    keep = lambda scores, target, temperature: seen.append((target, temperature)) or scores.mean()  # noqa: E731
    arms = {"hard": ("hard", 1), "soft": ("soft", 4), "mean": ("class mean", 2)}
    game = names["students"](room, answers, width=4, steps=1, seeds=2, arms=arms, loss_of=keep)
    batch, loss = game.batch("student"), game.players["student"].loss
    for n in range(len(game.members)):
        one = type("batch", (), {name: value[n] for name, value in batch.items()})
        member = game.members[n]
        member = type("member", (), {"arm": torch.tensor(member.arm), "seed": torch.tensor(member.seed)})
        loss(type("nets", (), {"student": lambda x: x}), one, member)
        source, heat = list(arms.values())[int(member.arm)]
        picture = (one.x[:, None] == x).all(-1).long().argmax(1)
        assert torch.equal(one.picture, picture) and seen[-1][1] == heat
        by_hand = names["targets_of"](source, answers, y, heat)[picture, int(member.seed)]
        torch.testing.assert_close(seen[-1][0], by_hand)


@pytest.mark.parametrize(
    "old, new",
    [
        (
            "(arm * seeds + member.seed) * len(y) + batch.picture",
            "(arm + seeds * member.seed) * len(y) + batch.picture",
        ),
        ("picture=torch.arange(len(y))", "picture=torch.arange(len(y)).roll(1)"),
        (".transpose(0, 1) for source", ".transpose(0, 1).roll(1, 1) for source"),
        ("heats.gather(0, arm)", "heats.gather(0, 0 * arm)"),
    ],
)
def test_each_student_is_given_the_targets_of_its_own_pictures(old, new):
    goals_are_right()
    with pytest.raises(AssertionError):
        goals_are_right(change=[(old, new)])


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


class NoGame:
    """Stands where a cell trains a game, and notes until where."""

    def train(self, until):
        self.until = until


def errors_of_each_part(change=()):
    """The long training's errors, where every picture to choose by is 0.25 wrong and every one to test by 0.5."""
    game, wrong = NoGame(), lambda game, net, part: np.full(16, part)
    names = {**LIBRARIES, "students": lambda *given, **settings: game, "errors_on": wrong}
    names = run_cells("04", "long-code", change=change, **names)
    made = names["long_training"]({"train": 0.0, "choose": 0.25, "test": 0.5}, None, 32, 5e-3, seeds=2)
    assert made == {"choose": [[0.25, 0.25]] * 8, "test": [[0.5, 0.5]] * 8} and game.until == 4500


def test_the_long_training_keeps_choosing_and_testing_apart():
    errors_of_each_part()
    with pytest.raises(AssertionError):
        errors_of_each_part(change=[("room[p]", 'room["test"]')])
    with pytest.raises(AssertionError):
        errors_of_each_part(change=[('SETTINGS["steps"])\n    return', "1500)\n    return")])


def made_up():
    """A table in which T = 4 is the best to choose by, later arms err less in the test, and 0.002 is the best rate."""
    choose, test = [[0.1 + 0.01 * abs(k - 4)] * 10 for k in range(8)], [[0.1 - 0.005 * k] * 10 for k in range(8)]
    same = {"choose": choose, "test": test}
    low = {"choose": [[0.05] * 10] * 8, "test": [[0.2] * 10] * 8}
    stored = {**{str(width): same for width in (8, 16, 32, 64, 128)}, "64 at 0.002": low, "64 at 0.01": same}
    return {"values": {"mnist": stored, "fashion_mnist": stored}}


def verdict(capsys, change=()):
    run_cells("04", "long-code", "mean-and-interval", "long-verdict", change=change, **LIBRARIES, table=made_up())
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("digits: ") and said[6].startswith("clothes: ")
    line = "   64 units, soft, T = 4: +2.00 ± 0.00 against hard labels, +1.50 ± 0.00 against label smoothing"
    assert said[4] == said[10] == line


@pytest.mark.parametrize("old, new", [("best = min(", "best = max("), ('["choose"]', '["test"]')])
def test_the_verdict_takes_the_temperature_that_errs_least_on_the_pictures_to_choose_by(capsys, old, new):
    verdict(capsys)
    with pytest.raises(AssertionError):
        verdict(capsys, change=[(old, new)])


def best_rate(change=()):
    cells = ("long-code", "mean-and-interval", "best-rate")
    names = run_cells("04", *cells, change=change, **LIBRARIES, table=made_up())
    rate, errors = names["at_its_best"]("mnist", "soft, T = 4")
    assert rate == 0.002 and errors == pytest.approx(np.full(10, 20.0))


def test_the_best_rate_is_the_one_that_errs_least_on_the_pictures_to_choose_by():
    best_rate()
    with pytest.raises(AssertionError):
        best_rate(change=[('["choose"]', '["test"]')])


def test_the_part_of_the_gap_by_hand():
    names = {**LIBRARIES, "table": stored()}
    cells = ("long-code", "mean-and-interval", "long-verdict", "long-check", "best-rate", "long-rates", "long-gap")
    names = run_cells("04", *cells, **names, check=lambda claim, holds: None)
    assert names["part_closed"](10.0, 7.0, 4.0) == 0.5 and names["part_closed"](10.0, 4.0, 4.0) == 1.0
    hard, soft = (100 * np.mean(stored()["values"]["mnist"]["64"]["test"][k]) for k in (0, 4))
    teachers = 100 * np.mean(stored()["values"]["mnist"]["teachers"])
    assert names["closed"][4] == pytest.approx((hard - soft) / (hard - teachers)) and 0.55 < names["closed"][4] < 0.65


@pytest.mark.weekly
def test_one_cell_of_the_stored_table_is_recomputed():
    table = stored()
    names = {**LIBRARIES, **CORE, "load_pictures": load_pictures}
    cells = ("square-loss", "pictures", "teacher", "clothes-scores", "scramble-definition", "class-means",
             "mean-and-interval", "arms", "student", "student-game", "long-code")  # fmt: skip
    names = run_cells("04", *cells, **names)
    assert table["settings"] == names["SETTINGS"]
    room = names["classroom"]("mnist", chooser=1000)
    masters = names["teach"](room, seeds=4)
    masters.train(until=1500)
    told = names["scores_of"](masters, "teacher", room["train"][0]).transpose(0, 1).contiguous()
    teachers = names["errors_on"](masters, "teacher", room["test"])
    assert teachers.mean() == pytest.approx(np.mean(table["values"]["mnist"]["teachers"][:4]), abs=0.006)
    made = names["long_training"](room, told, 32, names["SETTINGS"]["rate"], seeds=4)
    for part, reach in (("choose", 0.018), ("test", 0.012)):  # on 1,000 pictures and on 2,000; four other draws
        again = np.array(made[part]).mean(1)
        before = np.array(table["values"]["mnist"]["32"][part])[:, :4].mean(1)
        assert np.abs(again - before).max() < reach and abs(again.mean() - before.mean()) < 0.005
    hard, soft = (table["settings"]["arms"].index(arm) for arm in ("hard labels", "soft, T = 4"))
    assert again[hard] - again[soft] > 0.003, "arms that changed places would not pass"


def test_an_arm_of_a_students_own_is_drawn_and_grey():
    """Exercise 1 adds a seventh arm with a source of its own; the figure has no colour for it."""
    names = run_cells("04", "mean-and-interval", "arms", "small-figure", **LIBRARIES, plt=plt, COLOURS=COLOURS)
    names |= {"teacher_errors": np.array([0.03]), "live_errors": np.full((7, 10), 0.05)}
    names["ARMS"]["half and half"] = ("half", 4)
    axes = run_cells("04", "race-figure", **names)["axes"]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "half and half"
    assert names["COLOURS"]["quiet"] in {line.get_color() for line in axes.lines if line.get_ydata()[0] > 6}
    plt.close("all")


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
             "scores_of": lambda game, net, x: scores(2.0), "test_scores": scores(5.0), "SOME_ARMS": ["a", "b", "c"], "SEEDS": 10}  # fmt: skip
    names = run_cells("04", "bias-run", change=change, **names)
    assert names["BIASES"][names["chosen"]].unique().tolist() == [2.0]


def lowered_bias(change=()):
    """The amount by which 7 and 8 are lowered, where the training digits want 2 and the test digits 5."""
    y = torch.tensor([0, 0, 7, 7])

    def scores(gap):  # 0s in which 7 is a little less than `gap` ahead, and 7s in which it is a little more
        rows = torch.full((30, 4, 10), -99.0)
        rows[:, :, 0], rows[:, :, 7] = 0.0, torch.tensor([gap - 0.1, gap - 0.1, gap + 0.1, gap + 0.1])
        return rows

    threes, arms = torch.tensor([True, True, False, False]), ["a", "b", "c"]
    names = {**LIBRARIES, "digits": {"train": (2.0, y), "test": (5.0, y)}, "no_three": None, "two_kinds": NoGame(),
             "scores_of": lambda game, net, gap: scores(gap), "test_scores": scores(5.0), "threes": threes,
             "SOME_ARMS": arms, "shape": (3, 10), "SEEDS": 10}  # fmt: skip
    names = run_cells("04", "bias-run", "only78-run", change=change, **names)
    assert names["BIASES"][names["lowered"]].unique().tolist() == [2.0]
    assert names["before"].tolist() == [[0.5] * 10] * 3 == names["after"].tolist()


def test_the_two_biases_are_lowered_on_training_digits():
    lowered_bias()
    with pytest.raises(AssertionError):
        change = ('scores_78["train"], digits["train"][1]', 'scores_78["test"], digits["test"][1]')
        lowered_bias(change=[change])


def test_the_bias_is_chosen_on_training_digits():
    chosen_bias()
    with pytest.raises(AssertionError):
        chosen_bias(change=[("on_train.argmin(0)", 'errors_by_bias(test_scores, digits["test"][1], [3]).argmin(0)')])


def poem_way(change=()):
    """The loss of a student who reads the teacher's distributions, by hand: KL, the teacher's first."""
    names = run_cells("04", "poem-game", change=change, **LIBRARIES)
    student = lambda before, place: torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]])  # noqa: E731
    told = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    batch = type("batch", (), {"before": None, "place": None, "told": told})
    q = student(None, None).softmax(-1)
    by_hand = sum(
        p * np.log(p / q[i, k].item()) for i, row in enumerate(told.tolist()) for k, p in enumerate(row) if p > 0
    )
    loss = names["kl_loss"](type("nets", (), {"student": staticmethod(student)}), batch, None)
    assert loss.item() == pytest.approx(by_hand / 2, abs=1e-6)


@pytest.mark.parametrize(
    "old, new",
    [
        (
            "torch.xlogy(batch.told, batch.told) - batch.told * log_q",
            "log_q.exp() * (log_q - batch.told.clamp_min(1e-9).log())",
        ),
        (".sum(-1).mean()", ".mean()"),
        ("- batch.told * log_q", "+ batch.told * log_q"),
    ],
)
def test_the_poems_kl_is_the_teachers_against_the_students(old, new):
    poem_way()
    with pytest.raises(AssertionError):
        poem_way(change=[(old, new)])
