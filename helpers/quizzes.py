"""Quizzes: what was chosen in the menus, held against what the notebook computes."""

import math

from .errors import CourseError


def direction(before, after, within=1e-6):
    """How a number moves: "rises", "falls" or "stays". A tensor or array of one number will do, too.

    It stays where the two differ by no more than `within`, or by that part of the larger one, if this is above 1; two
    equal infinities stay. Raises CourseError for NaN, and for what is not one number.
    """
    try:
        first, second = (float(x.item() if hasattr(x, "item") else x) for x in (before, after))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        first = math.nan
    if math.isnan(first) or math.isnan(second):
        raise CourseError(f"Only one number can rise or fall, not {str(before)[:40]} to {str(after)[:40]}.")
    near = within * max(1.0, abs(first), abs(second)) if math.isfinite(first) and math.isfinite(second) else 0
    if first == second or abs(second - first) <= near:
        return "stays"
    return "rises" if second > first else "falls"


def mark_quiz(answers, facts):
    """A line for each question: right, where to read again, or not answered yet.

    `facts`: {question: (right answer, where)}, in the order of the questions; where is the number of a section, or the
    heading of a part of one. `answers`: {question: what its menu shows}; "?" is no answer.
    """
    lines = []
    for number, (question, (right, where)) in enumerate(facts.items(), 1):
        place = where if isinstance(where, str) else f"section {where}"
        mark = "✓" if answers[question] == right else f"✗ read {place} again"
        lines.append(f"{number}. {mark if answers[question] != '?' else 'not answered yet'}")
    return "\n".join(lines)
