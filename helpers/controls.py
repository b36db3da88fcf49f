"""Controls of live figures: each with its description written out, alike on ipywidgets 7.7 and 8.

A new control is a function here that returns a widget with a description; what it refuses, it refuses in a sentence.
"""

import math
import operator
from decimal import Decimal

import ipywidgets as widgets
from traitlets import TraitError

from .page import CourseError, language, translated

WIDE = {"description_width": "initial"}


def slider(
    description: str, low: float, high: float, value: float, step: float | None = None, log: bool = False
) -> widgets.Widget:
    """A slider, in whole numbers if all that is given is whole.

    Parameters
    ----------
    description : str
        What stands before it.
    low, high, value : numbers, of numpy and torch too
        Its ends, and where it begins. `value` has to lie on the grid that `step` makes from `low` on: a browser moves
        any other to the nearest that does, and the page would open on another number than the one it was written with.
    step : number, if not about a hundredth of the way
        Of a log slider, a step of the exponent, such as 0.02.
    log : bool
        Even in powers of ten.

    Raises
    ------
    CourseError
        Where no such slider can be made.
    """
    low, high, value = (one_number(description, number) for number in (low, high, value))
    step = None if step is None else one_number(description, step)
    if not 0 < (high - low) / 100 < math.inf or (log and low <= 0):
        above = ", above 0," if log else ""
        raise CourseError(f"The slider {description!r} has to go from a lower number{above} to a higher one, not from "
                          f"{low:g} to {high:g}.")  # fmt: skip
    wide = max(300, 240 + 8 * len(description))  # the width is of words, track and number: some 160 px are the track's
    common = {"description": translated(description), "value": value, "style": WIDE}
    common["layout"] = widgets.Layout(width=f"{wide}px", max_width="100%")
    if not low <= value <= high or (step is not None and step <= 0):
        raise off_grid(description, low, high, value, step)
    if log:
        ends = [math.log10(number) for number in (low, high, value)]
        step = step or (ends[2] - ends[0]) / max(1, round((ends[2] - ends[0]) / 0.02)) or 0.02
        if not stands(*ends, step):
            raise off_grid(description, low, high, value, f"10 to the {step:g}")
        return widgets.FloatLogSlider(min=ends[0], max=ends[1], step=step, readout_format=".3g", **common)
    whole = all(isinstance(number, int) for number in (low, high, value, step or 1))
    step = step or (1 if whole else round_step((high - low) / 100))
    if not stands(low, high, value, step):
        raise off_grid(description, low, high, value, step)
    if whole:
        return widgets.IntSlider(min=low, max=high, step=step, **common)
    return widgets.FloatSlider(min=low, max=high, step=step, readout_format=readout(low, high, step), **common)


def one_number(description: str, number: object) -> float:
    """A number of Python, numpy or torch as int or float; CourseError for anything else, infinity and NaN."""
    try:
        number = number.item() if hasattr(number, "item") else number
        if not isinstance(number, str) and math.isfinite(number):
            return operator.index(number) if hasattr(number, "__index__") else float(number)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # no number, or many of them
        pass
    raise CourseError(f"The slider {description!r} needs plain numbers, and {str(number)[:40]} is none.")


def stands(low: float, high: float, value: float, step: float) -> bool:
    """Whether a slider that moves by `step` from `low` on can move at all, and stand at `value`."""
    steps = (value - low) / step if low < low + step <= high * (1 + math.copysign(1e-9, high)) else math.inf
    return steps < 1e15 and abs(steps - round(steps)) <= 1e-6 * max(1.0, 1e-6 * steps)


def off_grid(description: str, low: float, high: float, value: float, step: object) -> CourseError:
    by = "" if step is None else f" by {step:g}" if isinstance(step, int | float) else f" by {step}"
    return CourseError(f"The slider {description!r} cannot begin at {value:g}: it goes from {low:g} to {high:g}{by}.")


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 … (and 0.1, 0.2, 0.5 …) that is not below `least`."""
    power = math.floor(math.log10(least))
    steps = [float(f"{digit}e{power}") for digit in (1, 2, 5, 10)]
    step = next(step for step in steps if step > least * (1 - 1e-9))
    return round(step) if step >= 1 else step


def readout(low: float, high: float, step: float) -> str:
    """The format that shows each number of the slider: with a fixed point, or 1.5e-9 where that would be long."""
    digits = max(decimals(step), decimals(low))
    if digits <= 6:
        return f".{digits}f"
    return f".{math.ceil(math.log10(max(abs(low), abs(high)) / step))}e"


def decimals(number: float) -> int:
    """How many digits behind the point a number needs, up to 15."""
    return max(0, -Decimal(f"{number:.15g}").normalize().as_tuple().exponent)


def textbox(description: str, value: str, width: str = "460px") -> widgets.Text:
    """A line of text, read when Enter is pressed or the box is left: half a word is not yet an entry.

    Parameters
    ----------
    description, value : str
        What stands before it, and in it at first; CourseError for a `value` that is no text.
    width : str, as CSS writes it
    """
    if not isinstance(value, str):
        raise CourseError(f"The box {description!r} begins with a text, in quotes, not with {value!r}.")
    layout = widgets.Layout(width=width)
    return widgets.Text(
        description=translated(description), value=value, continuous_update=False, style=WIDE, layout=layout
    )


def choice(description: str, options: list, value: object = None) -> widgets.Dropdown:
    """A menu.

    Parameters
    ----------
    description : str
        What stands before it.
    options : list of words, or of pairs (word, value)
    value : one of them, if not the first

    Raises
    ------
    CourseError
        Without options, or for a `value` that is none of them.
    """
    layout = widgets.Layout(width="max-content", max_width="100%")
    try:
        menu = widgets.Dropdown(
            description=translated(description), options=in_words(options), style=WIDE, layout=layout
        )
        menu.value = menu.value if value is None else value
    except (TraitError, TypeError, ValueError) as error:
        raise CourseError(
            f"The menu {description!r} cannot be made with {options!r} and {value!r}: {error}."
        ) from error
    if not menu.options:
        raise CourseError(f"The menu {description!r} has nothing to choose from.")
    return menu


def in_words(options: list) -> list:
    """The options of a menu with their words in the notebook's language; what is chosen stays what it is."""
    if language() == "en":
        return options
    pairs = [option if isinstance(option, tuple) else (str(option), option) for option in options]
    return [(translated(words), value) for words, value in pairs]


def button(description: str) -> widgets.Button:
    """A button with `description` on it; a live figure hands its number of clicks to `redraw`."""
    return widgets.Button(description=translated(description), layout=widgets.Layout(width="auto"))
