"""tang_quatrains.tsv: every poem of the Complete Tang Poems that is four lines of five Han characters.

tang_eight_lines.txt: those of eight such lines, text only, each once.

NotoSansCJKtc-subset.otf: a font cut down to the characters of that file and to basic punctuation.
"""

import json
import re

LINE = re.compile("[一-\u9fff]{5}")  # the first block of Han characters: rarer ones are drawn by few fonts
NOTO = "usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
TRADITIONAL = 3  # the place of Noto Sans CJK TC in that file
PUNCTUATION = "，。、；：？！「」『』（）《》…—"


def of_lines(package, count):
    """Each poem of `count` lines of five characters, in the package's order: (author, title, its lines)."""
    folder = package / "node_modules/chinese-poetry/dist/quantangshi"
    for path in sorted(folder.glob("poet.tang.*.json"), key=lambda path: int(path.suffixes[-2][1:])):
        for poem in json.loads(path.read_text(encoding="utf-8")):
            lines = [line for line in re.split("[，。？！；]", "".join(poem["paragraphs"])) if line]
            if len(lines) == count and all(map(LINE.fullmatch, lines)):
                yield poem["author"], poem["title"], lines


def quatrains(package, target):
    """Write author, title and poem; question and exclamation marks become commas and full stops, as in all others."""
    rows = [("author", "title", "poem")]
    rows += [(author, title, "{}，{}。{}，{}。".format(*lines)) for author, title, lines in of_lines(package, 4)]
    target.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")


def eight_lines(package, target):
    """Write the text of each poem of eight lines once, forty characters a line, in the order of their characters."""
    texts = sorted({"".join(lines) for _, _, lines in of_lines(package, 8)})
    target.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")


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
