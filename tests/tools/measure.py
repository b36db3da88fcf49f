"""Each notebook's time and peak memory, as a table, from one run of each in a fresh kernel on this machine.

    python3 tests/tools/measure.py           # all; or the notebooks with these numbers or names
    OMP_NUM_THREADS=1 python3 tests/tools/measure.py 05 06

"computes" is the processor time of the kernel, which other programs on the machine hardly change; "waits" is the clock.
"""

import os
import sys
import time

import nbformat
from common import NOTEBOOKS, chosen
from execute import Client

# Runs in the kernel, last: seconds of processor time, and the most memory that it held, in bytes.
ASK = """
import resource as _r, sys as _s
_u = _r.getrusage(_r.RUSAGE_SELF)
print(_u.ru_utime + _u.ru_stime, _u.ru_maxrss * (1 if _s.platform == "darwin" else 1024))
"""


def measure(path):
    """Run a notebook; (seconds of processor time, seconds by the clock, peak memory in MB)."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(ASK, id="ask"))
    begun = time.perf_counter()
    Client(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}).execute()
    waits = time.perf_counter() - begun
    computes, peak = map(float, notebook.cells[-1].outputs[0].text.split())
    return computes, waits, peak / 1e6


def main(arguments):
    notebooks = chosen(arguments)
    os.environ["COURSE_PROGRESS"] = "0"
    print("| notebook | computes (s) | waits (s) | peak memory (MB) | file (MB) |\n|---|---|---|---|---|")
    total = [0.0, 0.0]
    for path in notebooks:
        computes, waits, peak = measure(path)
        total = [total[0] + computes, total[1] + waits]
        print(
            f"| {path.stem} | {computes:.0f} | {waits:.0f} | {peak:.0f} | {path.stat().st_size / 1e6:.2f} |", flush=True
        )
    print(f"| all | {total[0]:.0f} | {total[1]:.0f} | | |")


if __name__ == "__main__":
    main(sys.argv[1:])
