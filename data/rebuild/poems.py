"""tang_quatrains.tsv: every poem of the Complete Tang Poems that is four lines of five Han characters.

NotoSansCJKtc-subset.otf: a font cut down to the characters of that file and to basic punctuation.
"""

import json
import re

LINE = re.compile("[一-\u9fff]{5}")  # the first block of Han characters: rarer ones are drawn by few fonts
NOTO = "usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
TRADITIONAL = 3  # the place of Noto Sans CJK TC in that file
PUNCTUATION = "，。、；：？！「」『』（）《》…—"


def quatrains(package, target):
    """Write author, title and poem; question and exclamation marks become commas and full stops, as in all others."""
    folder = package / "node_modules/chinese-poetry/dist/quantangshi"
    rows = [("author", "title", "poem")]
    for path in sorted(folder.glob("poet.tang.*.json"), key=lambda path: int(path.suffixes[-2][1:])):
        for poem in json.loads(path.read_text(encoding="utf-8")):
            lines = [line for line in re.split("[，。？！；]", "".join(poem["paragraphs"])) if line]
            if len(lines) == 4 and all(map(LINE.fullmatch, lines)):
                rows.append((poem["author"], poem["title"], "{}，{}。{}，{}。".format(*lines)))
    target.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")


def characters(poems):
    """The characters that the font is cut down to."""
    plain = map(chr, range(32, 127))
    return {*poems, *plain, *PUNCTUATION} - {"\t", "\n"}


def font(package, poems, target):
    """Cut Noto Sans CJK TC down to the characters of the file `poems`."""
    from fontTools import subset

    options = subset.Options(hinting=False, layout_features=[], notdef_outline=True, desubroutinize=True)
    options.font_number = TRADITIONAL
    whole = subset.load_font(package / NOTO, options)
    cutter = subset.Subsetter(options)
    cutter.populate(text="".join(sorted(characters(poems.read_text(encoding="utf-8")))))
    cutter.subset(whole)
    subset.save_font(whole, target, options)
