"""The controls of the course's live figures: each with its description written out, alike on ipywidgets 7.7 and 8."""

import math

import ipywidgets as widgets

from helpers.errors import CourseError

WIDE = {"description_width": "initial"}


def slider(description, low, high, value, step=None, log=False):
    """A slider from `low` to `high`; even in powers of ten with `log=True`, in whole numbers if all given are whole.

    `value` has to lie on the grid that `step` makes from `low` on: a browser moves any other to the nearest that does,
    and the page would open on another number than the one it was written with.
    """
    wide = max(300, 240 + 8 * len(description))  # the width is of words, track and number: some 160 px are the track's
    common = {"description": description, "value": value, "style": WIDE}
    common["layout"] = widgets.Layout(width=f"{wide}px", max_width="100%")
    if log:
        low, high, start = (math.log10(number) for number in (low, high, value))
        step = on_grid(
            description, low, high, start, step or (start - low) / max(1, round((start - low) / 0.02)) or 0.02
        )
        return widgets.FloatLogSlider(min=low, max=high, step=step, readout_format=".3g", **common)
    if all(isinstance(number, int) for number in (low, high, value, step or 1)):
        return widgets.IntSlider(min=low, max=high, step=on_grid(description, low, high, value, step or 1), **common)
    step = on_grid(description, low, high, value, step or round_step((high - low) / 100))
    digits = max(decimals(step), decimals(low))
    return widgets.FloatSlider(min=low, max=high, step=step, readout_format=f".{digits}f", **common)


def on_grid(description, low, high, value, step):
    """Return `step` if a slider that moves by it from `low` on can stand at `value`; raises CourseError otherwise."""
    steps = (value - low) / step
    if not low <= value <= high or abs(steps - round(steps)) > 1e-6:
        raise CourseError(
            f"The slider {description!r} cannot begin at {value:g}: it goes from {low:g} to {high:g} by {step:g}."
        )
    return step


def round_step(least):
    """The smallest of 1, 2, 5, 10, 20, 50 … (and 0.1, 0.2, 0.5 …) that is not below `least`."""
    power = math.floor(math.log10(least))
    steps = [round(digit * 10.0**power, max(0, -power)) for digit in (1, 2, 5, 10)]
    return next(step for step in steps if step > least * (1 - 1e-9))


def decimals(number):
    """How many digits behind the point a number needs."""
    return len(f"{number:.9f}".rstrip("0").partition(".")[2])


def textbox(description, value, width="460px"):
    """A line of text, read when Enter is pressed or the box is left: half a word is not yet an entry."""
    layout = widgets.Layout(width=width)
    return widgets.Text(description=description, value=value, continuous_update=False, style=WIDE, layout=layout)


def choice(description, options, value=None):
    """A menu of `options` (words, or pairs of word and value); the first is chosen unless `value` says otherwise."""
    layout = widgets.Layout(width="max-content", max_width="100%")
    menu = widgets.Dropdown(description=description, options=options, style=WIDE, layout=layout)
    if value is not None:
        menu.value = value
    return menu


def button(description):
    """A button; a live figure hands its number of clicks to `redraw`."""
    return widgets.Button(description=description, layout=widgets.Layout(width="auto"))
