"""Notebook 02's functions: values worked out by hand, exact limits, and mutations that these catch."""

import numpy as np
import pytest
import torch
from notebook_code import run_cells

from helpers import CourseError, parse_numbers

CELLS = ["neuron-run", "network-draw", "loss-run", "descent-code", "smaller-run", "partial-hand", "partial-nudge"]


def load(*changes):
    names = run_cells(
        "02", *CELLS, change=list(changes), np=np, torch=torch, nn=torch.nn, check=lambda claim, holds, hint="": None
    )
    return names


notebook = load()


def test_a_neuron_worked_out_by_hand():
    neuron = notebook["neuron"]
    assert neuron([1.0, 2.0], [0.5, -1.0], 0.5, "ReLU") == 0  # z = 0.5 − 2 + 0.5 = −1
    assert neuron([1.0, 2.0], [0.5, 1.0], 0.5, "ReLU") == 3
    wanted = {"sigmoid": 1 / (1 + np.e), "tanh": (1 - np.e**2) / (1 + np.e**2), "Gaussian": np.exp(-0.5)}
    for name, value in wanted.items():
        np.testing.assert_allclose(neuron([1.0, 2.0], [0.5, -1.0], 0.5, name), value, rtol=1e-12)


def test_the_network_worked_out_by_hand():
    W, b, v = np.array([[0.5, -1.0], [1.0, 1.0], [-1.0, 0.5]]), np.array([0.5, -2.0, 0.0]), np.array([2.0, 1.0, -1.0])
    y, h = notebook["network"]([1.0, 2.0], W, b, v, 0.5)
    assert y == 1.5 and h.tolist() == [0, 1, 0]
    ys, hs = notebook["network"](np.array([[1.0, 2.0], [3.0, 0.0]]), W, b, v, 0.5)  # z = 2, 1, −3
    assert ys.tolist() == [1.5, 5.5] and hs.tolist() == [[0, 1, 0], [2, 1, 0]]


def test_theta_is_taken_apart_in_the_order_of_its_names():
    W, b, v, c = notebook["unpack"](np.arange(13.0))
    assert W.tolist() == [[0, 1], [2, 3], [4, 5]] and b.tolist() == [6, 7, 8] and v.tolist() == [9, 10, 11] and c == 12


def test_the_loss_has_its_half_and_its_mean():
    assert notebook["half_mse"]([1, 2, 3], np.array([1, 4, 6])) == pytest.approx(13 / 6, rel=1e-12)
    assert notebook["half_mse"]([1, 2, 3] * 2, np.array([1, 4, 6] * 2)) == pytest.approx(13 / 6, rel=1e-12)


def test_descent_on_the_parabola():
    descend, slope = notebook["descend"], notebook["slope_of"]
    assert (
        slope(0.0) == pytest.approx(-28 / 3) and slope(2.0) == 0 and notebook["loss_of"](0.0) == pytest.approx(28 / 3)
    )
    np.testing.assert_allclose(descend(slope, 0.0, 3 / 14, 2), [0, 2, 2], atol=1e-12)  # η = 1/a: one step
    for rate in (0.01, 0.3, 0.42, 0.44, 0.6):
        walk = descend(slope, 5.0, rate, 30)
        np.testing.assert_allclose(walk - 2, 3 * (1 - rate * 14 / 3) ** np.arange(31), rtol=1e-6, atol=1e-9)
        assert (abs(walk[-1] - 2) < abs(walk[0] - 2)) == (rate < 3 / 7)


def test_less_loss_and_less_slope_are_two_things():
    descend = notebook["descend"]
    for start, valley in ((0.4, 1), (-0.4, -1), (1.3, 1)):
        assert descend(notebook["valley_slope"], start, 0.1, 500)[-1] == pytest.approx(valley)
    assert descend(notebook["slope_of_squared_slope"], 0.4, 0.1, 500)[-1] == pytest.approx(0, abs=1e-9)
    assert notebook["slope_of_squared_slope"](2.0) == (8 - 2) * (12 - 1)


def test_partial_derivatives_of_a_network_of_zeros():
    gradient = notebook["gradient_by_hand"](np.zeros(13))  # ŷ = 0, h = ½: e = −y, mean −½
    np.testing.assert_allclose(gradient, [0] * 9 + [-0.25] * 3 + [-0.5], atol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_partial_derivatives_three_ways(seed):
    theta = np.random.default_rng(seed).normal(size=13)
    by_hand, by_autograd = notebook["gradient_by_hand"](theta), notebook["gradient_by_autograd"](theta)
    np.testing.assert_allclose(by_hand, by_autograd, rtol=1e-9, atol=1e-14)
    nudged = notebook["gradient_by_nudging"](notebook["xor_loss"], theta)
    np.testing.assert_allclose(nudged, by_autograd, rtol=1e-4, atol=1e-9)


def test_nudging_a_parabola_is_exact():
    slopes = notebook["gradient_by_nudging"](lambda t: t[0] ** 2 + 3 * t[1], np.array([2.0, 5.0]), 0.25)
    np.testing.assert_allclose(slopes, [4, 3], rtol=1e-12)


MUTATIONS = {
    "the bias is forgotten": ("np.dot(w, x) + b", "np.dot(w, x)"),
    "the sigmoid is turned": ("np.exp(-z))", "np.exp(z))"),
    "the Gaussian loses its half": ("(z**2) / 2", "(z**2)"),
    "c is forgotten": ("h @ v + c, h", "h @ v, h"),
    "the half is forgotten": ("- right) ** 2) / 2", "- right) ** 2)"),
    "a sum instead of a mean": ("np.mean((np.asarray(said", "np.sum((np.asarray(said"),
    "it climbs": ("path[-1] - rate", "path[-1] + rate"),
    "the slope forgets x": ("- slope_y) * slope_x)", "- slope_y))"),
    "the chain stops before φ'": ("* v * h * (1 - h)", "* v"),
    "the wrong φ'": ("* v * h * (1 - h)", "* v * (1 - h)"),
    "the error is turned": ("e = y - xor_y", "e = xor_y - y"),
    "k is forgotten": ("/ len(e)", "/ 1"),
    "one-sided over two nudges": ("loss(theta - n)", "loss(theta)"),
    "b and v change places": ("theta[6:9], theta[9:12]", "theta[9:12], theta[6:9]"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_are_caught(name, monkeypatch):
    monkeypatch.setitem(globals(), "notebook", load(MUTATIONS[name]))
    tests = [
        test_a_neuron_worked_out_by_hand,
        test_the_network_worked_out_by_hand,
        test_theta_is_taken_apart_in_the_order_of_its_names,
        test_the_loss_has_its_half_and_its_mean,
        test_descent_on_the_parabola,
        test_partial_derivatives_of_a_network_of_zeros,
        lambda: test_partial_derivatives_three_ways(1),
        test_nudging_a_parabola_is_exact,
    ]
    with np.errstate(all="ignore"):
        assert not all(passes(test) for test in tests), f"no test notices that {name}"


def passes(test):
    try:
        test()
    except AssertionError:
        return False
    return True


def test_the_interval_is_the_24th_and_the_41st():
    interval = run_cells("02", "learn-code", np=np, torch=torch)["interval"]
    assert interval(np.arange(64, 0, -1.0)) == (32.5, 24, 41)


def test_heights_outside_the_picture_are_refused():
    draw_own = run_cells("02", "own-draw", np=np, torch=torch, parse_numbers=parse_numbers)["draw_own"]
    for text, why in (("9, 0", "outside the picture"), ("1", "2 to 20 numbers"), ("hello", "not a number")):
        with pytest.raises(CourseError, match=why):
            draw_own(text, 4)


def test_the_game_does_plain_descent_and_knows_who_blew_up():
    names = run_cells(
        "02", "machine-code", "machine-game", "many-code", np=np, torch=torch, nn=torch.nn,
        points=torch.linspace(-1, 1, 5)[:, None],
    )  # fmt: skip
    right = torch.zeros(5, 1)
    calm, wild = (names["make_game"](right, width=4, rate=rate, seeds=range(3)) for rate in (0.0, 1e3))
    before = names["errors_of"](calm, right)
    names["learn"](calm, 5)
    np.testing.assert_array_equal(names["errors_of"](calm, right), before)  # η = 0 changes nothing
    names["learn"](wild, 200)
    assert np.isinf(names["errors_of"](wild, right)).all() and len(wild.frozen) == 3


class Artist:
    """Stands in for a line or a text of a figure: whatever it is told, it takes."""

    def __getattr__(self, name):
        return lambda *given, **named: None


def draw(cells, change=(), **names):
    artists = ["net_nodes", "path_line", "gap_line", "loss_walk", "slope_walk"]
    names = {**{name: Artist() for name in artists}, **notebook, "net_nodes": [Artist()] * 6, **names}
    return run_cells("02", cells, change=change, **names)


def test_the_picture_of_the_network_says_when_all_three_are_off():
    W, b, v = np.array([[0.5, -1.0], [1.0, 1.0], [-1.0, 0.5]]), np.array([0.5, -2.0, 0.0]), np.array([2.0, 1.0, -1.0])
    draw_network = draw("network-draw", drawn=(W, b, v, 0.5))["draw_network"]
    assert draw_network(0.7, 1.0, "ReLU").endswith("y = 0.500. All three are off: only c = 0.5 is left.")
    for x in ((0.0, 0.0), (1.0, 2.0), (0.4, 1.0), (1.0, 0.9), (0.8, 1.3)):  # outside the small triangle
        assert "off" not in draw_network(*x, "ReLU")


def test_the_sliders_of_descent_say_what_happens():
    draw_descent = draw("descent-draw", curvature=14 / 3)["draw_descent"]
    assert draw_descent(2.0, 0.6).endswith("it begins at the answer, where the slope is 0, and stays there.")
    assert "so it converges" in draw_descent(-2.0, 0.425) and "so it diverges" in draw_descent(-2.0, 0.43)


def test_every_start_of_the_two_valleys_reaches_the_place_that_its_side_belongs_to():
    """No artefact of the step: above 1/√3 less slope means the valley, below it the hilltop; and no −0.000."""
    draw_valleys = draw("smaller-draw")["draw_valleys"]
    for tenths in range(-28, 29):
        start = tenths / 20
        ends = [np.sign(start) if start else 0, np.sign(start) if abs(start) > 3**-0.5 else 0]
        words = draw_valleys(start)
        assert words.endswith(f"ends at {ends[0]:.3f}, making the slope smaller at {ends[1] + 0.0:.3f}.")
        assert "-0.000" not in words


def test_if_all_blew_up_the_sentence_says_so():
    names = run_cells("02", "learn-code", "learn-draw", np=np, torch=torch, errors_of=lambda game, right: game.errors)

    class Blown:
        errors = np.full(64, np.inf)

        def evaluate(self, what):
            return np.full((64, 121), np.nan)

    assert names["show_machines"](Artist(), Blown(), None) == "all 64 blew up."


def test_the_drawn_network_keeps_its_numbers():
    """Exercise 1 gives W, b, v and c other numbers; picture and network change together, when their cells run again."""
    W, b, v = np.eye(3, 2), np.zeros(3), np.ones(3)
    page = run_cells("02", "network-figure", W=W, b=b, v=v, c=0.5, np=np, spots=[], COLOURS={})
    W += 1
    b += 1
    assert page["drawn"][0].tolist() == np.eye(3, 2).tolist() and page["drawn"][1].tolist() == [0, 0, 0]


def careful(change=()):
    quiet = {"print": lambda *words: None, "check": lambda *words: None}
    page = run_cells(
        "02", "loss-run", "descent-code", "signs-run", change=change, np=np, torch=torch, nn=torch.nn, **quiet
    )
    path, rate = page["descend_carefully"](lambda theta: theta, 1.0, 1.5, 3)
    assert path.tolist() == [1, -0.5, -0.125, -0.03125] and rate == 0.75  # 1 → −0.5: the sign changed, so 0.75 …


def test_a_slope_that_changes_its_sign_halves_the_rate():
    careful()
    with pytest.raises(AssertionError):
        careful([("rate = rate / 2", "rate = rate / 3")])
