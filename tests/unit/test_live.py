"""Live figures: what moves redraws, what cannot be drawn gets a sentence, nothing good is lost."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from helpers import COLOURS, CourseError, button, choice, live, live_figures, slider, textbox, use_style


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


def test_an_author_sees_the_first_error():
    with pytest.raises(ZeroDivisionError):
        live(None, lambda x: str(1 / x), x=slider("x", 0, 1, 0))


def test_what_is_displayed(monkeypatch):
    shown = []
    monkeypatch.setattr(live_figures, "display", lambda bundle, raw: shown.append(bundle))
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
    assert slider("T", 0.1, 10, 1.0, log=True).readout_format == ".2f"
    assert slider("rate", 0.001, 0.1, 0.02, log=True).readout_format == ".4f", "or the readout would say 0.00"


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
    picture = pixels(live_figures.Picture(figure).png())
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
