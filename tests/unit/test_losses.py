"""Notebook 03's losses: values worked out by hand, properties, refusals, and mutations that these catch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from notebook_code import run_cells
from torch import nn

from helpers import CourseError, check, data_file, examples_of, load_pictures

NAMES = {"np": np, "torch": torch, "nn": nn, "CourseError": CourseError}
CELLS = [
    "surprise-run",
    "distribution",
    "measures",
    "js-run",
    "zeros-run",
    "simplex-measures",
    "slopes-code",
    "slopes-run",
    "losses",
]
RANDOM = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 20))
QUIET = {"print": lambda *a, **k: None, "check": lambda *a, **k: None, "true_ones": RANDOM[0], "beliefs": RANDOM[1]}


def load(*changes):
    """The page's functions, without the lines that print and check: those are the page's own guard."""
    return run_cells("03", *CELLS, change=list(changes), **NAMES, **QUIET)


KL = "p * (surprise(q) - surprise(p))"
n = load()
shares = st.lists(st.floats(0.001, 1), min_size=4, max_size=4).map(lambda w: np.array(w) / sum(w))


def test_the_lectures_numbers():
    assert round(float(n["squared_error"]([1, 0, 0], [0.6, 0.3, 0.1])), 12) == 0.26
    assert round(float(n["squared_error"]([1, 0, 0], [0.6, 0.2, 0.2])), 12) == 0.24
    for guess in ([0.6, 0.3, 0.1], [0.6, 0.2, 0.2]):
        assert math.isclose(n["cross_entropy"]([1, 0, 0], guess), -math.log(0.6), rel_tol=1e-12)
        assert round(float(n["kl"]([1, 0, 0], guess)), 3) == 0.511


def test_surprise_by_hand():
    np.testing.assert_allclose(n["surprise"]([1, 1 / math.e, 0.5, 0]), [0, 1, math.log(2), math.inf], rtol=1e-12)


def test_values_worked_out_by_hand():
    p, q = [0.5, 0.5], [0.25, 0.75]
    assert math.isclose(n["entropy"](p), math.log(2), rel_tol=1e-12)
    assert math.isclose(n["cross_entropy"](p, q), (math.log(4) + math.log(4 / 3)) / 2, rel_tol=1e-12)
    assert math.isclose(n["kl"](p, q), math.log(2) / 2 + math.log(2 / 3) / 2, rel_tol=1e-12)
    assert math.isclose(n["kl"](q, p), math.log(1 / 2) / 4 + math.log(3 / 2) * 3 / 4, rel_tol=1e-12)
    assert math.isclose(n["js"]([1, 0], [0, 1]), math.log(2), rel_tol=1e-12)
    half = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)  # KL of 0.5, 0.5 against the middle 0.75, 0.25
    assert math.isclose(n["js"]([1, 0], [0.5, 0.5]), (math.log(1 / 0.75) + half) / 2, rel_tol=1e-12)


def test_torch_agrees():
    p, q = (torch.tensor(x) for x in RANDOM)
    ours = n["cross_entropy"](*RANDOM), n["kl"](*RANDOM), n["entropy"](RANDOM[0])
    divergence = torch.distributions.kl_divergence(*(torch.distributions.Categorical(x) for x in (p, q)))
    theirs = -(p * q.log()).sum(-1), divergence, torch.distributions.Categorical(p).entropy()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-6)


def test_zero_and_missing():
    assert n["cross_entropy"]([0.5, 0.5, 0], [1, 0, 0]) == math.inf == n["kl"]([0.5, 0.5, 0], [1, 0, 0])
    assert math.isclose(n["kl"]([1, 0, 0], [0.5, 0.5, 0]), math.log(2), rel_tol=1e-12)
    assert n["cross_entropy"]([1, 0], [1, 0]) == 0 == n["kl"]([1, 0], [1, 0]) == n["js"]([1, 0], [1, 0])
    assert n["aligned"]({"a": 0.4, "b": 0.6}, {"c": 0.5, "b": 0.5}) == ([0.4, 0.6, 0.0], [0.0, 0.5, 0.5])


@pytest.mark.parametrize("bad", [[], 1.0, [0.5, math.nan], [1.5, -0.5], [0.5, 0.6], [math.inf, 0]])
def test_refusals_are_one_clear_sentence(bad):
    with pytest.raises(CourseError) as refusal:
        n["kl"](bad, [0.5, 0.5])
    assert str(refusal.value).startswith("Shares must") and str(refusal.value).endswith(".")


@pytest.mark.parametrize("guess, cost", [
    ([0.5, 0.5, -0.0], math.inf), ([0.5, 0.5, 0], math.inf), ([1e-320, 0.5, 0.5], 367.731), ([0.5, 0.5, 1e-323], 148.274),
])  # fmt: skip
def test_shares_as_small_as_a_computer_has(guess, cost, recwarn):
    truth = [0.5, 0.3, 0.2]
    assert math.isclose(n["kl"](truth, guess), cost, rel_tol=1e-4)
    ours = n["cross_entropy"](truth, guess) - n["entropy"](truth)
    assert ours == n["kl"](truth, guess) or math.isclose(ours, n["kl"](truth, guess), rel_tol=1e-12)
    for p, q in ((guess, truth), ([1, 0, 0], guess), (guess, guess), ([1, -0.0, 0], [1, 0, -0.0])):
        assert n["kl"](p, q) >= 0 and n["js"](p, q) <= math.log(2) + 1e-12
    assert not recwarn.list


def test_other_classes_are_refused():
    with pytest.raises(CourseError, match="same classes: 2 and 3"):
        n["kl"]([0.5, 0.5], [0.2, 0.3, 0.5])


@given(shares, shares)
def test_kl_is_what_cross_entropy_has_above_entropy(p, q):
    assert math.isclose(n["kl"](p, q), n["cross_entropy"](p, q) - n["entropy"](p), abs_tol=1e-9)
    assert n["kl"](p, q) >= -1e-12 and n["kl"](p, p) == 0
    assert n["cross_entropy"](p, p) <= n["cross_entropy"](p, q) + 1e-12
    assert math.isclose(n["js"](p, q), n["js"](q, p), abs_tol=1e-12) and -1e-12 < n["js"](p, q) <= math.log(2)


def test_slopes_by_nudging_the_scores():
    z, y = np.array([0.5, 2.0, -1.0]), np.array([0.0, 0.0, 1.0])
    for loss, slope in [("cross_entropy", "slope_ce"), ("squared_error", "slope_squared")]:
        value = lambda z, loss=loss: n[loss](y, n["softmax"](z))  # noqa: E731
        nudged = [(value(z + step) - value(z - step)) / 2e-6 for step in 1e-6 * np.eye(3)]
        np.testing.assert_allclose(n[slope](z, y), nudged, atol=1e-8)


def test_confidently_wrong():
    z, y = np.array([0.0, 10.0]), np.array([1.0, 0.0])
    np.testing.assert_allclose(n["slope_ce"](z, y), n["softmax"](z) - y, atol=1e-15)
    assert n["slope_ce"](z, y)[0] < -0.999 and -2e-4 < n["slope_squared"](z, y)[0] < 0


def test_the_losses_that_race():
    p, q = (torch.tensor(x) for x in RANDOM)
    squared, crossed, divergence = n["three_losses"](q.log() + 7, p)
    assert math.isclose(squared, ((q - p) ** 2).sum().item() / 20, rel_tol=1e-9)
    assert math.isclose(crossed, -(p * q.log()).sum().item() / 20, rel_tol=1e-9)
    assert math.isclose(divergence, (p * (p / q).log()).sum().item() / 20, rel_tol=1e-9)


def test_one_hot_kl_has_the_gradient_of_cross_entropy_and_it_is_q_minus_y():
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    y = nn.functional.one_hot(torch.tensor([0, 1, 2, 3, 0, 1]), 4).double()
    _, crossed, divergence = n["three_losses"](scores, y)
    by_crossed, by_divergence = (torch.autograd.grad(x, scores, retain_graph=True)[0] for x in (crossed, divergence))
    torch.testing.assert_close(by_crossed, by_divergence)
    torch.testing.assert_close(by_crossed, (torch.softmax(scores, -1) - y) / 6)


def test_the_digits_are_split_as_the_page_says():
    page = run_cells("03", "digits", torch=torch, nn=nn, load_pictures=load_pictures, print=lambda *words: None)
    stored = np.load(data_file("mnist_10k.npz"))
    assert np.array_equal(page["labels"].numpy(), stored["labels"])
    averaged = stored["images"].reshape(10000, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(page["digits"].numpy(), averaged.reshape(10000, 196), atol=1e-6)
    parts = [(part.start, part.stop) for part in (page["to_train"], page["to_choose"], page["to_test"])]
    assert parts == [(0, 7000), (7000, 8000), (8000, 10000)]


class Artist:
    """Stands in for a line or a picture: remembers what it was given."""

    def set_data(self, *given):
        self.given = given


def drawing(*cells, **artists):
    return run_cells("03", "surprise-run", "distribution", "measures", "js-run", *cells, **NAMES, **QUIET, **artists)


def test_the_landscape_moves_with_the_truth_and_names_all_numbers():
    image, star, dot = Artist(), Artist(), Artist()
    cells = ("simplex-measures", "simplex-raster", "simplex-draw")
    page = drawing(*cells, simplex_image=image, simplex_p=star, simplex_q=dot)
    for name in page["landscapes"]:
        for truth in ([0.2, 0.5], [0.6, 0.25]):
            words = page["draw_simplex"](name, *truth, 0.6, 0.75)
            lowest = page["raster"][np.unravel_index(np.nanargmin(image.given[0]), page["inside"].shape)]
            np.testing.assert_allclose(lowest, page["three"](*truth), atol=0.01)
            assert all(f"{other} " in words for other in ("squared error", "cross-entropy", "KL(p‖q)", "KL(q‖p)", "JS"))
    words = page["draw_simplex"]("JS", 1.0, 0.5, 0.6, 0.75)
    assert "cross-entropy 0.511, squared error 0.260, KL(p‖q) 0.511, KL(q‖p) inf" in words
    assert np.isnan(image.given[0][0, 0]) == (not page["inside"][0, 0]) and np.isnan(image.given[0]).any()


def test_the_forecast_is_best_at_the_truth():
    curve = Artist()
    names = {"forecast_curve": curve, "forecast_floor": Artist(), "forecast_gap": Artist()}
    page = drawing("disorder-draw", "forecast-draw", **names, said_grid=np.linspace(0.005, 0.995, 199))
    for true in (0.1, 0.5, 0.85):
        page["draw_forecast"](true, 0.3)
        said, cost = curve.given
        assert abs(said[cost.argmin()] - true) < 1e-9
    assert page["draw_forecast"](0.0, 0.5).endswith("cross-entropy 0.693 = entropy 0.000 + KL 0.693.")


def test_forward_kl_covers_and_reverse_chooses_and_the_page_notices_a_swap():
    cells = ("surprise-run", "distribution", "measures", "js-run", "bumps-draw", "bumps-fit")
    names = {**NAMES, "print": QUIET["print"], "true_ones": RANDOM[0], "beliefs": RANDOM[1]}
    page = run_cells("03", *cells, **names, check=check)
    assert abs(page["widths"][page["cover"]] - math.sqrt(4 + 0.36)) < 0.05  # the width of both bumps together
    assert abs(page["backwards"][page["choose"]] - math.log(2)) < 0.01
    swap = ("forwards, backwards = kl(two_bumps, trial_bumps), kl(trial_bumps, two_bumps)",
            "backwards, forwards = kl(two_bumps, trial_bumps), kl(trial_bumps, two_bumps)")  # fmt: skip
    with pytest.raises(CourseError, match="covers"):
        run_cells("03", *cells, change=[swap], **names, check=check)


MUTATIONS = {
    "surprise has the wrong sign": ("0 - np.log(", "0 + np.log("),
    "surprise is in bits": ("0 - np.log(", "0 - np.log2("),
    "cross-entropy is weighted by the guess": (
        "p * np.where(p > 0, surprise(q), 0)",
        "q * np.where(q > 0, surprise(p), 0)",
    ),
    "zero times infinity is let in": ("np.where(p > 0, surprise(q), 0)", "surprise(q)"),
    "cross-entropy is a mean over classes": ("return np.sum(p * np.where", "return np.mean(p * np.where"),
    "entropy of a one": ("return cross_entropy(p, p)", "return cross_entropy(p, np.ones_like(p) / len(p))"),
    "KL has the wrong sign": (KL, KL.replace("p *", "-p *")),
    "KL is in bits": (KL, f"{KL} / np.log(2)"),
    "KL's arguments are swapped": (f"terms = {KL}", f"p, q = q, p\n        terms = {KL}"),
    "KL is weighted by the guess": (KL, KL.replace("p *", "q *")),
    "KL forgets that 0 counts nothing": ("np.where(p > 0, terms, 0)", "terms"),
    "JS is not halved": ("(kl(p, middle) + kl(q, middle)) / 2", "kl(p, middle) + kl(q, middle)"),
    "JS is turned round": ("kl(p, middle) + kl(q, middle)", "kl(middle, p) + kl(middle, q)"),
    "JS forgets the middle": ("middle = (p + q) / 2", "middle = p"),
    "negative shares are let in": (" or (p < 0).any()", ""),
    "any total is let in": ("> 1e-6", "> 10"),
    "a missing class counts as one": ("p.get(name, 0.0)", "p.get(name, 1.0)"),
    "squared error without the square": ("(q - p) ** 2", "(q - p)"),
    "squared error is a mean over classes": ("np.sum((q - p) ** 2", "np.mean((q - p) ** 2"),
    "the slope of CE is turned": ("return softmax(z) - y", "return y - softmax(z)"),
    "the slope of squared error loses softmax's own": ("2 * q * (", "2 * ("),
    "mean instead of batchmean": ("p * log_q).sum(dim=-1).mean()  #", "p * log_q).mean()  #"),
    "sum instead of batchmean": ("p * log_q).sum(dim=-1).mean()  #", "p * log_q).sum()  #"),
    "the racing KL has the wrong sign": ("torch.xlogy(p, p) - p * log_q", "p * log_q - torch.xlogy(p, p)"),
    "the racing KL is swapped": ("torch.xlogy(p, p) - p * log_q", "log_q.exp() * (log_q - p.log())"),
    "the racing KL is cross-entropy": ("torch.xlogy(p, p) - p * log_q", "-p * log_q"),
    "the racing KL is in bits": ("(torch.xlogy(p, p) - p * log_q)", "1.443 * (torch.xlogy(p, p) - p * log_q)"),
    "the racing cross-entropy has the wrong sign": ("-(p * log_q)", "(p * log_q)"),
    "the racing squared error is a mean over classes": ("- p) ** 2).sum(dim=-1)", "- p) ** 2).mean(dim=-1)"),
}


PAGE = {
    "mean instead of batchmean": ('reduction="batchmean"', 'reduction="mean"'),
    "truth and guess swapped": (
        'kl_div(log_q, soft_p, reduction="batchmean")',
        'kl_div(soft_p.log(), log_q.exp(), reduction="batchmean")',
    ),
    "the mean of ours": ("p * log_q).sum(dim=-1).mean()  #", "p * log_q).mean()  #"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PAGE)
def test_the_pages_own_checks_catch_the_wrong_mean(name):
    names = {**NAMES, "check": check, "true_ones": RANDOM[0].repeat(50, axis=0)}
    run_cells("03", "losses", "losses-check", "batchmean", **names)
    with pytest.raises(CourseError, match="does not hold"):
        run_cells("03", "losses", "losses-check", "batchmean", change=[PAGE[name]], **names)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_are_caught(name, monkeypatch):
    try:
        monkeypatch.setitem(globals(), "n", load(MUTATIONS[name]))
    except CourseError:
        return  # the page itself stops at it
    tests = [
        test_the_lectures_numbers,
        test_surprise_by_hand,
        test_values_worked_out_by_hand,
        test_torch_agrees,
        test_zero_and_missing,
        lambda: test_refusals_are_one_clear_sentence([1.5, -0.5]),
        lambda: test_refusals_are_one_clear_sentence([0.5, 0.6]),
        test_slopes_by_nudging_the_scores,
        test_the_losses_that_race,
        test_one_hot_kl_has_the_gradient_of_cross_entropy_and_it_is_q_minus_y,
    ]
    with np.errstate(all="ignore"):
        assert not all(passes(test) for test in tests), f"no test notices that {name}"


def passes(test):
    try:
        test()
    except (AssertionError, CourseError, RuntimeError, pytest.fail.Exception):
        return False
    return True


# Section 8, the race on digits.


def race_choices(change=()):
    """The race's table with made-up errors: on the digits to choose by, rate 1 is best; on the test digits, rate 4."""
    from helpers import sweep

    rates = [0.25, 1.0, 4.0]
    entrants = sweep(seed=range(16), loss=[0, 1, 2], learning_rate=rates, prejudice=[0.0])
    rate, loss = entrants.column("learning_rate"), entrants.column("loss")
    made = {"choose": np.abs(np.log(rate)) + loss / 10, "test": 2 - np.log(rate) + loss / 10}

    class game:
        @staticmethod
        def evaluate(_):
            return made[game.part]

    class parts(dict):
        def __getitem__(self, part):
            game.part = part
            return torch.zeros(1)

    names = {**NAMES, "digits": parts(), "labels": parts(), "device": "cpu", "race": game, "entrants": entrants,
             "RATES": rates, "to_choose": "choose", "to_test": "test"}  # fmt: skip
    page = run_cells("03", "race-errors", change=list(change), **names)
    assert page["tested"].shape == (3, 3, 16)
    np.testing.assert_allclose(page["chosen_on"][:, 1].mean(axis=1), [0, 0.1, 0.2], atol=1e-12)
    assert page["best"].tolist() == [1, 1, 1]
    return page


def test_each_loss_gets_the_rate_that_the_other_digits_choose():
    race_choices()
    with pytest.raises(AssertionError):
        race_choices([("best = chosen_on", "best = tested")])


def race_losses(*change):
    names = {**NAMES, **n, "three_losses": load(*change)["three_losses"]}
    page = run_cells("03", "race-loss", **names)

    class nets:
        runner = torch.nn.Identity()

    class batch:
        x, y = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]]), torch.eye(3)[:2]

    def member(loss):
        return type("member", (), {"loss": torch.tensor(loss)})

    q = torch.softmax(batch.x, -1)
    crossed = -(q[0, 0].log() + q[1, 1].log()) / 2
    wanted = [((q - batch.y) ** 2).sum(1).mean(), crossed, crossed]  # for a one-hot truth, KL is cross-entropy
    for loss, value in enumerate(wanted):
        torch.testing.assert_close(page["race_loss"](nets, batch, member(loss)), value)


def test_the_races_losses():
    race_losses()


@pytest.mark.parametrize("old, new", [("torch.xlogy(p, p)", "p * p.log()"), ("(torch.xlogy(p, p) - p", "(p")])
def test_a_wrong_kl_in_the_race_is_caught(old, new):
    with pytest.raises(AssertionError):
        race_losses((old, new))


def poem_losses(*change):
    """Squared error and cross-entropy over many classes, against the sum over all of them."""
    poems = type("poems", (), {"held_out": torch.zeros(1, 20, dtype=torch.long)})
    names = {**NAMES, "poems": poems, "examples_of": examples_of, "device": "cpu"}
    page = run_cells("03", "poem-losses", change=list(change), **names)
    scores = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    came = torch.tensor([0, 3, 6, 3])
    nets = type("nets", (), {"reader": staticmethod(lambda before: scores)})
    batch = type("batch", (), {"before": None, "came": came})
    q, y = scores.softmax(-1), nn.functional.one_hot(came, 7)
    torch.testing.assert_close(page["poem_squared"](nets, batch, None), ((q - y) ** 2).sum(-1).mean())
    torch.testing.assert_close(page["poem_crossed"](nets, batch, None), -(y * q.log()).sum(-1).mean())


def test_the_poems_losses():
    poem_losses()
    with pytest.raises(AssertionError):
        poem_losses(("- 2 * right + 1", "- right + 1"))


def test_disorder_is_the_average_surprise():
    page = run_cells("03", "surprise-run", "disorder-draw", **NAMES, **QUIET, disorder_dot=Artist())
    assert page["average_surprise"](page["two"](0.1)) == pytest.approx(-0.1 * math.log(0.1) - 0.9 * math.log(0.9))
    assert page["average_surprise"](page["two"](np.array([0.0, 1.0]))).tolist() == [0, 0]
    assert page["draw_disorder"](0.5) == "Rain on 50% of the days: surprised by 0.693 nats a day."


def relearned(*change):
    """The loss after the labels were put right, for a network that says 2, 0, 0 to a picture of a 0."""
    one_hots = torch.eye(3)
    names = {**NAMES, "one_hots": one_hots, "to_train": slice(0, 3), "device": "cpu", "digits": torch.eye(3), "RATES": [1.0],
             "three_losses": n["three_losses"], "rows": lambda *a, **k: None, "sweep": lambda **k: None, "make_runner": None,
             "Player": lambda *a, **k: None, "Game": lambda **k: None}  # fmt: skip
    page = run_cells("03", "relearn-make", change=list(change), **names)
    nets = type("nets", (), {"runner": torch.nn.Identity()})
    batch = type("batch", (), {"x": torch.tensor([[2.0, 0.0, 0.0]]), "page": torch.tensor([0])})
    member = type("member", (), {"loss": torch.tensor(1)})
    page["misled_runners"]()
    first = page["relearn_loss"](nets, batch, member).item()
    page["printed"].copy_(one_hots)
    return first, page["relearn_loss"](nets, batch, member).item()


def test_the_book_is_wrong_first_and_then_right():
    q = torch.tensor([2.0, 0.0, 0.0]).softmax(-1)
    assert relearned() == pytest.approx((-q[1].log().item(), -q[0].log().item()))
