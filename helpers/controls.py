"""The controls of the course's live figures: each with its description written out, alike on ipywidgets 7.7 and 8."""

import math

import ipywidgets as widgets

WIDE = {"description_width": "initial"}


def slider(description, low, high, value, step=None, log=False):
    """A slider from `low` to `high`; even in powers of ten with `log=True`, in whole numbers if all given are whole."""
    common = {"description": description, "value": value, "style": WIDE, "layout": widgets.Layout(width="300px")}
    if log:
        return widgets.FloatLogSlider(
            min=math.log10(low),
            max=math.log10(high),
            step=step or 0.02,
            readout_format=".2f" if low >= 0.01 else ".4f",
            **common,
        )
    if all(isinstance(number, int) for number in (low, high, value, step or 1)):
        return widgets.IntSlider(min=low, max=high, step=step or 1, **common)
    return widgets.FloatSlider(min=low, max=high, step=step or (high - low) / 100, **common)


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
