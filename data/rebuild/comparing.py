"""Whether a file made anew is the stored one: to the byte, or in what it holds where only its packing differs."""

import io

import numpy as np


def compare(made, stored):
    """(whether they are equal, a sentence that says how)."""
    if made.read_bytes() == stored.read_bytes():
        return True, "equal to the byte"
    differences = CONTENTS.get(stored.suffix, _bytes)(made, stored)
    return not differences, f"differs: {differences}" if differences else "equal in content, its packing differs"


def _bytes(made, stored):
    return f"{made.stat().st_size:,} bytes made, {stored.stat().st_size:,} stored"


def _lines(made, stored):
    ours, theirs = (path.read_text(encoding="utf-8").splitlines() for path in (made, stored))
    other = sum(a != b for a, b in zip(ours, theirs, strict=False))
    return f"{len(ours):,} lines made, {len(theirs):,} stored, {other:,} of them other" if ours != theirs else ""


def _arrays(made, stored):
    with np.load(made, allow_pickle=False) as ours, np.load(stored, allow_pickle=False) as theirs:
        if ours.files != theirs.files:
            return f"arrays {', '.join(ours.files)} made, {', '.join(theirs.files)} stored"
        return ", ".join(filter(None, (_array(name, ours[name], theirs[name]) for name in ours.files)))


def _array(name, ours, theirs):
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return f"{name} {ours.shape} {ours.dtype} made, {theirs.shape} {theirs.dtype} stored"
    return "" if (ours == theirs).all() else f"{name} in {(ours != theirs).mean():.2%} of its values"


def _pixels(made, stored):
    from PIL import Image

    ours, theirs = (np.asarray(Image.open(path)).astype(int) for path in (made, stored))
    if ours.shape != theirs.shape:
        return f"a picture {ours.shape} made, {theirs.shape} stored"
    far = np.abs(ours - theirs)
    return f"{(far > 0).mean():.2%} of the values, by {far.max()} at most" if far.any() else ""


def _tables(made, stored):
    """Fonts are compared as text, table by table: another font tool packs the same outlines into other bytes."""
    from fontTools.ttLib import TTFont

    ours, theirs = TTFont(made), TTFont(stored)
    names = sorted({*ours.keys(), *theirs.keys()})
    return ", ".join(name for name in names if _table(ours, name) != _table(theirs, name))


def _table(font, name):
    from fontTools.misc.xmlWriter import XMLWriter

    if name == "GlyphOrder":
        return font.getGlyphOrder()
    if name not in font:
        return None
    lines = io.BytesIO()
    font[name].toXML(XMLWriter(lines), font)
    noise = (b"<checkSumAdjustment", b"<modified")  # they follow from the bytes and the day
    return [line for line in lines.getvalue().splitlines() if not line.strip().startswith(noise)]


CONTENTS = {".npz": _arrays, ".jpg": _pixels, ".otf": _tables, ".tsv": _lines}
