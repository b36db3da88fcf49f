"""What a page says to its reader: the one-sentence error, the ticked claim, quizzes, typed numbers; and the lock.

Code is the same in both editions to the byte and says everything in English. In the Chinese edition it is looked up in
notebooks/zh-TW/words.tsv: the English words, a tab, the Chinese ones; `{}` stands for what differs from time to time.
The Chinese takes it back in the same order, or by number, `{1}`. What has no line there stays English.
"""

import functools
import math
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

# NFKC folds full-width digits, signs, commas and blanks to ASCII; these it leaves alone.
SIGNS = str.maketrans({"、": ",", "。": ".", "−": "-", "–": "-", "‐": "-"})
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
LARGEST = 1e6
TABLE = Path(__file__).resolve().parent.parent / "notebooks" / "zh-TW" / "words.tsv"
# Today's JupyterLab (4.4 with ipykernel 7) runs a widget's callback in a thread of its own, beside a running cell.
LOCK = threading.RLock()  # whoever holds it may call other functions that need it


class CourseError(ValueError):
    """Something was asked that cannot be done; the message says what was asked, what came, and what to do.

    In a notebook only the sentence is shown; in a script or a test it is an ordinary ValueError.
    """

    def _render_traceback_(self) -> list[str]:  # IPython calls this in place of drawing a traceback
        return [f"✗ {self}"]


def locked(function: Callable) -> Callable:
    """The same function, which waits until no other thread is inside a function marked so.

    Two callbacks, or a callback and a cell, would otherwise draw into one figure or train one game at the same time.
    """

    @functools.wraps(function)
    def waits(*args, **kwargs):
        with LOCK:
            return function(*args, **kwargs)

    return waits


def check(claim: str, holds: object, hint: str = "") -> None:
    """Print `✓ claim` when it holds.

    Parameters
    ----------
    claim, hint : str
        A sentence, and what to look at when it does not hold.
    holds : bool, or an array or tensor of one

    Raises
    ------
    CourseError
        When it does not hold, with claim and hint.
    """
    if not bool(holds):
        raise CourseError(f"{claim}: this does not hold yet. {hint}".rstrip())
    print(f"✓ {translated(claim)}")


def direction(before: float, after: float, within: float = 1e-6) -> str:
    """How a number moves: "rises", "falls" or "stays".

    Parameters
    ----------
    before, after : float, or a tensor or array of one number
    within : float
        It stays where the two differ by no more, or by that part of the larger one, if this is above 1; two equal
        infinities stay.

    Raises
    ------
    CourseError
        For NaN, and for what is not one number.
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


def mark_quiz(answers: dict[str, str], facts: dict[str, tuple]) -> str:
    """A line for each question: right or wrong and why, or not answered yet.

    Parameters
    ----------
    answers : {question: what its menu shows}; "?" is no answer
    facts : {question: (right answer, why)}, in the order of the questions
        Why is {option: a sentence that says why it is right or wrong}; or where to read again: the number of a section,
        or the heading of a part of one.
    """
    lines = []
    for number, (question, (right, why)) in enumerate(facts.items(), 1):
        given = answers[question]
        if given == "?":
            mark = translated("not answered yet")
        elif isinstance(why, dict):
            mark = f"{'✓' if given == right else '✗'} {translated(why[given])}"
        else:
            place = why if isinstance(why, str) else f"section {why}"
            mark = "✓" if given == right else f"✗ read {place} again"
        lines.append(f"{number}. {mark}")
    return "\n".join(lines)


def parse_numbers(text: str, least: int = 1, most: int = 20) -> list[float]:
    """The numbers in a line of text, parted by commas, semicolons or blanks; nothing is evaluated.

    Parameters
    ----------
    text : str
        `１，２、3` and `[1, 2, 3]` both give [1.0, 2.0, 3.0]; `2**3` is refused.
    least, most : int
        How many there may be.

    Raises
    ------
    CourseError
        When a piece is no number or beyond a million, or the count is off.
    """
    for character in text:
        if unicodedata.decomposition(character).startswith(("<super>", "<sub>", "<circle>", "<fraction>")):
            raise CourseError(f"“{character}” is not a plain digit: write the number out, such as 100 for 10².")
    folded = unicodedata.normalize("NFKC", text).translate(SIGNS).strip().strip("[](){}")
    pieces = [piece for piece in re.split(r"[,;\s]+", folded) if piece]
    count = f"{least} to {most} numbers" if least != most else f"{least} number" + "s" * (least > 1)
    for piece in pieces:
        shown = piece if len(piece) <= 20 else piece[:20] + "…"
        if not NUMBER.fullmatch(piece):
            raise CourseError(f"“{shown}” is not a number: type {count} with commas between them, such as 2, 1, -0.5.")
        if re.match(r"[+-]?0\d", piece):
            raise CourseError(f"“{shown}” starts with 0: for a thousand write 1000, without a comma inside.")
        if abs(float(piece)) > LARGEST:
            raise CourseError(f"“{shown}” is too large to draw: stay between −{LARGEST:,.0f} and {LARGEST:,.0f}.")
    if not least <= len(pieces) <= most:
        raise CourseError(f"You typed {len(pieces)} numbers: type {count} with commas between, such as 2, 1, -0.5.")
    return [float(piece) for piece in pieces]


@functools.lru_cache
def language() -> str:
    """ "zh-TW" where the notebook that runs is one of the Chinese edition, else "en"; COURSE_LANGUAGE decides first."""
    if chosen := os.environ.get("COURSE_LANGUAGE"):
        return chosen
    place = Path(os.environ.get("JPY_SESSION_NAME", "")).parts + Path.cwd().parts[-1:]  # JupyterLab tells the path
    return "zh-TW" if "zh-TW" in place or _on_colab_in_chinese() else "en"


def _on_colab_in_chinese() -> bool:
    """Whether Colab shows the Chinese edition, which links to the English one; Colab's kernel knows no path."""
    if "google.colab" not in sys.modules:
        return False
    try:
        from google.colab import _message

        notebook = _message.blocking_request("get_ipynb", request="", timeout_sec=5)["ipynb"]
        return "[English](../" in "".join(notebook["cells"][0]["source"])
    except Exception:  # another Colab than we know: then it is English
        return False


@functools.lru_cache
def _table() -> tuple[dict[str, str], list[tuple[re.Pattern, str]]]:
    """The lines of the table: those without `{}`, and those with it as patterns."""
    try:
        lines = TABLE.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}, []
    pairs = [line.split("\t") for line in lines if "\t" in line]
    plain = {english: chinese for english, chinese in pairs if "{}" not in english}
    patterns = [(re.compile("(.*?)".join(map(re.escape, english.split("{}"))), re.DOTALL), chinese)
                for english, chinese in pairs if "{}" in english]  # fmt: skip
    return plain, patterns


def translated(text: str) -> str:
    """The words in the notebook's language."""
    if language() != "zh-TW" or not isinstance(text, str):
        return text
    plain, patterns = _table()
    if text in plain:
        return plain[text]
    for pattern, chinese in patterns:
        if found := pattern.fullmatch(text):
            return chinese.format(*map(translated, found.groups()))
    return "\n".join(map(translated, text.split("\n"))) if "\n" in text else text
