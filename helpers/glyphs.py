"""Chinese characters in three fonts, 32 × 32: pairs of pictures, one split, and a ruler for what was drawn of them.

>>> glyphs = load_glyphs()
>>> glyphs.sans.shape, glyphs.test_reggae.shape, glyphs.missing_sans.shape
(torch.Size([1800, 1, 32, 32]), torch.Size([200, 1, 32, 32]), torch.Size([120, 1, 32, 32]))
"""

import numpy as np
import torch

from .errors import CourseError
from .files import data_file
from .members import Named

FONTS = ("sans", "reggae", "brush")
EVERY = 10  # every tenth character is held out: the file goes from few strokes to many, so both parts have all kinds


def load_glyphs():
    """The characters as pictures (n, 1, 32, 32) from 0 (paper) to 1 (ink), and as strings.

    `sans`, `reggae`, `brush` with `characters` are the 1,800 to work with, `test_sans`, `test_reggae`, `test_brush` with
    `test_characters` the 200 held out. Row i is the same character in each. `missing` are 120 characters that the font
    Reggae One does not have: `missing_sans` shows them, and nobody has their truth.
    """
    stored = np.load(data_file("glyph_pairs_32.npz"))
    characters = str(stored["chars"])
    test = np.arange(len(characters)) % EVERY == EVERY - 1
    parts = {"missing": str(stored["missing_chars"]), "missing_sans": _pictures(stored["missing_sans"])}
    for prefix, part in (("", ~test), ("test_", test)):
        parts[f"{prefix}characters"] = "".join(np.array(list(characters))[part])
        parts |= {f"{prefix}{font}": _pictures(stored[font][part]) for font in FONTS}
    return Named("the glyphs", parts)


def _pictures(stored):
    return 1 - torch.tensor(stored, dtype=torch.float32)[:, None] / 15  # 15 is paper in the file


def find_glyphs(text, glyphs, most=8):
    """What was typed, as sans pictures (n, 1, 32, 32) and where each stands: [("", 5), ("test_", 0), ("missing_", 3)].

    Blanks are left out. A character of none of the three lists, nothing at all, or more than `most` raise CourseError.
    """
    typed = "".join(text.split())
    if not 1 <= len(typed) <= most:
        raise CourseError(f"You typed {len(typed)} characters: type 1 to {most}, such as {glyphs.missing[:2]}.")
    lists = {"": glyphs.characters, "test_": glyphs.test_characters, "missing_": glyphs.missing}
    places = []
    for character in typed:
        found = [(name, letters.index(character)) for name, letters in lists.items() if character in letters]
        if not found:
            count = sum(map(len, lists.values()))
            raise CourseError(f"“{character}” is not one of the {count:,} characters here: try {glyphs.missing[:8]}.")
        places += found
    return torch.stack([getattr(glyphs, f"{name}sans")[row] for name, row in places]), places


def recovered(drawings, candidates):
    """For each drawing, whether the candidate it is most like, by correlation, is its own: booleans (n,).

    Drawing i belongs to candidate i, both (n, ...). Drawings that ignore what was asked for hit by chance, 1 in n; so
    do drawings that are all the same. A drawing without any ink hits nothing.
    """
    a, b = _standard(drawings), _standard(candidates)
    likeness = a @ b.T  # (drawings, candidates): correlations
    hit = likeness.argmax(dim=1) == torch.arange(len(a), device=a.device)
    return hit & (a.abs().amax(dim=1) > 0)


def _standard(x):
    x = x.flatten(1) - x.flatten(1).mean(dim=1, keepdim=True)
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-6)
