"""A tour in a real browser: run all, then move every control of every notebook and see that something changes.

The English edition on today's JupyterLab with ipywidgets 8; the Chinese one as on Colab: on JupyterLab 3.6 with its
generation of widgets, ipywidgets 7.7.1, each notebook alone in a folder, the course a clone away. There, the one that has
every kind of control; the others weekly (tests/colab/ moves their controls in every run, without a browser).
"""

import contextlib
import os
import sys

import pytest
from common import ROOT, ZH, find_browser, masters
from door import marks, push_to
from lab import Panel, browser_page, copy_of_course, copy_without_outputs, open_and_run, server
from screenshots import photograph

# For each text box, by its description: an entry that is good, and one that is not.
ENTRIES = {
    "Your numbers:": ("５，１、1", "2**3"),
    "Point style:": ("g^", "hello"),
    "A line begins with:": ("明月", "hello"),
    "Student number:": ("B12345678", None),
    "Your notebook (file name or link):": ("https://colab.research.google.com/drive/1", None),
    "Your heights:": ("０，1、-1", "9, 0"),
    "Write in sans:": ("貓天", "hello"),
    "Your guess:": ("０.５，０.３、0.2", "0.7, 0.7, 0"),
    "Characters:": ("貓 妳 水", "hello"),
    "Topic:": ("mode collapse in GANs", "../"),
    "Why do you want to know?": ("my drawings all look the same", " "),
    "What is it for?": ("a page for my classmates", " "),
    "Ask for:": ("春風", " "),
    "Draw this person": ("戴眼鏡，長髮", None),
    "Your figurine:": ("with glasses, in green, named 「小華」", " "),
}
LABS = ["lab4-widgets8", "lab3-colab"]
EVERY_KIND = "01"  # the number of the notebook that has sliders, boxes, menus and buttons


def tours(*numbers):
    """For a test of these notebooks: on both labs; on the older one weekly, but for the one that has every kind."""
    weekly = lambda lab, number: [pytest.mark.weekly] if lab == LABS[1] and number != EVERY_KIND else []  # noqa: E731
    pairs = [pytest.param(lab, n, id=f"{lab}-{n}", marks=weekly(lab, n)) for lab in LABS for n in numbers]
    return pytest.mark.parametrize("lab, number", pairs, indirect=["lab"], scope="module")


PICTURES = ROOT / "tests" / "screenshots"
# How many live figures have a picture beside their widget: for pages without a kernel, which Colab's are not.
STILL = """() => {
  let still = 0;
  for (const {model: {outputs}} of jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code')) {
    for (let i = 0; i < outputs.length; i++) {
      const {data} = outputs.get(i).toJSON();
      if (data && data['application/vnd.jupyter.widget-view+json'] && data['image/png']) still++;
    }
  }
  return still;
}"""
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def executable():
    found = find_browser()
    if not found:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no Chromium or Chrome on this machine")
    return found


class Lab:
    """One JupyterLab and the page that shows it. A notebook that stands open, having run, is not opened again."""

    def __init__(self, name, page, folders):
        self.name, self.page, self.folders, self.shown = name, page, folders, None
        self.newest = name == LABS[0]

    def open(self, number):
        """The page, with the notebook of this number open in it, run to its end without an error."""
        if self.shown != number:
            self.shown = None
            (path,) = [path for folder in self.folders for path in sorted(folder.glob(f"{number}_*.ipynb"))]
            assert open_and_run(self.page, path.relative_to(self.folders[0].parent).as_posix()) is None
            self.shown = number
        return self.page


@pytest.fixture(scope="module")
def lab(request, tmp_path_factory, executable):
    """The English edition in its course, with today's widgets; the Chinese one, each notebook alone, as on Colab."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == LABS[0]:
        root, python, environment = copy_of_course(folder / "course"), sys.executable, {}
        folders = [root / "notebooks"]
    else:
        root, python = folder / "content", request.getfixturevalue("colab_python")
        folders = [root / master.name[:2] for master in masters()]
        for master, alone in zip(masters(), folders, strict=True):
            alone.mkdir(parents=True)
            copy_without_outputs(ZH / master.name, alone)
        remote = folder / "remote"
        environment = marks(folder, push_to(remote))
    with server(python, root, folder, **environment) as address, browser_page(executable, address) as page:
        yield Lab(request.param, page, folders)


@tours("00")
def test_plain_interact_redraws(lab, number):
    """In the notes' own way, without `live`: the word of the first slider moves, the picture of the second changes."""
    page = lab.open(number)
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


@tours("05")
def test_the_game_steps_and_plays(lab, number):
    """step D and step G move one player only, play is seen as a film, reset begins again."""
    page = lab.open(number)
    panel = Panel(page.locator(".course-live").filter(has=page.get_by_role("button", name="step D")))
    panel.box.scroll_into_view_if_needed()
    now = start = panel.look()
    assert "D has had 0 turns, G 0" in start["words"]
    for name, says in [("step D", "D has had 5 turns, G 0"), ("step G", "D has had 5 turns, G 5")]:
        panel.box.get_by_role("button", name=name).click()
        now = panel.changed(now)
        assert says in now["words"]
    panel.box.get_by_role("button", name="play").click()
    now = panel.changed(now)
    assert len(now["seen"]) > 5 and "D has had 125 turns, G 125" in now["words"], "a film, not only its end"
    panel.box.get_by_role("button", name="reset").click()
    assert panel.changed(now)["words"] == start["words"]


@tours("09")
def test_the_canvas_is_really_drawn_on(lab, number):
    """A line drawn with the mouse reaches Python, which draws portraits from it; the pad can be cleared."""
    page = lab.open(number)
    panel = Panel(page.locator(".course-live").filter(has=page.locator("canvas")).first)
    pad = panel.box.locator("canvas")
    pad.scroll_into_view_if_needed()
    empty, frame = panel.look(), pad.bounding_box()
    corners = [(0.2, 0.3), (0.8, 0.3), (0.8, 0.7), (0.2, 0.7), (0.2, 0.3)]
    places = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=12)
    page.mouse.up()
    drawn = panel.changed(empty)
    assert "49 points" in drawn["words"] and "pixels of line" in drawn["words"]
    first = [int(number) for number in panel.box.locator("textarea").input_value().split()[0].split(",")]
    assert abs(first[0] - 20) <= 2 and abs(first[1] - 30) <= 2, "where the pen was set down"
    assert pad.evaluate("pad => pad.getContext('2d').getImageData(128, 77, 1, 1).data[3]") > 0, "the line is seen"
    PICTURES.mkdir(exist_ok=True)
    panel.box.screenshot(path=PICTURES / "canvas.png")
    panel.box.get_by_role("button", name="clear the pad").click()
    assert "0 points" in panel.changed(drawn)["words"]
    page.mouse.move(*places[1])
    assert "0 points" in panel.look()["words"], "without the pen down, nothing is drawn"


@tours(*(master.name[:2] for master in masters()))
def test_every_control_answers(lab, number):
    page = lab.open(number)
    boxes = page.locator(".course-live")
    assert boxes.count() > 0
    tour = {"sliders": 0, "texts": 0, "menus": 0, "buttons": 0}
    PICTURES.mkdir(exist_ok=True)
    if lab.newest:
        photograph(page, number, PICTURES)
    else:
        assert page.evaluate(STILL) == 0, "on Colab only the widget is sent"
    for n in range(boxes.count()):
        panel = Panel(boxes.nth(n))
        panel.box.scroll_into_view_if_needed()
        type_into_texts(panel, tour)
        move_sliders(panel, page, tour, every_drag=lab.newest)
        choose_from_menus(panel, tour)
        press_buttons(panel, tour)
        if lab.newest or n == 0:
            panel.box.screenshot(path=PICTURES / f"{lab.name}-{number}-{n}.png")
    print(tour)
    assert tour["sliders"] > 0


def type_into_texts(panel, tour):
    for box in panel.box.locator(".widget-text").all():
        good, bad = ENTRIES[box.locator("label").first.inner_text()]
        field, now = box.locator("input"), panel.look()
        field.fill(good)
        field.press("Enter")
        if now["picture"]:
            now = panel.changed(now)
            assert not now["words"].startswith("✗")
        if bad:
            field.fill(bad)
            field.press("Enter")
            refused = panel.changed(now, picture=False)
            assert refused["words"].startswith("✗") and "Traceback" not in refused["words"]
            assert panel.box.locator("[role=alert]").count()
            assert refused["picture"] == now["picture"], "the last good picture stays"
            field.fill(good)
            field.press("Enter")
            assert panel.changed(refused, picture=False)["words"] == now["words"]
        tour["texts"] += 1


def move_sliders(panel, page, tour, every_drag):
    """Each slider by key, each (or the panel's first) by drag, too: the sentence and the picture follow."""
    now = panel.look()
    for place, slider in enumerate(panel.box.locator(".widget-hslider").all()):
        slider.scroll_into_view_if_needed()
        press_twice(page, slider)
        now = panel.changed(now)
        assert not now["words"].startswith("✗")
        if every_drag or place == 0:
            drag(page, slider)
            now = panel.changed(now)
        tour["sliders"] += 1


def press_twice(page, slider):
    """Two steps by key, away from the end: a readout may round one away."""
    slider.locator(".noUi-handle, .ui-slider-handle").first.focus()
    track = slider.evaluate("slider => course.track(slider)")
    at_the_end = track["x"] > track["left"] + track["width"] * 0.85
    for _ in range(2):
        page.keyboard.press("ArrowLeft" if at_the_end else "ArrowRight")


def drag(page, slider):
    """Take the knob with the mouse to the other end of its rail."""
    knob = slider.evaluate("slider => course.track(slider)")
    x, y, middle = knob["x"], knob["y"], knob["left"] + knob["width"] / 2
    target = knob["left"] + knob["width"] * (0.2 if x > middle else 0.8)
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 5):
        page.mouse.move(x + (target - x) * step / 4, y)
    page.mouse.up()


def choose_from_menus(panel, tour):
    now = panel.look()
    for menu in panel.box.locator("select").all():
        menu.select_option(index=0 if menu.evaluate("menu => menu.selectedIndex") == 1 else 1)
        now = panel.changed(now, picture=False)
        tour["menus"] += 1


def press_buttons(panel, tour):
    """Each button changes the sentence and the picture; one that plays a film is waited for."""
    now = panel.look()
    for button in panel.box.locator("button.widget-button, button.jupyter-button").all():
        button.click()
        now = panel.changed(now, seconds=120)
        tour["buttons"] += 1


@tours("01")
def test_the_hand_in_names_what_is_missing(lab, number):
    """The parts that are still the template are named, the finished ones are packed."""
    page = lab.open(number)
    code = "def my_softmax(scores):\n    powers = np.exp(scores - max(scores))\n    return powers / powers.sum()"
    page.evaluate(
        "code => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code, store_history: true}) }",
        code,
    )
    panel = Panel(page.locator(".course-live").last)
    panel.box.scroll_into_view_if_needed()
    before = panel.look()
    panel.box.locator("input").first.fill("B12345678")
    panel.box.locator("input").first.press("Enter")
    panel.box.locator("button").first.click()
    report = panel.changed(before)["words"]
    assert "✗ notebook.ipynb: type its file name" in report and "✗ discovery.txt: still the template" in report
    assert "✓ prompt.txt" in report and "✓ my_softmax.py: packed" in report and "holds 2 of 4 files" in report
    assert [folder for folder in lab.folders if (folder / "softmax_homework.zip").exists()]
