"""Builds the Chinese edition of each notebook from the English master and a sidecar of prose.

    python3 tests/tools/build_zh_tw.py            # write notebooks/zh-TW/*.ipynb; new paragraphs go into the sidecar
    python3 tests/tools/build_zh_tw.py --check    # write nothing; name what is stale, exit 1 if anything is
    python3 tests/tools/build_zh_tw.py --accept 01 intro    # cell intro was read again: its Chinese says the same
    python3 tests/tools/build_zh_tw.py --prune 01    # throw away the Chinese of 01 whose English is gone

The sidecar notebooks/zh-TW/NN_name.md holds the prose by cell id. Above each paragraph stands a hash of the English
paragraph that it translates; when the English changes, the hash no longer fits, and `--check` names the paragraph:

    # cell: intro
    <!-- en: 1a2b3c4d -->
    第一段……

Chinese is found by its hash wherever the English went: into another cell, or one of another name. What the English has
outgrown or lost stays in the sidecar, and is named, until somebody throws it away.

A hash says only which English paragraph was meant. So that no text stands under another one's hash, both have to be of
one kind (heading, list of five, table …) and share their numbers, code and formulas, or the tool names them.

Code cells and outputs are copied, so that they are the same in both editions by construction.
"""

import copy
import hashlib
import re
import sys
from collections import Counter

from common import ZH, masters, one_of, read_notebook, repository, source, write_notebook

TODO = "（待譯）"
PRUNE = "its Chinese is kept; move it, or give --prune and the notebook's number"
KINDS = {  # how the first line of a paragraph begins
    "heading": r"#+ ",
    "bullets": r"[-*] ",
    "numbered list": r"\d+\. ",
    "table": r"\|",
    "code": r"```",
    "formula": r"\$\$",
}


def paragraphs(text):
    """Split Markdown at blank lines, but not inside a fenced block or a displayed formula."""
    parts, current, fenced = [], [], False
    for line in text.strip().splitlines():
        fence = line.lstrip().startswith("```") or (line.strip().startswith("$$") and line.count("$$") == 1)
        fenced ^= fence
        if line.strip() or fenced:
            current.append(line.rstrip())
        elif current:
            parts.append("\n".join(current))
            current = []
    return [*parts, "\n".join(current)] if current else parts


def fingerprint(paragraph):
    """Eight hex digits of the English paragraph; the repository's address does not count, so a fork stays in step."""
    neutral = paragraph.replace(repository(), "OWNER/REPOSITORY")
    return hashlib.sha256(neutral.encode()).hexdigest()[:8]


def kind(paragraph):
    """What a paragraph is, and of how many items or rows: ("bullets", 3); ("prose", 0)."""
    lines = paragraph.splitlines()
    name = next((name for name, pattern in KINDS.items() if re.match(pattern, lines[0])), "prose")
    counted = name in ("bullets", "numbered list", "table")
    return name, sum(bool(re.match(KINDS[name], line)) for line in lines) if counted else 0


def marks(paragraph):
    """What a translation keeps: numbers (10,000 is 1萬), `code` and $formulas$, each as often as it stands there."""
    plain = re.sub(r"(?<=\d)萬", "0000", re.sub(r"(?<=\d),(?=\d{3})", "", paragraph))
    return Counter(re.findall(r"\d+(?:\.\d+)?", plain)) + Counter(re.findall(r"`[^`]+`|\$[^$]+\$", paragraph))


def unlike(english, chinese):
    """Why these two cannot be one paragraph in two languages; None if they may be. The Chinese may say more."""
    if kind(english) != kind(chinese):
        return "{} of {} against {} of {}".format(*kind(english), *kind(chinese)).replace(" of 0", "")
    kept, wanted = (marks(english) & marks(chinese)).total(), marks(english).total()
    if wanted >= 2 and kept < wanted / 2:
        return f"{kept} of {wanted} numbers, pieces of code and formulas are in the Chinese"
    return None


def read_sidecar(text):
    """Return {cell id: [(hash, Chinese paragraph), …]}; two paragraphs of a cell under one hash end it with a sentence."""
    cells = {}
    for block in re.split(r"^# cell: ", text, flags=re.MULTILINE)[1:]:
        name, _, body = block.partition("\n")
        pieces = re.split(r"^<!-- en: ([0-9a-f]{8}) -->\n", body, flags=re.MULTILINE)[1:]
        twice = [digest for digest, count in Counter(pieces[::2]).items() if count > 1]
        if twice:
            sys.exit(f"Cell {name.strip()} has two paragraphs under the hash {twice[0]}: give each its own, any other.")
        cells[name.strip()] = [(digest, piece.strip()) for digest, piece in zip(pieces[::2], pieces[1::2], strict=True)]
    return cells


def write_sidecar(cells):
    lines = []
    for name, pairs in cells.items():
        lines.append(f"# cell: {name}\n")
        lines += [f"<!-- en: {digest} -->\n{text}\n" for digest, text in pairs]
    return "\n".join(lines)


def match(english, chinese):
    """Pair each English paragraph with its Chinese one: by hash, wherever it moved to; what is left over is stale."""
    known = {digest: text for digest, text in chinese if TODO not in text}
    return [(fingerprint(part), known.get(fingerprint(part)), part) for part in english]


def keep_outgrown(chinese, old):
    """The pairs `chinese`, and those of `old` that the English outgrew, each where it stood: after its predecessor."""
    kept, place = list(chinese), 0
    for digest, text in old:
        found = next((i for i, pair in enumerate(kept) if pair[0] == digest), None)
        if found is not None:
            place = found + 1
        elif TODO not in text:
            kept.insert(place, (digest, text))
            place += 1
    return kept


def build(master, prune=False):
    """Return (Chinese notebook, sidecar text, complaints) for one English notebook; `prune`: without what is left over."""
    path = ZH / f"{master.stem}.md"
    old = read_sidecar(path.read_text(encoding="utf-8")) if path.exists() else {}
    notebook, cells, complaints = copy.deepcopy(read_notebook(master)), {}, []
    prose = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    english = {cell["id"]: paragraphs(source(cell)) for cell in prose}
    hashes = {name: {fingerprint(part) for part in parts} for name, parts in english.items()}
    left = {  # what no longer stands in its cell
        name: [pair for pair in pairs if pair[0] not in hashes.get(name, ()) and TODO not in pair[1]]
        for name, pairs in old.items()
    }
    spare = {digest: text for pairs in left.values() for digest, text in pairs}
    moved = {
        d for name in english for d in hashes[name] & set(spare) if d not in {pair[0] for pair in old.get(name, [])}
    }
    for cell in prose:
        name, chinese, stale = cell["id"], [], []
        known = [*((digest, spare[digest]) for digest in moved & hashes[name]), *old.get(name, [])]
        for digest, text, part in match(english[name], known):
            if text is None:
                stale.append(part)
                text = f"{TODO} {part}"
            elif why := unlike(part, text):
                complaints.append(f"{path.name}, cell {name}: “{text[:30]}” is not “{part[:70]}” ({why})")
            chinese.append((digest, text))
        cell["source"] = "\n\n".join(text for _, text in chinese).splitlines(keepends=True)
        complaints += [f"{path.name}, cell {name}: no Chinese for “{part[:70]}”" for part in stale]
        kept = [pair for pair in left.get(name, []) if pair[0] not in moved and not prune]
        if kept and not stale:
            complaints.append(f"{path.name}, cell {name}: holds paragraphs whose English is gone ({PRUNE})")
        cells[name] = keep_outgrown(chinese, [pair for pair in old.get(name, []) if pair in kept or pair in chinese])
    for name in [name for name in old if name not in cells]:
        kept = [pair for pair in left[name] if pair[0] not in moved and not prune]
        if kept:
            cells[name] = kept
            complaints.append(f"{path.name}, cell {name}: the English edition has no such cell ({PRUNE})")
    return notebook, write_sidecar(cells), complaints


def accept(master, name):
    """Give the cell's Chinese paragraphs, in their order, the hashes of today's English ones, if they can be a pair."""
    path = ZH / f"{master.stem}.md"
    cells = read_sidecar(path.read_text(encoding="utf-8"))
    prose = {c["id"]: paragraphs(source(c)) for c in read_notebook(master)["cells"] if c["cell_type"] == "markdown"}
    if name not in prose or name not in cells:
        sys.exit(f"{master.name} has no text cell {name!r} with Chinese; it has: {', '.join(prose)}.")
    english = prose[name]
    chinese = [text for _, text in cells[name] if TODO not in text]
    if len(english) != len(chinese):
        sys.exit(
            f"{name}: {len(english)} English paragraphs against {len(chinese)} Chinese ones; they have to pair up."
        )
    for part, text in zip(english, chinese, strict=True):
        if why := unlike(part, text):
            sys.exit(f"{name}: “{text[:30]}” would stand for “{part[:70]}” ({why}). Put the Chinese in order first.")
    cells[name] = [(fingerprint(part), text) for part, text in zip(english, chinese, strict=True)]
    path.write_text(write_sidecar(cells), encoding="utf-8")


def main(arguments):
    if arguments in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    what, *words = arguments or ["build"]
    if {"build": 0, "--check": 0, "--accept": 2, "--prune": 1}.get(what) != len(words):
        sys.exit(
            f"build_zh_tw.py does not know {' '.join(arguments)!r}: give --check, --accept 01 CELL, --prune 01, or nothing."
        )
    page = one_of(masters(), words[0]) if words else None
    if what == "--accept":
        accept(page, words[1])
    complaints = []
    for master in masters():
        notebook, sidecar, stale = build(master, prune=what == "--prune" and master == page)
        complaints += stale
        target, path = ZH / master.name, ZH / f"{master.stem}.md"
        if what == "--check":
            if not target.exists() or read_notebook(target) != notebook:
                complaints.append(f"{target.name}: not what the master and the sidecar give; run build_zh_tw.py")
        else:
            write_notebook(target, notebook)
            path.write_text(sidecar, encoding="utf-8")
    print("\n".join(complaints) or "The Chinese edition is in step with the English one.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
