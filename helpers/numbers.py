"""Numbers typed by hand: read what a student typed, in half or full width, and evaluate nothing."""

import re
import unicodedata

from helpers.errors import CourseError

# NFKC folds full-width digits, signs, commas and blanks to ASCII; these it leaves alone.
SIGNS = str.maketrans({"、": ",", "。": ".", "−": "-", "–": "-", "‐": "-"})
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
LARGEST = 1e6


def parse_numbers(text, least=1, most=20):
    """Read `least` to `most` numbers out of `text`, parted by commas, semicolons or blanks, as a list of floats.

    `１，２、3` and `[1, 2, 3]` both give [1.0, 2.0, 3.0]. Nothing is evaluated: `2**3` is refused.
    Raises CourseError with one sentence when a piece is no number, too large, or the count is off.
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
