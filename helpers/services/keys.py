"""Keys for services: found, looked at, hidden, and hunted for where they have no business to be.

>>> key = find_key()                       # Colab's secrets, else the environment
>>> leaks(key, Path("hand-in.zip"))        # [] is good
"""

from __future__ import annotations

import base64
import io
import os
import zipfile
from pathlib import Path

from .. import CourseError

HELP = {  # the three ways in which Colab's secrets fail, by the name of the error
    "SecretNotFoundError": "Colab has no secret {name!r}: click the key symbol on the left, *Add new secret*, write that name and paste the key as its value",
    "NotebookAccessError": "Colab keeps {name!r} from this notebook: click the key symbol on the left and turn on the switch *Notebook access* beside it",
    "TimeoutException": "Colab's secrets did not answer: they work on Colab's own page only, and the page has to be open. Run the cell again",
}


class ServiceError(CourseError):
    """A refusal: its `kind` (busy, key, no quota, day, model, request, refused, strange) and the seconds to `wait`, if said."""

    def __init__(self, kind: str, sentence: str, wait: float | None = None):
        super().__init__(sentence)
        self.kind, self.wait = kind, wait


class Key:
    """A key that shows its length only, in print, f-strings and tracebacks. A guard against slips, not against intent.

    Raises ServiceError, kind "key", for what cannot be a key, before anything is sent; quotes and blanks around it go.
    """

    def __init__(self, text: str | None):
        text = (text or "").strip().strip("'\"“”‘’「」").strip()
        why = None
        if not text or text.upper().replace(" ", "_").strip("<>") in ("YOUR_API_KEY", "YOUR_KEY", "API_KEY"):
            why = "holds no key yet: paste your own into the secret"
        elif not text.isascii() or not text.isprintable() or " " in text:
            why = (
                "has a blank, a line break or a character that no key has: copy it once more, and nothing else with it"
            )
        elif len(text) < 16:
            why = f"has only {len(text)} characters, so it is cut off: copy all of it"
        if why:
            raise ServiceError("key", f"This key {why}.")
        self._reveal = lambda: text  # not an attribute that a debugger or a form would list with its value

    def reveal(self) -> str:
        """The key itself, for the one line that sends it."""
        return self._reveal()

    def __repr__(self):
        return f"<a key of {len(self._reveal())} characters>"

    def __reduce__(self):
        raise ServiceError("key", "A key is not written into files.")


def find_key(name: str = "GEMINI_API_KEY") -> Key:
    """The key from Colab's secrets, else from the environment; raises ServiceError, kind "key", if there is none."""
    try:
        from google.colab import userdata
    except ImportError:
        if not os.environ.get(name, "").strip():
            sentence = f"There is no key: on Colab put it into the secret {name}, elsewhere into the environment variable {name}, and start again."
            raise ServiceError("key", sentence) from None
        return Key(os.environ[name])
    try:
        found = userdata.get(name)
    except Exception as error:
        why = HELP.get(type(error).__name__, f"Colab's secrets failed ({type(error).__name__}). Run the cell again")
        raise ServiceError("key", why.format(name=name) + ".") from None
    return Key(found)


def leaks(key: Key, *places: str | bytes | Path) -> list[str]:
    """Where 12 characters of the key in a row stand, plain or in base64: texts, bytes, files, folders, zips. [] is good.

    Names count, too, and zips in zips; what cannot be opened is named with a note. Raises ServiceError for no place.
    """
    secret = key.reveal().encode()
    coded = [base64.b64encode(b" " * n + secret)[4 if n else 0 : -4] for n in range(3)]
    pieces = {word[i : i + 12] for word in (secret, *coded) for i in range(len(word) - 11)}
    holds = lambda data: any(piece in data for piece in pieces)  # noqa: E731
    shown = lambda name: "/".join("(a name with the key)" if holds(n.encode()) else n for n in name.split("/"))  # noqa: E731

    def hunt(name, load, depth=0):
        try:
            data = load()
            if holds(data.replace(b"\0", b"")) or holds(os.fsencode(name)):  # UTF-16 puts a zero beside each letter
                yield shown(name)
            stream = io.BytesIO(data)
            if data.startswith(b"PK\3\4") or zipfile.is_zipfile(stream):
                with zipfile.ZipFile(stream) as packed:
                    if depth > 4:
                        raise zipfile.BadZipFile
                    for inner in packed.namelist():
                        yield from hunt(f"{name}/{inner}", lambda inner=inner: packed.read(inner), depth + 1)
        except Exception:  # a password, damage, no permission: the others are searched all the same
            yield f"{shown(name)} (could not be opened: look yourself)"

    found = []
    for number, place in enumerate(places, 1):
        if not isinstance(place, str | bytes | Path):
            raise ServiceError("request", f"A {type(place).__name__} is no text, bytes or Path: give them one by one.")
        if isinstance(place, Path) and not place.exists():
            raise ServiceError("request", f"There is nothing at Path({shown(place.as_posix())!r}): look at the name.")
        if isinstance(place, str) and len(place) < 256 and "\n" not in place and os.path.exists(place):
            raise ServiceError(
                "request", f"This text names a file or folder: write Path({shown(place)!r}) to search it."
            )
        if not isinstance(place, Path):
            data = place.encode(errors="replace") if isinstance(place, str) else place
            found += [f"text {number}"] if holds(data.replace(b"\0", b"")) else []
            continue
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            name = path.relative_to(place).as_posix() if path != place else path.name
            found += hunt(name, path.read_bytes if path.is_file() else bytes)
    return found
