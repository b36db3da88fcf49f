"""Grades a folder of softmax homework: runs what students wrote, locked in, and says what each part is worth and why.

    python3 notebooks/grade.py FOLDER             # as the LMS gives it: a folder (or zip) of zips, notebooks, files
    python3 notebooks/grade.py --demo             # makes a small class, hostile hand-ins included, and grades it
    python3 notebooks/grade.py FOLDER --dry-run   # only says whose hand-ins it finds
    python3 notebooks/grade.py FOLDER --rubric MY_RUBRIC.toml    # a copy of notebooks/grading/rubric.toml, changed
    python3 notebooks/grade.py FOLDER --to RESULTS    # where the results go; else FOLDER-graded, beside it
    python3 notebooks/grade.py FOLDER --no-notebooks  # students' own notebooks are not run
    python3 notebooks/grade.py FOLDER --workers 4     # how many at once; else one for each core, eight at most

The results: marks.csv (opens in Excel), report.html (what needs you stands first) and changes.csv, in which you decide otherwise.
Stopped by Ctrl-C, the same command goes on where it was; after a change of the rubric nothing is run again.

Students' code runs on Linux only, where a probe finds that it is locked in. Elsewhere it is read and not run, unless you say
--unprotected, which means that you trust every hand-in as much as your own programs.
"""

import argparse
import csv
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a softmax has no use for, and what wants to reach out of its process has.
REACHING = {
    "asyncio",
    "builtins",
    "ctypes",
    "gc",
    "importlib",
    "inspect",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "pickle",
}
REACHING |= {
    "requests",
    "resource",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "urllib",
}
NEEDED = ("numpy", "torch", "matplotlib", "IPython", "ipywidgets", "tqdm")


def with_the_course(arguments):
    """Give the command again with the Python of the course, if this one lacks what the homework uses."""
    if all(importlib.util.find_spec(name) for name in NEEDED):
        return
    from open import cpu_constraints, make_environment

    python = make_environment(ROOT / ".venv", [ROOT / "requirements.txt"], cpu_constraints())
    sys.exit(subprocess.run([python, __file__, *arguments], check=False).returncode)


class Results:
    """What was seen of each content, kept in one file line by line: what is cut off in its middle is one result, not all."""

    def __init__(self, path):
        self.path, self.known, self.lock = path, {}, threading.Lock()
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    key, value = json.loads(line)
                    self.known[key] = value
                except (ValueError, TypeError):
                    continue
        self.file = path.open("a", encoding="utf-8")
        self.file.write("\n" if path.stat().st_size else "")

    def keep(self, key, value):
        with self.lock:
            self.known[key] = value
            self.file.write(json.dumps([key, value]) + "\n")
            self.file.flush()

    def close(self):
        self.file.close()


def digest(*pieces):
    """A name for content: the same for the same pieces."""
    total = hashlib.sha256()
    for piece in pieces:
        data = piece if isinstance(piece, bytes) else json.dumps(piece, sort_keys=True).encode()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:32]


class Grader:
    """Takes hand-ins apart and runs them, several at once, each worker with a sandbox of its own."""

    def __init__(self, folder, rubric, results, first, workers, runs, notebooks):
        self.folder, self.rubric, self.results = folder, rubric, results
        self.sandboxes, self.workers, self.runs, self.notebooks = [first], workers, runs, notebooks
        made = (ROOT / "notebooks" / "grading" / "inside.py").read_bytes()
        versions = [importlib.metadata.version(name) for name in ("numpy", "torch", "ipython")]
        self.version = digest(made, platform.python_version(), versions)
        self.stopping = threading.Event()

    def sandbox(self, number):
        if number:
            made = self.sandboxes[0].another()
            self.sandboxes.append(made)
            return made
        return self.sandboxes[0]

    def ask(self, sandbox, kind, key, seconds, **job):
        """The answer from the results, or from the sandbox. What the machine is to blame for is not kept."""
        if key in self.results.known:
            return self.results.known[key]
        memory = self.rubric["limits"]["memory_mb"]
        answer = sandbox.ask(kind, seconds, memory, **job)
        if answer["end"] == "time" and answer["cpu"] < seconds / 2:  # it slept, or the machine was busy: once more
            answer = sandbox.ask(kind, seconds, memory, patience=3, **job)
        if not answer["end"].startswith("sandbox") and not self.stopping.is_set():
            self.results.keep(key, answer)
        return answer

    def look(self, sandbox, hand_in):
        from grading.marking import cases_of

        files = hand_in.read()
        limits = {name: self.rubric["limits"][name] for name in ("files", "unpacked_mb")}
        hand_in.hash = digest(*(piece for name, data in files for piece in (name, data)))
        listed = [[name, b64encode(data).decode()] for name, data in files]
        answer = self.ask(
            sandbox, "look", digest("look", self.version, limits, hand_in.hash), 20, files=listed, limits=limits
        )
        hand_in.seen, hand_in.ran = seen_of(answer), {}
        seen = hand_in.seen
        if seen["notebook"] and is_the_page(seen["notebook"]["cells"]):  # its parts have been taken out of it already
            seen["extra"].append(f"{seen['notebook']['name']} (the course's page)")
            seen["notebook"], seen["notebook_code"] = None, None
        hand_in.problems += seen["problems"]
        code = seen["parts"]["code"]
        cells = seen["notebook"]["cells"] if seen["notebook"] else []
        hand_in.groups = cases_of(self.rubric, digest(code, cells))
        cases = [scores for group in hand_in.groups for scores in group]
        limits = self.rubric["limits"]
        if self.runs and code and not seen["code"]["error"]:
            key = digest("code", self.version, limits, cases, code)
            hand_in.ran["code"] = self.ask(sandbox, "code", key, limits["code_seconds"], code=code, cases=cases)
        if self.runs and cells and self.notebooks:
            key = digest("notebook", self.version, limits, cases, cells)
            hand_in.ran["notebook"] = self.ask(
                sandbox, "notebook", key, limits["notebook_seconds"], cells=cells, cases=cases
            )

    def work(self, number, waiting, done):
        sandbox = self.sandbox(number)
        while not self.stopping.is_set():
            try:
                hand_in = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self.look(sandbox, hand_in)
            except Exception as error:  # one hand-in, whatever it does, is not the end of a thousand
                from grading.sandbox import SandboxError

                hand_in.seen, hand_in.ran, hand_in.groups = seen_of({"end": "sandbox", "said": None}), {}, None
                hand_in.problems.append(
                    ["look_failed", str(error) if isinstance(error, SandboxError) else type(error).__name__]
                )
            done.put(hand_in)

    def take(self, hand_ins):
        """Look at and run all of them, with a progress bar; what is stopped by Ctrl-C goes on with the next command."""
        from tqdm import tqdm

        waiting, done = queue.Queue(), queue.Queue()
        for hand_in in hand_ins:
            waiting.put(hand_in)
        count = max(1, min(self.workers, len(hand_ins)))
        threads = [threading.Thread(target=self.work, args=(n, waiting, done), daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        finished = 0
        try:
            with tqdm(total=len(hand_ins), unit=" hand-in", smoothing=0.05) as bar:
                while finished < len(hand_ins):
                    try:
                        done.get(timeout=0.5)
                    except queue.Empty:
                        if not any(thread.is_alive() for thread in threads) and done.empty():
                            break
                        continue
                    finished += 1
                    bar.update()
        except KeyboardInterrupt:
            self.stopping.set()
            raise
        finally:
            for sandbox in self.sandboxes:
                sandbox.close()
        if finished < len(hand_ins):
            sys.exit(f"{len(hand_ins) - finished} hand-ins could not be looked at: give the same command again.")


@functools.lru_cache
def cells_of_the_page():
    """What stands in the code cells of the course's page 01, without blanks."""
    path = next((ROOT / "notebooks").glob("01_*.ipynb"))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {"".join("".join(cell["source"]).split()) for cell in cells if cell["cell_type"] == "code"}


def is_the_page(cells):
    """Whether a notebook is the course's page with a few cells filled in: it trains for a minute, and shows nothing new."""
    code = ["".join(text.split()) for kind, text in cells if kind == "code" and text.strip()]
    return sum(text in cells_of_the_page() for text in code) > len(code) / 2


def seen_of(answer):
    """What `look` said, in the shape that the rest relies on, whatever came: it is a stranger's word."""
    said = answer.get("said") or {}
    parts = said.get("parts") if isinstance(said.get("parts"), dict) else {}
    parts = {name: str(parts.get(name) or "") for name in ("prompt", "code", "discovery", "student", "link")}
    notebook = said.get("notebook") if isinstance(said.get("notebook"), dict) else None
    if notebook:
        cells = notebook.get("cells") if isinstance(notebook.get("cells"), list) else []
        notebook = {"name": str(notebook.get("name")), "cells": [[str(kind), str(text)] for kind, text in cells]}
    problems = [problem for problem in said.get("problems", []) if isinstance(problem, list) and problem]
    if not said or "failed" in said:
        problems.append(["look_failed", str(said.get("failed") or answer.get("end"))])
    extra = [str(name) for name in said.get("extra", [])]
    nothing = {"error": None, "size": 0, "shape": "", "pieces": []}
    code, own = said.get("code") or nothing, said.get("notebook_code")
    return {
        "parts": parts,
        "notebook": notebook,
        "problems": problems,
        "extra": extra,
        "code": code,
        "notebook_code": own,
    }


def by_student(attempts):
    """Give those whose file names say nothing the number that they wrote into student.txt; then the last attempt counts."""
    from grading.folder import NUMBER, newest

    for hand_in in attempts:
        said = NUMBER.search(hand_in.seen["parts"]["student"])
        hand_in.said = said.group(0).upper() if said else hand_in.seen["parts"]["student"].upper()
        if not hand_in.key and hand_in.said:
            hand_in.key = f"student:{hand_in.said}"
        hand_in.number = hand_in.number or hand_in.said
    return newest(attempts)


def rows_of(chosen, rubric, changes):
    """A line of the results for each student: parts, total, what to look at."""
    from grading.marking import PARTS, Part, language_of, mark, say

    full, rows = {part: rubric["points"][part] for part in PARTS}, []
    claimed = {}
    for hand_in, _ in chosen:
        claimed.setdefault(hand_in.said, []).append(hand_in)
    for hand_in, attempts in chosen:
        seen, look, notes = hand_in.seen, [], []
        parts = mark(seen, hand_in.ran, hand_in.groups, rubric, seen["parts"]["student"] or hand_in.number)
        if not any(seen["parts"][part] for part in (*PARTS, "link")) and not seen["notebook"] and hand_in.problems:
            parts = {part: Part(None, [("unread",)], "open") for part in PARTS}
        language = language_of([seen["parts"]["prompt"], seen["parts"]["discovery"]], rubric)
        notes += [tuple(problem) for problem in hand_in.problems]
        weight = 0
        if seen["parts"]["link"]:
            look.append("a link to open 請打開連結")
            weight += 15
        if hand_in.said and hand_in.number and hand_in.said not in hand_in.number.upper():
            look.append(f"student.txt says {hand_in.said} 學號不一致")
            weight += 50
        if hand_in.said and len(claimed[hand_in.said]) > 1:
            look.append(
                f"{len(claimed[hand_in.said])} hand-ins say that they are {hand_in.said} 好幾份作業寫同一個學號"
            )
            weight += 50
        late = -rubric["points"]["late"] if hand_in.late else 0
        notes += [("late",)] if hand_in.late else []
        for part, points, reason in changes.get((hand_in.number or hand_in.name).upper(), []):
            parts[part] = Part(points, [("changed", reason or ("(no reason given)", "（沒有寫理由）"))])
        opened = [part for part in PARTS if parts[part].points is None]
        if opened:
            look.insert(0, f"decide: {', '.join(opened)} 請您決定")
            weight += 100
        for part in PARTS:
            if parts[part].look == "odd":
                look.append(f"{part}: it ended, crashed or blocked itself 自己結束、當掉或卡住")
                weight += 60
            if part == "code" and (reaching := sorted(REACHING & set(seen["code"].get("modules", [])))):
                look.append(
                    f"code: imports {', '.join(reaching)}, which a softmax does not need 匯入了 softmax 用不到的東西"
                )
                weight += 20
            if parts[part].look == "words":
                look.append(f"{part}: words that say nothing? 言之無物？")
                weight += 25
        if hand_in.problems:
            look.append(" ".join(say(*problem[:1], "en", *problem[1:]) for problem in hand_in.problems[:3]))
            weight += 40
        zeros = sum(parts[part].points == 0 for part in PARTS)
        total = None if opened else round(max(0, sum(parts[part].points for part in PARTS) + late), 1)
        printed = next((run["said"].get("printed") for run in hand_in.ran.values() if run.get("said")), "")
        rows.append({
            "hand_in": hand_in, "number": hand_in.number, "name": hand_in.name or hand_in.label, "file": hand_in.label,
            "late": hand_in.late, "attempts": attempts, "parts": parts, "full": full, "total": total, "look": look,
            "alike": [], "language": language, "notes": notes, "weight": weight + 10 * zeros + 2 * hand_in.late,
            "seen": seen, "printed": str(printed or "")[:4000],
        })  # fmt: skip
    return rows


def add_likeness(rows, rubric):
    """Compare all with all, and write to each whom it is like."""
    from grading import copies
    from grading.marking import TEMPLATES

    names, by_name = {}, {}
    for row in rows:
        name = row["number"] or row["name"]
        names[name] = names.get(name, 0) + 1
        name += f" ({names[name]})" if names[name] > 1 else ""
        by_name[name] = row
    groups = copies.find({name: row["seen"] for name, row in by_name.items()}, rubric["alike"], TEMPLATES)
    for group in groups:
        for member in group.members:
            others = [name for name in group.members if name != member]
            shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            words = f"{group.part}: {group.how}, {group.likeness:.0%}: {shown}" + (
                " (a common source)" if group.common else ""
            )
            by_name[member]["alike"].append(words)
            if not group.common:
                by_name[member]["look"].append(f"alike 相似: {words}")
                by_name[member]["weight"] += 30
    return groups


def read_changes(path):
    """{student: [(part, points, reason)]} from changes.csv, which is made with its first line where it is missing."""
    from grading.inside import text_of
    from grading.marking import PARTS

    if not path.exists():
        path.write_bytes(b"\xef\xbb\xbfstudent,part,points,reason\r\n")
    changes = {}
    for number, line in enumerate(csv.reader(text_of(path.read_bytes()).splitlines()), 1):
        if number == 1 or not any(cell.strip() for cell in line):
            continue
        try:
            student, part, points, *reason = (cell.strip().lstrip("'") for cell in line)
            if part not in PARTS:
                raise ValueError
            changes.setdefault(student.upper(), []).append((part, float(points), ", ".join(reason)))
        except ValueError:
            kinds = ", ".join(PARTS)
            sys.exit(f"Line {number} of {path.name} is not a change: write student, part ({kinds}), points, reason.")
    return changes


def arguments_of(words):
    parser = argparse.ArgumentParser(add_help=False, usage="see the top of notebooks/grade.py, or --help")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--help", "-h", action="store_true")
    for name in ("demo", "dry-run", "no-notebooks", "unprotected"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--rubric", type=Path, default=ROOT / "notebooks" / "grading" / "rubric.toml")
    parser.add_argument("--to", type=Path)
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 2, 8))
    parser.add_argument("--without", default="", help=argparse.SUPPRESS)  # for tests: see sandbox.py
    return parser.parse_args(words)


def main(words):
    chosen = arguments_of(words)
    if chosen.help or not (chosen.folder or chosen.demo):
        print(__doc__)
        return 0
    with_the_course(words)
    from grading import folder as folders
    from grading import report
    from grading.marking import RubricError, read_rubric
    from grading.sandbox import OneByOne, SandboxError, probe

    if chosen.demo:
        from grading.demo import make_class

        home = Path(tempfile.mkdtemp(prefix="grading-demo-")) if chosen.folder is None else chosen.folder
        chosen.folder = make_class(home / "class")
        print(f"A small class lies in {chosen.folder}.")
    if not chosen.folder.exists():
        sys.exit(f"There is no {chosen.folder}: give the folder (or the zip) that the LMS gave you.")
    begun = time.monotonic()
    try:
        rubric = read_rubric(chosen.rubric)
        attempts = folders.find(chosen.folder)
    except RubricError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{chosen.folder} cannot be read ({error.strerror}).")
    except folders.zipfile.BadZipFile:
        sys.exit(f"{chosen.folder} is neither a folder nor a zip.")
    if not attempts:
        sys.exit(f"{chosen.folder} holds no hand-ins.")
    newest = folders.newest([a for a in attempts if a.key]) + [(a, 1) for a in attempts if not a.key]
    late = sum(hand_in.late for hand_in, _ in newest)
    print(f"{len(newest)} hand-ins, {len(attempts) - len(newest)} earlier attempts, {late} late.")
    if chosen.dry_run:
        for hand_in, count in newest:
            again = f", attempt {count}" if count > 1 else ""
            who = hand_in.number or hand_in.name or "who it is stands in student.txt"
            print(
                report.visible(
                    f"  {who}: {hand_in.label}, {len(hand_in.files)} file(s){again}{', late' * hand_in.late}"
                )
            )
        return 0
    to = chosen.to or chosen.folder.parent / f"{chosen.folder.stem}-graded"
    if to.resolve().is_relative_to(chosen.folder.resolve()):
        sys.exit("The results cannot go into the folder of hand-ins: name another folder with --to.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        changes = read_changes(to / "changes.csv")
        results = Results(to / "results.jsonl")
    except OSError as error:
        sys.exit(f"The results cannot be written to {to} ({error.strerror}): name another folder with --to.")
    try:
        sandbox, protection = probe(chosen.folder, [word for word in chosen.without.split(",") if word])
    except SandboxError as error:
        sys.exit(str(error))
    runs = protection.sound or chosen.unprotected
    said = protection.sentence()
    if not protection.sound:
        said += (
            " Student code is run all the same, as you asked."
            if runs
            else " So student code is read and NOT run: those parts are yours to decide."
        )
    print(said)
    if not runs and isinstance(sandbox, OneByOne):
        print("(--unprotected runs it on this machine as it is: every hand-in may then do what you may do.)")
    grader = Grader(
        chosen.folder,
        rubric,
        results,
        sandbox,
        max(1, chosen.workers),
        runs,
        rubric["notebook"]["run"] and not chosen.no_notebooks,
    )
    counted = {id(hand_in): count for hand_in, count in newest}
    try:
        grader.take([hand_in for hand_in, _ in newest])
    except KeyboardInterrupt:
        results.close()
        print("\nStopped. Give the same command again: it goes on from here.")
        return 130
    results.close()
    final = [(hand_in, max(count, counted[id(hand_in)])) for hand_in, count in by_student([h for h, _ in newest])]
    rows = rows_of(final, rubric, changes)
    groups = add_likeness(rows, rubric)
    rows.sort(key=lambda row: (-row["weight"], row["number"], row["name"]))
    about = {
        "folder": chosen.folder.name,
        "protection": said,
        "full": sum(rubric["points"][p] for p in ("prompt", "code", "discovery")),
    }
    try:
        report.write_csv(sorted(rows, key=lambda row: (row["number"], row["name"])), to / "marks.csv")
        report.write_html(rows, groups, about, to / "report.html")
    except OSError as error:
        sys.exit(
            f"{error.filename} cannot be written ({error.strerror}): close it in Excel, then give the same command again."
        )
    waiting = sum(row["total"] is None for row in rows)
    print(
        f"{len(rows)} hand-ins in {time.monotonic() - begun:.0f} s; {waiting} wait for you, {sum(bool(r['look']) for r in rows)} to look at."
    )
    print(f"Open {to / 'report.html'}; the marks for the LMS are in {to / 'marks.csv'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
