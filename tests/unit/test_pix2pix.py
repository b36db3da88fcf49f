"""Notebook 09: the smallest world by hand, the losses and their mutations, streets, squares, outlines, what is stored."""

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
from torch.nn.functional import avg_pool2d, leaky_relu, softplus

import helpers
from helpers import CourseError, data_file, load_glyphs, load_results

QUIET = {"print": lambda *a, **k: None}
GLYPHS = load_glyphs()
NAMES = {"np": np, "torch": torch, "nn": nn, "avg_pool2d": avg_pool2d, "leaky_relu": leaky_relu, "softplus": softplus}
NAMES |= {name: getattr(helpers, name) for name in ("COLOURS", "CourseError", "check", "full_budget", "load_weights")}
NAMES |= {"glyphs": GLYPHS, "truth": GLYPHS.test_reggae, "recovered": helpers.recovered, "sharpness": helpers.sharpness}
NAMES |= {"data_file": data_file, "device": "cpu", "re": re, "time": time, "plt": plt, "choice": helpers.choice}
TRAINING = ["unet", "critic", "losses-code", "game-code", "make-lesson"]


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
    page = load("unet", "critic", "field-code")
    assert page["field"](4, 4).sum() == 324 and page["field"](0, 0).sum() == 11 * 11
    seen = np.argwhere(page["field"](4, 4))
    assert (seen.max(axis=0) - seen.min(axis=0) + 1).tolist() == [18, 18]


def test_g_keeps_the_size_and_needs_both_the_way_down_and_the_notes():
    net = load("unet")["UNet"](2, 3)
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
    page = load(*TRAINING[2:3], change=list(change))
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


def test_d_does_not_train_g_and_a_d_that_owns_it_is_refused():
    load(*TRAINING, "own-nets")  # its check: three turns of D have not moved G
    with pytest.raises(CourseError, match="owned by both"):
        load(*TRAINING, "own-nets", change=[('Player("D", d_loss,', 'Player("D", d_loss, ["D", "G"],')])


def test_a_blind_d_is_found_out_by_dealing_anew():
    with pytest.raises(CourseError, match="blind"):
        load(*TRAINING, "shuffle-run", change=[("critic(sees * questions, drawings)", "critic(questions, drawings)")])


# streets, squares, outlines


def streets(*more):
    return load("street-kinds", "street-labels", "street-sky", "street-paint", "street-pairs", *more)


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


def test_no_square_to_learn_from_reaches_into_the_band():
    page = load("earth-code", "earth-pairs")
    west, east = page["WEST"], page["EAST"]
    assert all(c + 32 <= west or c >= east for c in page["learned_columns"])
    photo, drawn_map = page["earth_pairs"](range(west, west + 64), 32)
    assert photo.shape == drawn_map.shape and photo.shape[1:] == (3, 32, 32) and 5 < len(photo) < 64
    assert photo.min() >= 0 and photo.max() <= 1


def test_one_linear_rule_of_colours_is_found_and_a_few_wild_pixels_do_not_bend_it():
    recolour = load("earth-rule")["recolour"]
    random = torch.Generator().manual_seed(0)
    x, z = (torch.rand(20, 3, 32, 32, generator=random) for _ in range(2))
    mix = torch.tensor([[0.2, 0.5, 0.1], [0.3, 0.0, 0.4], [0.1, 0.1, 0.9]])
    true = lambda p: torch.einsum("nchw,cd->ndhw", p, mix) + 0.1  # noqa: E731
    torch.testing.assert_close(recolour(x, true(x), z), true(z), atol=1e-4, rtol=0)
    y = true(x)
    y[:4] = 0  # a fifth of all: least squares would follow them
    torch.testing.assert_close(recolour(x, y, z), true(z), atol=1e-2, rtol=0)


def test_an_outline_is_the_rim_and_does_not_see_stripes():
    page = load("outside", "outlines")
    block = torch.zeros(1, 1, 32, 32)
    block[..., 8:20, 10:24] = 1
    rim = page["outlines"](block)
    assert rim.sum() == 2 * (12 + 14) - 4 and (rim * (1 - block)).sum() == 0
    striped = block.clone()
    striped[..., 10:18, 14:20] = 0  # a hole that the outside does not reach
    assert torch.equal(page["outlines"](striped), rim)
    assert page["outlines"](torch.zeros(1, 1, 32, 32)).sum() == 0


def test_shapes_change_with_every_step_of_every_slider():
    shape = load("shape-line", "shape-code")["animal_shape"]
    start = {"body": 10, "belly": 4, "legs": 6, "neck": 6}
    for name, steps in {"body": range(6, 13), "belly": range(3, 7), "legs": range(3, 10), "neck": range(2, 11)}.items():
        pictures = {shape(**{**start, name: step}).tobytes() for step in steps}
        assert len(pictures) == len(steps), name


def test_strokes_are_read_and_drawn():
    page = load("canvas-code", "canvas-ink")
    strokes = page["read_strokes"](" 0,0 100,0; 50,50 ;")
    assert [stroke.tolist() for stroke in strokes] == [[[0, 0], [100, 0]], [[50, 50]]]
    drawn = page["ink"](strokes)[0, 0]
    assert drawn[0].sum() == 32 and drawn.sum() == 33, "a line across the top, and one dot"
    assert page["read_strokes"]("") == [] and page["ink"]([]).sum() == 0


@pytest.mark.parametrize("typed", ["!", "10", "10,200", "1,2,3", "-1,5", "10;20", "a,b"])
def test_what_is_no_stroke_gets_a_sentence(typed):
    with pytest.raises(CourseError, match="is not a point"):
        load("canvas-code")["read_strokes"](typed)


# live figures: what a move does


LONG = [*TRAINING, "calm-code", "long-settings", "long-code", "answer"]
STREETS = ["street-kinds", "street-labels", "street-sky", "street-paint", "street-pairs", "street-g", "street-figure"]
EARTH = ["earth-code", "earth-pairs", "earth-rule", "earth-g", "earth-table"]
ANIMALS = ["outside", "outlines", "animal-pairs", "animal-g"]
LIVES = {
    "toy": ["toy-code", "toy-draw", "toy-live"],
    "field": ["unet", "critic", "field-code", "field-draw", "field-live"],
    "streets": [*LONG, *STREETS, "editor-code", "editor-live"],
    "earth": ["measure", *LONG, *EARTH, "earth-draw", "earth-live"],
    "animals": [*LONG, *ANIMALS, "shape-line", "shape-code", "shape-draw", "shape-live"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_every_step_of_every_slider_changes_picture_and_sentence(name):
    panels = []
    shown = {"live": lambda *a, **k: panels.append(helpers.live(*a, **k)), "slider": helpers.slider}
    load("glyphs", *LIVES[name], **shown)
    (panel,) = panels
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
    shown = {"live": helpers.live, "textbox": helpers.textbox, "plain": {"error": np.array([0.13])}}
    page = load("glyphs", "measure", *LONG, "long-fonts", "typed-code", "typed-live", **shown)
    known, held = GLYPHS.characters[7], GLYPHS.test_characters[7]
    assert page["draw_typed"](f"貓 {held}{known}") == f"貓: missing, no truth; {held}: held out; {known}: learned from."
    for bad in ("hello", "", "貓" * 9):
        with pytest.raises(CourseError):
            page["draw_typed"](bad)


def test_a_sketch_is_drawn_and_the_pad_is_left_alone():
    panels = []
    shown = {"live": lambda *a, **k: panels.append(helpers.live(*a, **k))}
    load(*LONG, *ANIMALS, "canvas-pad", "canvas-code", "canvas-ink", "canvas-draw", "canvas-live", glyphs=GLYPHS,
         show_rows=lambda axes, rows: axes.imshow(torch.zeros(2, 2)), **shown)  # fmt: skip
    (panel,) = panels
    first = panel.png
    panel.set(strokes="10,10 90,10 90,90 10,90 10,10")
    assert panel.text.startswith("5 points") and panel.png != first
    good = panel.png
    panel.set(strokes="!")
    assert panel.text.startswith("✗ “!” is not a point") and panel.png == good
    panel.set(strokes="")
    assert panel.text.startswith("0 points, 0 pixels")


# what is stored


def test_the_weights_that_are_shipped_are_small():
    files = list((ROOT / "data" / "weights").glob("09_*.safetensors"))
    assert len(files) == 5 and sum(path.stat().st_size for path in files) < 3e6


@pytest.mark.slow
def test_the_stored_table_belongs_to_the_code():
    """Same settings (the notebook checks them), and one cell of it made again: L1 only, seed 0, in the short lesson."""
    page = load("measure", *TRAINING, "race-make", "full-code", "full-run")
    again = page["run_lesson"]("L1 only", page["LIVE_STEPS"], 1)
    stored = load_results("09_lessons")["values"]["L1 only, short"]
    for name, values in again.items():
        assert abs(values[0] - stored[name][0]) < 0.03, name
    for lesson in page["LESSONS"]:
        assert {len(v) for v in page["stored"][lesson].values()} == {page["SEEDS"]}


def test_other_settings_are_refused():
    with pytest.raises(CourseError, match="settings of this page"):
        load("measure", *TRAINING, "race-make", "full-code", "full-run", change=[('"batch": 8', '"batch": 9')])


def test_the_cells_stay_short():
    assert all(len(cell("09", name).splitlines()) <= 22 for name in TRAINING)
