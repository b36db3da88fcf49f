"""From a slider's move to its new picture: the course's live figures against `interact` with `plt.show()`.

    python3 tests/benchmarks/bench_sliders.py            # 5 rounds of 40 moves each, interleaved
    python3 tests/benchmarks/bench_sliders.py --quick    # a smoke test

Everything runs in one Jupyter kernel, as in a notebook, and counts up to the moment when the kernel has sent the picture.
Prints the median milliseconds of a move and the median ratio of a round.
"""

import json
import sys

import nbformat
from nbclient import NotebookClient

CODE = """
%matplotlib inline
import json, statistics, sys, time
import matplotlib.pyplot as plt, numpy as np
from ipywidgets import interact, FloatSlider
sys.path.insert(0, ROOT)
from helpers import live, slider
from helpers.style import use_style
use_style()
x = np.linspace(0, 10, 200)

def draw(n):
    figure, axes = plt.subplots()
    axes.plot(x, np.sin(n * x))
    axes.set(ylim=(-1.1, 1.1), xlabel="x", ylabel="sin(nx)", title="A wave")
    plt.show()

def panel(blit):
    figure, axes = plt.subplots()
    (line,) = axes.plot(x, np.sin(x))
    axes.set(ylim=(-1.1, 1.1), xlabel="x", ylabel="sin(nx)", title="A wave")
    def redraw(n):
        line.set_ydata(np.sin(n * x))
        return f"n = {n:.2f}"
    return live(figure, redraw, moving=[line] if blit else (), n=slider("n", 0.0, 10.0, 1.0))

old = FloatSlider(min=0, max=10, value=1, description="n")
interact(draw, n=old)
whole, blit = panel(False), panel(True)
movers = {"interact + plt.show()": old, "live figure": whole.controls["n"], "live figure, moving=": blit.controls["n"]}
times = {name: [] for name in movers}
for turn in range(ROUNDS):
    for name, control in movers.items():
        rounds = []
        for step in range(MOVES):
            value = 1 + 8 * ((step * 7 + turn) % MOVES) / MOVES + 0.01 * turn
            start = time.perf_counter()
            control.value = value
            rounds.append(1e3 * (time.perf_counter() - start))
        times[name].append(statistics.median(rounds))
print("RESULT" + json.dumps(times))
"""


def measure(root, rounds, moves):
    """Return {name: [median milliseconds of each round]}."""
    code = f"ROOT, ROUNDS, MOVES = {str(root)!r}, {rounds}, {moves}\n{CODE}"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    texts = "".join(output.get("text", "") for output in notebook.cells[0].outputs)
    return json.loads(texts.split("RESULT")[1].splitlines()[0])


def main(arguments):
    from pathlib import Path
    from statistics import median

    if arguments not in ([], ["--quick"]):
        sys.exit(f"bench_sliders.py knows --quick, and not {' '.join(arguments)!r}.")
    quick = bool(arguments)
    times = measure(Path(__file__).resolve().parents[2], *((1, 5) if quick else (5, 40)))
    slow = times["interact + plt.show()"]
    for name, rounds in times.items():
        ratio = median(a / b for a, b in zip(slow, rounds, strict=True))
        print(f"{name:24} {median(rounds):6.1f} ms a move   {ratio:5.2f} times as fast")
    return times


if __name__ == "__main__":
    main(sys.argv[1:])
