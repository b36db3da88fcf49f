"""Takes code out of a notebook, so that what a student runs is what a test tests."""

from common import NOTEBOOKS, read_notebook, source


def cell(notebook, name):
    """The source of the cell `name` of notebook `01`, `02` …"""
    path = next(NOTEBOOKS.glob(f"{notebook}_*.ipynb"))
    found = [source(c) for c in read_notebook(path)["cells"] if c["id"] == name]
    assert found, f"{path.name} has no cell {name!r}"
    return found[0]


def run_cells(notebook, *names, change=(), **namespace):
    """Run cells one after the other and return their names; `change` holds (old, new) pairs: a mutation."""
    for name in names:
        code = cell(notebook, name).replace("%matplotlib inline", "")
        for old, new in change:
            if old in code:
                code = code.replace(old, new)
                change = [pair for pair in change if pair != (old, new)]
        exec(compile(code, f"{notebook}:{name}", "exec"), namespace)
    assert not list(change), f"nothing to change: {change}"
    return namespace
