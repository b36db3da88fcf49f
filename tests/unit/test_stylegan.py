"""Notebook 08: each part of the generator by hand and with mutations, the losses, every slider's function, the stored weights."""

import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from notebook_code import run_cells
from torch import nn
from torch.nn import functional as F

import helpers
from helpers import CourseError, data_file, load_results
from helpers.core.batch import Named

NAMES = {"np": np, "torch": torch, "nn": nn, "F": F, "plt": plt, "time": time, "device": torch.device("cpu")}
NAMES |= {name: getattr(helpers, name) for name in helpers.__all__}
QUIET = {"print": lambda *a, **k: None}
NETS = [
    "mapping-code",
    "mapping-net",
    "modulated-code",
    "layer-code",
    "sizes",
    "generator-code",
    "crowd-code",
]
PARTS = [*NETS, "generator-check"]
SHIPPED = ["faces", "ruler-code", *PARTS, "drawn-code", "losses-code", "game-code", "game-make", "full-run"]


def load(*cells, change=(), **names):
    return run_cells("08", *cells, change=list(change), **{**NAMES, **QUIET, **names})


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    return load(*PARTS)


def page_until(*cells):
    """The page with the shipped weights, and live figures that are kept instead of shown."""
    panels = []
    page = load(*SHIPPED, *cells, live=lambda *a, **k: panels.append(helpers.live(*a, **k)))
    return page, panels


def test_equalised_by_hand(parts):
    layer = parts["Equalised"](nn.Linear(8, 1), bias=1.0)
    nn.init.constant_(layer.layer.weight, 2.0)
    assert layer(torch.ones(1, 8)).item() == pytest.approx(8 * 2 * (2 / 8) ** 0.5 + 1)
    conv = parts["Equalised"](nn.Conv2d(2, 5, 3))
    assert conv.scale == pytest.approx((2 / 18) ** 0.5) and abs(conv.layer.weight.std().item() - 1) < 0.3


def test_the_check_of_one_length_notices_a_z_that_is_left_as_it_is():
    with pytest.raises(CourseError, match="same length"):
        load(
            "mapping-code",
            "mapping-net",
            change=[("z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()", "z")],
        )


@pytest.mark.parametrize(
    "change",
    [
        ("y * self.demodulation(s)[:, :, None, None]", "y"),  # not demodulated
        ("s.square() @", "s @"),
        ("self.weight.square().sum(dim=(2, 3))", "self.weight.sum(dim=(2, 3)).square()"),
        ("x * s[:, :, None, None]", "x * s[:1, :, None, None]"),  # all pictures with the style of the first
    ],
)
def test_a_wrong_modulation_is_noticed(change):
    load("mapping-code", "modulated-code", "modulated-check", Z=64, W=64)
    with pytest.raises(CourseError, match="same as the equations"):
        load("mapping-code", "modulated-code", "modulated-check", change=[change])


def test_modulation_by_hand(parts):
    conv = parts["ModulatedConv"](2, 1)
    nn.init.zeros_(conv.weight)
    conv.weight.data[0, :, 1, 1] = torch.tensor([3.0, 4.0])  # looks at the pixel itself only
    nn.init.zeros_(conv.style.layer.weight)
    conv.style.layer.bias.data[:] = torch.tensor([1.0, 2.0])  # s
    x = torch.tensor([5.0, 7.0]).view(1, 2, 1, 1)
    by_hand = (1 * 3 * 5 + 2 * 4 * 7) / (3**2 + 8**2) ** 0.5
    assert conv(x, torch.randn(1, parts["W"])).item() == pytest.approx(by_hand, rel=1e-5)


def test_demodulation_holds_and_is_noticed_when_it_is_gone():
    cells = ["mapping-code", "modulated-code", "demodulated-check"]
    load(*cells)
    with pytest.raises(CourseError, match="spread 1"):
        load(*cells, change=[("s.square() @", "s.abs() @")])


def test_a_style_acts_on_its_own_picture_only(parts):
    g, noise = parts["Generator"](), parts["new_noise"](3)
    w = torch.randn(3, parts["LAYERS"], parts["W"])
    other = w.clone()
    other[1] += 1
    with torch.no_grad():
        before, after = g.draw(w, noise), g.draw(other, noise)
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]], atol=1e-5, rtol=1e-5)
    assert (before[1] - after[1]).abs().max() > 0.01


def test_each_layer_has_the_style_and_the_noise_of_its_own(parts):
    g, w, noise = parts["Generator"](), torch.randn(1, 5, 64), parts["new_noise"](1)
    for layer in g.layers:
        nn.init.constant_(layer.loudness, 0.5)
    seen = []
    for layer in g.layers:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    for what in (w, noise):
        for i in range(5):
            with torch.no_grad():
                seen.clear()
                g.draw(w, noise)
                before = list(seen)
                seen.clear()
                what[:, i] += 1
                g.draw(w, noise)
            same = [torch.equal(a, b) for a, b in zip(before, seen, strict=True)]
            assert same == [k < i for k in range(5)]
    assert [tuple(x.shape[1:]) for x in seen] == [(96, 4, 4), (96, 8, 8), (96, 8, 8), (64, 16, 16), (64, 16, 16)]


def test_noise_is_one_number_for_each_pixel_and_the_same_for_all_channels(parts):
    layer = parts["Layer"](2, 3, enlarge=False)
    nn.init.zeros_(layer.conv.weight)
    nn.init.constant_(layer.loudness, 2.0)
    noise = torch.arange(16.0).view(1, 1, 4, 4)
    with torch.no_grad():
        out = layer(torch.zeros(1, 2, 4, 4), torch.zeros(1, 64), noise)
    torch.testing.assert_close(out, (2**0.5 * 2 * noise).expand(-1, 3, -1, -1))


def test_noise_that_is_loud_from_the_start_is_noticed():
    with pytest.raises(CourseError, match="does not listen"):
        load(*PARTS, change=[("torch.zeros(1))", "torch.ones(1))")])


def losses(change=(), step=0):
    page = load(*PARTS, "drawn-code", "losses-code", change=change)
    torch.manual_seed(0)
    nets = Named("nets", {"G": page["Generator"](), "D": page["make_discriminator"]()})
    shapes = {"z": (16, 64), "z2": (16, 64), "noise": (16, 5, 16, 16)}
    batch = {name: torch.randn(shape) for name, shape in shapes.items()} | {"x": torch.rand(16, 3, 16, 16)}
    return page, nets, Named("batch", batch | {"change": torch.rand(16, 1), "step": step})


def test_half_of_the_drawings_change_their_style_somewhere_and_never_before_the_second_layer(parts):
    page = load(*PARTS, "drawn-code", "losses-code")

    class Recorder:
        mapping = staticmethod(lambda z: z)
        draw = staticmethod(lambda w, noise: w)

    n = 4000
    batch = {"z": torch.zeros(n, 64), "z2": torch.ones(n, 64), "noise": None, "change": torch.rand(n, 1)}
    w = page["drawn"](Named("nets", {"G": Recorder}), Named("batch", batch))[:, :, 0]  # (n, 5): 0 first, 1 second
    assert w.shape == (n, 5) and (w[:, 0] == 0).all() and (w.diff(dim=1) >= 0).all()
    late = torch.bincount(w.sum(dim=1).long(), minlength=5) / n  # how many layers have the second style
    assert abs(late[0] - 0.5) < 0.04 and (late[1:] - 0.125).abs().max() < 0.03 and len(late) == 5


def trains_only_d(change=()):
    page, nets, batch = losses(change)
    slopes = torch.autograd.grad(page["d_loss"](nets, batch, None), list(nets.G.parameters()), allow_unused=True)
    return all(slope is None for slope in slopes)


def test_ds_lesson_does_not_reach_g_and_a_missing_detach_is_noticed():
    assert trains_only_d()
    assert not trains_only_d([("drawn(nets, batch).detach()", "drawn(nets, batch)")])


def better_after(name, loss, score, change=()):
    """After some small steps of one player on its loss: has the score risen?"""
    page, nets, batch = losses(change)
    optimiser = torch.optim.Adam(getattr(nets, name).parameters(), lr=0.003)
    before = score(page, nets, batch)
    for _ in range(12):
        optimiser.zero_grad()
        page[loss](nets, batch, None).backward()
        optimiser.step()
    return score(page, nets, batch) > before


@pytest.mark.slow
def test_g_climbs_and_d_tells_apart_and_wrong_signs_are_noticed():
    drawn_score = lambda page, nets, batch: nets.D(page["drawn"](nets, batch)).mean().item()  # noqa: E731
    gap = lambda page, nets, batch: nets.D(batch.x).mean().item() - drawn_score(page, nets, batch)  # noqa: E731
    assert better_after("G", "g_loss", drawn_score)
    assert not better_after(
        "G",
        "g_loss",
        drawn_score,
        [
            (
                "nets.D(batch.x).detach() - nets.D(drawn(nets, batch))",
                "nets.D(drawn(nets, batch)) - nets.D(batch.x).detach()",
            )
        ],
    )
    assert better_after("D", "d_loss", gap)
    assert not better_after("D", "d_loss", gap, [("fake_score - real_score", "real_score - fake_score")])  # fmt: skip


@pytest.mark.parametrize("step, times", [(0, 1), (1, 0), (3, 0), (4, 1)])
def test_the_value_of_the_losses_by_hand(step, times):
    page, nets, batch = losses(step=step)
    slope, settings = torch.randn(3 * 256) / 10, page["SETTINGS"]
    nets = Named("nets", {"G": nets.G, "D": lambda x: (x.flatten(1) @ slope)[:, None]})
    with torch.no_grad():
        real, fake = nets.D(batch.x), nets.D(page["drawn"](nets, batch))
    flat = settings["gamma"] / 2 * 2 * slope.square().sum()  # R1 and R2
    by_hand = F.softplus(fake - real).mean() + times * settings["every"] * flat
    torch.testing.assert_close(page["d_loss"](nets, batch, None), by_hand, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(page["g_loss"](nets, batch, None), F.softplus(real - fake).mean(), rtol=1e-4, atol=1e-4)


def test_the_crowd_is_measured_in_fours_by_hand(parts):
    x = torch.zeros(8, 2, 3, 3)
    x[4:6] = 2.0  # the second four: 2, 2, 0, 0 everywhere, a spread of 1
    out = parts["Crowd"]()(x)
    assert out.shape == (8, 3, 3, 3) and torch.equal(out[:, :2], x)
    torch.testing.assert_close(out[:4, 2], torch.full((4, 3, 3), 1e-4))
    torch.testing.assert_close(out[4:, 2], torch.ones(4, 3, 3), atol=1e-4, rtol=0)


MIXING = ["person-draw", "mixing-draw", "mixing-traits"]


@pytest.fixture(scope="module")
def shipped():
    return page_until(*MIXING, "truncation-code", "walk-code")[0]


def test_the_stored_scores_are_those_of_the_shipped_weights_and_of_these_settings(shipped):
    assert data_file("weights/08_faces.safetensors").stat().st_size < 3e6
    stored = load_results("08_faces")
    assert stored["settings"] == shipped["settings"]
    again = shipped["score"](shipped["thousand"](shipped["G"]))
    np.testing.assert_allclose(again, stored["values"]["shipped"], rtol=0.02, atol=0.002)
    best = min(row[1] for row in stored["values"]["short"])
    assert again[1] < best, "longer training has to be nearer to real faces than short training"


@pytest.mark.slow
def test_the_settings_are_those_that_train():
    page = load(*SHIPPED)
    game = page["new_game"](page["STEPS"])
    assert game.averages == {"G": 0.99} and page["new_game"](page["LONG"]).averages == {"G": 0.998}
    for player in game.players.values():
        assert list(player.betas) == page["SETTINGS"]["betas"] and player.lr == page["SETTINGS"]["rate"]
        assert player.factor(page["STEPS"]) == 0 and player.factor(0) == 1
    assert game.sample["x"].data["x"].shape == (3000, 3, 16, 16), "trained on the working faces only"
    game.train(3)
    assert all(np.isfinite(game.history[name]).all() for name in "DG")


def test_whose_weights_they_are_is_said_where_the_page_trains_otherwise(capsys):
    load(*SHIPPED)
    assert "other settings" not in capsys.readouterr().out
    load(*SHIPPED, change=[("STEPS, LONG = 600", "STEPS, LONG = 200")])
    assert "(short steps: 600 there, 200 on this page)" in capsys.readouterr().out


def test_mixed_by_hand(shipped):
    first, second = torch.zeros(2, 64), torch.ones(2, 64)
    assert shipped["mixed"](first, second, 0).eq(1).all() and shipped["mixed"](first, second, 5).eq(0).all()
    assert shipped["mixed"](first, second, 2)[:, :, 0].tolist() == [[0, 0, 1, 1, 1]] * 2


def test_painting_one_style_is_painting_it_in_every_layer(shipped):
    w = shipped["style"]([3, 4])
    torch.testing.assert_close(shipped["paint"](w), shipped["paint"](shipped["mixed"](w, w.flip(0), 5)))
    assert not torch.allclose(shipped["paint"](w)[0], shipped["paint"](w)[1], atol=0.05)


def test_the_nearest_face_of_a_working_face_is_itself(shipped):
    faces = shipped["faces"]
    far, which = shipped["nearest"](faces.x[[5, 77]])
    assert which.tolist() == [5, 77] and far.max() < 0.01
    moved, _ = shipped["nearest"](faces.x[:1] + 0.5)
    assert moved.item() <= 0.5 + 1e-5


def test_traits_of_real_faces_are_their_labels_and_their_corner(shipped):
    faces = shipped["faces"]
    found = shipped["traits"](faces.test_x)
    assert (found[:, 1:] == faces.test_y).float().mean() > 0.97
    assert torch.equal(shipped["BACKGROUNDS"][found[:, 0]], faces.test_x[:, :, 0, 0])


def test_truncation_by_hand(shipped):
    w = shipped["style"](range(4))
    torch.testing.assert_close(shipped["truncated"](w, 1.0), w)
    torch.testing.assert_close(shipped["truncated"](w, 0.0), shipped["mean_style"].expand(4, -1))
    torch.testing.assert_close(shipped["truncated"](w, -1.0), 2 * shipped["mean_style"] - w)


def test_what_is_like_what_by_hand(shipped):
    line = torch.arange(6.0)[:, None]  # neighbours at 1, 2, 3 …
    assert shipped["reach"](line).tolist() == [3, 2, 2, 2, 2, 3]
    others, reaches = torch.tensor([[0.0], [10.0]]), torch.tensor([1.0, 3.0])
    assert shipped["like"](torch.tensor([[0.5], [2.0], [12.9], [13.1]]), others, reaches) == 0.5
    assert shipped["like"](shipped["real_seen"][:50], shipped["real_seen"], shipped["real_reach"]) == 1


def test_noise_by_hand_is_where_it_is_put_and_nowhere_else():
    page = page_until(*MIXING, "noise-code")[0]
    w = page["style"](range(3))
    silent = page["with_noise"](w, 3, 0.0)
    torch.testing.assert_close(silent, page["paint"](w), atol=0.05, rtol=0)  # training left it next to silent
    far = [(page["with_noise"](w, layer, 0.2) - silent).square().mean().item() for layer in range(1, 6)]
    assert min(far) > 1e-4 and torch.equal(page["with_noise"](w, 3, 0.0), silent), "the loudness is put back"
    pictures, checks = torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16)
    checks[:, :, ::2] = -1  # stripes: each block of 4 × 4 averages to nothing
    assert page["moved"](pictures, checks) == (1.0, 0.0)
    assert page["moved"](pictures, pictures + 0.5) == (0.5, 1.0)
    assert page["moved"](pictures, pictures) == (0.0, 0.0)


def test_both_ways_begin_and_end_at_the_same_faces(shipped):
    z_a, z_b = torch.randn(2, 7, 64)
    for way, end in ((0.0, z_a), (1.0, z_b)):
        for w in shipped["ways"](z_a, z_b, way):
            torch.testing.assert_close(w, shipped["G"].mapping(end), atol=1e-3, rtol=1e-3)
    through_z, through_w = shipped["ways"](z_a, z_b, 0.5)
    middle = shipped["one_length"](shipped["one_length"](z_a) + shipped["one_length"](z_b))
    torch.testing.assert_close(through_z, shipped["G"].mapping(middle), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(through_w, (shipped["G"].mapping(z_a) + shipped["G"].mapping(z_b)) / 2)


def test_a_way_is_as_long_as_the_sum_of_its_steps():
    class Ruler:
        features = staticmethod(lambda pictures: pictures)

    page = load("walk-code", judge=Ruler, paint=lambda w: w)
    corner = [torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0, 4.0]])]
    length, straight = page["lengths"](corner)
    assert (length.item(), straight.item()) == (7.0, 5.0)


ASKING = [*MIXING, "directions-code", "directions-find", "directions-run", "directions-table"]


def test_a_direction_crosses_the_plane_that_parts_the_labels():
    page = page_until(*MIXING, "directions-code")[0]
    w = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    w[:, 1] += w[:, 0]  # goes with the number that decides, and is no reason
    has = torch.stack([w[:, 0] > 0, w[:, 2] - w[:, 3] > 0], dim=1)
    first, second = page["directions_of"](w, has)
    sure = torch.eye(64)[0], (torch.eye(64)[2] - torch.eye(64)[3]) / 2**0.5
    assert F.cosine_similarity(first, sure[0], dim=0) > 0.9 and F.cosine_similarity(second, sure[1], dim=0) > 0.9
    assert first.norm().item() == pytest.approx((w @ F.normalize(first, dim=0)).std().item(), rel=1e-3)
    means = w[has[:, 0]].mean(dim=0) - w[~has[:, 0]].mean(dim=0)
    assert F.cosine_similarity(means, sure[0], dim=0) < 0.8, "the difference of the means is led astray"


def test_a_wish_is_heard_by_the_first_layers_only():
    page = page_until(*MIXING, "directions-code", "directions-find")[0]
    w = page["wish"](torch.zeros(2, 64), torch.ones(64), 2)
    assert w.shape == (2, 5, 64) and w[:, :, 0].tolist() == [[1, 1, 0, 0, 0]] * 2
    assert page["wish"](torch.zeros(1, 64), torch.ones(64)).eq(1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, wanted",
    [
        ("", [0, 0, 0]), ("a tired astronaut", [0, 0, 0]), ("glasses", [2, 0, 0]), ("LONG HAIR and glasses", [2, 4, 0]),
        ("with long hair, no glasses", [-2, 4, 0]), ("without a hat", [0, 0, -4]), ("no hat", [0, 0, -4]),
        ("長髮，戴眼鏡", [2, 4, 0]), ("沒有眼鏡，戴帽子", [-2, 0, 4]),
    ],
)  # fmt: skip
def test_words_move_sliders(text, wanted):
    page = page_until("person-draw", *ASKING, "words-draw")[0]
    assert page["understood"](text).tolist() == wanted


LIVE = {  # cell of the figure: the cells it needs, and where its controls go, step by step
    "desk-live": (["demodulated-check", "desk-draw"], {"all_channels": [1.2, 1.5, 5.0, 0.1], "channel_1": [1.2, 1.4, 7.0]}),
    "person-live": (["person-draw"], {"click": [1, 2, 3]}),
    "mixing-live": (MIXING, {"layers": [4, 5, 2, 1, 0]}),
    "noise-live": ([*MIXING, "noise-code", "noise-draw"], {"layer": [4, 3, 1], "loudness": [0.55, 0.6, 0.0, 2.0]}),
    "truncation-live": ([*MIXING, "truncation-code", "truncation-draw"], {"psi": [1.05, 1.1, 0.5, 0.0, -0.5, -1.0, 2.0]}),
    "walk-live": ([*MIXING, "walk-code", "walk-draw"], {"first": [2, 3, 0], "second": [15, 16, 10], "way": [0.52, 0.54, 0.0, 1.0]}),
    "directions-live": ([*ASKING, "directions-draw"], {"face": [3, 4, 99], "layers": [5, 1, 3], "glasses": [2.1, 2.2, -4.0], "hair": [0.1, 0.2, 4.0], "hat": [0.1, 0.2, 4.0]}),
    "words-live": ([*ASKING, "words-draw"], {"face": [3, 4, 99], "words": ["no hat", "戴眼鏡", "long hair"]}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVE)
def test_every_step_of_every_control_changes_the_picture_and_the_sentence(name):
    cells, moves = LIVE[name]
    first = [] if name == "desk-live" else ["person-draw", "person-live"]  # the blank picture of others is made there
    panel = page_until(*first, *cells, name)[1][-1]
    for control, values in moves.items():
        for value in values:
            before = panel.text, panel.png
            panel.set(**{control: 1 if control == "click" else value})
            assert not panel.text.startswith("✗"), panel.text
            assert panel.text != before[0] and panel.png != before[1], (control, value)


def test_a_figure_is_a_function_of_its_controls_alone():
    page, panels = page_until("person-draw", "person-live", *MIXING, "mixing-live")
    panel = panels[-1]
    text, png = panel.text, panel.png
    panel.set(layers=1)
    panel.set(layers=3)
    assert (panel.text, panel.png) == (text, png)
    assert page["draw_person"](4) == page["draw_person"](4) != page["draw_person"](5)
