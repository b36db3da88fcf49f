"""Who runs what, and when: the suite cut into pieces for the workers, the long ones first.

A notebook and a module of tests are a piece each. Three modules are cut further, or one worker would still be busy with
them long after the others have finished. What kernels train comes first: browser tours then read it (trained_once/).
"""

import re

from xdist.scheduler import LoadScopeScheduling

FIRST = [r"notebooks/\d", r"tests/browser/", r"tests/colab/", r"tests/unit/test_core"]
ALONE = "tests/colab/"  # each of its tests is long, and shares nothing


def turn(nodeid):
    """The place of a test in the order: by kind; of the notebooks the late ones first, which compute longest."""
    kind = next((i for i, start in enumerate(FIRST) if re.match(start, nodeid)), len(FIRST))
    return kind, -number_of(nodeid) if kind < 3 else 0


def number_of(nodeid):
    """The number of the notebook that a test is about, 0 if it is about none."""
    number = re.search(r"[/\[-](\d\d)_|_of_(\d\d)_", nodeid)
    return int(number.group(1) or number.group(2)) if number else 0


def piece(nodeid):
    """The name of the piece that a test belongs to."""
    if nodeid.startswith(ALONE):
        return nodeid
    if nodeid.startswith("tests/browser/"):
        lab = re.search(r"lab\d", nodeid)
        return f"{lab and lab.group()} {number_of(nodeid) // 3}"
    return nodeid.rsplit("::", 1)[0]


class Pieces(LoadScopeScheduling):
    """xdist's own scheduler, with other pieces."""

    def _split_scope(self, nodeid):
        return piece(nodeid)
