"""A stand-in for an AI service: a process of its own on this machine, which speaks Google's protocol, with limits and faults.

>>> door = open_door(minute=2)             # its minute lasts 2 seconds of ours; a second call starts it anew
>>> door.url, door.key                     # on 127.0.0.1, at a free port; a fresh key at each start
>>> door.tell(faults=["503", "drop"])      # what goes wrong with the next requests; returns what it has counted

It lives as long as the pipe from its notebook: when the kernel ends, or is killed, it ends. No AI answers here: texts come
from characters counted in 3,957 Tang quatrains, pictures from faces that notebook 08's generator drew. Every answer says so.
"""

from __future__ import annotations

import atexit
import base64
import collections
import io
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

if __name__ == "__main__":  # its own process needs nothing more of the course, and starts in a second
    from small_models import Library, Poet, answer_in_json, figurines, opening_of
else:
    from .. import CourseError, data_file
    from .keys import Key
    from .small_models import FILES, Library, Poet, answer_in_json, figurines, opening_of

LIMITS = {"stand-in-text": (15, 500), "stand-in-picture": (10, 100), "stand-in-picture-free": (0, 0)}  # a minute, a day
CAP, BODY, AT_ONCE = 20_000, 20 * 2**20, 16  # tokens and bytes of a request; requests at once
RPC, HOST = "type.googleapis.com/google.rpc.", "generativelanguage.googleapis.com"


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


class Refusal(Exception):
    """An answer that is an error: its code, its status, what it says, and details."""

    def __init__(self, code, status, message, *details):
        self.code, words = code, {"code": code, "message": message, "status": status}
        self.body = {"error": words | ({"details": list(details)} if details else {})}


def over(model, limit, wait, quota):
    """The refusal of a quota. Where the limit is 0 it still says when to come back, as the real one does."""
    metric = f"{HOST}/generate_content_free_tier_requests"
    violation = {
        "quotaMetric": metric,
        "quotaId": f"{quota}PerProjectPerModel-FreeTier",
        "quotaDimensions": {"model": model},
    }
    message = "You exceeded your current quota, please check your plan and billing details. "
    message += f"\n* Quota exceeded for metric: {metric}, limit: {limit}, model: {model}\nPlease retry in {wait:.9f}s."
    details = [
        {"@type": RPC + "QuotaFailure", "violations": [violation]},
        {"@type": RPC + "RetryInfo", "retryDelay": f"{wait:.3f}s"},
    ]
    return Refusal(429, "RESOURCE_EXHAUSTED", message, *details)


class Office:
    """What the door knows between requests: its key, limits, faults to come, and what it has counted."""

    def __init__(self):
        self.lock, self.minute, self.revoked, self.inside = threading.Lock(), 60.0, set(), 0
        self.poet, self.library, self.lies = Poet(), Library(), 0
        self.key, self.faults = "stand-in-" + secrets.token_urlsafe(24), collections.deque()
        self.obey(limits=LIMITS)

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
                self.revoked.add(self.key)
                self.key = "stand-in-" + secrets.token_urlsafe(24)
            if limits is not None or minute:
                self.limits = {**LIMITS, **(limits or {})}
                self.buckets = {model: Bucket(rate) for model, (rate, _) in self.limits.items()}
                self.today, self.requests, self.refused, self.first, self.last = collections.Counter(), 0, 0, 0.0, 0.0
            return {
                "lies": self.lies,
                "key": self.key,
                "requests": self.requests,
                "refused": self.refused,
                "seconds": self.last - self.first,
            }

    def arrive(self):
        """Count a request; what is to go wrong with it, or ""."""
        with self.lock:
            self.last, self.requests = self.now(), self.requests + 1
            self.first = self.first if self.requests > 1 else self.last
            return self.faults.popleft() if self.faults else ""

    def admit(self, key, model):
        """Raise a Refusal unless this key may have an answer of this model now."""
        if not key:
            raise Refusal(
                403,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
            )
        if key in self.revoked:
            raise Refusal(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.")
        if key != self.key:
            details = {
                "@type": RPC + "ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": HOST},
            }
            raise Refusal(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", details)
        if model not in self.limits:
            raise Refusal(
                404,
                "NOT_FOUND",
                f"models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.",
            )

    def charge(self, model):
        """Take one request off the quotas, or raise the Refusal of the one that is used up."""
        with self.lock:
            (rate, day), wait = self.limits[model], 17.757286616
            if rate and self.today[model] >= day:
                refusal = over(model, day, wait, "GenerateRequestsPerDay")
            elif rate and not (wait := self.buckets[model].take(self.now())):
                self.today[model] += 1
                return
            else:
                refusal = over(model, rate, wait, "GenerateRequestsPerMinute")
            self.refused += 1
            raise refusal


class Handler(BaseHTTPRequestHandler):
    """One request at the door."""

    protocol_version, disable_nagle_algorithm, timeout = "HTTP/1.1", True, 60

    def log_message(self, *_):
        """Say nothing: what is asked stays between the two."""

    def do_GET(self):
        self.respond(self.search if self.path.startswith("/search?") else self.list_models)

    def search(self):
        """The answer of a search engine, in the form of SearXNG's; it needs no key."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        query, most = asked.get("q", ""), min(50, int(asked.get("most", "5")))
        language = "zh" if asked.get("language", "en").startswith("zh") else "en"
        with self.server.office.lock:
            found = self.server.office.library.find(query, language, most)
        self.send({"query": query, "results": found})

    def do_POST(self):
        self.respond(self.generate)

    def respond(self, work):
        """Do the work, and send what came of it, or its refusal; a caller that has hung up is let go."""
        office = self.server.office
        with office.lock:
            office.inside += 1
        try:
            work()
        except Refusal as no:
            self.send([no.body] if "/openai/" in self.path else no.body, no.code)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self.send(Refusal(500, "INTERNAL", f"The stand-in has a fault ({type(error).__name__}).").body, 500)
        finally:
            with office.lock:
                office.inside -= 1

    def send(self, body, code=200, kind="application/json; charset=UTF-8"):
        body = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def key(self):
        return self.headers.get("x-goog-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")

    def list_models(self):
        self.server.office.admit(self.key(), "stand-in-text")
        names = list(self.server.office.limits)
        if "/openai/" in self.path:
            return self.send(
                {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "stand-in"} for name in names]}
            )
        methods = ["generateContent", "streamGenerateContent"]
        return self.send(
            {"models": [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in names]}
        )

    def read_body(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY:
            self.close_connection = True
            left = int(length) if length.isdigit() and int(length) < 4 * BODY else 0
            while left > 0 and (piece := self.rfile.read(min(left, 2**20))):  # or the caller would not listen
                left -= len(piece)
            raise Refusal(413, "INVALID_ARGUMENT", f"Request payload size exceeds the limit: {BODY} bytes.")
        try:
            return json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise Refusal(400, "INVALID_ARGUMENT", "Invalid JSON payload received.") from None

    def generate(self):
        """Answer one request for text or for a picture, in either dialect."""
        office, body = self.server.office, self.read_body()
        fault, path = office.arrive(), self.path.partition("?")[0]
        if self.went_wrong(fault):
            return
        openai = path == "/v1beta/openai/chat/completions"
        named = re.fullmatch(r"/v1(?:beta|alpha)?/models/([^/:]+):(generateContent|streamGenerateContent)", path)
        if not openai and not named:
            raise Refusal(404, "NOT_FOUND", f"There is nothing at {path}.")
        try:
            model = str(body["model"] if openai else named[1]).removeprefix("models/")
            office.admit(self.key(), model)
            prompt, pictures, settings = (asked_openai if openai else asked)(body)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise Refusal(
                400, "INVALID_ARGUMENT", "Invalid value: the request does not have the form of the API."
            ) from None
        tokens = int(sum(1 if ord(character) > 0x2E80 else 0.25 for character in prompt)) + 258 * len(pictures)
        check_request(model, prompt, pictures, settings, tokens)
        if office.inside > AT_ONCE:
            raise over(model, AT_ONCE, 1.0, "ConcurrentRequests")
        office.charge(model)
        answer = Reply(office, model, prompt, pictures, settings, tokens, fault)
        if openai:
            return self.send_stream(answer.chunks(), "\n\n") if body.get("stream") else self.send(answer.chat())
        streams = not openai and named[2][0] == "s"
        if fault == "cut" and not streams:
            whole = json.dumps(answer.whole()).encode()
            return self.send(whole[: len(whole) // 2])
        return self.send_stream(answer.pieces(), "\r\n\r\n") if streams else self.send(answer.whole())

    def went_wrong(self, fault):
        """Do what a fault says; whether that was all of the answer."""
        if fault.startswith("slow"):
            time.sleep(float(fault[4:] or 2))
        if fault == "503":
            raise Refusal(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
        if fault == "echo":  # a careless service: it repeats what it was sent, the key too
            raise Refusal(400, "INVALID_ARGUMENT", f"Bad header x-goog-api-key: {self.key()}")
        if fault == "drop":
            self.close_connection = True
        elif fault == "not JSON":
            self.send(b"<html><title>502 Bad Gateway</title></html>", 200, "text/html")
        elif fault == "null":
            self.send({"candidates": None})
        elif fault == "endless":
            self.send_stream(
                iter(lambda: time.sleep(0.05) or {"candidates": [{"content": {"parts": []}}]}, None), "\r\n\r\n"
            )
        return fault in ("drop", "not JSON", "null", "endless")

    def send_stream(self, things, end):
        """Server-sent events: one line of JSON after the other, as they come."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for thing in things:
            line = f"data: {thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False)}{end}".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


def asked(body):
    """Prompt, pictures and settings of a generateContent request."""
    parts = [part for content in body["contents"] for part in content["parts"]]
    prompt = "\n".join(part["text"] for part in parts if "text" in part)
    sent = [part["inlineData"]["data"].translate(str.maketrans("-_", "+/")) for part in parts if "inlineData" in part]
    pictures = [base64.b64decode(data, validate=True) for data in sent]
    return prompt, pictures, body.get("generationConfig") or {}


def asked_openai(body):
    """The same of a chat/completions request, which has texts only."""
    texts = [message["content"] for message in body["messages"]]
    texts = [text if isinstance(text, str) else "\n".join(part["text"] for part in text) for text in texts]
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    settings = {"temperature": body.get("temperature"), "maxOutputTokens": most, "seed": body.get("seed")}
    return "\n".join(texts), [], {name: value for name, value in settings.items() if value is not None}


def check_request(model, prompt, pictures, settings, tokens):
    """Raise a Refusal for a request that this model cannot answer."""
    from PIL import Image

    heat, most = settings.get("temperature", 0.8), settings.get("maxOutputTokens", 20)
    why = None
    if not prompt.strip():
        why = "Unable to submit request because it must have a text parameter."
    elif tokens > CAP:
        why = f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({CAP})."
    elif not isinstance(heat, int | float) or not 0 <= heat <= 2:
        why = "Invalid value at 'generation_config.temperature': it has to be from 0 to 2."
    elif not isinstance(most, int) or most < 1:
        why = "Invalid value at 'generation_config.max_output_tokens': it has to be 1 or more."
    elif len(pictures) > 2 or (pictures and model == "stand-in-text"):
        why = "This model takes at most 2 pictures, and the one for text none."
    else:
        try:
            for picture in map(Image.open, map(io.BytesIO, pictures)):
                if max(picture.size) > 6000 or not picture.load():
                    why = "Unable to process input image: it is larger than 6000 pixels."
        except Exception:
            why = "Unable to process input image."
    if why:
        raise Refusal(400, "INVALID_ARGUMENT", why)


class Reply:
    """One answer, in the form of either dialect."""

    def __init__(self, office, model, prompt, pictures, settings, tokens, fault):
        self.model, self.fault, self.draws = f"{model} (a stand-in, no AI service)", fault, "picture" in model
        self.tokens, self.name = tokens, secrets.token_hex(6)
        seed = int(settings.get("seed", secrets.randbelow(2**31)))
        if self.draws:
            self.png, said = figurines(prompt, pictures, seed)
            self.words, self.finish = [said], "STOP"
            return
        if schema := settings.get("responseSchema"):
            self.words, self.finish = [self.in_json(office, prompt, schema)], "STOP"
            return
        most, opening = settings.get("maxOutputTokens", 20), opening_of(prompt, office.poet.number)
        every = list(office.poet.write(opening, settings.get("temperature", 0.8), seed))
        self.words, self.finish = every[:most], "STOP" if most >= len(every) else "MAX_TOKENS"

    def in_json(self, office, prompt, schema):
        """JSON as the schema wants it; or what a fault makes of it."""
        fields = {name: str(about.get("type", "")).upper() for name, about in schema["properties"].items()}
        answer, fault = answer_in_json(prompt, fields, self.fault == "liar"), self.fault
        if fault == "liar" and "[999]" in answer.get("answer", ""):
            with office.lock:
                office.lies += 2
        text = json.dumps(answer, ensure_ascii=False)
        if fault == "prose":
            return "Certainly! Here is what you asked for: " + text[:20]
        return {
            "half": text[: len(text) // 2],
            "missing": "{}",
            "wrong type": json.dumps(dict.fromkeys(fields, 7)),
        }.get(fault, text)

    def usage(self):
        """How many tokens went in and came out."""
        out = len(self.words) if len(self.words) != 1 else max(1, len(self.words[0]) // 4)
        return {
            "promptTokenCount": self.tokens,
            "candidatesTokenCount": out,
            "totalTokenCount": self.tokens + out,
        }

    def whole(self):
        """The answer to generateContent."""
        about = {"usageMetadata": self.usage(), "modelVersion": self.model, "responseId": self.name}
        if self.fault == "blocked question":
            return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}} | about
        if self.fault == "blocked answer":
            return {"candidates": [{"finishReason": "SAFETY", "index": 0}]} | about
        parts, finish = [{"text": "".join(self.words)}], self.finish
        if self.fault == "no picture":
            parts, finish = [{"text": "I would rather describe it: a figurine in a box."}], "NO_IMAGE"
        elif self.fault == "no text":
            parts = [{}]
        elif self.draws:
            parts.append({"inlineData": {"mimeType": "image/png", "data": base64.b64encode(self.png).decode()}})
        return {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}]
        } | about

    def pieces(self):
        """The answer to streamGenerateContent, a character at a time."""
        if self.draws or self.fault not in ("", "cut"):
            yield self.whole()
            return
        for n, word in enumerate(self.words[:9] if self.fault else self.words):
            last = {"finishReason": self.finish} if n == len(self.words) - 1 else {}
            candidate = {"content": {"role": "model", "parts": [{"text": word}]}, "index": 0} | last
            yield {"candidates": [candidate], "usageMetadata": self.usage(), "modelVersion": self.model}
            time.sleep(0.03)  # to be seen

    def chat(self):
        """The answer to chat/completions."""
        message = {"role": "assistant", "content": "".join(self.words)}
        finish = {"STOP": "stop", "MAX_TOKENS": "length"}[self.finish]
        usage = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), self.usage().values(), strict=True))
        return {"id": self.name, "object": "chat.completion", "created": int(time.time()), "model": self.model,
                "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}  # fmt: skip

    def chunks(self):
        """The same as a stream."""
        common = {"id": self.name, "object": "chat.completion.chunk", "created": int(time.time()), "model": self.model}
        for word in self.words:
            yield common | {
                "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}]
            }
        yield common | {
            "choices": [{"index": 0, "delta": {}, "finish_reason": self.chat()["choices"][0]["finish_reason"]}]
        }
        yield "[DONE]"


def main():
    """The process: serve until the pipe from the notebook closes; each line that comes through it is an order in JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the notebook's stop button is not meant for it
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.office = True, Office()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}", "key": server.office.key}), flush=True)
    for line in sys.stdin:
        print(json.dumps(server.office.obey(**json.loads(line))), flush=True)


class Door:
    """The stand-in as its notebook sees it: `url`, `key`, and `tell`; made by `open_door`."""

    def __init__(self, minute):
        for name in FILES:
            data_file(name)
        command, pipe = [sys.executable, str(Path(__file__).resolve())], subprocess.PIPE
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        hello = self.process.stdout.readline()
        if not hello:
            raise CourseError("The stand-in did not start: run the cell again, or restart the kernel.")
        hello = json.loads(hello)
        self.url, self.key = hello["url"], Key(hello["key"])
        self.tell(minute=minute)

    def tell(self, **orders) -> dict:
        """Give orders (minute=, limits={model: (a minute, a day)}, faults=[…], revoke=True); returns what it has counted.

        Raises CourseError if the stand-in is gone.
        """
        with self.lock:
            try:
                self.process.stdin.write(json.dumps(orders) + "\n")
                self.process.stdin.flush()
                counts = json.loads(self.process.stdout.readline())
            except (OSError, ValueError):
                raise CourseError("The stand-in has ended: run the cell that opens it again.") from None
        self.key = Key(counts.pop("key"))
        return counts

    def close(self):
        """End the process, and wait until it is gone."""
        with self.lock:
            self.process.stdin.close()
            self.process.stdout.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


OPEN = []


def open_door(minute: float = 60.0) -> Door:
    """Start the stand-in, whose minute lasts `minute` seconds; one that this notebook opened before is closed first.

    Raises CourseError if it cannot start.
    """
    close_doors()
    OPEN.append(Door(minute))
    return OPEN[-1]


@atexit.register
def close_doors():
    """Close what `open_door` has opened."""
    while OPEN:
        OPEN.pop().close()


if __name__ == "__main__":
    main()
