"""The door: limits that hold, a process that ends with its notebook, small models that say what they are."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from common import ROOT
from hypothesis import given
from hypothesis import strategies as st
from notebook_code import run_cells
from test_services_client import mutated

from helpers import CourseError, data_file
from helpers.services import door as module
from helpers.services.client import Client, Limiter, ServiceError
from helpers.services.door import Bucket, open_door
from notebooks.stand_in import Poet, figurine, opening_of


@pytest.fixture(scope="module")
def poet():
    return Poet()


@pytest.fixture
def door():
    door = open_door(minute=60)
    yield door
    door.close()


def client_of(door, **options):
    return Client(door.url, door.key, "stand-in-text", "stand-in-picture", **options)


# ---- the bucket


def let_in(kind, gaps, rate):
    bucket, now, came = kind(rate), 100.0, []
    for gap in gaps:
        now += gap
        came.append((now, bucket.take(now)))
    return came


def holds(came, rate):
    """In any stretch of time at most `rate`, and `rate` a minute of it, come in; who was told to wait comes in then."""
    when = [now for now, wait in came if not wait]
    for i in range(len(when)):
        for j in range(i, len(when)):
            if j - i + 1 > rate + (when[j] - when[i]) * rate / 60 + 1e-6:
                return False
    return all(0 <= wait <= 60 / rate + 1e-6 for _, wait in came)


GAPS = st.lists(st.sampled_from([0.0, 0.01, 0.5, 3.9, 4.0, 4.1, 30.0, 300.0]), max_size=60)


@given(GAPS, st.sampled_from([1, 2, 5, 15, 0.5]))
def test_a_bucket_never_lets_more_in_than_it_says(gaps, rate):
    assert holds(let_in(Bucket, gaps, rate), max(rate, 1))


@given(GAPS, st.sampled_from([1, 5, 15]))
def test_who_waits_as_told_comes_in(gaps, rate):
    bucket, now = Bucket(rate), 0.0
    for gap in gaps:
        now += gap
        if wait := bucket.take(now):
            now += wait
            assert bucket.take(now) == 0.0


@pytest.mark.parametrize(
    "change",
    [("self.rate / 60), now", "self.rate / 50), now"), ("min(self.rate, self.level", "max(self.rate, self.level"),
     ("self.level >= 1 - 1e-9", "self.level > 0"), ("self.level -= 1\n", "self.level -= 0.9\n"), ("(1 - self.level) * 60", "(2 - self.level) * 60")],
    ids=str,
)  # fmt: skip
def test_a_bucket_with_a_fault_is_found_out(change):
    other, gaps = mutated(module, change).Bucket, [0.0] * 20 + [4.1] * 20 + [300.0] + [0.5] * 40
    assert holds(let_in(Bucket, gaps, 15), 15) and not holds(let_in(other, gaps, 15), 15)


# ---- limits over the wire


def kinds(call, times):
    found = []
    for _ in range(times):
        try:
            call()
            found.append("ok")
        except ServiceError as error:
            found.append(error.kind)
    return found


def test_a_minute_a_day_and_nothing_at_all(door):
    client = client_of(door)
    door.tell(limits={"stand-in-text": (3, 500)})
    assert kinds(lambda: client.ask("明月"), 5) == ["ok"] * 3 + ["busy"] * 2
    door.tell(limits={"stand-in-text": (10, 4)})
    assert kinds(lambda: client.ask("明月"), 6) == ["ok"] * 4 + ["day"] * 2
    assert kinds(lambda: client.ask("x", draw=True, model="stand-in-picture-free"), 2) == ["no quota"] * 2
    counts = door.tell()
    assert counts["requests"] == 8 and counts["refused"] == 4


def test_a_refusal_names_a_pause_that_is_right(door):
    client = client_of(door)
    door.tell(minute=2, limits={"stand-in-text": (6, 500)})
    kinds(lambda: client.ask("明月"), 6)
    with pytest.raises(ServiceError) as caught:
        client.ask("明月")
    assert 5 < caught.value.wait <= 10, "60 s / 6, in the door's seconds"
    time.sleep(caught.value.wait * 2 / 60 + 0.02)
    assert client.ask("明月").text


def test_too_many_at_once(door):
    door.tell(limits={"stand-in-text": (1000, 1000)}, faults=["slow 0.5"] * 30)
    client = client_of(door, limiter=Limiter(1000, at_once=30))
    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(lambda _: kinds(lambda: client.ask("明月"), 1)[0], range(30)))
    assert found.count("ok") >= 1 and found.count("busy") >= 30 - module.AT_ONCE - 8


def test_21_megabytes_and_no_length_at_all(door):
    host, port = door.url.removeprefix("http://").split(":")
    for length, body, code in [
        (21 * 2**20, b"x" * 2**20 * 21, b" 413 "),
        ("", b"", b" 413 "),
        (3, b"abc", b" 400 "),
        (2, b"[]", b" 400 "),
    ]:
        with socket.create_connection((host, int(port)), timeout=20) as line:
            header = f"Content-Length: {length}\r\n" if length else ""
            key = door.key.reveal()
            line.sendall(
                f"POST /v1beta/models/stand-in-text:generateContent HTTP/1.1\r\nHost: x\r\nx-goog-api-key: {key}\r\n{header}\r\n".encode()
                + body
            )
            assert code in line.recv(100)


def test_it_listens_on_this_machine_only_and_needs_its_key(door):
    host, port = door.url.removeprefix("http://").split(":")
    assert host == "127.0.0.1"
    me = socket.gethostbyname(socket.gethostname())
    if not me.startswith("127."):
        with pytest.raises(OSError):
            socket.create_connection((me, int(port)), timeout=1)
    from helpers.services import Key

    stranger = Client(door.url, Key("somebody-elses-key-0123"), "stand-in-text")
    for call in (lambda: stranger.ask("明月"), stranger.models):
        with pytest.raises(ServiceError) as caught:
            call()
        assert caught.value.kind == "key"


def test_every_answer_says_that_it_is_a_stand_in(door):
    client = client_of(door)
    for answer in (client.ask("明月"), client.ask("x", draw=True)):
        assert "stand-in" in answer.model and "no AI" in answer.model


# ---- the process


def alive(pid):
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def gone(pid, seconds=10):
    ends = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    return not alive(pid)


def test_started_twice_it_restarts_and_closed_it_is_gone():
    first = open_door()
    second = open_door()
    assert gone(first.process.pid) and first.url != second.url and first.key.reveal() != second.key.reveal()
    with pytest.raises(CourseError, match="stand-in has ended"):
        first.tell()
    second.close()
    assert gone(second.process.pid)


OWNER = """
import sys, time
from helpers.services.door import open_door
door = open_door()
print(door.process.pid, door.url, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, "end"])
def test_it_ends_with_its_owner_however_that_ends(how):
    code = OWNER.replace("time.sleep(60)", "pass") if how == "end" else OWNER
    owner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    pid = int(owner.stdout.readline().split()[0])
    if how != "end":
        assert alive(pid)
        owner.send_signal(how)
    owner.wait(20)
    assert gone(pid), "it is left running"
    owner.stdout.close()


def test_the_stop_button_does_not_reach_it(door):
    os.kill(door.process.pid, signal.SIGINT)
    time.sleep(0.2)
    assert client_of(door).ask("明月").text


def test_a_door_that_cannot_start_is_a_sentence(monkeypatch):
    monkeypatch.setattr(module.sys, "executable", sys.executable)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(
        module.subprocess, "Popen", lambda command, **how: POPEN([sys.executable, "-c", "raise SystemExit(1)"], **how)
    )
    with pytest.raises(CourseError, match="did not start"):
        module.Door(60)


POPEN = subprocess.Popen


# ---- the small models


def test_a_poem_has_its_form_and_its_seed(poet):
    for seed in range(20):
        poem = "".join(poet.write("明月", 0.8, seed))
        assert len(poem) == 24 and poem.startswith("明月") and [poem[n] for n in (5, 11, 17, 23)] == list("，。，。")
    assert "".join(poet.write("", 0, 1)) == "".join(poet.write("", 0, 2))
    assert len({"".join(poet.write("", 1.0, seed)) for seed in range(20)}) == 20


def test_the_poet_is_notebook_01s_network(poet):
    """Every score on poems that it has not read is that of the page's own module, and its surprise is what it learned."""
    import torch
    from torch import nn

    from helpers import examples_of, load_poems, load_weights

    poems = load_poems()
    known, sizes = len(poems.characters) + 1, {"before": 9, "width": 96, "hidden": 384, "drop": 0.2}
    settings = {**sizes, "rate": 4e-3, "steps": 3800, "famous": 40}
    assert poet.known == poems.characters and poet.before == sizes["before"]
    network = run_cells("01", "network-code", nn=nn, torch=torch)["NextCharacter"](known, **sizes)
    model, texts = load_weights("01_poems", network, settings).eval(), poems.held_out[:30]
    before, place, came = examples_of(texts, sizes["before"])
    with torch.no_grad():
        theirs = model(before, place)[:, 1:].numpy()  # (600, known)
    ours = np.stack([poet.scores(poems.write(text)[:n]) for text in texts for n in range(20)])
    assert np.abs(ours - theirs).max() < 1e-3
    surprise = np.log(np.exp(ours).sum(axis=1)) - ours[np.arange(600), came.numpy() - 1]
    assert surprise.mean() < 6.7 < np.log(len(poet.known)), "less than if it had learned nothing"


@pytest.mark.parametrize(
    "prompt, opening",
    [("明月", "明月"), ("寫一首以「明月」開頭的詩", "明月"), ('begin with "春風"', "春風"), ("「春」和「秋，風」", "秋風"), ("hello", ""), ("請你寫一首很長很長很長的詩給我看", ""),
     ("龘", ""), ("「" + "山" * 30 + "」", "山" * 19), ("", "")],
)  # fmt: skip
def test_what_a_poem_begins_with(poet, prompt, opening):
    assert opening_of(prompt, poet.number) == opening


def test_faces_are_chosen_by_words():
    with np.load(data_file("drawn_faces.npz")) as stored:
        images, labels = stored["images"], stored["labels"]
    assert images.shape[1:] == (16, 16, 3) and len(images) == len(labels) > 300 and images.dtype == np.uint8
    for words, wanted in [
        ("glasses and long hair", [1, 1, 0]),
        ("戴帽子", [0, 0, 1]),
        ("a man", [0, 0, 0]),
        ("HAT, 長髮", [0, 1, 1]),
        ("that", [0, 0, 0]),
    ]:
        for seed in range(5):
            _, said = figurine(words, [], seed)
            assert labels[int(said.split()[1])].tolist() == wanted, words


def test_the_judge_sees_what_the_labels_say():
    import torch

    from helpers import face_judge, face_labels

    with np.load(data_file("drawn_faces.npz")) as stored:
        x = torch.tensor(stored["images"]).permute(0, 3, 1, 2).float() / 127.5 - 1
        seen, _ = face_labels(face_judge(), x)
        assert (seen.numpy() == stored["labels"]).mean() > 0.98


def test_a_figurine_is_a_png_and_the_same_for_the_same_seed():
    png, said = figurine("in red, named 「小明」", [], 1)
    assert (
        png.startswith(b"\x89PNG")
        and png == figurine("in red, named 「小明」", [], 1)[0] != figurine("in blue", [], 1)[0]
    )
    both, said = figurine("x", [png, png], 1)
    assert "understood nothing" in said and both != png


def test_orders_that_are_no_orders_do_not_end_it(door):
    assert json.dumps(door.tell(faults=[]))
