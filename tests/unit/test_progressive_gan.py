"""Notebook 07: the parts by hand, growing that changes nothing, losses and mutations, the stored table."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from notebook_code import run_cells
from torch import nn
from torch.nn import functional as F

import helpers
from helpers import CourseError

NAMES = {"np": np, "torch": torch, "nn": nn, "F": F, "device": torch.device("cpu")} | {
    name: getattr(helpers, name) for name in helpers.__all__
}
QUIET = {"print": lambda *a, **k: None, "check": helpers.check}
PARTS = ["down-up", "layer", "pixel-norm", "spread", "blend"]
NETS = [*PARTS, "painter", "critic"]
FACES = helpers.load_faces()


def load(*cells, change=(), **names):
    return run_cells("07", *cells, change=list(change), **{**NAMES, **QUIET, "faces": FACES, **names})


@pytest.fixture(scope="module")
def page():
    return load(*NETS, "losses", "stage")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_down_and_up_by_hand(page):
    x = torch.tensor([[1.0, 3.0], [5.0, 7.0]]).view(1, 1, 2, 2)
    assert page["down"](x).item() == 4
    assert page["up"](x)[0, 0].tolist() == [[1, 1, 3, 3], [1, 1, 3, 3], [5, 5, 7, 7], [5, 5, 7, 7]]
    assert torch.equal(page["down"](page["up"](x)), x)
    assert page["at_size"](FACES.x[:2], 4).shape == (2, 3, 4, 4)
    assert torch.equal(page["full_size"](x)[0, 0, ::8, ::8], x[0, 0])


def test_pixel_norm_by_hand(page):
    b = page["pixel_norm"](torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).flatten()
    np.testing.assert_allclose(b, np.array([3, 4]) / math.sqrt(12.5), rtol=1e-6)
    x = random(3, 8, 5, 5)
    torch.testing.assert_close(page["pixel_norm"](7 * x), page["pixel_norm"](x), rtol=1e-5, atol=1e-6)
    assert page["pixel_norm"](torch.zeros(1, 4, 2, 2)).abs().max() == 0  # no division by zero
    one = page["pixel_norm"](x)[1:2]
    assert torch.equal(page["pixel_norm"](x[1:2]), one), "it looks at other pictures"


def test_spread_by_hand(page):
    x = torch.tensor([0.0, 2.0]).view(2, 1, 1, 1)
    assert math.isclose(page["spread"](x).item(), 1, rel_tol=1e-6)
    assert math.isclose(page["spread"](3 * x).item(), 3, rel_tol=1e-6)
    both = torch.cat([x, torch.tensor([5.0, 5.0]).view(2, 1, 1, 1)], dim=3)  # spreads 1 and 0: the average is ½
    assert math.isclose(page["spread"](both).item(), 0.5, abs_tol=1e-4)
    same = random(1, 3, 4, 4).expand(6, -1, -1, -1)
    assert page["spread"](same).item() < 2e-4
    y = random(6, 3, 4, 4)
    wide = page["with_spread"](y)
    assert wide.shape == (6, 4, 4, 4) and torch.equal(wide[:, :3], y)
    assert (wide[:, 3] == page["spread"](y)).all()
    assert (page["with_spread"](y, on=False)[:, 3] == 0).all()


def test_spread_has_a_slope_even_when_all_are_the_same(page):
    x = random(1, 3, 4, 4).repeat(4, 1, 1, 1).requires_grad_()
    page["spread"](x).backward()
    assert x.grad.isfinite().all()


def test_equalised_layer_is_the_plain_one_at_the_start_and_moves_evenly(page):
    torch.manual_seed(3)
    equal = page["Layer"](20, 7)
    torch.manual_seed(3)
    plain = page["Layer"](20, 7, equal=False)
    x = random(2, 20, 6, 6)
    torch.testing.assert_close(equal(x), plain(x), rtol=1e-4, atol=1e-5)
    assert math.isclose(equal.scale, math.sqrt(2 / 180)) and plain.scale == 1
    assert abs(equal.weight.std() - 1) < 0.05 and abs(plain.weight.std() - math.sqrt(2 / 180)) < 0.01
    assert page["Layer"](3, 5, 1, gain=1.0)(random(2, 3, 4, 4)).shape == (2, 5, 4, 4)


def test_blend_by_hand(page):
    coarse, fine = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 2, 2), 4.0)
    for alpha, value in [(0.0, 0), (0.25, 1), (1.0, 4)]:
        assert (page["blend"](coarse, fine, alpha) == value).all()
        assert (page["blend"](coarse, fine, torch.tensor(alpha)) == value).all()


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("options", [{}, {"equal": False}])
def test_growing_changes_nothing_at_the_beginning(page, size, options):
    torch.manual_seed(1)
    small, large = (page["Painter"](s, **options) for s in (size // 2, size))
    large.load_state_dict(small.state_dict(), strict=False)
    z = random(4, page["Z"])
    torch.testing.assert_close(large(z, 0.0), page["up"](small(z)))
    assert (large(z, 1.0) - page["up"](small(z))).abs().max() > 0.01
    small, large = (page["Critic"](s, **options) for s in (size // 2, size))
    large.load_state_dict(small.state_dict(), strict=False)
    x = random(4, 3, size, size)
    torch.testing.assert_close(large(x, 0.0), small(page["down"](x)))
    assert (large(x, 1.0) - small(page["down"](x))).abs().max() > 1e-4
    # everything the small ones know is still in the large ones
    assert set(small.state_dict()) < set(large.state_dict())


def test_d_sees_the_spread_of_its_batch_and_without_the_channel_does_not(page):
    x = FACES.x[:8]
    for on in (True, False):
        torch.manual_seed(0)
        critic = page["Critic"](16, spread=on)
        alone = critic(x[:1].expand(8, -1, -1, -1))[0]
        assert torch.isclose(critic(x)[0], alone, atol=1e-6) == (not on)


def test_no_network_keeps_running_statistics(page):
    assert not list(page["Painter"](16).buffers()) and not list(page["Critic"](16).buffers())


def member(fade=1):
    return SimpleNamespace(fade=torch.tensor(float(fade)))


def a_batch(step=0, size=16, seed=0):
    real = F.avg_pool2d(FACES.x[:16], 16 // size)
    return SimpleNamespace(x=real, z=random(16, 32, seed=seed), step=torch.tensor(float(step)))


def test_alpha_rises_in_a_straight_line_and_stays_at_one(page):
    alphas = [page["alpha_now"](a_batch(step), member(4)).item() for step in range(6)]
    assert alphas == [0.25, 0.5, 0.75, 1, 1, 1]
    assert page["alpha_now"](a_batch(0), member(1)) == 1


class Noted(nn.Module):
    """A network that writes down what it was shown."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.seen = answer, []

    def forward(self, x, alpha):
        self.seen.append((x.detach(), float(alpha)))
        return self.answer(x)


def test_the_losses_by_hand(page):
    drawn = random(16, 3, 16, 16, seed=1)
    w = random(768, seed=2) / 50
    nets = SimpleNamespace(G=Noted(lambda z: drawn), D=Noted(lambda x: x.flatten(1) @ w))
    batch, alpha = a_batch(step=9), 0.25
    soft = 0.75 * page["up"](page["down"](batch.x)) + 0.25 * batch.x
    real, fake = (x.flatten(1) @ w for x in (soft, drawn))
    r1 = w.square().sum()
    expected = F.softplus(-real).mean() + F.softplus(fake).mean() + page["GAMMA"] / 2 * r1
    torch.testing.assert_close(page["d_loss"](nets, batch, member(40)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(page["g_loss"](nets, batch, member(40)), F.softplus(-fake).mean(), rtol=1e-4, atol=1e-5)
    assert {a for net in (nets.G, nets.D) for _, a in net.seen} == {alpha}, "somebody got another α"
    assert len(nets.D.seen[0][0]) == page["BATCH"] // 2
    for x, _ in nets.D.seen:
        assert len(x) <= 16, "real and drawn faces in one batch would share their spread"


def d_trains_only_itself(change=()):
    page = load(*NETS, "losses", change=change)
    nets = SimpleNamespace(G=page["Painter"](8), D=page["Critic"](8))
    slopes = torch.autograd.grad(
        page["d_loss"](nets, a_batch(size=8), member()), list(nets.G.parameters()), allow_unused=True
    )
    return all(slope is None for slope in slopes)


def test_a_missing_detach_is_noticed():
    assert d_trains_only_itself()
    assert not d_trains_only_itself([("nets.G(batch.z, alpha).detach()", "nets.G(batch.z, alpha)")])


def test_a_turn_moves_its_own_network_only_and_the_next_stage_takes_over_what_was_learned(page):
    game = page["new_stage"](4)
    for mover, other in (("D", "G"), ("G", "D")):
        before = {name: game.state[name]["weights"].clone() for name in "GD"}
        game.train(2, only=mover, progress=False)
        assert torch.equal(game.state[other]["weights"], before[other])
        assert not torch.equal(game.state[mover]["weights"], before[mover])
    learned = game.member(0, averaged=False)
    grown = page["new_stage"](8, learned).member(0, averaged=False)
    for name in "GD":
        new, old = getattr(grown, name).state_dict(), getattr(learned, name).state_dict()
        assert all(torch.equal(new[key], old[key]) for key in old) and len(new) > len(old)
    fresh = page["new_stage"](8).member(0, averaged=False)
    assert not torch.equal(fresh.G.start.weight, learned.G.start.weight)


def test_the_stages_fade_and_the_first_one_does_not(page):
    learned = page["new_stage"](4).member(0)
    assert page["new_stage"](4).members[0].fade == 1
    assert page["new_stage"](8, learned).members[0].fade == round(page["FADE"] * page["STEPS"][8])
    assert page["new_stage"](8, learned, fade=0).members[0].fade == 1
    assert page["new_stage"](16).members[0].fade == 1, "direct training has nothing to fade from"


def test_multiplications_by_hand():
    page = load("cost")
    width = {4: 2, 8: 3}
    at_4, at_8 = 9 * 16 * (2 * 2 + 2 * 2), 9 * 64 * (2 * 3 + 3 * 3)
    assert page["multiplications"](4, width) == at_4 and page["multiplications"](8, width) == at_4 + at_8
    assert math.isclose(page["saved"](8, width), 2 * (at_4 + at_8) / (2 * at_4 + at_8))


def panel(*cells, **names):
    """The live figure that the last of these cells shows."""
    import matplotlib.pyplot as plt

    shown = []
    names = {**names, "plt": plt, "live": lambda *a, **k: shown.append(helpers.live(*a, **k))}
    load(*cells, **names)
    return shown[-1]


def moves(live, **steps):
    """The sentences for each of these settings of one slider; sentence and picture must differ every time."""
    (name, values), seen = next(iter(steps.items())), []
    for value in values:
        live.set(**{name: value})
        seen.append((live.text, live.png))
    assert len({text for text, _ in seen}) == len({png for _, png in seen}) == len(values), [text for text, _ in seen]
    return [text for text, _ in seen]


def test_the_size_slider():
    live = panel("down-up", "kept", "size-live")
    assert "at 4 × 4 pixels: 40.3%" in moves(live, first=[1, 2, 0])[-1]
    assert "100.0%" in moves(live, size=[1, 2, 4, 8, 16])[-1]


def test_the_loudness_slider():
    live = panel("pixel-norm", "norm-live", "norm-figure")
    *_, loud = moves(live, gain=[0.5, 1.0, 2.0])
    assert loud.endswith("1.00 with it.") and float(loud.split("8 layers ")[1].split()[0]) > 20


def test_the_spread_slider_falls_to_zero():
    live = panel("spread", "spread-live")
    numbers = [float(text.split("says ")[1].rstrip(".")) for text in moves(live, same=range(1, 17))]
    assert sorted(numbers, reverse=True) == numbers and numbers[-1] == 0.0001
    moves(live, batch=[1, 2, 3])


def test_the_alpha_slider_shows_the_blend_that_training_uses():
    torch.manual_seed(0)
    live = panel(*NETS, "grow-check", "alpha-real-live")
    moves(live, alpha=[0.0, 0.01, 0.5, 0.99, 1.0])
    moves(live, face=[1, 2])


def test_the_cost_slider():
    live = panel("cost", "cost-draw", "cost-live")
    assert "2.57 times" in moves(live, power=range(3, 11))[-1]


def a_short_school():
    page = load(*NETS, "losses", "stage", "lesson-4", change=[("{4: 150, 8: 200, 16: 450}", "{4: 50, 8: 50, 16: 50}")])
    for size in (4, 8, 16):
        if size > 4:
            page = run_cells("07", f"lesson-{size}", **page)
        page["stages"][size].train(until=2, callback=page["keep"], every=2, progress=False)
    return page


@pytest.mark.slow
def test_the_sliders_over_a_trained_school_and_the_alpha_of_each_shot():
    page = a_short_school()
    assert sorted(page["film"]) == [(size, step) for size in (4, 8, 16) for step in (0, 2)]
    film = panel("film-live", **page)
    texts = moves(film, shot=[0, 1, 2, 3, 4])
    assert texts[2] == "8 × 8 pixels, step 0, α = 0.00." and texts[3] == "8 × 8 pixels, step 2, α = 0.10."
    page["hand"] = page["stages"][16].member(0).G
    fade = panel("alpha-live", **page)
    assert "α = 0.00: 0.0000 away" in moves(fade, alpha=[0.5, 1.0, 0.0])[-1]
    moves(fade, number=[0, 1, 2])
    between = panel("between-live", **page, judge=helpers.face_judge())
    for knob, values in {"first": [0, 1], "second": [51, 50], "way": [0.0, 0.3, 1.0]}.items():
        moves(between, **{knob: values})


TABLE = [*NETS, "judge", "ruler", "losses", "stage", "arms", "growing", "direct", "table-code"]


@pytest.fixture(scope="module")
def table():
    return helpers.load_results("07_growing"), load(*TABLE, time=__import__("time"))


def test_the_stored_table_was_made_with_the_settings_of_the_page(table):
    stored, page = table
    assert stored["settings"] == page["settings"] and set(stored["versions"]) == {"python", "torch", "numpy"}
    assert set(stored["values"]) == {"clock", "direct", *page["ARMS"]} and stored["minutes"] > 1
    seen = [
        sum(page["STEPS"][s] // page["SHORT"] for s in (4, 8, 16) if s <= size) * page["BATCH"] for size in (4, 8, 16)
    ]
    for arm in page["ARMS"]:
        lines = np.array(stored["values"][arm])
        assert lines.shape == (5, 3, 8) and (lines[:, :, 0] == seen).all() and (lines[:, :, 2] > 1.5).all()
    growing, direct = (np.array(stored["values"][name]) for name in ("growing, all parts", "direct"))
    assert direct.shape == (5, 2, 8)
    clock = np.array(stored["values"]["clock"])  # seconds of a step at 4, 8, 16
    seconds = sum(clock * [page["STEPS"][s] // page["SHORT"] for s in (4, 8, 16)])
    assert np.abs(growing[:, -1, 1] - seconds).max() < 0.06, "not by the clock"
    assert np.abs(direct[:, 0, 1] - growing[:, -1, 1]).max() <= clock[-1] + 0.1, "not the same time"
    assert np.abs(direct[:, :, 0] / page["BATCH"] * clock[-1] - direct[:, :, 1]).max() < 0.06, "not by the clock"
    assert (direct[:, 1, 0] == growing[:, -1, 0]).all(), "not as many pictures"


@pytest.mark.weekly
def test_two_stages_of_the_stored_table_trained_again(table):
    stored, page = table
    was = stored["values"]["growing, all parts"][1]
    short = {4: page["STEPS"][4], 8: page["STEPS"][8]}
    again = run_cells("07", "growing", **{**page, "WIDTH": short, "print": lambda *a, **k: None})["growing"]
    now = again(1, dict(zip((4, 8, 16), stored["values"]["clock"], strict=True)))
    for old, new in zip(was, now, strict=False):
        assert new[0] == old[0] and 0.6 < new[2] / old[2] < 1.6, (old, new)


def test_the_clock_takes_the_middle_of_turns_in_which_sizes_alternate(table, monkeypatch):
    _, page = table
    now, asked = [0.0], []

    class Slow:
        def __init__(self, size):
            self.size = size

        def train(self, steps):
            asked.append(self.size)
            now[0] += steps * self.size * (100 if len(asked) in (1, 5) else 1)  # a warm-up and one hiccup

    monkeypatch.setattr(helpers, "seconds_on", lambda device: now[0])
    names = {**page, "new_stage": Slow, "print": lambda *a, **k: None}
    assert run_cells("07", "clock", **names)["clock"](turns=5) == {4: 4.0, 8: 8.0, 16: 16.0}
    assert asked == [4, 8, 16] * 6


MUTATIONS = {
    "pixel norm over the batch": ("x.square().mean(dim=1, keepdim=True)", "x.square().mean(dim=0, keepdim=True)"),
    "pixel norm by the sum": ("x.square().mean(dim=1", "x.square().sum(dim=1"),
    "pixel norm forgets the root": ("keepdim=True) + 1e-8).sqrt()", "keepdim=True) + 1e-8)"),
    "spread within each picture": ("x.var(dim=0, correction=0)", "x.var(dim=1, correction=0)"),
    "spread is the variance": ("(x.var(dim=0, correction=0) + 1e-8).sqrt().mean()", "x.var(dim=0, correction=0).mean()"),
    "spread with a bare root": (" + 1e-8).sqrt().mean()", ").sqrt().mean()"),
    "spread divides by n − 1": ("correction=0", "correction=1"),
    "the scale is forgotten": ("self.weight * self.scale", "self.weight"),
    "He's constant without the places": ("inputs * size**2", "inputs"),
    "α the wrong way round": ("torch.lerp(up(coarse), fine, alpha)", "torch.lerp(fine, up(coarse), alpha)"),
    "D fades the wrong way round": ("torch.lerp(look(s // 2, down(x)), h, alpha)", "torch.lerp(h, look(s // 2, down(x)), alpha)"),
    "G does not fade": ("blend(*pictures[-2:], alpha)", "pictures[-1]"),
    "D never sees the spread": ("with_spread(h, self.spread)", "with_spread(h, False)"),
    "real faces are not blended": ("x, drawn = blend(down(batch.x), batch.x, alpha)", "x, drawn = batch.x"),
    "G plays without α": ("nets.D(nets.G(batch.z, alpha), alpha)", "nets.D(nets.G(batch.z, 1.0), alpha)"),
    "G runs from praise": ("F.softplus(-nets.D(nets.G", "F.softplus(nets.D(nets.G"),
    "D's answers are exchanged": ("F.softplus(-nets.D(x, alpha)) + F.softplus(nets.D(drawn", "F.softplus(nets.D(x, alpha)) + F.softplus(-nets.D(drawn"),
    "γ is not halved": ("GAMMA / 2 * slope", "GAMMA * slope"),
    "α begins again at 1": ("(batch.step + 1) / member.fade", "member.fade / member.fade"),
    "the grown networks forget": ("net.load_state_dict(getattr(before, name).state_dict(), strict=False)", "pass"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_are_caught(name):
    try:
        page = load(*NETS, "losses", "stage", change=[MUTATIONS[name]])
    except CourseError:
        return  # the page itself stops at it
    tests = [
        test_pixel_norm_by_hand,
        test_spread_by_hand,
        test_spread_has_a_slope_even_when_all_are_the_same,
        test_equalised_layer_is_the_plain_one_at_the_start_and_moves_evenly,
        test_blend_by_hand,
        lambda page: test_growing_changes_nothing_at_the_beginning(page, 16, {}),
        test_d_sees_the_spread_of_its_batch_and_without_the_channel_does_not,
        test_alpha_rises_in_a_straight_line_and_stays_at_one,
        test_the_losses_by_hand,
        test_a_turn_moves_its_own_network_only_and_the_next_stage_takes_over_what_was_learned,
    ]
    assert not all(passes(test, page) for test in tests), f"no test notices: {name}"


def passes(test, page):
    try:
        test(page)
    except (AssertionError, CourseError, RuntimeError, IndexError, ValueError):
        return False
    return True
