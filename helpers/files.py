"""The course's data: where a file lies, and whether it is the one that the course was checked with."""

import hashlib
from functools import lru_cache
from pathlib import Path

from helpers.errors import CourseError

DATA = Path(__file__).resolve().parent.parent / "data"


@lru_cache
def data_file(name):
    """Return the path of data/`name` once its SHA-256 is the one in data/SHA256SUMS; raises CourseError otherwise."""
    mend = "fetch the course again (git checkout data, or a new clone)"
    try:
        lines = (DATA / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        wanted = {path: digest for digest, path in (line.split(maxsplit=1) for line in lines if line.strip())}
        found = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise CourseError(f"data/{Path(error.filename).name} is missing: {mend}.") from None
    except ValueError:  # a line that is not a sum and a name, or no text at all
        raise CourseError(f"data/SHA256SUMS is damaged: {mend}.") from None
    if name not in wanted:
        raise CourseError(f"data/{name} stands in no line of data/SHA256SUMS: add it with its SHA-256.")
    if found != wanted[name]:
        raise CourseError(f"data/{name} is damaged or was changed ({found[:8]}…, not {wanted[name][:8]}…): {mend}.")
    return DATA / name


def write_sum(name):
    """Put the SHA-256 of data/`name`, which has just been made, into its line of data/SHA256SUMS."""
    sums = DATA / "SHA256SUMS"
    kept = [row for row in sums.read_text(encoding="utf-8").splitlines() if row.split(maxsplit=1)[1:] != [name]]
    digest = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    sums.write_text("\n".join([*kept, f"{digest}  {name}"]) + "\n", encoding="utf-8", newline="\n")
    data_file.cache_clear()
