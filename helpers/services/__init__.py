"""Models behind a door: `client.py` asks them, `door.py` is a stand-in for such a service. Here: refusals, and keys.

>>> key = find_key()                       # Colab's secrets, else the environment
>>> key                                    # <a key of 39 characters>
"""

from __future__ import annotations

import base64
import os
import re

from ..page import CourseError

HELP = {  # the three ways in which Colab's secrets fail, by the name of the error
    "SecretNotFoundError": "click the key symbol on the left, *Add new secret*, write that name and paste your key as its value",
    "NotebookAccessError": "click the key symbol on the left and turn on the switch *Notebook access* beside it",
    "TimeoutException": "secrets work on Colab's own page only, and the page has to be open; run the cell again",
}


class ServiceError(CourseError):
    """A refusal: its `kind` (busy, key, no quota, day, model, request, refused, strange) and the seconds to `wait`, if said."""

    def __init__(self, kind: str, sentence: str, wait: float | None = None):
        super().__init__(sentence)
        self.kind, self.wait = kind, wait


class Key:
    """A key that shows its length only, in print, f-strings and tracebacks. A guard against slips, not against intent.

    Raises ServiceError, kind "key", for what cannot be one, before anything is sent; quotes and blanks around it go.
    """

    def __init__(self, text: str | None):
        text = (text or "").strip(" \t\r\n'\"“”‘’「」")
        if not text or re.fullmatch(r"<?(your[_ ])?(api[_ ])?key>?", text, re.IGNORECASE):
            raise ServiceError("key", "This key holds no key yet: paste your own into the secret.")
        if not re.fullmatch("[!-~]{16,}", text):
            why = "a blank, a line break or another sign that no key has, or an end that was cut off"
            raise ServiceError(
                "key", f"This key of {len(text)} characters has {why}: copy all of it, and nothing else."
            )
        self.reveal = lambda: text  # a function, so that no debugger or form lists the key as a value

    def __repr__(self):
        return f"<a key of {len(self.reveal())} characters>"

    def __reduce__(self):
        raise ServiceError("key", "A key is not written into files.")

    def stands_in(self, data: str | bytes) -> bool:
        """Whether 12 characters of the key in a row stand there, plain, in UTF-16 or in base64."""
        data, secret = data.encode(errors="replace") if isinstance(data, str) else data, self.reveal().encode()
        words = [secret, *(base64.b64encode(b" " * n + secret)[4 if n else 0 : -4] for n in range(3))]
        data = data.replace(b"\0", b"")  # UTF-16 puts a zero beside each letter
        return any(word[i : i + 12] in data for word in words for i in range(len(word) - 11))


def find_key(name: str = "GEMINI_API_KEY") -> Key:
    """The key from Colab's secrets, else from the environment; raises ServiceError, kind "key", if there is none."""
    try:
        from google.colab import userdata
    except ImportError:
        if not os.environ.get(name, "").strip():
            where = f"on Colab put it into the secret {name}, elsewhere into the environment variable {name}"
            raise ServiceError("key", f"There is no key: {where}, and start again.") from None
        return Key(os.environ[name])
    try:
        found = userdata.get(name)
    except Exception as error:
        why = HELP.get(type(error).__name__, "run the cell again")
        raise ServiceError("key", f"Colab gives no secret {name} ({type(error).__name__}): {why}.") from None
    return Key(found)
