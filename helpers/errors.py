"""The error a student sees: one sentence instead of a traceback."""


class CourseError(ValueError):
    """Something was asked that cannot be done; the message says what was asked, what came, and what to do.

    In a notebook only the sentence is shown; in a script or a test it is an ordinary ValueError.
    """

    def _render_traceback_(self):  # IPython calls this in place of drawing a traceback
        return [f"✗ {self}"]
