"""Notebook 12's assistant: as many requests as the formula says, nothing lost, lies found, no key in what it writes."""

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from notebook_code import run_cells
from test_services_client import mutated
from test_services_keys import leaks

from helpers import CourseError, data_file
from helpers.services import ServiceError
from helpers.services import client as client_module
from helpers.services.client import my_client, patiently
from helpers.services.door import Door
from notebooks import stand_in
from notebooks.stand_in import Search, quote, sentences, terms

CELLS = [
    "imports",
    "open",
    "search-code",
    "store",
    "ask",
    "turn-code",
    "budget-code",
    "lock",
    "assistant-code",
    "section-code",
    "audit-code",
    "audit-bare",
    "files-code",
]
MANY = {"stand-in-text": (100_000, 100_000)}


@pytest.fixture(scope="module")
def page():
    """The names of the page's cells, with a door whose minute is very short."""
    names = run_cells(
        "12",
        *CELLS,
        REPOSITORY="OWNER/REPOSITORY",
        change=[("minute=3 if", "minute=0.01 if"), ("door = open_door(minute=3)", "door = open_door(minute=0.01)")],
    )
    yield names
    names["door"].close()


@pytest.fixture
def ready(page):
    for service in (page["client"], page["practice"]):
        service.limiter, service.budget = page["Limiter"](100_000), 10**6
    page["door"].tell(limits=MANY, faults=[])
    return page


ORDER = {"topic": "mode collapse in GANs", "why": "curious", "goal": "a talk"}


@pytest.mark.parametrize("perspectives, turns", [(0, 1), (1, 1), (3, 3), (2, 5), (6, 1)])
@pytest.mark.parametrize("topic", ["mode collapse in GANs", "softmax 溫度"])
def test_as_many_requests_as_the_formula_says(ready, tmp_path, perspectives, turns, topic):
    result = ready["research"]({**ORDER, "topic": topic}, tmp_path, perspectives, turns)
    assert (
        ready["door"].tell()["requests"]
        == ready["requests_needed"](perspectives, turns)
        == len(ready["Store"](tmp_path).known)
    )
    assert len(result["sections"]) == perspectives + 1 and not ready["audit"](result["sections"], result["found"])
    assert sum(1 for _ in ready["citations"](result["sections"])) >= perspectives


def test_a_failure_at_any_request_loses_nothing(ready, tmp_path):
    whole = ready["research"](ORDER, tmp_path / "whole" if (tmp_path / "whole").mkdir() is None else None, 1, 1)
    needed = ready["requests_needed"](1, 1)
    for fails_at in range(1, needed + 1):
        folder = tmp_path / str(fails_at)
        folder.mkdir()
        ready["door"].tell(limits=MANY, faults=[""] * (fails_at - 1) + ["503"] * 5)
        with pytest.raises(ServiceError):
            ready["research"](ORDER, folder, 1, 1)
        ready["door"].tell(limits=MANY, faults=[])
        again = ready["research"](ORDER, folder, 1, 1)
        assert again == whole and ready["door"].tell()["requests"] == needed - fails_at + 1
    ready["door"].tell(limits=MANY, faults=[])
    assert ready["research"](ORDER, folder, 1, 1) == whole and ready["door"].tell()["requests"] == 0


def test_a_line_that_was_cut_off_is_asked_again(ready, tmp_path):
    whole = ready["research"](ORDER, tmp_path, 1, 1)
    path = tmp_path / "calls.jsonl"
    text = path.read_text(encoding="utf-8")
    for cut in (1, 2, 30, len(text) // 2):
        path.write_text(text[:-cut], encoding="utf-8")
        ready["door"].tell(limits=MANY)
        assert ready["research"](ORDER, tmp_path, 1, 1) == whole
        assert 1 <= ready["door"].tell()["requests"] <= 8


def test_the_days_quota_ends_and_tomorrow_it_goes_on(ready, tmp_path):
    ready["door"].tell(limits={"stand-in-text": (1000, 20)})
    with pytest.raises(ServiceError) as caught:
        ready["research"](ORDER, tmp_path)
    assert caught.value.kind == "day" and len(ready["Store"](tmp_path).known) == 20
    ready["door"].tell(limits={"stand-in-text": (1000, 22)})
    ready["research"](ORDER, tmp_path)
    assert ready["door"].tell()["requests"] == 22


def test_two_assistants_in_one_folder_lose_nothing(ready, tmp_path):
    """One of them works, the other gets a sentence and asks for nothing; what is kept is whole."""
    results, errors, folder = [], [], tmp_path / "shared"
    folder.mkdir()

    def work():
        try:
            results.append(ready["research"](ORDER, folder, 1, 2))
        except CourseError as sentence:
            errors.append(str(sentence))

    both = [threading.Thread(target=work) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    needed = ready["requests_needed"](1, 2)
    assert ready["door"].tell()["requests"] == needed == len(ready["Store"](folder).known)
    assert len(results) == len(errors) == 1 and "another assistant is at work there" in errors[0]
    assert ready["research"](ORDER, folder, 1, 2) == results[0] and ready["door"].tell()["requests"] == needed
    assert [path.name for path in folder.iterdir()] == ["calls.jsonl"], "the lock is not handed in"


def test_a_folder_is_free_again_after_an_error_and_a_stop(ready, tmp_path):
    for error in (ServiceError("busy", "not now, please"), KeyboardInterrupt()):
        kept = []

        def stop(state, error=error):
            raise error

        try:
            ready["research"](ORDER, tmp_path, 1, 1, tell=stop)
        except (ServiceError, KeyboardInterrupt) as caught:
            kept.append(caught)  # as a notebook keeps its last traceback, with all its frames
        assert kept and len(ready["Store"](tmp_path).known) == 4
    assert ready["research"](ORDER, tmp_path, 1, 1)["sections"]


HOLD = """
import sqlite3, sys, time
lock = sqlite3.connect(sys.argv[1], timeout=0)
lock.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_of_a_kernel_that_was_killed_is_gone(ready, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    other = subprocess.Popen([sys.executable, "-c", HOLD, f"{folder}.lock"], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(CourseError, match="another assistant is at work there"):
        ready["research"](ORDER, folder, 1, 1)
    assert ready["door"].tell()["requests"] == 0 and not list(folder.iterdir())
    other.kill()
    other.wait()
    other.stdout.close()
    assert ready["research"](ORDER, folder, 1, 1)["sections"]
    with pytest.raises(CourseError, match="cannot be used now"):
        ready["research"](ORDER, folder / "calls.jsonl" / "there", 1, 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_at_the_end_is_a_sentence(number):
    def full(order, result, folder):
        raise OSError(number, os.strerror(number))

    names = {"write_files": full, "order": {}, "result": {}, "home": None, "CourseError": CourseError}
    with pytest.raises(CourseError, match=os.strerror(number)):
        run_cells("12", "files-run", **names)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_and_a_folder_that_cannot_be_written_are_a_sentence(ready, tmp_path, monkeypatch, number):
    store = ready["Store"](tmp_path)
    store.keep("a", "p", {"x": 1})

    def no(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", no)
    with pytest.raises(CourseError, match="could not be kept"):
        store.keep("b", "p", {"x": 2})
    monkeypatch.undo()
    assert list(ready["Store"](tmp_path).known) == ["a"]


@pytest.mark.parametrize("fault", ["prose", "half", "missing", "wrong type"])
def test_an_answer_that_is_no_json_gets_one_more_try_and_a_sentence(ready, tmp_path, fault):
    store, prompt = ready["Store"](tmp_path), "Topic: x\nAsk the next question."
    ready["door"].tell(limits=MANY, faults=[fault])
    assert ready["ask_json"](store, prompt, question=str)["question"]
    ready["door"].tell(limits=MANY, faults=[fault, fault])
    with pytest.raises(CourseError, match="Asked twice for JSON with question"):
        ready["ask_json"](store, prompt + "!", question=str)
    assert ready["door"].tell()["requests"] == 2 and len(store.known) == 1


def test_every_planted_lie_in_the_article_is_found(ready, tmp_path):
    ready["door"].tell(limits=MANY, faults=["liar"] * 100)
    result = ready["research"](ORDER, tmp_path)
    bad = ready["audit"](result["sections"], result["found"])
    assert len(bad) == 2 * len(result["sections"]) and {why for *_, why in bad} == {
        "there is no such source",
        "the source does not say this",
    }


def test_an_audit_finds_what_it_says_and_not_what_it_cannot(ready):
    found = {("u", "One true sentence stands here. And another one."): 1, ("v", "Something else."): 2}
    audit = ready["audit"]
    assert audit([("h", "One true sentence stands here. [1]")], found) == []
    assert [why for *_, why in audit([("h", "One true sentence stands here. [2] Nothing. [7]")], found)] == [
        "the source does not say this",
        "there is no such source",
    ]
    assert audit([("h", "true sentence stands here. [1]")], found) == [], "half a sentence passes"
    assert ready["bare"]([("h", "One true sentence stands here. [1] Nobody said this. Nor this."), ("i", "x [2]")]) == [
        *("Nobody said this.", "Nor this.")
    ]
    assert audit([("h", "Something else. [2]")], found) == [], "whether it supports the claim is not seen"


def test_six_files_without_a_key(ready, tmp_path):
    result = ready["research"](ORDER, tmp_path, 1, 1)
    packed = ready["write_files"](ORDER, result, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "article.md",
        "calls.jsonl",
        "conversation_log.json",
        "outline.txt",
        "settings.json",
        "sources.json",
    ]
    assert leaks(ready["client"].key, tmp_path, packed) == []
    sources = json.loads((tmp_path / "sources.json").read_text(encoding="utf-8"))
    assert [s["number"] for s in sources] == list(range(1, len(sources) + 1)) and "stand-in" in (
        tmp_path / "article.md"
    ).read_text(encoding="utf-8")


BAD = ["", "  ", "../", "a/b", "..", "x" * 300, "a\nb", "a\x07b", 'what "is"', "C:\\x", "<script>", "???", "\u200b"]


def test_a_hostile_topic_is_one_sentence():
    names = run_cells("12", "imports", "budget-code")
    names["live"] = lambda *_, **__: None
    names["look_up"] = lambda topic, most: [{"title": str(n)} for n in range(2 if topic == "opera houses" else 3)]
    names = run_cells("12", "order-code", "order-live", **{n: v for n, v in names.items() if n != "__builtins__"})
    for topic in BAD:
        with pytest.raises(CourseError) as caught:
            names["take_order"](topic, "why", "goal")
        assert "\n" not in str(caught.value)
    for topic in ("模式崩潰", "mode collapse", "GAN 是什麼？".replace("？", "")):
        assert (
            names["take_order"](topic, "為什麼", "報告").startswith(f"Ordered: {topic}")
            and names["order"]["topic"] == topic
        )
    with pytest.raises(CourseError, match=r"Try .mode collapse in GANs. or .softmax temperature."):
        names["take_order"]("opera houses", "why", "goal")
    assert names["order"]["topic"] != "opera houses", "the last good order stays"
    with pytest.raises(CourseError, match="why: write"):
        names["take_order"]("fine", "", "goal")


def test_hostile_queries_find_something_or_nothing(ready):
    for query in ("", "'; DROP TABLE", "a AND (b", "%00&language=zh", "明" * 3000, "x" * 20000, "\u202e"):
        assert isinstance(ready["look_up"](query), list)


# ---- the search engine and the reader

PASSAGES = [
    {"url": str(n), "title": "", "content": text}
    for n, text in enumerate(
        [
            "the cat sat",
            "the dog sat sat",
            "明月光照",
            "cat cat cat and much more about many other things of the world",
            "低頭思故鄉",
        ]
    )
]


def test_words_and_pairs():
    assert (
        terms("The Cat-2, 明月光!") == ["the", "cat", "2", "明月", "月光"] and terms("月") == ["月"] and terms("") == []
    )


def test_bm25_by_hand():
    engine = Search(PASSAGES)
    assert [hit["url"] for hit in engine.find("cat")][:2] == ["0", "3"] and [
        hit["url"] for hit in engine.find("明月")
    ] == ["2"]
    assert engine.find("nothing here") == [] and engine.find("月亮") == [] and len(engine.find("the sat cat", 2)) == 2
    rare, common = engine.find("dog")[0]["score"], engine.find("the")[0]["score"]
    assert rare > common
    import math

    mean = sum(len(terms(p["content"])) for p in PASSAGES) / 5
    by_hand = math.log(1 + 4.5 / 1.5) * 1 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 4 / mean))
    assert rare == round(by_hand, 3)


@pytest.mark.parametrize(
    "change",
    [
        ("len(self.passages) - len(places)", "len(places)"),
        ("* count *", "*"),
        ("b + b * bag", "b - b * bag"),
        ("-pair[1]", "pair[1]"),
    ],
)
def test_a_search_with_a_fault_ranks_otherwise(change):
    queries = ["cat", "sat", "dog the", "the cat sat world"]
    ranks = lambda engine: [[(h["url"], h["score"]) for h in engine.find(q)] for q in queries]  # noqa: E731
    assert ranks(mutated(stand_in, change).Search(PASSAGES)) != ranks(Search(PASSAGES))


def test_the_passages_are_the_courses_own_in_both_languages():
    rows = [json.loads(line) for line in data_file("course_passages.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 1319 and {tuple(row) for row in rows} == {("url", "title", "content", "language")}
    assert all(("zh-TW" in row["url"]) == (row["language"] == "zh") and row["content"].strip() for row in rows)


def test_the_reader_quotes_and_writes_nothing():
    prompt = "Topic: cats\nQuestion: where did the black cat sit\n[3] The black cat did sit on the warm mat. Rain fell on all the roofs.\n[9] A cat is a cat."
    answer = quote(prompt, {"answer": "STRING"})["answer"]
    assert answer.startswith("The black cat did sit on the warm mat. [3]")
    for sentence in sentences("The black cat did sit on the warm mat. Rain fell on all the roofs."):
        assert sentence in prompt
    assert quote("How many: 2\n- a\n- b\n- a\n- c", {"perspectives": "ARRAY"}) == {"perspectives": ["a", "b"]}
    assert quote("nothing", {"other": "STRING", "list": "ARRAY"}) == {"other": "", "list": []}


# ---- a student with a key: SERVICE = "gemini", with Google's address and models' names standing at the door

GEMINI = {"text": "gemini-flash-lite-latest", "picture": "gemini-nano-banana-2.1"}
PLANTED = {GEMINI["text"]: (1000, 1000), GEMINI["picture"]: (0, 0)}  # as on the free plan


def with_a_key(monkeypatch, door):
    assert GEMINI == client_module.MODELS
    door.tell(minute=0.05, limits=PLANTED, faults=[])
    monkeypatch.setattr(client_module, "GOOGLE", door.url)
    monkeypatch.setenv("GEMINI_API_KEY", f' "{door.key.reveal()}"\n')


def test_page_12_with_a_key_goes_on_where_it_was_stopped(monkeypatch, tmp_path, capsys):
    """One line changed: the folder is the topic's, the budget holds, a stopped run goes on, no file has the key."""
    monkeypatch.chdir(tmp_path)
    door = Door(0.05)  # beside the one of the other tests
    with_a_key(monkeypatch, door)
    change = [
        ('SERVICE = "stand-in"', 'SERVICE = "gemini"'),
        ("door = open_door(minute=3)", ""),
        ("minute=3 if SERVICE", "minute=0.05 if SERVICE"),
        ("else 60)", "else 0.05)"),
    ]
    cells = [
        *CELLS[:2],
        *CELLS[2:8],
        "lock",
        "assistant-code",
        "section-code",
        "order-code",
        "run-draw",
        "limiter-code",
    ]
    cells = list(dict.fromkeys(cells))
    names = run_cells("12", *cells, REPOSITORY="OWNER/REPOSITORY", change=change, door=door)
    assert names["client"].text == GEMINI["text"] and names["client"].budget == 60
    names["client"].limiter.period = 0.0
    names["order"].update(ORDER)
    names["client"].budget, names["TrainingPicture"] = 30, lambda *_: contextlib.nullcontext(lambda state: None)
    again = [("door.tell(minute=3)", "None")]
    with pytest.raises(ServiceError, match="budget"):
        run_cells("12", "run-run", change=again, **names)
    kept = names["Store"](tmp_path / "research" / ORDER["topic"])
    assert len(kept.known) == 30
    names["client"].budget = 60
    done = run_cells("12", "run-run", "run-check", "audit-code", "audit-bare", "files-code", change=again, **names)
    assert done["used"] == 12 and len(done["result"]["sections"]) == 4
    packed = done["write_files"](names["order"], done["result"], done["home"])
    assert leaks(door.key, done["home"], packed, capsys.readouterr().out) == []
    settings = json.loads((done["home"] / "settings.json").read_text(encoding="utf-8"))
    assert settings["model"] == GEMINI["text"] and settings["topic"] == ORDER["topic"]
    door.close()


def test_page_11_with_a_key_has_text_and_no_quota_for_pictures(monkeypatch, capsys):
    door = Door(0.05)  # beside the one of the other tests
    with_a_key(monkeypatch, door)
    names = {"my_client": my_client, "patiently": patiently, "ServiceError": ServiceError, "door": door}
    done = run_cells("11", "own-door", "own-ask", change=[('SERVICE = "stand-in"', 'SERVICE = "gemini"')], **names)
    out = capsys.readouterr().out
    assert f"text by {GEMINI['text']}" in out and "no quota: Your plan has no quota for this model" in out
    assert done["mine"].budget == 17 and not door.key.stands_in(out)
    door.tell(revoke=True)
    run_cells("11", "own-ask", **done)
    assert "key: Your API key was reported as leaked" in capsys.readouterr().out
    door.close()


# ---- the exercises, as their hints say


def test_exercise_1_four_by_the_formula_three_by_the_limiter(page):
    limiter = run_cells("12", "limiter-code")["limiter_seconds"]
    needed = page["requests_needed"]
    assert [p for p in range(7) if page["least_seconds"](needed(p, 3), 5) <= 600][-1] == 4
    assert [p for p in range(7) if limiter(needed(p, 3), 5) <= 600][-1] == 3


def test_exercise_2_a_kinder_audit_lets_the_invented_numbers_through(ready, tmp_path):
    ready["door"].tell(limits=MANY, faults=["liar"] * 100)
    result = ready["research"](ORDER, tmp_path)
    kinder = [
        (
            "        if number not in text_of:",
            "        if any(sentence in text for text in text_of.values()):\n            continue\n        if number not in text_of:",
        )
    ]
    names = run_cells("12", "audit-code", change=kinder, re=re)
    left = {number for _, number, _ in names["audit"](result["sections"], result["found"])}
    strict = {number for _, number, _ in ready["audit"](result["sections"], result["found"])}
    assert 999 in strict and 999 not in left and left


def test_exercise_3_a_character_alone_is_no_pair(ready):
    rows = [json.loads(line) for line in data_file("course_passages.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum("月" in row["content"] for row in rows) == 2
    assert ready["look_up"]("明月") and not ready["look_up"]("月") and terms("月") == ["月"]


def test_the_sentence_that_hangs_in_the_air_is_in_the_article(ready, tmp_path):
    result = ready["research"](ORDER, tmp_path)
    assert any("In the notebooks about GANs both will come back." in text for _, text in result["sections"])
