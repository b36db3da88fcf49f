"""Live figures: controls above, one picture below, and a sentence that says what the picture shows.

The figure is drawn once. A control that moves calls a plain function, which changes the figure's artists; the new
picture goes as PNG into an Image widget. That is several times faster than a new figure for every move, and it works
alike on ipywidgets 7.7 (Colab) and 8.
"""

import base64
import html
import inspect
import io
import os
import sys
import time
from collections.abc import Callable, Iterable

import ipywidgets as widgets
import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .page import CourseError, locked, translated

WORDS = '<div role="{role}" aria-live="polite" style="line-height:1.5;white-space:pre-wrap;{style}">{text}</div>'
LAST = "A picture that moved while this cell was training; this is its last state."
SHARE = 0.08  # of a training's time, at most, goes into drawing
SHOWN = {}  # by cell: in which run of it, and what lets go of what that run showed


class Picture:
    """A matplotlib figure as PNG, drawn again and again.

    Parameters
    ----------
    figure : Figure
    moving : the artist that changes, or a list of them
        All the rest is then drawn once and kept, and only these are drawn on top (blitting, much faster): titles, ticks
        and limits have to stay as they are. Without `moving`, everything is drawn anew.
    """

    def __init__(self, figure: Figure, moving: Artist | Iterable[Artist] = ()):
        if not isinstance(figure, Figure):
            raise CourseError(f"A live figure needs a matplotlib figure, and {str(figure)[:40]} is none.")
        moving = [moving] if isinstance(moving, Artist) else moving
        for artist in moving:
            if not isinstance(artist, Artist) or artist.get_figure().canvas is not figure.canvas:
                raise CourseError(f"What moves has to be drawn in the figure, and {str(artist)[:40]} is not.")
        plt.close(figure)  # or the notebook would show it a second time, below the cell
        self.figure, self.moving = figure, list(moving)
        self.canvas = FigureCanvasAgg(figure)
        for artist in self.moving:
            artist.set_animated(True)
        self.canvas.draw()
        figure.set_layout_engine("none")  # the layout is settled now; to work it out again would cost 10 ms a picture
        self.background = None

    def png(self) -> bytes:
        """Draw, and return the bytes of a PNG."""
        if self.moving and self.background:
            self.canvas.restore_region(self.background)
        else:
            self.canvas.draw()
            self.background = self.canvas.copy_from_bbox(self.figure.bbox)
        for artist in self.moving:
            self.figure.draw_artist(artist)
        size, stream = self.canvas.get_width_height(), io.BytesIO()
        picture = Image.frombuffer("RGBA", size, self.canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        picture.convert("RGB").save(stream, "png", compress_level=1)  # 1: level 6 takes twice as long for a third less
        return stream.getvalue()


class Live:
    """Controls, a sentence and a picture that move together; made by `live`.

    `text` is the sentence and `png` the picture as they stand; `set(name=value)` moves controls as a hand would.
    """

    def __init__(self, figure: Figure | None, redraw: Callable, controls: dict[str, widgets.Widget], moving=()):
        for name, control in controls.items():
            if not isinstance(control, widgets.Widget):
                raise CourseError(
                    f"{name!r} is no control: write {name}=slider(…), choice(…), textbox(…) or button(…)."
                )
            if not getattr(control, "description", ""):
                raise CourseError(f"The control {name!r} has no description: give it one.")
        self.redraw, self.controls = redraw, controls
        self.clicks = {name: 0 for name, control in controls.items() if isinstance(control, widgets.Button)}
        self.status = widgets.HTML()
        # its own size, not stretched to the page: letters stay sharp; on a phone, as wide as the screen
        self.image = widgets.Image(format="png", layout=widgets.Layout(align_self="flex-start", max_width="100%"))
        self.png = b""
        *_, text = self._texts()  # the first time an error is the author's, not the student's: let it be seen
        self.picture = Picture(figure, moving) if figure is not None else None  # after it, for the layout to fit
        self._show(text)
        for name, control in controls.items():
            if name in self.clicks:
                control.on_click(self._moved)
            else:
                control.observe(self._moved, names="value")
        row = widgets.HBox(list(controls.values()), layout=widgets.Layout(flex_flow="row wrap"))
        self.box = widgets.VBox([row, self.status] + ([self.image] if self.picture else []))
        self.box.add_class("course-live")
        until_rerun(self.close)

    @locked
    def close(self) -> None:
        """Let go of the figure and of the controls, which may serve another one."""
        for name, control in self.controls.items():
            if name in self.clicks:
                control.on_click(self._moved, remove=True)
            else:
                control.unobserve(self._moved, names="value")
        for widget in (self.box, self.box.children[0], self.status, self.image):
            widget.close()
            widget.layout.close()
        self.redraw, self.picture, self.controls, self.png = lambda **_: self.text, None, {}, b""

    def set(self, **values) -> None:
        """Move controls by name, as a hand would; a button takes the number of clicks."""
        for name, value in values.items():
            if name in self.clicks:
                for _ in range(value):
                    self.controls[name].click()
            else:
                self.controls[name].value = value

    @locked
    def update(self) -> None:
        """Redraw. What cannot be drawn gets one sentence, and the last good picture stays."""
        try:
            for text in self._texts():
                self._show(text)
        except CourseError as error:
            self._say(f"✗ {error}", bad=True)
        except Exception as error:  # a widget's callback has nowhere to show a traceback
            what = "picture cannot be drawn" if self.picture else "cannot be done"
            self._say(f"✗ This {what} ({type(error).__name__}: {error}).", bad=True)

    def _moved(self, what):
        """A control calls this: a button hands over itself, any other what has changed."""
        for name in [name for name in self.clicks if self.controls.get(name) is what]:
            self.clicks[name] += 1
        self.update()

    def _texts(self):
        """The sentence that redraw returns, or each of those that it yields."""
        given = self.redraw(**{n: self.clicks.get(n, getattr(c, "value", None)) for n, c in self.controls.items()})
        for text in given if inspect.isgenerator(given) else [given]:
            if not isinstance(text, str | None):
                raise CourseError(f"redraw has to return a sentence, in quotes; it returned {str(text)[:40]}.")
            yield text

    def _show(self, text):
        if self.picture:
            self.png = self.image.value = self.picture.png()
        self._say(text or "")  # last: a settled sentence means that the picture is there

    def _say(self, text, bad=False):
        self.text = text = translated(text)
        role, style = ("alert", "color:#B00020") if bad else ("status", "")
        self.status.value = WORDS.format(role=role, style=style, text=html.escape(text))

    def _ipython_display_(self):
        display(shown(self.box, self.text, self.png), raw=True)


def live(figure: Figure | None, redraw: Callable[..., str | None], *, moving: Artist | Iterable[Artist] = (),
         **controls: widgets.Widget) -> Live:  # fmt: skip
    """Show controls with a figure, and call a function with their values whenever one moves.

    Parameters
    ----------
    figure : Figure, or None for words only
    redraw : function
        `redraw(**values)` changes the figure's artists and returns the sentence that says what the picture now shows.
        It gets each control's value under the control's name; of a button, the number of clicks. To refuse an entry it
        raises CourseError. One that yields several sentences is a short film: the picture is shown at each of them.
    moving : the artists that redraw changes, if nothing else changes (see Picture); they are then drawn much faster
    **controls : from `slider`, `choice`, `textbox`, `button`

    Raises
    ------
    CourseError
        For what is no control, for one without a description, and for a redraw that returns no sentence.
    """
    return Live(figure, redraw, controls, moving)


class TrainingPicture:
    """A picture that moves while a cell trains, and stays below it: a callback for `game.train`.

    Parameters
    ----------
    figure : Figure
    draw : function
        `draw(game)` changes the figure's artists. It is left out when it would take more than 8 % of the time, so
        `every` may be small; the last picture is always drawn, also after the stop button.
    moving : the artists that draw changes, if nothing else changes (see Picture)

    Examples
    --------
    >>> with TrainingPicture(figure, draw, moving=[dots]) as picture:
    ...     game.train(until=2000, callback=picture, every=20)
    """

    def __init__(self, figure: Figure, draw: Callable, moving: Artist | Iterable[Artist] = ()):
        self.draw, self.picture, self.game = draw, Picture(figure, moving), None
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.image.value = self.picture.png()
        self.frames, self.seconds, self.next = 0, 0.0, 0.0
        until_rerun(self.image.close)

    def __enter__(self):
        self.handle = display(shown(self.image, LAST, self.image.value), raw=True, display_id=True)
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
        if not in_colab():
            self.handle.update(shown(self.image, LAST, self.image.value), raw=True)

    def show(self) -> None:
        """Draw now."""
        start = time.perf_counter()
        self.draw(self.game)
        self.image.value = self.picture.png()
        end = time.perf_counter()
        self.frames, self.seconds = self.frames + 1, self.seconds + end - start
        self.next = end + (end - start) * (1 / SHARE - 1)


def shown(widget: widgets.Widget, text: str, png: bytes) -> dict:
    """What Jupyter displays: the widget, and for a page with no kernel, GitHub's for one, the picture as it stands."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    bundle = {"text/plain": text, "application/vnd.jupyter.widget-view+json": view}
    return bundle | ({"image/png": base64.b64encode(png).decode()} if png and not in_colab() else {})


def until_rerun(close: Callable[[], None]) -> None:
    """Call `close` when the cell that runs now is run again: sixty runs of one cell would keep sixty figures."""
    parent = getattr(get_ipython(), "parent_header", None) or {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code")  # Colab names no cells
    run = parent.get("header", {}).get("msg_id")
    before, closing = SHOWN.get(cell, (run, []))
    SHOWN[cell] = run, [close] if before != run else [*closing, close]
    for earlier in closing if before != run else []:
        earlier()


def in_colab() -> bool:
    """Whether this runs on Colab."""
    return "google.colab" in sys.modules or bool(os.environ.get("COLAB_RELEASE_TAG"))
