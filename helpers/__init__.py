"""What the notebooks share: start here, each name below lives in the file beside it.

Names are imported when first used, so that `import helpers` costs nothing.
"""

from importlib import import_module

_HOME = {
    "COLOURS": "style",
    "CourseError": "errors",
    "button": "controls",
    "check": "checks",
    "check_gpu": "gpu",
    "choice": "controls",
    "data_file": "files",
    "live": "live_figures",
    "parse_numbers": "numbers",
    "slider": "controls",
    "textbox": "controls",
    "use_style": "style",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"helpers has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"helpers.{_HOME[name]}"), name)


def __dir__():
    return __all__
