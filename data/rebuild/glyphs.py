"""glyph_pairs_32.npz: characters of Big5 level 1 in three fonts, drawn large and reduced to 32 × 32 with 16 greys.

characters.txt holds which ones, in two lines: 2,000 of the 4,490 that all three fonts draw, and 120 of the 906 that
Reggae One lacks. By which lot they were chosen was not kept, so the list is, and is checked against the fonts.
"""

from pathlib import Path

import numpy as np

from helpers import CourseError

from .poems import NOTO, TRADITIONAL

FONTS = {
    "sans": (NOTO, TRADITIONAL),
    "reggae": ("usr/share/fonts/truetype/reggae/ReggaeOne-Regular.ttf", 0),
    "brush": ("usr/share/fonts/truetype/kouzan-mouhitsu/kouzan-mouhitsu.ttf", 0),
}
LARGE, SMALL, PAPER = 128, 32, 15
HEIGHT, LEFT, BASELINE = 115, 6, 106  # of a character, on the large square


def big5():
    """The 5,401 characters of Big5 level 1, from few strokes to many."""
    lows = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
    codes = [(high, low) for high in range(0xA4, 0xC7) for low in lows]
    return "".join(bytes(code).decode("big5") for code in codes if code <= (0xC6, 0x7E))


def draw(text, font):
    """Each character of `text` as a picture, bytes from 0 (ink) to 15 (paper): (n, 32, 32)."""
    from PIL import Image, ImageDraw

    pictures = []
    for character in text:
        large = Image.new("L", (LARGE, LARGE), 255)
        ImageDraw.Draw(large).text((LEFT, BASELINE), character, font=font, fill=0, anchor="ls")
        pictures.append(np.asarray(large.resize((SMALL, SMALL), Image.Resampling.LANCZOS)) >> 4)
    return np.stack(pictures)


def check(chosen, missing, has):
    """CourseError unless the lists are of Big5 level 1, in its order, in all fonts or not in Reggae One."""
    order = big5()
    if [*chosen] != sorted(set(chosen), key=order.index):
        raise CourseError("characters.txt: the first line is not in the order of Big5.")
    for font, known in has.items():
        if lacks := set(chosen) - known:
            raise CourseError(f"characters.txt: {font} has no {min(lacks)}.")
    if wrong := {c for c in missing if c not in order or c in has["reggae"]}:
        raise CourseError(f"characters.txt: {min(wrong)} is not missing.")


def glyphs(packages, target):
    """Draw the characters with the fonts of `packages`, {font: folder}."""
    from fontTools.ttLib import TTFont
    from PIL import ImageFont

    chosen, missing = Path(__file__).with_name("characters.txt").read_text(encoding="utf-8").split()
    paths = {name: (packages[name] / path, number) for name, (path, number) in FONTS.items()}
    has = {name: set(map(chr, TTFont(path, fontNumber=n).getBestCmap())) for name, (path, n) in paths.items()}
    check(chosen, missing, has)
    fonts = {name: ImageFont.truetype(path, HEIGHT, index=number) for name, (path, number) in paths.items()}
    pictures = {name: draw(chosen, font) for name, font in fonts.items()}
    for name, drawn in pictures.items():
        if blank := [c for c, picture in zip(chosen, drawn, strict=True) if picture.min() == PAPER]:
            raise CourseError(f"characters.txt: {name} draws nothing for {blank[0]}.")
    lacking = {"missing_chars": np.array(missing), "missing_sans": draw(missing, fonts["sans"])}
    np.savez_compressed(target, chars=np.array(chosen), **pictures, **lacking)
