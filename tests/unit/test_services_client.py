"""The client: refusals become a kind and a sentence, nothing bad is sent, nothing hangs, the limiter keeps its promise."""

import json
import threading
import time
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import CourseError
from helpers.services import Key, ServiceError
from helpers.services import client as module
from helpers.services.client import Client, Clock, Limiter, my_client, patiently, read, understand
from helpers.services.door import open_door


@pytest.fixture(scope="module")
def door():
    door = open_door(minute=0.5)
    yield door
    door.close()


@pytest.fixture
def client(door):
    door.tell(limits={}, faults=[])
    return Client(door.url, door.key, "stand-in-text", "stand-in-picture", timeout=5)


def mutated(source, *changes):
    """A module made of `source` after the changes (old, new)."""
    text = Path(source.__file__).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"nothing to change: {old}"
        text = text.replace(old, new)
    other = types.ModuleType(source.__name__)
    other.__dict__.update(__package__="helpers.services", __file__=source.__file__)
    exec(compile(text, source.__file__, "exec"), other.__dict__)
    return other


def refusal(call):
    with pytest.raises(ServiceError) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 10
    return caught.value


def error(code, message, status="X", *details):
    return json.dumps(
        {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    ).encode()


DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
MINUTE = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}
RETRY = {"retryDelay": "17s"}
BODIES = [
    (429, error(429, "Quota exceeded\nlimit: 15, model: m\nPlease retry in 4s.", "R", MINUTE, RETRY), "busy", 17.0),
    (429, error(429, "x limit: 0, model: m\nPlease retry in 17s.", "R", MINUTE, RETRY), "no quota", None),
    (429, error(429, "x limit: 20, model: m", "R", DAY, RETRY), "day", None),
    (429, error(429, "x", "R", {"retryDelay": None}, "not a detail"), "busy", None),
    (503, error(503, "The model is overloaded."), "busy", None),
    (500, b"<html>", "busy", None),
    (400, error(400, "API key not valid. Please pass a valid API key."), "key", None),
    (400, error(400, "x", "I", {"reason": "API_KEY_INVALID"}), "key", None),
    (403, error(403, "Your API key was reported as leaked."), "key", None),
    (404, error(404, "models/x is not found"), "model", None),
    (400, error(400, "The input token count (20001) exceeds"), "request", None),
    (400, b"[" + error(400, "wrapped in a list, as for OpenAI") + b"]", "request", None),
    (302, b"<html>moved</html>", "strange", None),
    (418, b"", "strange", None),
    (400, b"[]", "strange", None),
    (400, b'{"error": "a word"}', "strange", None),
    (400, b"\xff\xfe", "strange", None),
]


@pytest.mark.parametrize("status, body, kind, wait", BODIES)
def test_what_a_refusal_means(status, body, kind, wait):
    found, sentence, seconds = understand(status, body)
    assert (found, seconds) == (kind, wait) and sentence and "\n" not in sentence


FAULTS = {
    "503": "busy", "drop": "busy", "endless": "busy", "slow 9": "busy", "not JSON": "strange", "cut": "strange", "null": "strange",
    "no text": "strange", "blocked question": "refused", "blocked answer": "refused", "echo": "strange",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_sentence_in_time(client, door, fault):
    client.timeout = 0.6
    door.tell(faults=[fault])
    began = time.monotonic()
    no = refusal(lambda: client.ask("明月"))
    assert no.kind == FAULTS[fault] and client.key.reveal() not in str(no)
    assert time.monotonic() - began < 2
    assert client.ask("明月", temperature=0).text.startswith("明月"), "the next request works"


@pytest.mark.parametrize("fault", ["drop", "slow 9", "no picture", "null"])
def test_a_picture_that_may_be_billed_is_never_asked_for_twice(client, door, fault):
    client.timeout = 0.6
    door.tell(faults=[fault], limits={})
    no = refusal(lambda: patiently(lambda: client.ask("x", draw=True)))
    assert no.kind != "busy" and door.tell()["requests"] == 1


def test_a_picture_is_asked_for_again_if_the_door_was_full(client, door):
    door.tell(faults=["503", "503"], limits={})
    assert patiently(lambda: client.ask("x", draw=True), clock=Clock(0.5)).pictures
    assert door.tell()["requests"] == 3


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    "prompt, pictures",
    [("", []), (" \n", []), ("\ud800", []), (None, []), (12, []), ("x", [b"GIF89a"]), ("x", [b""]), ("x", [PNG + bytes(21 * 2**20)])],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_cannot_be_asked_is_not_sent(client, door, prompt, pictures):
    before = door.tell()["requests"]
    assert refusal(lambda: client.ask(prompt, *pictures, draw=bool(pictures))).kind == "request"
    assert door.tell()["requests"] == before


def test_what_the_door_refuses(client, door):
    assert "20001" in str(refusal(lambda: client.ask("字" * 20001)))
    assert client.ask("字" * 20000).text
    assert refusal(lambda: client.ask("x", PNG + bytes(100), draw=True)).kind == "request"
    assert refusal(lambda: client.ask("x", temperature=3)).kind == "request"
    assert refusal(lambda: client.ask("x", maxOutputTokens=0)).kind == "request"
    assert refusal(lambda: client.ask("x", model="../../etc")).kind == "model"
    assert refusal(lambda: client.ask("x", model="stand-in-picture-free", draw=True)).kind == "no quota"


def test_a_key_in_the_prompt_is_not_sent(client, door):
    before = door.tell()["requests"]
    assert refusal(lambda: client.ask(f"my key is {client.key.reveal()}")).kind == "key"
    assert door.tell()["requests"] == before


def test_a_key_in_a_setting_or_the_models_name_is_not_sent(client, door):
    before, key = door.tell()["requests"], client.key.reveal()
    for call in (
        lambda: client.ask("hi", model=key),
        lambda: client.ask("hi", stopSequences=[key]),
        lambda: list(client.stream("hi", model=key)),
        lambda: list(client.stream(f"hi {key[3:20]}")),
    ):
        no = refusal(call)
        assert no.kind == "key" and key not in str(no)
    assert door.tell()["requests"] == before


@pytest.mark.parametrize(
    "bad", [object(), {1, 2}, b"x", "\ud800", float("nan")], ids=["object", "set", "bytes", "half a character", "nan"]
)
def test_a_setting_that_cannot_be_sent_is_a_sentence(client, door, bad):
    assert refusal(lambda: client.ask("hi", seed=bad)).kind in ("request",)


def test_a_switched_on_debugger_of_the_wire_does_not_print_the_key(client, door, monkeypatch, capsys):
    monkeypatch.setattr(module.http.client.HTTPConnection, "debuglevel", 1)
    client.ask("明月")
    assert not client.key.stands_in(capsys.readouterr().out)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_frame_of_a_traceback_holds_the_key(client, door, fault):
    """As `%xmode Verbose` and debuggers show them: every local value of every frame, and what it holds."""
    client.timeout = 0.6
    for call in (lambda: client.ask("明月"), lambda: list(client.stream("明月")), lambda: client.ask("x", draw=True)):
        door.tell(faults=[fault], limits={})
        try:
            call()
        except ServiceError as error:
            frame = error.__traceback__
            while frame:
                for value in list(dict(frame.tb_frame.f_locals).values()):
                    assert not client.key.stands_in(repr(value) + repr(getattr(value, "__dict__", "")))
                frame = frame.tb_next


def test_a_key_given_as_text_is_hidden():
    client = Client("http://127.0.0.1:1", "AIza-not-a-key-0123456789", "m")
    assert isinstance(client.key, Key) and "not-a-key" not in repr(vars(client))


def test_an_answer_that_repeats_the_key_is_not_shown(client, monkeypatch):
    key = client.key.reveal()

    def said(text):
        parts = [{"text": text}]
        return {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "modelVersion": text}

    def not_shown(call):
        no = refusal(call)
        assert no.kind == "strange" and "repeats your key" in str(no) and not client.key.stands_in(str(no))

    for text in (f"you are {key}!", key[2:20]):
        monkeypatch.setattr(module, "load", lambda _, text=text: said(text))
        not_shown(lambda: client.ask("明月"))
        not_shown(lambda: list(client.stream("明月")))
    letters, told = iter(["ab ", *(key[n : n + 5] for n in range(0, len(key), 5)), *["end"] * 99]), []
    monkeypatch.setattr(module, "load", lambda _: said(next(letters)))
    not_shown(lambda: told.extend(client.stream("明月")))
    assert not client.key.stands_in("".join(told)) and told[0] == "ab "
    monkeypatch.setattr(module, "load", lambda _: {"promptFeedback": {"blockReason": key[4:]}})
    not_shown(lambda: client.ask("明月"))
    monkeypatch.setattr(module, "load", lambda _: {"models": [{"name": f"models/{key}"}]})
    not_shown(client.models)


def test_a_line_that_nobody_answers(door):
    nobody = Client("http://127.0.0.1:1", door.key, "m", "p")
    assert refusal(lambda: nobody.ask("x")).kind == "busy"
    assert refusal(lambda: nobody.ask("x", draw=True)).kind == "busy", "nothing was sent, so nothing is billed"


def test_the_budget_stops_a_loop(client, door):
    client.budget = 3
    before = door.tell()["requests"]
    for _ in range(3):
        client.ask("明月", maxOutputTokens=1)
    assert "budget" in str(refusal(lambda: client.ask("明月"))) and door.tell()["requests"] == before + 3


def test_a_stream_is_the_whole_in_pieces_and_may_be_left(client, door):
    whole = client.ask("明月", seed=5).text
    assert "".join(client.stream("明月", seed=5)) == whole
    for _ in client.stream("明月"):
        break
    client.timeout = 0.6
    for fault in ("endless", "cut"):
        door.tell(faults=[fault])
        assert refusal(lambda: list(client.stream("明月"))).kind == "busy", "half a poem is not a poem"


@pytest.mark.parametrize(
    "answer",
    [None, [], [99], {}, {"candidates": None}, {"candidates": []}, {"candidates": [None]}, {"candidates": [{"content": {"parts": [None]}}]},
     {"candidates": [{"finishReason": "STOP"}]}, {"candidates": [{"content": {"parts": [{"inlineData": {"data": "no base64!"}}]}}]},
     {"error": {"message": "inside a 200"}}],
    ids=str,
)  # fmt: skip
def test_an_answer_that_is_none(answer):
    assert refusal(lambda: read(answer)).kind == "strange"


def test_thoughts_are_not_text():
    parts = [{"text": "hm", "thought": True}, {"text": "yes"}]
    assert read({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}).text == "yes"


def test_only_busy_is_worth_another_try():
    for kind in ("key", "no quota", "day", "model", "request", "refused", "strange", "busy"):
        tried = []

        def call(kind=kind, tried=tried):
            tried.append(1)
            raise ServiceError(kind, "no, not now", 0.0)

        refusal(lambda call=call: patiently(call))
        assert len(tried) == (5 if kind == "busy" else 1)


def test_the_pauses_are_what_the_door_says_or_double():
    class Slow:
        slept: list

        def sleep(self, seconds):
            self.slept.append(seconds)

    for wait, wanted in [(None, [1, 2, 4, 8]), (17.0, [17.0] * 4)]:
        clock = Slow()
        clock.slept = []

        def call(wait=wait):
            raise ServiceError("busy", "the door is busy", wait)

        refusal(lambda call=call, clock=clock: patiently(call, clock=clock))
        assert clock.slept == wanted


# ---- the limiter


def times(kind, gaps, costs, requests, tokens):
    limiter, now, sent = kind(requests, tokens=tokens or float("inf"), period=60.0), 0.0, []
    for gap, cost in zip(gaps, costs, strict=False):
        now += gap
        sent.append((limiter.reserve(now, cost), cost, now))
    return sent


def keeps_its_promise(sent, requests, tokens, period=60.0):
    """Never more than `requests` and `tokens` in any period; nobody is early; nobody waits without need."""
    for n, (when, cost, asked) in enumerate(sent):
        recent = [(w, c) for w, c, _ in sent[:n] if w + period > when]
        if (
            when < asked
            or (n and when < sent[n - 1][0])
            or len(recent) + 1 > requests
            or (tokens and sum(c for _, c in recent) + cost > tokens)
        ):
            return False
        if n and when > max(asked, sent[n - 1][0]):  # it was made to wait: a moment earlier it would not have fitted
            before = [(w, c) for w, c, _ in sent[:n] if w + period >= when]
            if len(before) + 1 <= requests and (not tokens or sum(c for _, c in before) + cost <= tokens):
                return False
    return True


ASKED = st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.0, 30.0, 60.0, 61.0]), max_size=40)


@given(
    ASKED, st.lists(st.integers(0, 900), min_size=40, max_size=40), st.integers(1, 15), st.sampled_from([None, 1000])
)
def test_never_more_than_the_limit_in_any_minute(gaps, costs, requests, tokens):
    assert keeps_its_promise(times(Limiter, gaps, costs, requests, tokens), requests, tokens)


@given(st.integers(1, 60), st.integers(1, 20))
def test_a_long_job_takes_the_least_possible_time(jobs, requests):
    sent = times(Limiter, [0.0] * jobs, [0] * jobs, requests, None)
    assert sent[-1][0] == 60.0 * ((jobs - 1) // requests)


@pytest.mark.parametrize(
    "change",
    [("age >= self.requests", "age > self.requests"), ("age >= self.requests", "age >= self.requests - 1"),
     ("then + self.period", "then + self.period - 1"), ("then + self.period", "then + self.period + 1"), ("left < 0", "left < -500"),
     ("left -= cost", "pass"), ("max(now, self.sent[-1][0] if self.sent else now)", "now")],
    ids=str,
)  # fmt: skip
def test_a_limiter_with_a_fault_is_found_out(change):
    other = mutated(module, change).Limiter
    cases = [
        ([0.0] * 31, [0] * 31, 15, None),
        ([1.0] * 40, [100] * 40, 15, 1000),
        ([5, -1] * 4, [0] * 8, 15, None),
        ([0, 30, 31, 0, 0, 60] * 5, [300, 700, 1, 0, 900, 4] * 5, 3, 1000),
    ]
    assert all(keeps_its_promise(times(Limiter, *case), *case[2:]) for case in cases)
    assert not all(keeps_its_promise(times(other, *case), *case[2:]) for case in cases)


def test_a_wait_that_is_broken_off_gives_its_place_back():
    class Stopped(Clock):
        def sleep(self, seconds):
            if seconds > 1:
                raise KeyboardInterrupt

    limiter = Limiter(1, at_once=1, clock=Stopped())
    with limiter.place():
        pass
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), limiter.place():
            raise AssertionError("it was let through")
    assert len(limiter.sent) == 1 and limiter.doors.acquire(blocking=False)


def test_no_more_at_once_than_allowed():
    limiter, inside, most = Limiter(1000, at_once=3), [], []

    def visit():
        with limiter.place():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    visitors = [threading.Thread(target=visit) for _ in range(12)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert max(most) == 3


def test_what_fits_into_no_minute_is_refused_at_once():
    assert refusal(lambda: Limiter(15, tokens=1000).reserve(0.0, 1001)).kind == "request"


def test_stopping_while_waiting_shows_no_key(client, door, monkeypatch):
    """The stop button in the middle of an answer: what is raised has no frame that holds the key."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.http.client.HTTPConnection, "getresponse", stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        client.ask("明月")
    frame, secret = caught.value.__traceback__, client.key.reveal()
    while frame:
        assert secret not in repr(
            [v for n, v in frame.tb_frame.f_locals.items() if n not in ("door", "secret", "client")]
        )
        frame = frame.tb_next
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert client.limiter.doors.acquire(blocking=False)


def test_my_client_is_the_stand_ins_unless_the_line_is_changed(door, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "A-key-of-my-own-0123456789")
    assert my_client("stand-in", door).url.hostname == "127.0.0.1"
    mine = my_client("gemini", door)
    assert mine.url.hostname.endswith("googleapis.com") and mine.url.scheme == "https" and mine.budget == 20
    assert mine.key.reveal() == "A-key-of-my-own-0123456789"
    with pytest.raises(CourseError, match="no 'chatgpt'"):
        my_client("chatgpt", door)
    monkeypatch.delenv("GEMINI_API_KEY")
    assert refusal(lambda: my_client("gemini", door)).kind == "key"


def test_a_redirect_does_not_carry_the_key_along(door):
    """The answer 302 is a refusal; nobody follows it with the key in hand."""
    import http.server

    class Moved(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.HTTPServer(("127.0.0.1", 0), Moved)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    far = Client(f"http://127.0.0.1:{server.server_address[1]}", Key("x" * 20), "m")
    assert refusal(lambda: far.ask("x")).kind == "strange"
    server.shutdown()
