"""Notebook 11 as a student runs it: no key is printed or written, nothing is left running, hints lead to solutions."""

import json
import os
import re
import shutil
import signal

import nbformat
import pytest
from common import NOTEBOOKS
from jupyter_client.manager import start_new_kernel
from kernels import kernel_for, run, text_of
from notebook_code import cell, run_cells
from test_services_door import gone
from test_services_keys import leaks

from helpers.services import Key

PAGE = next(NOTEBOOKS.glob("11_*.ipynb"))
OWN = "a-key-of-my-own-0123456789-abcdef"
TELL = """
import pathlib, json
pathlib.Path("secrets.json").write_text(json.dumps([door.key.reveal(), former.reveal(), secret, door.process.pid, str(folder)]))
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The page, run alone in a folder with a key in the environment; what it told at its end; that folder."""
    folder = tmp_path_factory.mktemp("student")
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / PAGE.name).write_bytes(PAGE.read_bytes())
    for part in ("helpers", "data"):
        (folder / part).symlink_to(NOTEBOOKS.parent / part)
    shutil.copy(NOTEBOOKS / "open.py", folder / "notebooks")
    notebook = nbformat.read(PAGE, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(TELL, id="tell"))
    with pytest.MonkeyPatch.context() as patch:
        import sys

        kernel = kernel_for(
            sys.executable, tmp_path_factory.mktemp("kernel"), patch, GEMINI_API_KEY=OWN, GOOGLE_API_KEY=OWN
        )
        done = run(notebook, folder / "notebooks", kernel)
    told = json.loads((folder / "notebooks" / "secrets.json").read_text())
    (folder / "notebooks" / "secrets.json").unlink()
    yield done, told, folder
    shutil.rmtree(told[-1], ignore_errors=True)


@pytest.mark.slow
def test_no_key_is_in_anything_that_the_page_prints_or_writes(executed):
    done, (now, former, practice, _, leaky), folder = executed
    outputs = json.dumps([[cell.get("outputs") for cell in done.cells], done.metadata])
    assert len(outputs) > 100_000, "pictures and widgets included"
    written = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(written) <= 3
    for secret in (now, former, practice, OWN):
        key = Key(secret)
        assert leaks(key, outputs, *written) == []
    assert len(leaks(Key(practice), *map(type(folder), [leaky]))) == 5, (
        "but for the five that are planted, in a folder of their own"
    )


@pytest.mark.slow
def test_a_key_in_the_environment_changes_nothing(executed):
    done, *_ = executed
    stored = nbformat.read(PAGE, as_version=4)
    for before, after in zip(stored.cells, done.cells, strict=False):
        if before.cell_type == "code" and "nbval-ignore-output" not in before.metadata.get("tags", []):
            assert text_of(before) == text_of(after), before.id
    assert "127.0.0.1, text by stand-in-text" in text_of(next(c for c in done.cells if c.id == "own-door"))


@pytest.mark.slow
def test_nothing_runs_when_the_page_has_ended(executed):
    assert gone(executed[1][3])


BEGIN = ["setup", "imports", "open"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "restart"])
def test_the_door_ends_with_its_kernel(how):
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOKS))
    try:
        for name in BEGIN:
            assert (
                client.execute_interactive(cell("11", name), timeout=120, output_hook=lambda message: None)["content"][
                    "status"
                ]
                == "ok"
            )
        pids = []
        hook = lambda message: pids.extend(re.findall(r"\d+", str(message["content"].get("text", ""))))  # noqa: E731
        client.execute_interactive("print(door.process.pid)", timeout=60, output_hook=hook)
        pid = int(pids[0])
        os.kill(pid, 0)
        if how == "kill":
            manager.signal_kernel(signal.SIGKILL)
        else:
            manager.restart_kernel(now=True)
        assert gone(pid)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def race():
    """The names of the race's cells, without the door."""
    from helpers import check
    from helpers.services.client import Limiter
    from helpers.services.door import Bucket

    names = {"check": check, "Limiter": Limiter, "Bucket": Bucket}
    exec("import heapq, random", names)
    return run_cells("11", "race-code", "race-simulate", "race-table", **names)


def lost(knocks):
    return 30 - sum(ok for *_, ok in knocks)


def test_the_race_is_exact(race, capsys):
    simulate = race["simulate"]
    assert [lost(simulate(p, w)) for p in race["PAUSES"] for w in (1, 8)] == [15, 15, 0, 8, 0, 7, 0, 0, 0, 0]
    for policy in race["PAUSES"]:
        for workers in (1, 3, 16):
            for rate in (3, 15, 30):
                knocks = simulate(policy, workers, rate)
                assert knocks == simulate(policy, workers, rate) and len({job for _, job, _ in knocks}) == 30
                assert [when for when, *_ in knocks] == sorted(when for when, *_ in knocks)
                if policy == "one limiter":
                    assert lost(knocks) == 0 and len(knocks) == 30
                if not lost(knocks):
                    assert knocks[-1][0] >= (30 - rate) * 60 / rate - 1e-6, "nobody is quicker than the least possible"


MUTATIONS = [
    ("Limiter(rate)", "Limiter(rate + 1)"),
    ("Limiter(rate)", "Limiter(rate, period=50.0)"),
    ('policy == "one limiter"', "False"),
    ("told and PAUSES[policy] and tried < tries", "False"),
    ("following += 1", "following += 2"),
    ("bucket.take(now)", "0.0"),
]


@pytest.mark.parametrize("change", MUTATIONS, ids=str)
def test_a_race_with_a_fault_fails_its_own_checks(race, change, capsys):
    names = {name: race[name] for name in ("check", "Limiter", "Bucket", "heapq", "random")}
    with pytest.raises((ValueError, IndexError)):
        run_cells("11", "race-code", "race-simulate", "race-table", change=[change], **names)


# ---- the exercises, as their hints say


def test_exercise_1_from_how_many_workers_on_obey_loses(race):
    losers = [workers for workers in range(1, 17) if lost(race["simulate"]("obey", workers))]
    assert losers == list(range(losers[0], 17)) and losers[0] == 5


def test_exercise_2_one_every_four_seconds(race):
    names = {name: race[name] for name in ("check", "Limiter", "Bucket", "heapq", "random", "PAUSES", "dice")}
    slow = run_cells("11", "race-simulate", change=[("Limiter(rate)", "Limiter(1, period=4.0)")], **names)["simulate"](
        "one limiter", 8
    )
    assert lost(slow) == 0 and len(slow) == 30 and slow[-1][0] == pytest.approx(116)


def test_exercise_3_a_period_of_55_seconds(race):
    names = {name: race[name] for name in ("check", "Limiter", "Bucket", "heapq", "random", "PAUSES", "dice")}
    knocks = run_cells("11", "race-simulate", change=[("Limiter(rate)", "Limiter(rate, period=55.0)")], **names)[
        "simulate"
    ]("one limiter", 8)
    assert sum(not ok for *_, ok in knocks) == 3


def test_exercise_4_hexadecimal(tmp_path):
    key = Key("practice-0123456789abcdef01234567")
    hidden = key.reveal().encode().hex()
    assert leaks(key, hidden) == []
    pieces = {hidden[i : i + 24] for i in range(0, len(hidden) - 23, 2)}
    assert any(piece in f"log {hidden} end" for piece in pieces)
