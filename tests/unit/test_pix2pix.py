"""Notebook 09: the smallest world by hand, the losses and their mutations, dice, streets, sketches, towns, what is stored."""

import copy
import math
import re
import time
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from common import ROOT
from notebook_code import cell, run_cells
from torch import nn
from torch.nn.functional import avg_pool2d, instance_norm, interpolate, leaky_relu, max_pool2d, softplus

import helpers
from helpers import CourseError, data_file, load_glyphs, load_results

QUIET = {"print": lambda *a, **k: None}
GLYPHS = load_glyphs()
NAMES = {"np": np, "torch": torch, "nn": nn, "avg_pool2d": avg_pool2d, "leaky_relu": leaky_relu, "softplus": softplus}
NAMES |= {
    "instance_norm": instance_norm,
    "interpolate": interpolate,
    "max_pool2d": max_pool2d,
    "time": time,
    "plt": plt,
}
NAMES |= {name: getattr(helpers, name) for name in ("COLOURS", "CourseError", "check", "choice", "full_budget")}
NAMES |= {"device": torch.device("cpu"), "re": re, "copy": copy}
FONTS = ["glyphs", "measure", "unet", "inner", "critic", "losses-code", "game-code", "make-lesson"]
STREETS = ["street-kinds", "street-labels", "street-paint", "street-pairs"]


def load(*cells, change=(), **names):
    return run_cells("09", *cells, change=list(change), **{**NAMES, **QUIET, **names})


# the smallest world


def test_the_smallest_world_by_hand():
    values = load("toy-code")["toy_values"]
    blind, pair = values(0.5, 0)
    assert math.isclose(blind, -2 * math.log(2), rel_tol=1e-12)
    assert math.isclose(pair, math.log(2 / 3) + 0.5 * math.log(1 / 3), rel_tol=1e-12)  # the wrong pairs are found out
    assert math.isclose(values(0, 0)[1], 0, abs_tol=1e-12), "all wrong: no pair of G's is ever real"
    assert math.isclose(values(0.3, 1)[0], math.log(2 / 3) + 0.5 * math.log(1 / 3), rel_tol=1e-12)


@pytest.mark.parametrize("favourite", [0.0, 0.4, 1.0])
def test_the_pair_is_never_worth_less_and_both_give_up_at_the_truth(favourite):
    values = load("toy-code")["toy_values"]
    for right in np.linspace(0, 1, 21):
        blind, pair = values(right, favourite)
        assert -2 * math.log(2) - 1e-12 <= blind <= pair + 1e-12 <= 1e-9, "a D who sees more cannot do worse"
    assert np.allclose(values(1, 0), -2 * math.log(2))


def test_a_teacher_who_is_handed_the_wrong_axis_is_not_blind_to_the_mix():
    values = load("toy-code", change=[("drawn.sum(axis=0)", "drawn.sum(axis=1)")])["toy_values"]
    assert np.isclose(values(1, 1)[0], -2 * math.log(2)), "the mutation: the mix of photos is always right"
    assert not np.isclose(load("toy-code")["toy_values"](1, 1)[0], -2 * math.log(2))


# networks


def test_the_patch_is_counted_right():
    page = load("glyphs", "critic", "field-code")
    assert page["field"](4, 4).sum() == 324 and page["field"](0, 0).sum() == 11 * 11
    seen = np.argwhere(page["field"](4, 4))
    assert (seen.max(axis=0) - seen.min(axis=0) + 1).tolist() == [18, 18]


def test_g_keeps_the_size_and_needs_both_the_way_down_and_the_notes():
    net = load("unet", "inner")["UNet"](2, 3)
    for side in (32, 64):
        assert net(torch.rand(2, 2, side, side)).shape == (2, 3, side, side)
    drawn = net(torch.rand(1, 2, 32, 32))
    drawn.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert sum(p.numel() for p in net.parameters()) < 300_000


# losses


class Seen(nn.Module):
    """A D whose score tells which picture was handed in at which place."""

    def forward(self, question, answer):
        return 3 * question.mean(dim=(1, 2, 3)) + answer.mean(dim=(1, 2, 3))


def by_hand(change=(), sees=1.0, l1=10.0):
    """D's and G's loss, and what they should be, for flat pages: x = 0.2, y = 0.7, G(x) = 0.5."""
    page = load("losses-code", change=list(change))
    flat = lambda value: torch.full((4, 1, 8, 8), value)  # noqa: E731
    nets = types.SimpleNamespace(D=Seen(), G=lambda x: flat(0.5))
    batch = types.SimpleNamespace(x=flat(0.2), y=flat(0.7))
    member = types.SimpleNamespace(sees=torch.tensor(sees), l1=torch.tensor(l1))
    real, drawn = 0.6 * sees + 0.7, 0.6 * sees + 0.5
    soft = lambda s: math.log(1 + math.exp(s))  # noqa: E731
    found = [page[f"{who}_loss"](nets, batch, member).item() for who in ("d", "g", "l1")]
    return found, [soft(-real) + soft(drawn), soft(-drawn) + l1 * 0.2, 0.2]


@pytest.mark.parametrize("sees", [0.0, 1.0])
def test_the_losses_by_hand(sees):
    found, wanted = by_hand(sees=sees)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


MUTATIONS = {
    "the drawn pair in swapped order": ("nets.D(shown, nets.G(batch.x))", "nets.D(nets.G(batch.x), shown)"),
    "the real pair in swapped order": ("nets.D(shown, batch.y)", "nets.D(batch.y, shown)"),
    "L1 with the wrong sign": ("+ member.l1 *", "- member.l1 *"),
    "G praised for being caught": ("softplus(-nets.D(member.sees", "softplus(nets.D(member.sees"),
    "D taught the wrong way round": ("softplus(-s_real) + softplus(s_drawn)", "softplus(s_real) + softplus(-s_drawn)"),
    "a blind D who peeps": ("shown = member.sees * batch.x", "shown = batch.x"),
    "G's D sees the question, D's does not": ("nets.D(member.sees * batch.x, drawn)", "nets.D(batch.x, drawn)"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_wrong_losses_are_caught(name):
    found, wanted = by_hand([MUTATIONS[name]], sees=0.5)
    assert not np.allclose(found, wanted, rtol=1e-3), name


def test_a_blind_d_does_not_notice_that_answers_are_dealt_anew():
    page = load(*FONTS)
    torch.manual_seed(0)
    nets = types.SimpleNamespace(D=page["PatchCritic"](), G=lambda x: page["learn_y"][:8])
    x, y = page["learn_x"][:8], page["learn_y"][:8]
    losses = {
        sees: [
            page["d_loss"](nets, types.SimpleNamespace(x=asked, y=y), types.SimpleNamespace(sees=sees)).item()
            for asked in (x, x.roll(1, 0))
        ]
        for sees in (0.0, 1.0)
    }
    assert math.isclose(*losses[0.0], rel_tol=1e-6) and not math.isclose(*losses[1.0], rel_tol=1e-5)


def test_d_does_not_train_g_and_a_d_that_owns_it_is_refused():
    game = load(*FONTS)["make_lesson"]("GAN, pair", 10)
    before = game.member(0, averaged=False).G.end.weight.clone()
    game.train(3, only="D", progress=False)
    assert torch.equal(before, game.member(0, averaged=False).G.end.weight)
    with pytest.raises(CourseError, match="owned by both"):
        load(*FONTS, change=[('Player("D", d_loss,', 'Player("D", d_loss, ["D", "G"],')])["make_lesson"](
            "GAN, pair", 10
        )


def test_a_norm_in_d_would_see_the_whole_picture():
    change = [("nn.LeakyReLU(0.2),  # 32 × 32 → 16 × 16", "nn.InstanceNorm2d(width), nn.LeakyReLU(0.2),")]
    with pytest.raises(CourseError, match="18 × 18"):
        load("glyphs", "critic", "field-code", change=change)


def test_nobody_learns_from_what_is_kept():
    page = load("glyphs")
    learned = {picture.numpy().tobytes() for picture in page["learn_y"]}
    kept = [picture.numpy().tobytes() for picture in [*page["try_y"], *GLYPHS.test_reggae]]
    assert len(page["learn_x"]) == 1600 and not learned.intersection(kept)


# dice


def dice_page(*more, **names):
    return load("styled", "styled-unet", "two-heads", "he", "dice-losses", "dice-game", *more,
                **{name: getattr(helpers, name) for name in ("Game", "Player", "falling", "rows", "sweep")}, **names)  # fmt: skip


def test_g_with_dice_listens_to_them_and_keeps_any_size():
    page = dice_page()
    torch.manual_seed(0)
    net = page["he"](page["StyledUNet"](6), last=0.3)
    for side in (32, 48, 96):
        assert net(torch.rand(2, 6, side, side), torch.randn(2, 8)).shape == (2, 3, side, side)
    question = torch.rand(1, 6, 32, 32).expand(2, -1, -1, -1)
    one, other = net(question, torch.randn(2, 8))
    assert (one - other).abs().mean() > 1e-3
    scores = page["TwoHeads"](9)(torch.rand(2, 6, 32, 32), torch.rand(2, 3, 32, 32))
    assert [part.shape for part in scores] == [(2, 64), (2, 1)]


def test_he_keeps_the_size_of_a_signal():
    torch.manual_seed(0)
    layers = nn.Sequential(*(layer for _ in range(8) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.LeakyReLU(0.2))))
    dice_page()["he"](layers)
    assert 0.3 < layers(torch.randn(4, 64, 16, 16)).std() < 3


class Mean(nn.Module):
    """A D of two scores, the mean of the question and that of the answer."""

    def forward(self, question, answer):
        return question.mean(dim=(1, 2, 3))[:, None], answer.mean(dim=(1, 2, 3))[:, None]


@pytest.mark.parametrize("step, steep", [(0, True), (1, False), (4, True)])
def test_the_relativistic_losses_by_hand(step, steep):
    """x = 0.2, y = 0.7, G = 0.5 everywhere: D's answers differ by 0.2, its slope is 1/64 at each of 64 pixels."""
    page = dice_page()
    flat = lambda value: torch.full((4, 1, 8, 8), value)  # noqa: E731
    nets = types.SimpleNamespace(D=Mean(), G=lambda x, z: flat(0.5))
    batch = types.SimpleNamespace(x=flat(0.2), y=flat(0.7), z=None, step=torch.tensor(float(step)))
    d, g = page["dice_losses"](lambda batch: (batch.x, batch.x, batch.y))
    soft = lambda s: math.log(1 + math.exp(s))  # noqa: E731
    penalty = 4 * 0.1 / 2 * 2 / 64 if steep else 0
    member = types.SimpleNamespace(l1=torch.tensor(10.0))
    assert math.isclose(d(nets, batch, member).item(), soft(0) + soft(-0.2) + penalty, rel_tol=1e-5)
    assert math.isclose(g(nets, batch, member).item(), soft(0) + soft(0.2) + 10 * 0.2, rel_tol=1e-5)


def test_a_short_game_with_dice_moves_both():
    page = dice_page(change=[("has_fast_bf16(device)", "False")])
    game = page["pair_game"](torch.rand(20, 2, 32, 32), torch.rand(20, 3, 32, 32), 4, 0)
    before = [game.member(0, averaged=False).G.end.weight.clone(), game.member(0).D.whole.weight.clone()]
    game.train(2, progress=False)
    after = [game.member(0, averaged=False).G.end.weight, game.member(0).D.whole.weight]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


# streets, squares, outlines


def streets(*more):
    return load(*STREETS, *more)


def test_a_street_by_its_rules():
    page = streets()
    labels = page["label_map"](0.4, 0.5, 0.4, [], [])
    counts = {kind: (labels == n).sum() for n, kind in enumerate(page["KINDS"])}
    assert (
        counts["car"] == counts["tree"] == 0 and min(counts[k] for k in ("sky", "building", "road", "sidewalk")) > 100
    )
    assert (labels[-1, 16:48] == page["ROAD"]).all() and labels[0, 32] == page["SKY"]
    with_car = page["label_map"](0.4, 0.5, 0.4, [(0.6, 0.5)], [])
    changed = with_car != labels
    assert changed.any() and (with_car[changed] == page["CAR"]).all() and np.argwhere(changed)[:, 1].min() >= 32


def test_the_label_map_does_not_tell_the_colours():
    page = streets()
    labels = page["label_map"](0.4, 0.5, 0.4, [(0.6, 0.5)], [])
    paint = lambda wall, dusk: page["paint"](labels, 0.4, 0.5, np.full(3, wall), dusk, np.ones(3))  # noqa: E731
    assert not np.allclose(paint(0.3, 0), paint(0.9, 0)) and not np.allclose(paint(0.3, 0), paint(0.3, 1))
    assert paint(0.3, 0).min() >= 0 and paint(0.9, 1).max() <= 1


def test_pairs_of_streets_are_seeded_and_one_of_six():
    questions, pictures = streets()["street_pairs"](3, seed=5)
    assert questions.shape == (3, 6, 32, 32) and pictures.shape == (3, 3, 32, 32)
    assert torch.equal(questions.sum(dim=1), torch.ones(3, 32, 32))
    assert torch.equal(streets()["street_pairs"](3, seed=5)[1], pictures)


def test_a_poster_has_no_dice_and_two_truths_have_all_of_them():
    page = load(*STREETS, "street-measure", sharpness=helpers.sharpness)
    page["street_x"], page["street_y"] = page["street_pairs"](40, seed=3)
    truths = page["street_measures"](page["street_y"], page["street_y"].roll(1, 0))
    assert np.allclose(list(truths.values()), 1, atol=0.15)  # which street is another one's truth is by lot
    assert page["street_measures"](page["street_y"], page["street_y"])["houses differ"] == 0


TOWN = ["town-data", "to-map-code", "by-colour"]


def towns(*more, **names):
    return load(*TOWN, *more, data_file=data_file, DICE=8, **names)


def test_windows_come_from_the_towns_to_learn_from():
    page = towns(change=[("random.integers(40)", "random.integers(40, 48)")])
    kinds, photo = page["windows"](3, 32, seed=0)
    assert kinds.shape == (3, 32, 32) and photo.shape == (3, 3, 32, 32)
    page["maps"][40:] = 77
    assert (page["windows"](9, 32, seed=0)[0] == 77).all(), "the mutation takes the held-out ones"
    page = towns()
    page["maps"][40:] = 77
    assert not (page["windows"](50, 32, seed=0)[0] == 77).any()


def test_a_map_is_drawn_and_read_back():
    page = towns()
    assert torch.equal(page["read_map"](page["in_inks"](page["maps"][:2])), page["maps"][:2].long())
    assert page["layers"](page["maps"][:2]).sum(dim=1).eq(1).all()


def test_the_table_of_colours_by_hand():
    page = towns()
    x = torch.tensor([0.0, 0.0, 1.0, 1.0]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    y = torch.tensor([0.2, 0.4, 0.9, 0.7]).reshape(1, 1, 2, 2)
    torch.testing.assert_close(page["by_colour"](x, y, x).flatten(), torch.tensor([0.3, 0.3, 0.8, 0.8]))


def test_overlap_by_hand():
    drawn, true = torch.tensor([[0, 1, 2, 3, 4, 5]]), torch.tensor([[0, 1, 2, 3, 4, 4]])
    page = towns()
    code = cell("09", "town-table").split("\n\n\n")[0]
    exec(code, page)
    assert page["overlap"](drawn, true) == [1, 1, 1, 1, 0.5, 0]


def test_strokes_are_read_and_drawn():
    page = load("canvas-code", "canvas-ink")
    strokes = page["read_strokes"](" 0,0 100,0; 50,50 ;")
    assert [stroke.tolist() for stroke in strokes] == [[[0, 0], [100, 0]], [[50, 50]]]
    drawn = page["ink"](strokes, 33, thick=0.4)
    assert drawn[0].sum() == 33 and drawn.sum() == 34 and drawn[16, 16], "a line across the top, and one dot"
    assert page["ink"](strokes, 33, thick=3).sum() > 4 * 33
    assert page["read_strokes"]("") == [] and page["ink"]([], 48).sum() == 0


@pytest.mark.parametrize("typed", ["!", "10", "10,200", "1,2,3", "-1,5", "10;20", "a,b"])
def test_what_is_no_stroke_gets_a_sentence(typed):
    with pytest.raises(CourseError, match="is not a point"):
        load("canvas-code")["read_strokes"](typed)


# live figures: what a move does


# live figures: what a move does


LESSON = ["styled", "styled-unet", "two-heads", "he", "dice-losses", "dice-game", "dice-lesson"]
READ = {name: getattr(helpers, name) for name in ("Game", "Player", "falling", "rows", "sweep", "sharpness")}
READ |= {name: getattr(helpers, name) for name in ("load_weights", "save_weights", "live", "slider", "textbox")}
HEADS = [*STREETS, *LESSON, "street-g", "street-sheet", "editor-code", "heads-data"]
PAD = ["canvas-pen", "canvas-pad", "canvas-code", "canvas-ink"]
LIVES = {
    "toy": ["toy-code", "toy-draw", "toy-live"],
    "streets": [*STREETS, *LESSON, "street-g", "street-sheet", "editor-code", "editor-live"],
    "heads": [*HEADS, *PAD, "canvas-live"],
}


def panel_of(name):
    """The last live figure of these cells, and the page."""
    panels = []
    shown = {"live": lambda *a, **k: panels.append(helpers.live(*a, **k))}
    page = load(*LIVES[name], **{**READ, **shown, "data_file": data_file})
    return panels[-1], page


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_every_step_of_every_slider_changes_picture_and_sentence(name):
    panel, _ = panel_of(name)
    for key, control in panel.controls.items():
        seen = {(panel.png, panel.text)}
        if hasattr(control, "max"):
            begin, steps = control.value, round((control.max - control.min) / control.step)
            for n in range(min(steps, 12) + 1):
                panel.set(**{key: control.min + n * control.step})
                seen.add((panel.png, panel.text))
            assert (
                len({png for png, _ in seen})
                == len({text for _, text in seen})
                == min(steps, 12) + 1 + (begin > control.min + 12 * control.step + 1e-9)
            ), key
            panel.set(**{key: begin})
            assert (panel.png, panel.text) in seen, "the same setting, the same picture"


def test_the_text_box_says_what_each_character_is():
    page = load(*FONTS, "full-code", "long-fonts", "glyphs-figure", "typed-live", **READ)
    tried = [i for i in range(1800) if i % 9 == 4]
    known, kept, held = GLYPHS.characters[7], GLYPHS.characters[tried[3]], GLYPHS.test_characters[7]
    said = page["draw_typed"](f"貓 {held}{known}{kept}")
    assert said == f"貓: missing, no truth; {held}: held out; {known}: learned from; {kept}: kept to try."
    for bad in ("hello", "", "貓" * 9):
        with pytest.raises(CourseError):
            page["draw_typed"](bad)


@pytest.mark.parametrize("name", ["heads"])
def test_a_pad_is_drawn_on(name):
    panel, _ = panel_of(name)
    first = panel.png
    panel.set(strokes="10,10 90,10 90,90 10,90 10,10")
    good = panel.png
    assert good != first and not panel.text.startswith("✗")
    panel.set(strokes="!")
    assert panel.text.startswith("✗ “!” is not a point") and panel.png == good
    panel.set(strokes="")
    assert not panel.text.startswith("✗") and panel.png != good


# what is stored


def test_the_weights_that_are_shipped_are_small():
    files = list((ROOT / "data" / "weights").glob("09_*.safetensors"))
    assert len(files) == 5 and all(path.stat().st_size < 1.3e6 for path in files)


@pytest.mark.slow
def test_the_stored_table_belongs_to_the_code():
    """Same settings (the notebook checks them), and one cell of it made again: L1, seed 0."""
    page = load(*FONTS, "full-code", "full-run", **READ)
    again = page["run_lesson"]("L1", page["STEPS"], 1, x=GLYPHS.test_sans, y=GLYPHS.test_reggae)
    stored = load_results("09_lessons")["values"]["L1"]
    for name, values in again.items():
        assert abs(values[0] - stored[name][0]) < 0.03, name
    for lesson in page["LESSONS"]:
        assert {len(v) for v in page["stored"][lesson].values()} == {page["SEEDS"]}


def test_other_settings_are_refused():
    with pytest.raises(CourseError, match="settings of this page"):
        load(*FONTS, "full-code", "full-run", change=[('"batch": 8', '"batch": 9')], **READ)


def test_the_cells_stay_short():
    assert all(len(cell("09", name).splitlines()) <= 20 for name in [*FONTS, *LESSON, *STREETS])
