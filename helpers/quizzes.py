"""Quizzes: what was chosen in the menus, held against what the notebook computes."""


def direction(before, after, within=1e-6):
    """How a number moves: "rises", "falls" or "stays". A tensor or array of one number will do, too.

    It stays where the two differ by no more than `within`, or by that part of the larger one, if this is above 1.
    """
    before, after = (float(x.item() if hasattr(x, "item") else x) for x in (before, after))
    if abs(after - before) <= within * max(1.0, abs(before), abs(after)):
        return "stays"
    return "rises" if after > before else "falls"


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
