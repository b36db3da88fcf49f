"""A picture that moves while a cell trains, and that stays below the cell afterwards."""

import base64
import time

import ipywidgets as widgets
from IPython.display import display

from .live_figures import Picture, in_colab, until_rerun

SHARE = 0.08  # of the time, at most, goes into drawing
WORDS = "A picture that moved while this cell was training; this is its last state."


class TrainingPicture:
    """A callback for `game.train` that redraws a figure as training goes on.

    `draw(game)` changes the figure's artists, `moving` (see Picture). A picture is left out when drawing it would
    take more than SHARE of the time, so `every` may be small. The last one is always drawn, also after the stop button.

    >>> with TrainingPicture(figure, draw, moving=[dots]) as picture:
    ...     game.train(until=2000, callback=picture, every=20)
    """

    def __init__(self, figure, draw, moving=()):
        self.draw, self.picture, self.game = draw, Picture(figure, moving), None
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.image.value = self.picture.png()
        self.frames, self.seconds, self.next = 0, 0.0, 0.0
        until_rerun(self.image.close)

    def __enter__(self):
        self.handle = display(self._bundle(), raw=True, display_id=True)
        self.begun = time.perf_counter()
        return self

    def __call__(self, game):
        self.game = game
        if time.perf_counter() >= self.next:
            self.show()

    def __exit__(self, *error):
        if self.game is not None:
            self.show()
        self.total = time.perf_counter() - self.begun
        if not in_colab():  # a page with no kernel shows this picture instead of the widget
            self.handle.update(self._bundle(), raw=True)

    def show(self):
        """Draw now."""
        start = time.perf_counter()
        self.draw(self.game)
        self.image.value = self.picture.png()
        end = time.perf_counter()
        self.frames, self.seconds = self.frames + 1, self.seconds + end - start
        self.next = end + (end - start) * (1 / SHARE - 1)

    def _bundle(self):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.image.model_id}
        bundle = {"text/plain": WORDS, "application/vnd.jupyter.widget-view+json": view}
        if not in_colab():
            bundle["image/png"] = base64.b64encode(self.image.value).decode()
        return bundle
