"""A tour in a real browser: run all, then move every control of every notebook and see that something changes.

On today's JupyterLab with ipywidgets 8, and on JupyterLab 3.6 with ipywidgets 7.7.1, Colab's generation.
"""

import contextlib
import os
import sys

import pytest
from common import ROOT, masters
from lab import Panel, browser_page, open_and_run, server
from run import find_browser
from screenshots import photograph

# For each text box, by its description: an entry that is good, and one that is not.
ENTRIES = {
    "Your numbers:": ("５，１、1", "2**3"),
    "Point style:": ("g^", "hello"),
    "A line begins with:": ("明月", "hello"),
    "Student number:": ("B12345678", None),
    "Your heights:": ("０，1、-1", "9, 0"),
    "Write in sans:": ("貓天", "hello"),
    "Your guess:": ("０.５，０.３、0.2", "0.7, 0.7, 0"),
    "Characters:": ("貓 妳 水", "hello"),
}
PICTURES = ROOT / "tests" / "screenshots"
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def executable():
    found = find_browser()
    if not found:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no Chromium or Chrome on this machine")
    return found


class Lab:
    """One JupyterLab and the page that shows it. A notebook that stands open, having run, is not opened again."""

    def __init__(self, name, page, address, copy):
        self.name, self.page, self.address, self.copy, self.shown = name, page, address, copy, None

    def open(self, number):
        """The page, with the notebook of this number open in it, run to its end without an error."""
        if self.shown != number:
            self.shown = None
            (master,) = [path for path in masters() if path.name.startswith(number)]
            assert not open_and_run(self.page, self.address, f"notebooks/{master.name}")
            self.shown = number
        return self.page


@pytest.fixture(scope="module", params=["lab4-widgets8", "lab3-widgets7"])
def lab(request, tmp_path_factory, executable):
    python = sys.executable if request.param == "lab4-widgets8" else request.getfixturevalue("colab_python")
    with server(python, tmp_path_factory.mktemp(request.param)) as (address, copy), browser_page(executable) as page:
        yield Lab(request.param, page, address, copy)


def test_the_plain_interact_of_00_redraws(lab):
    """In the notes' own way, without `live`: the word of the first slider moves, the picture of the second changes."""
    page = lab.open("00")
    panels = page.locator(".widget-interact")
    assert panels.count() == 4  # shift, move, draw_sinc, draw_wave
    word, picture = panels.nth(0).locator("pre"), panels.nth(2).locator("img")
    assert press_right(page, panels.nth(0), lambda: word.last.inner_text()).strip() == "·" * 11 + "softmax"
    press_right(page, panels.nth(2), lambda: picture.last.get_attribute("src"))
    assert picture.count() == 1, "the old picture has made room for the new one"


def press_right(page, panel, look):
    """Press the arrow on the panel's slider; wait until what `look` returns has changed, and return it."""
    panel.scroll_into_view_if_needed()
    before = look()
    panel.locator(".noUi-handle, .ui-slider-handle").first.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(200):
        page.wait_for_timeout(100)
        with contextlib.suppress(Exception):  # while the old output is replaced there may be none
            if look() != before:
                return look()
    raise AssertionError(f"nothing changed: {before[:80]!r}")


def test_the_game_of_05_steps_and_plays(lab):
    """step D and step G move one player only, play is seen as a film, reset begins again."""
    page = lab.open("05")
    panel = Panel(page.locator(".course-live").filter(has=page.get_by_role("button", name="step D")))
    panel.box.scroll_into_view_if_needed()
    start = panel.words()
    assert "D has had 0 turns, G 0" in start
    for name, says in [("step D", "D has had 5 turns, G 0"), ("step G", "D has had 5 turns, G 5")]:
        words, picture = panel.words(), panel.picture()
        panel.box.get_by_role("button", name=name).click()
        assert says in panel.wait_for_change(words)
        panel.wait_for_picture(picture)
    panel.box.get_by_role("button", name="play").click()
    seen = panel.wait_until_still()
    assert len(seen) > 5 and "D has had 125 turns, G 125" in seen[-1], "a film, not only its end"
    panel.box.get_by_role("button", name="reset").click()
    assert panel.wait_for_change(seen[-1]) == start


def test_the_canvas_of_09_is_really_drawn_on(lab):
    """A closed line drawn with the mouse reaches Python, which draws an animal from it; the pad can be cleared."""
    page = lab.open("09")
    panel = Panel(page.locator(".course-live").filter(has=page.locator("canvas")))
    pad = panel.box.locator("canvas")
    pad.scroll_into_view_if_needed()
    words, picture, frame = panel.words(), panel.picture(), pad.bounding_box()
    corners = [(0.2, 0.3), (0.8, 0.3), (0.8, 0.7), (0.2, 0.7), (0.2, 0.3)]
    places = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=12)
    page.mouse.up()
    panel.wait_for_change(words)
    drawn = panel.wait_until_still()[-1]
    assert "49 points" in drawn and "outline" in drawn
    panel.wait_for_picture(picture)
    first = [int(number) for number in panel.box.locator("textarea").input_value().split()[0].split(",")]
    assert abs(first[0] - 20) <= 2 and abs(first[1] - 30) <= 2, "where the pen was set down"
    assert pad.evaluate("pad => pad.getContext('2d').getImageData(128, 77, 1, 1).data[3]") > 0, "the line is seen"
    picture = panel.picture()
    PICTURES.mkdir(exist_ok=True)
    panel.box.screenshot(path=PICTURES / "canvas.png")
    panel.box.get_by_role("button", name="clear the pad").click()
    assert "0 points" in panel.wait_for_change(drawn)
    panel.wait_for_picture(picture)
    page.mouse.move(*places[1])
    assert "0 points" in panel.words(), "without the pen down, nothing is drawn"


@pytest.mark.parametrize("master", masters(), ids=lambda path: path.stem)
def test_every_control_answers(lab, master):
    page = lab.open(master.name[:2])
    boxes = page.locator(".course-live")
    assert boxes.count() > 0
    tour = {"sliders": 0, "texts": 0, "menus": 0, "buttons": 0}
    PICTURES.mkdir(exist_ok=True)
    if lab.name.startswith("lab4"):
        photograph(page, master.name[:2], PICTURES)
    for n in range(boxes.count()):
        panel = Panel(boxes.nth(n))
        panel.box.scroll_into_view_if_needed()
        type_into_texts(panel, page, tour)
        move_sliders(panel, page, tour, every_drag=lab.name.startswith("lab4"))
        choose_from_menus(panel, tour)
        press_buttons(panel, tour)
        panel.box.screenshot(path=PICTURES / f"{lab.name}-{master.stem}-{n}.png")
    print(tour)
    assert tour["sliders"] > 0


def type_into_texts(panel, page, tour):
    for box in panel.box.locator(".widget-text").all():
        good, bad = ENTRIES[box.locator("label").first.inner_text()]
        field, has_picture = box.locator("input"), panel.box.locator("img").count()
        words = panel.words()
        field.fill(good)
        field.press("Enter")
        if has_picture:
            words = panel.wait_for_change(words)
            assert not words.startswith("✗")
        if bad:
            picture = panel.picture()
            field.fill(bad)
            field.press("Enter")
            refused = panel.wait_for_change(words)
            assert refused.startswith("✗") and "Traceback" not in refused and panel.box.locator("[role=alert]").count()
            assert panel.picture() == picture, "the last good picture stays"
            field.fill(good)
            field.press("Enter")
            assert panel.wait_for_change(refused) == words
        tour["texts"] += 1


def move_sliders(panel, page, tour, every_drag):
    """Each slider by key, each (or the panel's first) by drag, too: the sentence and the picture follow."""
    for place, slider in enumerate(panel.box.locator(".widget-hslider").all()):
        handle = slider.locator(".noUi-handle, .ui-slider-handle").first
        words, picture = panel.words(), panel.picture()
        handle.focus()
        key = "ArrowLeft" if at_the_end(slider) else "ArrowRight"  # asked once, or two steps may lead back
        for _ in range(2):  # two steps: a readout may round one away
            page.keyboard.press(key)
        assert not panel.wait_for_change(words).startswith("✗")
        panel.wait_for_picture(picture)
        panel.settle()  # or the second step would be taken for an answer to what is moved next
        if every_drag or place == 0:
            drag(panel, page, slider, handle)
        tour["sliders"] += 1


def at_the_end(slider):
    rail = slider.locator(".noUi-base, .ui-slider").first.bounding_box()
    knob = slider.locator(".noUi-handle, .ui-slider-handle").first.bounding_box()
    return knob["x"] + knob["width"] / 2 > rail["x"] + rail["width"] * 0.85


def drag(panel, page, slider, handle):
    words, picture = panel.words(), panel.picture()
    knob, rail = handle.bounding_box(), slider.locator(".noUi-base, .ui-slider").first.bounding_box()
    middle = rail["x"] + rail["width"] / 2
    x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    target = rail["x"] + rail["width"] * (0.2 if x > middle else 0.8)
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 5):
        page.mouse.move(x + (target - x) * step / 4, y)
    page.mouse.up()
    panel.wait_for_change(words)
    panel.wait_for_picture(picture)
    panel.settle()


def choose_from_menus(panel, tour):
    for menu in panel.box.locator("select").all():
        words = panel.words()
        menu.select_option(index=1)
        panel.wait_for_change(words)
        tour["menus"] += 1


def press_buttons(panel, tour):
    """Each button changes the sentence and the picture; one that plays a film is waited for."""
    for button in panel.box.locator("button.widget-button, button.jupyter-button").all():
        words, picture = panel.words(), panel.picture() if panel.box.locator("img").count() else None
        button.click()
        panel.wait_for_change(words)
        panel.wait_until_still()
        if picture:
            panel.wait_for_picture(picture)
        tour["buttons"] += 1


def test_the_hand_in_of_01_names_what_is_missing(lab):
    """The parts that are still the template are named, the finished ones are packed."""
    page = lab.open("01")
    code = "def my_softmax(scores):\n    powers = np.exp(scores - max(scores))\n    return powers / powers.sum()"
    page.evaluate(
        "code => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code, store_history: true}) }",
        code,
    )
    panel = Panel(page.locator(".course-live").last)
    panel.box.scroll_into_view_if_needed()
    words = panel.words()
    panel.box.locator("input").fill("B12345678")
    panel.box.locator("input").press("Enter")
    panel.box.locator("button").first.click()
    report = panel.wait_for_change(words)
    assert "✗ prompt.txt: still the template" in report and "✗ discovery.txt: still the template" in report
    assert "✓ my_softmax.py: packed" in report and "holds 1 of 3 parts" in report
    assert (lab.copy / "notebooks" / "softmax_homework.zip").exists()
