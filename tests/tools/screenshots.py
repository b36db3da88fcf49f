"""Each notebook's best moment, as the README shows it: one live figure, photographed in JupyterLab after Run All.

    python3 tests/tools/screenshots.py           # all; or the notebooks with these numbers or names

The browser tours take the same pictures, into tests/screenshots/.

Which figure that is stands in BEST, by the id of its cell. The pictures go to .github/pictures/NN.png.
"""

import sys
import tempfile
from pathlib import Path

from common import ROOT, chosen, find_browser
from lab import browser_page, copy_of_course, open_and_run, server

BEST = {
    "00": "sinc-live-run",
    "01": "poem-live",
    "02": "learn-live",
    "03": "simplex-live",
    "04": "shirts-live",
    "05": "bout-live",
    "06": "shots-live",
    "07": "film-live",
    "08": "mixing-live",
    "09": "typed-live",
    "10": "horse-live",
    "11": "figurine-ask",
    "12": "budget-live",
}
FIRST = {"05": "play"}  # a button to press before, to the end of its film
FIGURE = """id => jupyterapp.shell.currentWidget.content.widgets.find(cell => cell.model.id === id).node
  .querySelector('.course-live')"""
PICTURES = ROOT / ".github" / "pictures"


def photograph(page, number, folder):
    """The best moment of the notebook with this number, which has just run in `page`, as folder/NN.png."""
    box = page.evaluate_handle(FIGURE, BEST[number]).as_element()
    box.scroll_into_view_if_needed()
    box.query_selector("img").evaluate("image => image.decode()")
    box.screenshot(path=folder / f"{number}.png")


def press(page, number):
    """Press the button that leads to the moment, and wait until the sentence below it rests for two seconds."""
    box = page.evaluate_handle(FIGURE, BEST[number]).as_element()
    next(button for button in box.query_selector_all("button") if button.inner_text() == FIRST[number]).click()
    words = None
    while words != (words := box.inner_text()):
        page.wait_for_timeout(2000)


def main(words):
    notebooks = chosen(words)
    with (
        tempfile.TemporaryDirectory() as folder,
        server(sys.executable, copy_of_course(Path(folder) / "course"), Path(folder)) as address,
        browser_page(find_browser(), address) as page,
    ):
        for path in notebooks:
            if error := open_and_run(page, f"notebooks/{path.name}"):
                sys.exit(f"{path.name}: {error}")
            if path.name[:2] in FIRST:
                press(page, path.name[:2])
            photograph(page, path.name[:2], PICTURES)
            print(f"{path.name}: .github/pictures/{path.name[:2]}.png", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
