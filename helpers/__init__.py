"""What the notebooks share: start here, each name below lives in the file beside it.

Names are imported when first used, so that `import helpers` costs nothing.
"""

from importlib import import_module

_HOME = {
    "COLOURS": "style",
    "CourseError": "errors",
    "Game": "game",
    "Player": "players",
    "Schedule": "optimisers",
    "TrainingPicture": "training_picture",
    "button": "controls",
    "check": "checks",
    "check_gpu": "gpu",
    "choice": "controls",
    "collect": "scale",
    "data_file": "files",
    "digit_judge": "judges",
    "direction": "quizzes",
    "face_judge": "judges",
    "face_labels": "judges",
    "face_sheet": "faces",
    "falling": "optimisers",
    "find_glyphs": "glyphs",
    "full_budget": "results",
    "frechet_distance": "scores",
    "gradient": "gradients",
    "gradient_penalty": "gradients",
    "has_fast_bf16": "gpu",
    "live": "live_figures",
    "load_faces": "faces",
    "load_glyphs": "glyphs",
    "load_pictures": "pictures",
    "load_results": "results",
    "load_weights": "weights",
    "mark_quiz": "quizzes",
    "mean_and_interval": "intervals",
    "normal": "draws",
    "parse_numbers": "numbers",
    "recognised": "judges",
    "recovered": "glyphs",
    "rows": "draws",
    "save_results": "results",
    "save_weights": "weights",
    "share": "scale",
    "sharpness": "scores",
    "slider": "controls",
    "sweep": "members",
    "textbox": "controls",
    "uniform": "draws",
    "use_style": "style",
    "zero_gradient_penalty": "gradients",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"helpers has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"helpers.{_HOME[name]}"), name)


def __dir__():
    return __all__
