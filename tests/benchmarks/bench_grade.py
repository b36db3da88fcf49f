"""How long the grader takes for a class of a thousand, and how much memory.

    python3 tests/benchmarks/bench_grade.py            # a thousand hand-ins, two workers
    python3 tests/benchmarks/bench_grade.py 200 4      # two hundred, four workers

Of a hundred hand-ins thirty hold a notebook of the student's own, two loop for ever, one is a copy of another one. The
second run, after all has been seen, is what a change of the rubric costs.
"""

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))
from grading import demo  # noqa: E402


def make(folder, count, seed=0):
    """Write `count` hand-ins as Moodle names them; all of them differ, so that nothing is known beforehand."""
    chance = random.Random(seed)
    words = [
        "溫度",
        "分數",
        "比例",
        "最大",
        "接近",
        "變成",
        "拉開",
        "只剩",
        "發現",
        "原本",
        "以為",
        "實驗",
        "每次",
        "改成",
        "結果",
        "兩個",
        "五個",
        "平均",
        "曲線",
        "指數",
    ]
    before = None
    for place in range(count):
        number = 110_000_001 + place
        said = (
            "，".join("".join(chance.choices(words, k=5)) for _ in range(5))
            + f"，從 {chance.random():.3f} 到 {chance.random():.3f}。"
        )
        prompt = "請教我 softmax，" + "".join(chance.choices(words, k=14))
        code = chance.choice([demo.CODES["right"], demo.CODES["with torch"], demo.CODES["naive"], demo.CODES["long"]])
        code = demo.HOSTILE["endless loop"] if place % 50 == 49 else code
        code += f"\n# {chance.random()}\n"
        own = [("my_own.ipynb", demo.OWN.replace(b"show", f"show_{place}".encode()))] if chance.random() < 0.3 else []
        data = demo.pack(str(number), prompt, code, said, own)
        if before and place % 100 == 0:
            data = before
        path = folder / f"student-{place:04d} {number}_{place + 5000}_assignsubmission_file_" / "softmax_homework.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        before = data


def main(count=1000, workers=2):
    with tempfile.TemporaryDirectory() as home:
        make(Path(home) / "class", count)
        before = 0
        for what in ("first run", "second run"):
            begun = time.monotonic()
            command = [sys.executable, NOTEBOOKS / "grade.py", f"{home}/class", "--workers", str(workers)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = time.monotonic() - begun
            print(f"{what}: {count} hand-ins, {workers} workers, {seconds:.0f} s, {1000 * seconds / count:.0f} ms each")
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu, before = used.ru_utime + used.ru_stime - before, used.ru_utime + used.ru_stime
            print(f"  {cpu:.0f} s of processor time, {1000 * cpu / count:.0f} ms each", flush=True)
            print(f"  {done.stdout.strip().splitlines()[-2]}")
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        size = (Path(home) / "class-graded" / "report.html").stat().st_size / 2**20
        print(f"largest process {largest:.0f} MB; the report has {size:.1f} MB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
