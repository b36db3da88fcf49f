"""What the tools share: where the course lies, how a notebook is written to disk, what its address is."""

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
ZH = NOTEBOOKS / "zh-TW"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def masters():
    """The English notebooks in their order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def chosen(words):
    """The English notebooks that the words name, by number (1 or 01) or by name; all without a word.

    --help prints what the command is for; a word that names no notebook, and an option, get a sentence.
    """
    if {"--help", "-h"} & set(words):
        print(sys.modules["__main__"].__doc__)
        sys.exit()
    return sorted({one_of(masters(), word) for word in words}) or masters()


def one_of(paths, word):
    """The notebook of this number or name; any other word gets a sentence."""
    found = [path for path in paths if word in (path.stem, path.name, path.name[:2], str(int(path.name[:2])))]
    if not found:
        sys.exit(f"There is no notebook {word!r}; there are: {', '.join(path.stem for path in paths)}.")
    return found[0]


def read_notebook(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_notebook(path, notebook):
    """Write a notebook as Jupyter does (indent 1, sorted keys, a final line end): saving it there changes nothing."""
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if not Path(path).exists() or Path(path).read_text(encoding="utf-8") != text:
        Path(path).write_text(text, encoding="utf-8")


def source(cell):
    """A cell's text, whether it is stored as one string or as lines."""
    return "".join(cell["source"])


def repository():
    """The repository's address as OWNER/NAME, from the one place where it stands."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r"^repository = \"(.+)\"$", settings, re.MULTILINE).group(1)


def find_browser():
    """The path of Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
