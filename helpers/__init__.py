"""What the notebooks share. Each name lives in the file that it is imported from; a file's first lines say what it is for."""

from types import ModuleType as _Module

# Training
from .core.batch import normal, rows, uniform
from .core.checkpoint import collect, share
from .core.game import Game, Player, Schedule, falling, sweep
from .core.penalties import gradient, gradient_penalty, zero_gradient_penalty

# GPU
from .gpu import check_gpu, has_fast_bf16, seconds_on

# Figures, and what a page says
from .controls import button, choice, slider, textbox
from .figures import TrainingPicture, live
from .page import CourseError, check, direction, mark_quiz, parse_numbers
from .style import COLOURS, use_style

# Rulers
from .rulers import (
    digit_judge,
    face_judge,
    face_labels,
    frechet_distance,
    mean_and_interval,
    recognised,
    recovered,
    sharpness,
)

# Data, tables, weights
from .data import (
    data_file,
    examples_of,
    face_sheet,
    find_glyphs,
    lines_of,
    load_faces,
    load_glyphs,
    load_pictures,
    load_poems,
)
from .stored import full_budget, load_results, load_weights, save_results, save_weights

__all__ = [name for name, value in globals().items() if name[0] != "_" and not isinstance(value, _Module)]
