"""What a page says in Chinese: menus, buttons and sentences of the Chinese edition, whose code is the English one's.

Code is the same in both editions to the byte and says everything in English. In the Chinese edition it is looked up in
notebooks/zh-TW/words.tsv: the English words, a tab, the Chinese ones; `{}` stands for what differs from time to time.
The Chinese takes it back in the same order, or by number, `{1}`. What has no line there stays English.
"""

import os
import re
import sys
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "notebooks" / "zh-TW" / "words.tsv"


@lru_cache
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


@lru_cache
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
