"""What the tools share: where the course lies, how a notebook is written to disk, what its address is."""

import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
ZH = NOTEBOOKS / "zh-TW"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def masters():
    """The English notebooks in their order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


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
