"""Notebook 06: the counter on known answers, the losses by hand, the lines, and mutations that these catch."""

import math
import types

import numpy as np
import pytest
import torch
from notebook_code import cell, run_cells
from torch import nn
from torch.nn.functional import softplus

from helpers import (
    CourseError,
    Game,
    Player,
    check,
    falling,
    load_results,
    normal,
    rows,
    sweep,
    uniform,
    zero_gradient_penalty,
)
from helpers.gradients import gradient_penalty

QUIET = {"print": lambda *a, **k: None}
NAMES = {"np": np, "torch": torch, "nn": nn, "softplus": softplus, "CourseError": CourseError, "check": check}
TOYS = ["centres", "counter-code"]
LOSSES = ["loss-classic", "loss-wgan-code", "loss-modern-code"]
SIGMA = {"SIGMA": {"ring": 0.02, "grid": 0.05}}


def toys(*changes):
    page = run_cells("06", "centres", change=[c for c in changes if c[0] in cell("06", "centres")], **NAMES, **QUIET)
    page = page | {"CENTRES": {"ring": page["ring"](), "grid": page["grid"]()}} | SIGMA
    return run_cells("06", "counter-code", change=[c for c in changes if c[0] in cell("06", "counter-code")], **page)


def losses(*changes):
    names = NAMES | {"zero_gradient_penalty": zero_gradient_penalty}
    return run_cells("06", *LOSSES, change=list(changes), **names)


n, loss = toys(), losses()


def test_the_ring_has_eight_places_and_the_grid_twenty_five():
    ring = n["CENTRES"]["ring"]
    gaps = np.linalg.norm(ring - np.roll(ring, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 4 * math.sin(math.pi / 8), rtol=1e-12)  # eight equal sides: no two are the same
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1), 2, rtol=1e-12)
    assert len(np.unique(n["CENTRES"]["grid"], axis=0)) == 25 and n["CENTRES"]["grid"].min() == -4


def real(toy, count=2500, seed=5):
    random = np.random.default_rng(seed)
    centres = n["CENTRES"][toy]
    return centres[random.integers(0, len(centres), count)] + SIGMA["SIGMA"][toy] * random.standard_normal((count, 2))


def test_the_counter_on_known_answers():
    for toy, heaps in [("ring", 8), ("grid", 25)]:
        modes, solid, good, reverse_kl = n["count_modes"](real(toy), toy)
        assert modes == solid == heaps and reverse_kl < 0.02
        assert abs(good - 100 * (1 - math.exp(-4.5))) < 0.8  # a normal cloud in the plane, within 3σ
    centres = n["CENTRES"]["ring"]
    np.testing.assert_allclose(n["count_modes"](centres[:1].repeat(2500, 0), "ring"), [1, 1, 100, math.log(8)])
    np.testing.assert_allclose(n["count_modes"](centres[:2].repeat(1250, 0), "ring"), [2, 2, 100, math.log(4)])
    np.testing.assert_allclose(n["count_modes"](centres.repeat(300, 0), "ring"), [8, 8, 100, 0], atol=1e-12)


def test_the_counter_at_its_edges():
    centre, far = n["CENTRES"]["ring"][:1], np.array([[0.0, 0.0]])
    inside, outside = centre + np.array([0.0599, 0]), centre + np.array([0.0601, 0])  # 3σ = 0.06
    assert n["count_modes"](inside, "ring")[0] == 1 and n["count_modes"](outside, "ring")[0] == 0
    counts = n["count_modes"](np.concatenate([centre.repeat(50, 0), far.repeat(50, 0)]), "ring")
    np.testing.assert_allclose(counts, [1, 1, 50, math.log(8)])
    none = n["count_modes"](far.repeat(10, 0), "ring")
    assert none[:3].tolist() == [0, 0, 0] and np.isnan(none[3])


def test_one_point_a_heap_captures_it_but_is_not_one_percent():
    cheat = np.concatenate([n["CENTRES"]["ring"], n["CENTRES"]["ring"][:1].repeat(2492, axis=0)])
    assert n["count_modes"](cheat, "ring")[:2].tolist() == [8, 1]


def slope_net(k):
    """A critic whose slope is k everywhere: s(x) = k · x₁, and G that returns its noise."""
    return types.SimpleNamespace(D=lambda x: k * x[:, :1], G=lambda z: z)


def batch(seed=0, size=400):
    random = torch.Generator().manual_seed(seed)
    x, z = torch.randn(2, size, 2, generator=random) + torch.tensor([[[3.0, 0]], [[-1.0, 0]]])
    return types.SimpleNamespace(x=x, z=z, eps=torch.rand(size, 1, generator=random))


def test_classic_losses_by_hand():
    nets, b = slope_net(2.0), batch()
    real_p, fake_p = torch.sigmoid(2 * b.x[:, 0]), torch.sigmoid(2 * b.z[:, 0])
    value = -(real_p.log().mean() + (1 - fake_p).log().mean())
    torch.testing.assert_close(loss["d_classic"](nets, b, None), value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss["g_saturating"](nets, b, None), (1 - fake_p).log().mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss["g_non_saturating"](nets, b, None), -fake_p.log().mean(), rtol=1e-4, atol=1e-5)


def test_wasserstein_losses_by_hand_without_a_logarithm_or_a_hinge():
    b = batch()
    for k in (0.5, 5.0):  # a hinge would cut off at 1
        gap = k * (b.z[:, 0].mean() - b.x[:, 0].mean())
        torch.testing.assert_close(loss["d_critic"](slope_net(k), b, None), gap)
        torch.testing.assert_close(loss["g_critic"](slope_net(k), b, None), -k * b.z[:, 0].mean())


def test_the_gradient_penalty_by_hand():
    b, member = batch(), types.SimpleNamespace(penalty=torch.tensor(0.1))
    for k in (0.0, 1.0, 3.0):
        expected = k * (b.z[:, 0].mean() - b.x[:, 0].mean()) + 0.1 * (k - 1) ** 2
        torch.testing.assert_close(loss["d_critic_gp"](slope_net(k), b, member), expected, rtol=1e-4, atol=1e-5)


def test_the_penalty_is_taken_between_the_pairs_one_number_for_each():
    """s = |x|²/2 has the slope x: the penalty then says where it was taken. And the helper's formula agrees."""
    b, member = batch(), types.SimpleNamespace(penalty=torch.tensor(1.0))
    nets = types.SimpleNamespace(D=lambda x: x.square().sum(1, keepdim=True) / 2, G=lambda z: z)
    gap = nets.D(b.z).mean() - nets.D(b.x).mean()
    places = torch.stack([e * x + (1 - e) * z for x, z, e in zip(b.x, b.z, b.eps, strict=True)])
    expected = gap + (places.norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(loss["d_critic_gp"](nets, b, member), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gap + gradient_penalty(nets.D, b.x, b.z, b.eps), expected, rtol=1e-4, atol=1e-5)


def test_the_pages_draw_of_eps_is_uniform_and_one_for_each_pair():
    game = make_game("WGAN-GP")
    eps = game.batch("D")["eps"]
    assert eps.shape == (2, 128, 1) and eps.min() >= 0 and eps.max() < 1
    assert abs(eps.mean() - 0.5) < 0.06 and abs(eps.std() - math.sqrt(1 / 12)) < 0.04


def test_a_flat_critic_has_a_finite_slope():
    """At slope 0 a bare root would give NaN, and training would end there."""
    weight = torch.zeros(2, 1, requires_grad=True)
    nets = types.SimpleNamespace(D=lambda x: x @ weight, G=lambda z: z)
    loss["d_critic_gp"](nets, batch(), types.SimpleNamespace(penalty=torch.tensor(0.1))).backward()
    assert weight.grad.isfinite().all()


def test_relativistic_losses_by_hand():
    b, member, k = batch(), types.SimpleNamespace(penalty=torch.tensor(0.1)), 2.0
    lead = k * (b.x[:, :1] - b.z[:, :1])
    expected = -torch.sigmoid(lead).log().mean() + 0.05 * 2 * k**2
    torch.testing.assert_close(loss["d_pair"](slope_net(k), b, member), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss["g_pair"](slope_net(k), b, None), softplus(lead).mean())


def test_players_pull_in_opposite_directions():
    """Moving the drawn points up the score makes every G happier and every D sadder."""
    member = types.SimpleNamespace(penalty=torch.tensor(0.0))
    pairs = [("d_classic", "g_saturating"), ("d_classic", "g_non_saturating"), ("d_critic", "g_critic")]
    for d, g in [*pairs, ("d_critic_gp", "g_critic"), ("d_pair", "g_pair")]:
        low, high = batch(), batch()
        high.z = high.z + torch.tensor([0.5, 0.0])
        assert loss[g](slope_net(1.0), high, member) < loss[g](slope_net(1.0), low, member), g
        assert loss[d](slope_net(1.0), high, member) > loss[d](slope_net(1.0), low, member), d


def page_names():
    core = {"Game": Game, "Player": Player, "falling": falling, "normal": normal, "rows": rows, "sweep": sweep}
    names = NAMES | n | losses() | core | QUIET | {"uniform": uniform, "device": "cpu", "check_gpu": lambda: "cpu"}
    return names | {"real_points": real}


def make_game(name, toy="ring", steps=20, seeds=2, change=(), **options):
    page = run_cells("06", "nets-code", "game-code", "make-game", change=list(change), **page_names())
    return page["make_game"](name, toy, steps, seeds=seeds, **options)


def clipped_weights(change=()):
    game = make_game("WGAN, clipped", change=change)
    game.train(5, progress=False)
    return max(abs(p).max().item() for i in range(2) for p in game.member(i).D.parameters())


def test_clipping_holds_and_only_there():
    assert 0.29 < clipped_weights() < 0.30001
    others = make_game("WGAN-GP")
    others.train(5, progress=False)
    assert max(abs(p).max().item() for p in others.member(0).D.parameters()) > 0.35


def test_a_page_that_never_clips_is_noticed():
    change = [('{"clip": SETTINGS["clip"], "repeats": SETTINGS["clip repeats"]}', '{"repeats": 3}')]
    assert clipped_weights(change) > 0.35


@pytest.mark.parametrize("name", ["saturating", "non-saturating", "WGAN, clipped", "WGAN-GP", "relativistic"])
def test_a_turn_of_d_moves_d_only_and_a_turn_of_g_only_g(name):
    """A missing detach cannot train the other player: each trains the networks that it owns."""
    game = make_game(name)
    for player, other in [("D", "G"), ("G", "D")]:
        before = {net: game.state[net]["weights"].clone() for net in "DG"}
        game.train(3, only=player, progress=False)
        assert torch.equal(before[other], game.state[other]["weights"])
        assert not torch.equal(before[player], game.state[player]["weights"])


def test_in_a_hand_written_loop_a_missing_detach_does_leave_slopes_in_g():
    """What the page says of other people's loops."""
    torch.manual_seed(0)
    nets = types.SimpleNamespace(G=nn.Linear(2, 2), D=nn.Linear(2, 1))
    loss["d_classic"](nets, batch(), None).backward()
    assert nets.G.weight.grad.abs().max() > 0
    held = types.SimpleNamespace(G=lambda z: nets.G(z).detach(), D=nets.D)
    nets.G.weight.grad = None
    loss["d_classic"](held, batch(), None).backward()
    assert nets.G.weight.grad is None


def test_the_lines():
    page = run_cells("06", "lines-exact", **NAMES, **QUIET)
    for theta in (-0.7, 0.01, 1.0):
        w, js, kl, tv = page["line_measures"](theta)
        assert w == abs(theta) and math.isclose(js, math.log(2)) and kl == math.inf and math.isclose(tv, 1)
    np.testing.assert_allclose(page["line_measures"](0.0), 0, atol=1e-12)


def stored_table():
    return load_results("06_modes")


def test_stored_table_belongs_to_the_pages_settings():
    stored = stored_table()
    page = run_cells("06", "game-code", **page_names())
    races = run_cells("06", "full-code", **NAMES, LOSSES=page["LOSSES"])["RACES"]
    assert stored["settings"] == page["SETTINGS"] and set(stored["versions"]) == {"python", "torch", "numpy"}
    assert {n: (r["toy"], r["steps"], list(r["results"])) for n, r in stored["values"].items()} == races
    for race in stored["values"].values():
        assert all(np.array(r, dtype=float).shape == (16, 4) for r in race["results"].values())
        assert all(seconds > 0 for seconds in race["seconds"].values())


def test_stored_table_keeps_its_promises():
    results = {
        n: {k: np.array(v, dtype=float) for k, v in r["results"].items()} for n, r in stored_table()["values"].items()
    }
    assert any((r[:, :2] == 8).all() and r[:, 2].mean() >= 90 for r in results["ring"].values())
    assert any(r[:, 0].mean() >= 24.5 for r in results["grid, longer"].values())


@pytest.mark.slow
def test_a_cell_of_the_stored_table_computed_anew():
    """Two seeds of one loss on the ring, at full length: within what 16 seeds scatter."""
    race = stored_table()["values"]["ring"]
    was = np.array(race["results"]["non-saturating"], dtype=float)
    game = make_game("non-saturating", steps=race["steps"], seeds=2)
    game.train(until=race["steps"], progress=False)
    drawn = game.evaluate(lambda nets, member: nets.G(torch.randn(2500, 2)))
    now = np.array([n["count_modes"](points, "ring") for points in drawn])
    room = np.maximum(4 * was.std(axis=0, ddof=1), [1, 2, 8, 0.2])
    assert (np.abs(now - was.mean(axis=0)) < room).all(), (now, was.mean(axis=0), room)


MUTATIONS = {
    "the ring with its end point": (", endpoint=False", ""),
    "a radius of 1": ("return radius *", "return"),
    "a grid of 16": ("np.linspace(-4, 4, side)", "np.linspace(-4, 4, side - 1)"),
    "high quality within 1σ": ("3 * SIGMA", "1 * SIGMA"),
    "a counter that counts every point": ("[good]", ""),
    "a mode needs no point": ("(counts > 0).sum()", "len(counts)"),
    "reverse KL has the wrong sign": ("+ np.sum(q", "- np.sum(q"),
    "reverse KL forgets ln K": ("np.log(heaps) +", "0 +"),
    "reverse KL over all points": ("max(1, counts.sum())", "len(points)"),
    "1 % of the good points only": ("0.01 * len(points)", "0.01 * counts.max()"),
}
LOSS_MUTATIONS = {
    "D's answers are exchanged": ("softplus(-s_real) + softplus(s_fake)", "softplus(s_real) + softplus(-s_fake)"),
    "saturating is non-saturating": ("-softplus(nets.D(nets.G(batch.z)))", "softplus(-nets.D(nets.G(batch.z)))"),
    "saturating has the wrong sign": ("return -softplus(", "return softplus("),
    "non-saturating has the wrong sign": ("return softplus(-nets.D(nets.G", "return softplus(nets.D(nets.G"),
    "the critic has the wrong sign": (
        "return nets.D(nets.G(batch.z)).mean() - nets.D(batch.x).mean()",
        "return nets.D(batch.x).mean() - nets.D(nets.G(batch.z)).mean()",
    ),
    "a hinge called Wasserstein": (
        "return nets.D(nets.G(batch.z)).mean() - nets.D(batch.x).mean()",
        "return (1 + nets.D(nets.G(batch.z))).relu().mean() + (1 - nets.D(batch.x)).relu().mean()",
    ),
    "G runs from the critic": ("return -nets.D(nets.G(batch.z)).mean()", "return nets.D(nets.G(batch.z)).mean()"),
    "one ε for the whole batch": ("batch.eps * x", "batch.eps[0] * x"),
    "one ε for the whole batch, twice": ("(1 - batch.eps) * fake", "(1 - batch.eps[0]) * fake"),
    "ε for each coordinate": ("batch.eps * x + (1 - batch.eps)", "(e := torch.rand_like(x)) * x + (1 - e)"),
    "ε from a normal": ("batch.eps * x + (1 - batch.eps)", "(e := torch.randn_like(batch.eps)) * x + (1 - e)"),
    "ε is 1": ("batch.eps * x + (1 - batch.eps) * fake", "x"),
    "the bare root": (" + 1e-12", ""),
    "the penalty forgets the 1": ("(norm - 1)", "norm"),
    "the penalty has the wrong sign": ("+ member.penalty * (norm", "- member.penalty * (norm"),
    "the penalty has no weight": ("+ member.penalty * (norm", "+ (norm"),
    "R2 is left out": (" + zero_gradient_penalty(nets.D, fake)", ""),
    "γ is not halved": ("member.penalty / 2", "member.penalty"),
    "the pair is exchanged for D": ("softplus(nets.D(fake) - nets.D(x))", "softplus(nets.D(x) - nets.D(fake))"),
    "the pair is exchanged for G": (
        "softplus(nets.D(batch.x) - nets.D(nets.G(batch.z)))",
        "softplus(nets.D(nets.G(batch.z)) - nets.D(batch.x))",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_of_the_toys_and_the_counter_are_caught(name, monkeypatch):
    try:
        monkeypatch.setitem(globals(), "n", toys(MUTATIONS[name]))
    except CourseError:
        return  # the page itself stops at it
    tests = [
        test_the_ring_has_eight_places_and_the_grid_twenty_five,
        test_the_counter_on_known_answers,
        test_the_counter_at_its_edges,
        test_one_point_a_heap_captures_it_but_is_not_one_percent,
    ]
    assert not all(passes(test) for test in tests), f"no test notices that {name}"


@pytest.mark.parametrize("name", LOSS_MUTATIONS)
def test_mutations_of_the_losses_are_caught(name, monkeypatch):
    monkeypatch.setitem(globals(), "loss", losses(LOSS_MUTATIONS[name]))
    tests = [
        test_classic_losses_by_hand,
        test_wasserstein_losses_by_hand_without_a_logarithm_or_a_hinge,
        test_the_gradient_penalty_by_hand,
        test_the_penalty_is_taken_between_the_pairs_one_number_for_each,
        test_a_flat_critic_has_a_finite_slope,
        test_relativistic_losses_by_hand,
        test_players_pull_in_opposite_directions,
    ]
    assert not all(passes(test) for test in tests), f"no test notices: {name}"


PAGE = {
    "a counter that counts every point": ("[good]", ""),
    "a mode needs no point": ("(counts > 0).sum()", "len(counts)"),
    "high quality within 1σ": ("3 * SIGMA", "1 * SIGMA"),
    "reverse KL forgets ln K": ("np.log(heaps) +", "0 +"),
}


@pytest.mark.parametrize("name", PAGE)
def test_the_pages_own_calibration_stops_a_crooked_counter(name):
    page = n | QUIET | {"real_points": real}
    with pytest.raises(CourseError, match="does not hold"):
        run_cells("06", "counter-code", "calibrate-run", "cheat", change=[PAGE[name]], **page)
    run_cells("06", "counter-code", "calibrate-run", "cheat", **page)


def passes(test):
    try:
        test()
    except (AssertionError, CourseError, RuntimeError, IndexError, ValueError):
        return False
    return True
