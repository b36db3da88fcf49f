"""Live figures: what moves redraws, what cannot be drawn gets a sentence, nothing good is lost."""

import ast
import base64
import gc
import io
import math
import re
import weakref
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from common import masters, read_notebook, source
from PIL import Image

from helpers import (
    COLOURS,
    CourseError,
    TrainingPicture,
    button,
    choice,
    figures,
    live,
    slider,
    textbox,
    use_style,
)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def make(moving=False):
    figure, axes = plt.subplots(figsize=(4, 3), dpi=50)
    (bar,) = axes.bar([0], [1])
    axes.set_ylim(0, 10)

    def redraw(height):
        if height == 7:
            raise CourseError("Seven is not allowed: take another.")
        if height == 8:
            raise ZeroDivisionError("division by zero")
        bar.set_height(height)
        return f"The bar is {height} high."

    return live(figure, redraw, moving=[bar] if moving else (), height=slider("height", 0, 10, 1))


@pytest.mark.parametrize("moving", [False, True])
def test_a_slider_changes_picture_and_sentence(moving):
    panel = make(moving)
    before = panel.png
    assert panel.text == "The bar is 1 high." and panel.image.value == before
    panel.set(height=9)
    assert panel.text == "The bar is 9 high." and panel.image.value == panel.png != before
    panel.set(height=1)
    assert panel.png == before


def test_blitting_draws_the_same_picture():
    whole, moving = make(False), make(True)
    for height in (3, 10, 0, 5):
        whole.set(height=height)
        moving.set(height=height)
        # an animated artist lies on top of the axes' frame, a bar below it: only the frame's own pixels may differ
        different = (pixels(whole.png) != pixels(moving.png)).any(axis=-1).mean()
        assert different < 0.01


@pytest.mark.parametrize(("bad", "says"), [(7, "✗ Seven is not allowed: take another."), (8, "division by zero")])
def test_a_bad_entry_keeps_the_last_good_picture(bad, says):
    panel = make()
    good = panel.image.value
    panel.set(height=bad)
    assert says in panel.text and "alert" in panel.status.value and panel.image.value == good
    panel.set(height=2)
    assert panel.text == "The bar is 2 high." and panel.image.value != good


def test_buttons_count_and_words_need_no_figure():
    panel = live(None, lambda again, word: f"{word} {again}", again=button("again"), word=choice("word", ["a", "b"]))
    panel.set(again=2)
    panel.controls["again"].click()
    panel.set(word="b")
    assert panel.text == "b 3" and panel.png == b""


def test_the_sentence_is_escaped_and_announced():
    panel = live(None, lambda text: text, text=textbox("text", "<b>&"))
    assert "&lt;b&gt;&amp;" in panel.status.value
    assert 'role="status"' in panel.status.value and 'aria-live="polite"' in panel.status.value


def test_every_control_needs_a_description():
    with pytest.raises(CourseError, match="'height' has no description"):
        live(None, lambda height: "", height=slider("", 0, 1, 0))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: live(None, lambda n: "", n=(1, 20)), r"'n' is no control: write n=slider\("),  # as for interact
        (lambda: live(None, lambda n: "", n=3), "'n' is no control"),
        (lambda: live(None, lambda n: 3.5, n=slider("n", 1, 2, 1)), "return a sentence, in quotes; it returned 3.5"),
        (lambda: live(None, lambda n: (yield 3.5), n=slider("n", 1, 2, 1)), "it returned 3.5"),
        (lambda: live(plt.subplots(), lambda: ""), "needs a matplotlib figure"),
        (lambda: live(plt.figure(), lambda: "", moving=[plt.figure().text(0, 0, "")]), "has to be drawn in the figure"),
        (lambda: live(plt.figure(), lambda: "", moving=["bars"]), "bars is not"),
        (lambda: choice("letter", []), "nothing to choose from"),
        (lambda: choice("letter", ["a"], "b"), "cannot be made with"),
        (lambda: choice("letter", 3), "cannot be made with"),
        (lambda: textbox("numbers", 3), "begins with a text"),
    ],
)
def test_what_makes_no_live_figure_gets_a_sentence(made, says):
    with pytest.raises(CourseError, match=says):
        made()
    plt.close("all")


def test_a_redraw_that_forgets_its_sentence_later_says_so():
    panel = live(None, lambda n: "one" if n == 1 else n, n=slider("n", 1, 2, 1))
    panel.set(n=2)
    assert "it returned 2" in panel.text
    assert live(None, lambda: None).text == ""  # a picture may speak for itself


@pytest.mark.parametrize("cell_id", ["a1", None])
def test_a_cell_that_is_run_again_lets_go_of_what_it_showed(monkeypatch, cell_id):
    shell = SimpleNamespace(parent_header={})
    monkeypatch.setattr(figures, "get_ipython", lambda: shell)
    monkeypatch.setattr(figures, "SHOWN", {})
    knob = slider("height", 0, 10, 1)  # of another cell: it serves each run
    calls, drawn, kept = [], [], []
    for run in range(3):
        metadata = {"cellId": cell_id} if cell_id else {}
        shell.parent_header = {"metadata": metadata, "content": {"code": "live(…)"}, "header": {"msg_id": str(run)}}
        for name in "ab":  # two figures in one cell stay, both
            figure = plt.figure(figsize=(1, 1))
            redraw = lambda height, say=f"{name}{run}", figure=figure: calls.append(say) or say  # noqa: E731
            kept.append(live(figure, redraw, height=knob))  # as Out[3] keeps it
            drawn.append(weakref.ref(figure))
        picture = TrainingPicture(plt.figure(figsize=(1, 1)), lambda game: None)
        del figure, redraw
    assert not kept[0].box.comm and kept[-1].box.comm and picture.image.comm
    calls.clear()
    knob.value = 5
    assert calls == ["a2", "b2"]
    gc.collect()
    assert [figure() is not None for figure in drawn] == [False] * 4 + [True] * 2
    kept[0].set()
    kept[0].update()  # nothing moves, nothing fails


def test_an_author_sees_the_first_error():
    with pytest.raises(ZeroDivisionError):
        live(None, lambda x: str(1 / x), x=slider("x", 0, 1, 0))


def test_what_is_displayed(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda bundle, raw: shown.append(bundle))
    panel = make()
    panel._ipython_display_()
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    panel._ipython_display_()
    here, colab = shown
    assert here["text/plain"] == colab["text/plain"] == "The bar is 1 high."
    assert base64.b64decode(here["image/png"]) == panel.png and "image/png" not in colab
    assert colab["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.box.model_id


def test_the_figure_is_drawn_once_only(monkeypatch):
    panel = make(moving=True)
    calls = []
    monkeypatch.setattr(panel.picture.canvas, "draw", lambda: calls.append(1))
    panel.set(height=4)
    assert not calls


def test_figures_do_not_pile_up():
    before = len(plt.get_fignums())
    make()
    assert len(plt.get_fignums()) == before


@pytest.mark.parametrize(
    ("control", "kind"),
    [
        (slider("a", 0, 10, 1), "IntSlider"),
        (slider("a", 0.0, 1, 0.5), "FloatSlider"),
        (slider("a", 0.1, 10, 1, log=True), "FloatLogSlider"),
    ],
)
def test_sliders(control, kind):
    assert type(control).__name__ == kind and control.description == "a"
    low, high = (10**control.min, 10**control.max) if "Log" in kind else (control.min, control.max)
    assert (round(low, 6), round(high, 6)) == {
        "IntSlider": (0, 10),
        "FloatSlider": (0, 1),
        "FloatLogSlider": (0.1, 10),
    }[kind]
    assert control.step == {"IntSlider": 1, "FloatSlider": 0.01, "FloatLogSlider": 0.02}[kind]


def test_a_log_slider_keeps_its_value():
    assert slider("T", 0.1, 10, 1.0, log=True).value == 1.0
    assert slider("T", 0.2, 2.0, 0.6, step=0.1).value == 0.6


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ((0, 10, 1.0, None, True), "from a lower number, above 0, to a higher one, not from 0 to 10"),
        ((-1, 10, 1.0, None, True), "above 0"),
        ((0.1, 10, 0, None, True), "cannot begin at 0"),
        ((0.1, 10, 0.13, 0.5, True), "by 10 to the 0.5"),
        ((1.0, 1.0, 1.0), "from a lower number to a higher one"),
        ((5.0, 1.0, 3.0), "not from 5 to 1"),
        ((5, 1, 3), "not from 5 to 1"),
        ((0, 10, 5, -1), "cannot begin at 5: it goes from 0 to 10 by -1"),
        ((0, 10, 5, 0), "by 0"),
        ((0, 10, 0, 100), "by 100"),  # it could not move
        ((1.0, 1 + 1e-15, 1.0), "cannot begin at 1"),
        ((0.0, 5e-324, 0.0), "from a lower number"),
        ((-1e308, 1e308, 0), "from a lower number"),
        ((0, INF, 1), "inf is none"),
        ((NAN, 1, 1), "nan is none"),
        ((0, 10, "3"), "'?3'? is none"),
        ((0, 10, None), "None is none"),
        ((0, 10, 1j), "1j is none"),
        ((0, np.array([1, 2]), 1), "needs plain numbers"),
        ((0, 10**400, 1), "needs plain numbers"),
    ],
)
def test_a_slider_that_cannot_be_gets_a_sentence(numbers, says):
    with pytest.raises(CourseError, match=says) as caught:
        slider("size", *numbers)
    assert "'size'" in str(caught.value) and len(str(caught.value)) < 150


@pytest.mark.parametrize("whole", [np.int64, np.uint8, torch.tensor, np.array, int])
def test_whole_numbers_of_any_make_are_whole(whole):
    control = slider("picture", 0, whole(15), whole(3))
    assert type(control).__name__ == "IntSlider" and (control.max, control.value, control.step) == (15, 3, 1)
    assert type(control.max) is int
    assert type(slider("part", 0, np.float32(1), torch.tensor(0.5))).__name__ == "FloatSlider"


@pytest.mark.parametrize(
    ("low", "high", "step", "shown"),
    [
        (0.0, 1e-9, 1e-10, ".1e"),
        (0.0, 2e-7, None, ".2e"),
        (0.0, 1e-300, None, ".2e"),
        (0.0, 1e-4, None, ".6f"),
        (1e6, 1e6 + 1e-4, 1e-6, ".6f"),
        (0.0, 1.0, 0.05, ".2f"),
    ],
)
def test_a_slider_shows_its_smallest_step(low, high, step, shown):
    control = slider("rate", low, high, low, step)
    assert control.readout_format == shown
    assert format(low + control.step, shown) != format(low, shown)


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(-4.0, 4.0, 0.1), (0.01, 0.99, 0.01), (-5.0, 15.0, 0.2), (0.0, 100.0, 1.0), (0.0, 0.02, 0.0002), (0.0, 3e4, 500)],
)
def test_a_step_that_nobody_chose_is_round(low, high, step):
    control = slider("a", low, high, low)
    assert control.step == step
    assert 0 <= (high - low) / step <= 100 + 1e-6


def test_a_slider_begins_where_a_browser_leaves_it():
    """In steps from `low` on, in powers of ten for a log slider; a value between two steps is the author's error."""
    for control in (slider("η", 0.003, 1, 0.1, log=True), slider("T", 0.1, 3, 0.5, log=True)):
        steps = (math.log10(control.value) - control.min) / control.step
        assert abs(steps - round(steps)) < 1e-9 and 0.015 < control.step < 0.025
    for off in ({"value": 0.55, "step": 0.1}, {"value": 1.5}, {"value": 0.505}):
        with pytest.raises(CourseError, match="The slider 'a' cannot begin at"):
            slider("a", 0.0, 1.0, **off)
    with pytest.raises(CourseError, match="cannot begin at 30: it goes from 0 to 100 by 20"):
        slider("a", 0, 100, 30, step=20)
    with pytest.raises(CourseError, match="cannot begin"):
        slider("a", 0.1, 10, 0.5, step=0.1, log=True)


@pytest.mark.parametrize(
    ("given", "readout"),
    [
        ({"low": 0.01, "high": 0.6, "value": 0.4, "step": 0.005}, ".3f"),
        ({"low": 0.0, "high": 1.0, "value": 0.4}, ".2f"),
        ({"low": -4.0, "high": 4.0, "value": 1.0}, ".1f"),
        ({"low": 0.25, "high": 4.25, "value": 0.75, "step": 0.5}, ".2f"),
        ({"low": 0.003, "high": 1, "value": 0.1, "log": True}, ".3g"),
    ],
)
def test_a_slider_shows_as_many_digits_as_its_step_needs(given, readout):
    assert slider("a", **given).readout_format == readout


def test_a_long_description_leaves_the_track_its_width():
    for words in ("x", "wrong class ahead by", "data: bumps apart"):
        layout = slider(words, 0.0, 1.0, 0.5).layout
        assert int(layout.width.removesuffix("px")) >= 240 + 7 * len(words) and layout.max_width == "100%"


def sliders_of(path):
    """The `slider(…)` calls of a notebook whose arguments are plain numbers."""
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "code":
            plain = "\n".join(line for line in source(cell).splitlines() if line.strip()[:1] not in ("%", "!"))
            for call in ast.walk(ast.parse(re.sub(r"= *[%!].*", "= 0", plain))):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "slider":
                    parts = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
                    if not any(isinstance(node, ast.Name | ast.Call) for part in parts for node in ast.walk(part)):
                        yield call


@pytest.mark.parametrize("path", masters(), ids=lambda path: path.stem)
def test_every_slider_of_the_notebooks_stands_on_its_grid(path):
    for call in sliders_of(path):
        call.args[0] = ast.Constant("a")
        eval(ast.unparse(call), {"slider": slider})


def test_a_menu_begins_where_it_is_told():
    assert choice("a", ["x", "y"]).value == "x" and choice("a", ["x", "y"], "y").value == "y"


def test_a_text_box_waits_for_enter():
    assert textbox("a", "b").continuous_update is False


def test_a_report_keeps_its_lines_and_controls_wrap():
    panel = live(None, lambda x: "one\ntwo", x=slider("x", 0, 1, 0))
    assert "white-space:pre-wrap" in panel.status.value and panel.box.children[0].layout.flex_flow == "row wrap"
    assert "course-live" in panel.box._dom_classes


def test_style_gives_chinese_and_a_layout(recwarn):
    use_style()
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.set_title("牀前看月光")
    picture = pixels(figures.Picture(figure).png())
    assert not [w for w in recwarn if "Glyph" in str(w.message)], "a character of the poems is drawn as a box"
    assert (picture < 128).any() and plt.rcParams["figure.constrained_layout.use"]
    assert plt.rcParams["axes.prop_cycle"].by_key()["color"][0] == COLOURS["data"] == "#0072B2"


def test_a_redraw_that_yields_is_a_film(monkeypatch):
    figure, axes = plt.subplots(figsize=(4, 3), dpi=50)
    (bar,) = axes.bar([0], [1])
    axes.set_ylim(0, 10)

    def film(play):
        for height in range(1, 4):
            bar.set_height(height * (1 + play))
            yield f"{play}: {height}"
        if play == 2:
            raise CourseError("The reel is torn.")

    panel, shown = live(figure, film, moving=[bar], play=button("play")), []
    assert panel.text == "0: 3"
    monkeypatch.setattr(panel, "_say", lambda text, bad=False: shown.append((text, panel.png)))
    panel.set(play=1)
    assert [text for text, _ in shown] == ["1: 1", "1: 2", "1: 3"] and len({png for _, png in shown}) == 3
    panel.set(play=1)
    assert shown[-1][0] == "✗ The reel is torn."
