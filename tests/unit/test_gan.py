"""Notebook 05: V and the best D by hand, the two losses and their mutations, the buttons, the beginner, a stop."""

import math
import signal

import numpy as np
import pytest
import torch
from notebook_code import cell, run_cells
from torch import nn
from torch.nn import functional as F

import helpers
from helpers import CourseError

NAMES = {"np": np, "torch": torch, "nn": nn, "F": F, "device": torch.device("cpu")} | {
    name: getattr(helpers, name) for name in helpers.__all__
}
QUIET = {"print": lambda *a, **k: None}


def load(*cells, change=(), **names):
    return run_cells("05", *cells, change=list(change), **{**NAMES, **names})


@pytest.fixture(scope="module")
def best():
    return load("best-functions", "best-draw")


def test_v_by_hand():
    value = load("value-run", **QUIET)["value"]
    by_hand = (math.log(0.9) + math.log(0.8) + math.log(0.5)) / 3 + (math.log(0.9) + math.log(0.6)) / 2
    assert math.isclose(value([0.9, 0.8, 0.5], [0.1, 0.4]), by_hand, rel_tol=1e-12)
    assert math.isclose(value([0.5, 0.5], [0.5]), -2 * math.log(2), rel_tol=1e-12)


def test_the_best_d_and_its_value_by_hand(best):
    p, q = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.25, 0.0, 0.75, 0.0])
    np.testing.assert_allclose(best["best_d"](p, q), [2 / 3, 1, 0, 0.5])
    by_hand = 0.5 * math.log(2 / 3) + 0.25 * math.log(1 / 3)  # the places that only one of them visits add ln 1
    assert math.isclose(best["value_of"](best["best_d"](p, q), p, q), by_hand, rel_tol=1e-12)
    assert math.isclose(best["js"](np.array([1.0, 0.0]), np.array([0.0, 1.0])), math.log(2), rel_tol=1e-12)


@pytest.mark.parametrize("apart", [0.0, 2.4, 4.0])
@pytest.mark.parametrize("middle", [-3.0, 0.0, 3.0])
def test_the_formula_holds_wherever_the_sliders_go(best, apart, middle):
    for spread in (0.3, 0.75, 1.5):
        for width in (0.3, 0.75, 1.5):
            p, q = best["bumps"](0.0, spread, apart), best["bumps"](middle, width)
            v = best["value_of"](best["best_d"](p, q), p, q)
            assert np.isfinite(v) and abs(v - (2 * best["js"](p, q) - 2 * np.log(2))) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("change, average", [((), True), ([(".square().mean()", ".abs().mean()")], False)])
def test_squared_error_draws_the_average_and_another_loss_does_not(change, average):
    page = lambda: load("digits", "dull-net", "dull-run", change=change, **QUIET)  # noqa: E731
    if average:
        page()
    else:
        with pytest.raises(CourseError, match="average of all right answers"):
            page()


LOSSES = {"line": ("d_loss", "g_loss"), "digits": ("critic_loss", "painter_loss")}


def losses(where, change=()):
    """The networks of the line or of the digits, one batch for them, and their two losses."""
    page = load("learned-net", "bout-nets", "digit-nets", "digits", "digit-losses", change=change, **QUIET)
    torch.manual_seed(0)
    g, d = (page[n]() for n in (("make_g", "make_d") if where == "line" else ("make_painter", "make_critic")))
    x = torch.rand(8, 1) if where == "line" else torch.rand(8, 1, 28, 28)
    z = torch.rand(8, 1) if where == "line" else torch.randn(8, page["Z"])
    nets, batch = (
        helpers.core.batch.Named("nets", {"G": g, "D": d}),
        helpers.core.batch.Named("batch", {"x": x, "z": z}),
    )
    member = helpers.core.batch.Named("member", {"penalty": torch.tensor(0.3)})
    return nets, [lambda name=name: page[name](nets, batch, member) for name in LOSSES[where]]


def trains_only_d(where, change=()):
    nets, (d_loss, _) = losses(where, change)
    slopes = torch.autograd.grad(d_loss(), list(nets.G.parameters()), allow_unused=True)
    return all(slope is None for slope in slopes)


@pytest.mark.parametrize("where", LOSSES)
def test_ds_lesson_does_not_reach_g_and_a_missing_detach_is_noticed(where):
    assert trains_only_d(where)
    old = "nets.G(2 * batch.z - 1).detach()" if where == "line" else "nets.G(batch.z).detach()"
    assert not trains_only_d(where, [(old, old.removesuffix(".detach()"))])


def test_a_player_moves_its_own_network_only_even_without_the_detach():
    old = "nets.G(2 * batch.z - 1).detach()"
    page = load("learned-net", "bout-nets", "bout-game", change=[(old, old.removesuffix(".detach()"))])
    game = page["new_bout"](members=helpers.sweep(seed=range(2), penalty=[0.3]))
    for mover, other in (("D", "G"), ("G", "D")):
        before = {name: game.state[name]["weights"].clone() for name in "GD"}
        game.train(3, only=mover)
        assert torch.equal(game.state[other]["weights"], before[other])
        assert not torch.equal(game.state[mover]["weights"], before[mover])


def g_goes_where_d_points(where, change=()):
    """After small steps downhill on G's loss with D held still: has D's answer to the drawings risen?"""
    nets, (_, g_loss) = losses(where, change)
    z = torch.rand(64, 1) * 2 - 1 if where == "line" else torch.randn(64, 10)
    score = lambda: nets.D(nets.G(z)).mean().item()  # noqa: E731
    before = score()
    optimiser = torch.optim.SGD(nets.G.parameters(), lr=0.05)
    for _ in range(10):
        optimiser.zero_grad()
        g_loss().backward()
        optimiser.step()
    return score() > before


@pytest.mark.parametrize("where", LOSSES)
def test_g_climbs_and_a_wrong_sign_is_noticed(where):
    assert g_goes_where_d_points(where)
    old = "F.softplus(-nets.D(nets.G(2 * batch.z - 1)))" if where == "line" else "F.softplus(-nets.D(nets.G(batch.z)))"
    assert not g_goes_where_d_points(where, [(old, old.replace("(-", "("))])


@pytest.mark.parametrize("where", LOSSES)
def test_d_learns_to_say_one_to_real(where):
    def learns(change=()):
        nets, (d_loss, _) = losses(where, change)
        optimiser = torch.optim.Adam(nets.D.parameters(), lr=0.01)
        for _ in range(30):
            optimiser.zero_grad()
            loss = d_loss()
            loss.backward()
            optimiser.step()
        return loss.item() < 1.35  # below 2 ln 2, what a teacher pays who has given up

    assert learns()


def test_the_value_of_both_losses_by_hand():
    nets, (d_loss, g_loss) = losses("line")
    for net in (nets.G, nets.D):
        for weight in net.parameters():
            nn.init.zeros_(weight)
    nn.init.constant_(nets.D[-1].bias, 2.0)  # D says sigmoid(2) to everything, and has no slope to be punished
    says = 1 / (1 + math.exp(-2))
    assert math.isclose(d_loss().item(), -math.log(says) - math.log(1 - says), rel_tol=1e-5)
    assert math.isclose(g_loss().item(), -math.log(says), rel_tol=1e-5)


def test_no_network_keeps_running_statistics():
    page = load("learned-net", "bout-nets", "digit-nets")
    for make in ("make_g", "make_d", "make_painter", "make_critic"):
        assert not list(page[make]().buffers()), f"{make}: real and drawn pictures must not share statistics"


@pytest.fixture
def duel():
    import matplotlib.pyplot as plt

    cells = ["learned-net", "bout-nets", "bout-game", "bout-draw", "bout-steps", "bout-picture"]
    panels = []
    code = cell("05", "bout-live")
    page = load(*cells, plt=plt, live=lambda *a, **k: panels.append(helpers.live(*a, **k)))
    exec(code, page)
    return page, panels[0]


@pytest.mark.slow
def test_the_buttons_move_whom_they_name(duel):
    page, panel = duel
    turns = lambda: tuple(page["bout"]["game"].turns[name] for name in "DG")  # noqa: E731
    start, picture = panel.text, panel.png
    panel.set(step_d=1)
    assert turns() == (5, 0) and panel.text != start and panel.png != picture
    panel.set(per_g=3)
    panel.set(step_d=1)
    assert turns() == (20, 0)
    panel.set(step_g=1)
    assert turns() == (20, 5)
    panel.set(play=1)
    assert turns() == (20 + 120 * 3, 125)
    panel.set(reset=1, per_g=1)
    assert turns() == (0, 0) and panel.text.split("Rates")[0] == start.split("Rates")[0]


@pytest.mark.slow
def test_play_is_a_film_and_the_rates_are_those_of_the_sliders(duel, monkeypatch):
    page, panel = duel
    shown = []
    show = panel._show
    monkeypatch.setattr(panel, "_show", lambda text: (show(text), shown.append(panel.png)))
    panel.set(play=1)
    assert len(shown) == 60 and len(set(shown)) > 50
    panel.set(rate_d=0.05, rate_g=0.002)
    game = page["bout"]["game"]
    assert math.isclose(game.rates["D"].item(), 0.05, rel_tol=1e-5)
    assert math.isclose(game.rates["G"].item(), 0.002, rel_tol=1e-5)
    assert "0.0500" in panel.text and "0.0020" in panel.text


def test_the_density_is_one():
    page = load("learned-net", "bout-nets", "bout-game")
    drawn = np.random.default_rng(0).normal(0.5, 0.3, (2, 500))
    np.testing.assert_allclose(page["density"](drawn).sum(axis=-1) * 0.04, 1, atol=0.01)


def test_what_is_left_of_both_pushes():
    page = load("learned-net", "bout-nets", "bout-game", "far-run")
    g, d = page["make_beginner"](), nn.Linear(1, 1)
    with torch.no_grad():
        for weight in list(g.parameters())[:-1]:
            weight.zero_()  # it draws −3 whatever z is
        d.weight.fill_(2.0)
        d.bias.fill_(0.0)  # the score of −3 is −6
    saturating, other, says = page["pushes"](helpers.core.batch.Named("nets", {"G": g, "D": d}))
    assert math.isclose(says, 1 / (1 + math.exp(6)), rel_tol=1e-5)
    assert math.isclose(saturating, 2 * says, rel_tol=1e-4) and math.isclose(other, 2 * (1 - says), rel_tol=1e-4)


def test_a_stopped_school_goes_on_as_if_it_had_not_been_stopped(capsys):
    page = load("learned-net", "bout-nets", "bout-game")
    stopped, whole = (
        page["new_bout"](members=helpers.sweep(seed=range(2), penalty=[0.3]), average={"G": 0.9}) for _ in "12"
    )

    def stop(game):
        if game.step == 10:
            signal.raise_signal(signal.SIGINT)

    stopped.train(until=30, callback=stop, every=5)
    assert stopped.step == 10 and "Nothing is lost" in capsys.readouterr().out
    assert stopped.evaluate(lambda nets, member: nets.G(torch.zeros(1, 1))).shape == (2, 1, 1)  # usable as it is
    stopped.train(until=30)
    whole.train(until=30)
    for net in "GD":
        assert torch.equal(stopped.state[net]["weights"], whole.state[net]["weights"])


def school(seed=0, change=()):
    """The digits' game of the page, and the part of its drawings that is recognised."""
    page = load("digits", "digit-nets", "digit-losses", "digit-school", change=change, **QUIET)
    game = page["new_school"](seed)
    game.train(until=page["ROUNDS"])
    z = torch.randn(500, page["Z"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawings = game.member(0).G(z)
    return (helpers.recognised(helpers.digit_judge(), drawings)[1] > 0.9).float().mean().item()


SHORT = ("= 1400, 32", "= 500, 32")  # about a third of the lessons


@pytest.mark.slow
def test_digits_come_out_of_the_school_and_not_with_the_wrong_sign():
    assert school(change=[SHORT]) > 0.2
    wrong = ("F.softplus(-nets.D(nets.G(batch.z)))", "F.softplus(nets.D(nets.G(batch.z)))")
    assert school(change=[SHORT, wrong]) < 0.05


def stored():
    return helpers.load_results("05_digits")


def test_the_stored_table_was_made_with_the_settings_of_the_page():
    page = load("digits", "digit-nets", "digit-losses", "digit-school", **QUIET)
    wanted = {"rounds": page["ROUNDS"], "batch": page["BATCH"], "rate": page["RATE"], "Z": page["Z"], "pictures": 2000}
    assert stored()["settings"] == wanted and list(stored()["values"]) == list("0123")
    assert stored()["versions"]["torch"] and stored()["minutes"] > 0
    for part, classes, distance, sharp in stored()["values"].values():
        assert part > 0.4 and classes >= 9 and 2 < distance < 100 and abs(sharp - 1) < 0.2


@pytest.mark.weekly
def test_one_row_of_the_stored_table_trained_again():
    assert abs(school(seed=1) - stored()["values"]["1"][0]) < 0.1


def test_the_quizs_pushes_are_the_slopes_of_both_losses():
    page = run_cells("05", "quiz-pushes", torch=torch, F=F)
    for answer in (0.1, 0.0001):
        assert page["push_of"](page["saturating_of"], answer) == pytest.approx(answer, rel=1e-6)
        assert page["push_of"](page["other_of"], answer) == pytest.approx(1 - answer, rel=1e-6)


def stills(change=()):
    """The check of the four stills, with 16 games as the page tells of them."""
    noise = torch.randn(16, 801, generator=torch.Generator().manual_seed(0)).numpy()

    def told(middle, width, real, drawn):
        return middle + width * noise, None, np.full(16, real), np.full(16, drawn)

    four = {
        "(a)": told(-0.5, 0.05, 0.49, 0.49),
        "(b)": told(-0.5, 0.05, 0.71, 0.27),
        "(c)": told(2.0, 0.1, 0.71, 0.78),
        "(d)": told(1.0, 0.45, 0.5, 0.5),
    }
    four.update(change)
    run_cells("05", "stills-check", np=np, check=helpers.check, stills=four)


def test_the_four_stills_are_checked():
    stills()
    wide = 10 * np.random.default_rng(0).normal(size=(16, 801))
    for name, sent in [("(b)", np.full((16, 801), -0.5)), ("(c)", wide), ("(d)", np.full((16, 801), 3.0))]:
        with pytest.raises(CourseError):
            stills({name: (sent, None, np.full(16, 0.5), np.full(16, 0.5))})
