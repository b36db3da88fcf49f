"""A stand-in for an AI service: a process of its own on this machine, which speaks Google's protocol, with limits and faults.

>>> door = open_door(minute=2)             # its minute lasts 2 seconds of ours; a second call starts it anew
>>> door.url, door.key                     # on 127.0.0.1, at a free port; a fresh key at each start
>>> door.tell(faults=["503", "drop"])      # what goes wrong with the next requests; returns what it has counted

It lives as long as the pipe from its notebook: when the kernel ends, or is killed, it ends. What answers stands in
`notebooks/stand_in.py`; what it says when it refuses, and what answers gone wrong look like, in `data/door_answers.json`.
"""

from __future__ import annotations

import collections
import itertools
import json
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if __name__ != "__main__":  # its own process needs nothing more of the course, and starts in a second
    from .. import CourseError, data_file
    from . import Key

COURSE = Path(__file__).resolve().parents[2]
FILES = ("door_answers.json", "weights/01_poems.safetensors", "tang_quatrains.tsv", "drawn_faces.npz",
         "NotoSansCJKtc-subset.otf", "course_passages.jsonl")  # fmt: skip
SAYS = json.loads((COURSE / "data" / FILES[0]).read_text(encoding="utf-8"))  # {name: [status, body]}
LIMITS = {"stand-in-text": (15, 500), "stand-in-picture": (10, 100), "stand-in-picture-free": (0, 0)}  # a minute, a day
BODY, AT_ONCE = 20 * 2**20, 16  # bytes of a request; requests at once


class Bucket:
    """A token bucket: it holds `rate` requests, fills by `rate` a minute; `take` says how many seconds it is short of one."""

    def __init__(self, rate: float):
        self.rate, self.level, self.at = rate, float(rate), 0.0

    def take(self, now: float) -> float:
        """0.0 and one request is taken out; or the seconds until there is one."""
        self.level, self.at = min(self.rate, self.level + (now - self.at) * self.rate / 60), now
        if self.level >= 1 - 1e-9:
            self.level -= 1
            return 0.0
        return (1 - self.level) * 60 / self.rate


class Canned(Exception):
    """An answer out of data/door_answers.json, a refusal as a rule; each {word} in it is replaced."""

    def __init__(self, name, **words):
        self.status, body = SAYS[name]
        text = json.dumps(body)
        for word, value in words.items():
            text = text.replace(f"{{{word}}}", json.dumps(str(value))[1:-1])
        self.body = json.loads(text)


class Office:
    """What the door knows between requests: its key, limits, faults to come, and what it has counted."""

    def __init__(self, models, url):
        self.models, self.url, self.lock = models, url, threading.Lock()
        self.minute, self.revoked, self.inside = 60.0, set(), 0
        self.obey(limits={}, faults=[], revoke=True)

    def now(self):
        """Seconds by the door's own clock."""
        return time.monotonic() * 60 / self.minute

    def obey(self, minute=None, limits=None, faults=None, revoke=False):
        """Carry out orders from the notebook, count from 0 if limits are among them, and return the counts."""
        with self.lock:
            self.minute = minute or self.minute
            if faults is not None:
                self.faults = collections.deque(faults)
            if revoke:
                self.revoked.add(getattr(self, "key", ""))
                self.key = "stand-in-" + secrets.token_urlsafe(24)
            if limits is not None or minute:
                self.limits = {**LIMITS, **(limits or {})}
                self.buckets = {model: Bucket(rate) for model, (rate, _) in self.limits.items()}
                self.today, self.requests, self.refused, self.first, self.last = collections.Counter(), 0, 0, 0.0, 0.0
            counts = {"requests": self.requests, "refused": self.refused, "seconds": self.last - self.first}
            return counts | {"lies": self.models.lies, "key": self.key, "url": self.url}

    def arrive(self):
        """Count a request; what is to go wrong with it, or ""."""
        with self.lock:
            self.last, self.requests = self.now(), self.requests + 1
            self.first = self.first if self.requests > 1 else self.last
            return self.faults.popleft() if self.faults else ""

    def admit(self, key, model):
        """Refuse, unless this key may have an answer of this model."""
        if not key or key != self.key:
            raise Canned("no key" if not key else "leaked" if key in self.revoked else "other key")
        if model not in self.limits:
            raise Canned("no model", model=model)

    def charge(self, model):
        """Take one request off the quotas, or refuse by the one that is used up; a quota of 0 names a time, too."""
        with self.lock:
            (limit, day), wait, quota = self.limits[model], 17.757286616, "GenerateRequestsPerMinute"
            if self.inside > AT_ONCE:
                limit, wait, quota = AT_ONCE, 1.0, "ConcurrentRequests"
            elif limit and self.today[model] >= day:
                limit, quota = day, "GenerateRequestsPerDay"
            elif limit and not (wait := self.buckets[model].take(self.now())):
                self.today[model] += 1
                return
            self.refused += 1
            raise Canned("over", model=model, limit=limit, quota=quota, long=f"{wait:.9f}", short=f"{wait:.3f}")


class Handler(BaseHTTPRequestHandler):
    """One request at the door."""

    protocol_version, disable_nagle_algorithm, timeout = "HTTP/1.1", True, 60

    def log_message(self, *_):
        """Say nothing: what is asked stays between the two."""

    def do_GET(self):
        self.respond(self.look)

    def do_POST(self):
        self.respond(self.generate)

    def respond(self, work):
        """Do the work, and send what came of it, or its refusal; a caller that has hung up is let go."""
        office = self.server.office
        with office.lock:
            office.inside += 1
        try:
            work(office)
        except Canned as canned:
            self.send_canned(canned)
        except ValueError as why:
            self.send_canned(Canned("wrong", why=why))
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self.send_canned(Canned("fault", why=type(error).__name__))
        finally:
            with office.lock:
                office.inside -= 1

    def send_canned(self, canned):
        """A refusal is wrapped in a list for the other dialect; in a stream, an answer gone wrong is its only piece."""
        if canned.status == 200 and "alt=sse" in self.path:
            return self.send_stream([canned.body])
        wrapped = canned.status > 200 and "/openai/" in self.path
        return self.send([canned.body] if wrapped else canned.body, canned.status)

    def send(self, thing, status=200):
        """JSON; what is a text already goes as it is."""
        body = (thing if isinstance(thing, str) else json.dumps(thing)).encode()
        kind = "text/html" if body.startswith(b"<") else "application/json; charset=UTF-8"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_stream(self, things):
        """Server-sent events: one line of JSON after the other, as they come; a text goes as it is."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for thing in things:
            text = thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False)
            line = f"data: {text}\r\n\r\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def key(self):
        return self.headers.get("x-goog-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")

    def look(self, office):
        """The list of models; or what a search finds, which needs no key."""
        path, _, query = self.path.partition("?")
        if path == "/search":
            return self.send(office.models.search(dict(urllib.parse.parse_qsl(query))))
        office.admit(self.key(), "stand-in-text")
        return self.send(office.models.listed(office.limits, "/openai/" in path))

    def read_body(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY:
            self.close_connection = True
            left = int(length) if length.isdigit() and int(length) < 4 * BODY else 0
            while left > 0 and (piece := self.rfile.read(min(left, 2**20))):  # or the caller would not listen
                left -= len(piece)
            raise Canned("too large", limit=BODY)
        try:
            return dict(json.loads(self.rfile.read(int(length))))
        except (ValueError, TypeError):
            raise ValueError("Invalid JSON payload received.") from None

    def generate(self, office):
        """Answer one request for text or for a picture, in either dialect."""
        body, fault, path = self.read_body(), office.arrive(), self.path.partition("?")[0]
        if fault.startswith("slow "):
            time.sleep(float(fault[5:]))
        if fault in SAYS:
            raise Canned(fault, key=self.key())
        if fault == "drop":
            raise ConnectionError
        if fault == "endless":
            return self.send_stream(iter(lambda: time.sleep(0.05) or SAYS["no text yet"][1], None))
        chat = path == "/v1beta/openai/chat/completions"
        named = re.fullmatch(r"/v1(?:beta|alpha)?/models/([^/:]+):(generateContent|streamGenerateContent)", path)
        if not chat and not named:
            raise Canned("nowhere", path=path)
        model = str(body.get("model")).removeprefix("models/") if chat else named[1]
        office.admit(self.key(), model)
        asked = office.models.read(model, body, "chat" if chat else "native")
        office.charge(model)
        said, cut = office.models.answer(asked, fault), fault == "cut"
        if chat:
            self.send_stream(said.chunks()) if body.get("stream") else self.send(said.chat())
        elif named[2] == "streamGenerateContent":
            self.send_stream(itertools.islice(said.pieces(), 9) if cut else said.pieces())
        else:
            text = json.dumps(said.whole())
            self.send(text[: len(text) // 2] if cut else text)


def main():
    """The process: serve until the pipe from the notebook closes; each line that comes through it is an order in JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the notebook's stop button is not meant for it
    sys.path.insert(0, str(COURSE / "notebooks"))
    from stand_in import Models

    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.office = True, Office(Models(), f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        print(json.dumps(server.office.obey(**json.loads(line))), flush=True)


class Door:
    """The stand-in as its notebook sees it: `url`, `key`, and `tell`; made by `open_door`."""

    def __init__(self, minute):
        for name in FILES:
            data_file(name)  # looks at its sum
        command, pipe, self.lock = [sys.executable, str(Path(__file__).resolve())], subprocess.PIPE, threading.Lock()
        how = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL, "text": True, "encoding": "utf-8"}
        self.process = subprocess.Popen(command, **how, start_new_session=True)
        self.tell(minute=minute)

    def tell(self, **orders) -> dict:
        """Give orders (minute=, limits={model: (a minute, a day)}, faults=[…], revoke=True); returns what it has counted.

        Raises CourseError if the stand-in is gone, or never came.
        """
        with self.lock:
            try:
                self.process.stdin.write(json.dumps(orders) + "\n")
                self.process.stdin.flush()
                counts = json.loads(self.process.stdout.readline())
            except (OSError, ValueError):
                raise CourseError(
                    "The stand-in has ended, or did not start: run the cell that opens it again."
                ) from None
        self.key, self.url = Key(counts.pop("key")), counts.pop("url")
        return counts

    def close(self):
        """End the process, and wait until it is gone."""
        with self.lock:
            self.process.kill()  # it has nothing to save
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()


OPENED = []  # the door of this notebook; when the kernel ends, its pipe closes, and with it the process


def open_door(minute: float = 60.0) -> Door:
    """Start the stand-in, whose minute lasts `minute` seconds, after closing an earlier one; CourseError if it cannot."""
    while OPENED:
        OPENED.pop().close()
    OPENED.append(Door(minute))
    return OPENED[-1]


if __name__ == "__main__":
    main()
