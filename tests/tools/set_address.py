"""Writes the repository's address into every badge and set-up cell.

    python3 tests/tools/set_address.py OWNER/NAME    # as on GitHub; a full https address is understood, too
    python3 tests/tools/set_address.py --show

The address stands in pyproject.toml; this command changes it there and wherever a copy has to stand: the notebooks'
badges and set-up cells, the Chinese sidecars, the READMEs and CITATION.cff. On GitHub, a workflow runs it for a fork.
"""

import re
import sys

from common import NOTEBOOKS, ROOT, ZH, repository

ADDRESS = re.compile(r"(?:(?:https?://|git@)github\.com[/:])?([A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+?)(?:\.git)?/?")


def places():
    """Every file that holds the address."""
    files = [
        ROOT / "pyproject.toml",
        ROOT / "CITATION.cff",
        *ROOT.glob("*.md"),
        *NOTEBOOKS.rglob("*.ipynb"),
        *ZH.glob("*.md"),
    ]
    return [path for path in files if repository() in path.read_text(encoding="utf-8")]


def main(arguments):
    if arguments in (["--help"], ["-h"]):
        print(__doc__)
        return
    if arguments == ["--show"]:
        print(repository())
        return
    given = ADDRESS.fullmatch(arguments[0].strip()) if len(arguments) == 1 else None
    if not given:
        asked = " ".join(arguments) or "nothing"
        sys.exit(f"Asked to set {asked!r}: give one address such as OWNER/NAME, as GitHub shows it.")
    old, new = repository(), given.group(1)
    changed = places()
    for path in changed:
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    print(f"{old} is now {new} in {len(changed)} files.")


if __name__ == "__main__":
    main(sys.argv[1:])
