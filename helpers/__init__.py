"""What the notebooks share: start here, each name below lives in the file beside it.

Names are imported when first used, so that `import helpers` costs nothing.
"""

from importlib import import_module

_HOME = {
    "CourseError": "errors",
    "Game": "game",
    "Player": "players",
    "Schedule": "optimisers",
    "collect": "scale",
    "falling": "optimisers",
    "gradient": "gradients",
    "gradient_penalty": "gradients",
    "normal": "draws",
    "rows": "draws",
    "share": "scale",
    "sweep": "members",
    "uniform": "draws",
    "zero_gradient_penalty": "gradients",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"helpers has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"helpers.{_HOME[name]}"), name)


def __dir__():
    return __all__
