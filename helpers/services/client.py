"""A client for models behind a door: plain HTTP, each refusal one sentence and a kind, a limiter, a budget.

>>> client = Client(door.url, door.key, "stand-in-text")
>>> client.ask("Write a quatrain that begins with 「明月」", temperature=0.5).text
"""

from __future__ import annotations

import base64
import collections
import contextlib
import http.client
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator

from .. import CourseError
from . import Key, ServiceError, find_key

GOOGLE = "https://generativelanguage.googleapis.com"
MODELS = {"text": "gemini-flash-lite-latest", "picture": "gemini-nano-banana-2.1"}  # Google's, November 2026
REPEATED = "What the service sent repeats your key, and is not shown."
LARGEST = 20 * 2**20  # bytes of a request, as Google allows; and of an answer, three times that
Answer = collections.namedtuple(
    "Answer", "text pictures finish tokens model"
)  # pictures are bytes; model says who answered


class Clock:
    """A clock whose minute lasts `minute` of our seconds; `time` and `sleep` count in its own seconds."""

    def __init__(self, minute: float = 60.0):
        self.speed = 60.0 / minute

    def time(self) -> float:
        return time.monotonic() * self.speed

    def sleep(self, seconds: float):
        time.sleep(max(0.0, seconds) / self.speed)


class Limiter:
    """Lets through at most `requests`, and `tokens`, in any `period` seconds, and `at_once` at a time; others wait in turn.

    The period is 2 % longer than the service's minute: requests do not all take equally long on their way.
    """

    def __init__(self, requests: int, tokens: float = float("inf"), at_once=8, period=61.2, clock: Clock | None = None):
        self.requests, self.tokens, self.period, self.clock = requests, tokens, period, clock or Clock()
        self.sent, self.lock, self.doors = (
            collections.deque(maxlen=10_000),
            threading.Lock(),
            threading.Semaphore(at_once),
        )

    def reserve(self, now: float, tokens: int = 0) -> float:
        """When the next request may go, counted as sent then; raises ServiceError for one that can never go."""
        if tokens > self.tokens:
            raise ServiceError(
                "request", f"{tokens:,} tokens are more than the {self.tokens:,} a minute that you have."
            )
        with self.lock:
            when, left = max(now, self.sent[-1][0] if self.sent else now), self.tokens - tokens
            for age, (then, cost) in enumerate(reversed(self.sent), 1):  # the youngest first
                left -= cost
                if age >= self.requests or left < 0:
                    when = max(when, then + self.period)
                    break
            self.sent.append((when, tokens))
            return when

    @contextlib.contextmanager
    def place(self, tokens: int = 0):
        """Wait for a turn; a wait that is broken off (Ctrl-C) gives its place back."""
        with self.doors:
            when = self.reserve(self.clock.time(), tokens)
            try:
                self.clock.sleep(when - self.clock.time())
            except BaseException:
                with self.lock:
                    self.sent.remove((when, tokens))
                raise
            yield


def patiently(call: Callable, tries: int = 5, clock: Clock | None = None):
    """`call()`, again after a pause if the service was busy (1, 2, 4 … s or what it said), and after nothing else."""
    for turn in range(tries):
        try:
            return call()
        except ServiceError as error:
            if error.kind != "busy" or turn == tries - 1:
                raise
            (clock or Clock()).sleep(2.0**turn if error.wait is None else error.wait)
    return None


class Client:
    """Asks the service at `url` with `key`; at most `budget` requests, so that a loop cannot empty a purse."""

    def __init__(
        self, url: str, key: Key | str, text: str, picture="", limiter: Limiter | None = None, budget=1000, timeout=60.0
    ):
        self.url, self.key = urllib.parse.urlsplit(url), key if isinstance(key, Key) else Key(key)
        self.text, self.picture, self.limiter = text, picture, limiter or Limiter(10_000)
        self.budget, self.timeout = budget, timeout

    def models(self) -> list[str]:
        """The names of the service's models."""
        with self._open("/v1beta/models") as answer:
            listed = load(answer.read(LARGEST)).get("models", [])
            return [self._safe(model["name"]).removeprefix("models/") for model in listed]

    def ask(self, prompt: str, *pictures: bytes, draw: bool = False, model: str = "", **settings) -> Answer:
        """Ask for text, or with `draw` for a picture; settings are the API's own: temperature, maxOutputTokens, seed."""
        model = model or (self.picture if draw else self.text)
        with self._open(*self._request(prompt, pictures, settings, model), draw) as answer:
            found = read(load(answer.read(3 * LARGEST)), draw)
            self._safe(f"{found.text} {found.model} {found.finish}")
            return found

    def stream(self, prompt: str, model: str = "", **settings) -> Iterator[str]:
        """The pieces of a text, each as soon as it comes."""
        request = self._request(prompt, (), settings, model or self.text, "streamGenerateContent?alt=sse")
        with self._open(*request) as answer:
            finish = last = ""
            for line in answer:
                if line.startswith(b"data: "):
                    text, _, finish, *_ = read(load(line[6:]))
                    last = self._safe(last + text)[-11:]  # a key may come in pieces
                    yield text
            if not finish:  # a stream that breaks off ends as quietly as one that is complete
                raise ConnectionError

    def _safe(self, text):
        """The text, unless it repeats the key: a careless service may send it back."""
        if self.key.stands_in(text):
            raise ServiceError("strange", REPEATED)
        return text

    def _request(self, prompt, pictures, settings, model, verb="generateContent"):
        """Path and JSON of a request, once it has been looked at, and about how many tokens its prompt has."""
        try:
            words = f"{model} {json.dumps(settings)} " + prompt
            empty = not prompt.strip() or not words.encode()
        except (TypeError, ValueError):
            why = "is nothing that can be sent (half a character, or no text): write text and numbers"
            raise ServiceError("request", f"The prompt or a setting {why}.") from None
        if empty:
            raise ServiceError("request", "The prompt is empty: write what you want.")
        if self.key.stands_in(words):
            raise ServiceError("key", "Your key stands in the prompt, a setting or the model's name. It was not sent.")
        parts = [{"text": prompt}]
        for picture in pictures:
            starts = {"png": b"\x89PNG\r\n", "jpeg": b"\xff\xd8\xff"}
            kind = next((name for name, start in starts.items() if picture.startswith(start)), None)
            if not kind or len(picture) > LARGEST * 0.7:
                why = f"has {len(picture) / 2**20:.0f} MB, and 14 are the most" if kind else "is neither PNG nor JPEG"
                raise ServiceError("request", f"This picture {why}: choose another.")
            parts.append({"inlineData": {"mimeType": f"image/{kind}", "data": base64.b64encode(picture).decode()}})
        body = {"contents": [{"role": "user", "parts": parts}]} | ({"generationConfig": settings} if settings else {})
        path = f"/v1beta/models/{urllib.parse.quote(model, safe='')}:{verb}"
        return path, json.dumps(body).encode(), len(prompt.encode()) // 3 + 1

    @contextlib.contextmanager
    def _open(self, path, body=None, tokens=0, draw=False):
        """The open answer to one request; whatever goes wrong is a ServiceError, which never holds the key."""
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        line, began, failed = kind(self.url.netloc, timeout=self.timeout), None, None
        line.set_debuglevel(0)  # or whoever has switched it on would see the header with the key
        with self.limiter.place(tokens):
            if self.budget < 1:
                raise ServiceError("request", "The budget of requests is used up: look for the loop, then raise it.")
            self.budget -= 1
            try:
                line.connect()
                began = time.monotonic()
                watch = threading.Timer(self.timeout, line.sock.shutdown, [2])  # for the whole of the answer
                watch.start()
                json_key = lambda: {"Content-Type": "application/json", "x-goog-api-key": self.key.reveal()}  # noqa: E731
                line.request("GET" if body is None else "POST", path, body, json_key())
                answer = line.getresponse()
                if answer.status != 200:
                    raise ServiceError(*understand(answer.status, answer.read(LARGEST)))
                yield answer
            except ServiceError as error:
                failed = ServiceError("strange", REPEATED) if self.key.stands_in(str(error)) else error
            except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
                late = began and time.monotonic() - began >= self.timeout
                why = f"No answer within {self.timeout:g} s" if late else f"The line broke: {type(error).__name__}"
                billed = ", and the picture may be billed: it is not asked for again" if draw and began else ""
                failed = ServiceError("strange" if billed else "busy", f"{why}{billed}.")
            except KeyboardInterrupt:  # anew, without the frames that hold the key
                failed = KeyboardInterrupt("You stopped waiting.")
            finally:
                if began:
                    watch.cancel()
                line.close()
        if failed:
            raise failed from None


def load(text: bytes) -> dict:
    """The JSON of an answer."""
    try:
        return json.loads(text)
    except ValueError:
        raise ServiceError("strange", "The answer is not JSON, or was cut off.") from None


def read(answer: dict, draw: bool = False) -> Answer:
    """Text and pictures of an answer; raises ServiceError for one that was refused, or is none."""
    try:
        if why := (answer.get("promptFeedback") or {}).get("blockReason"):
            raise ServiceError("refused", f"The service refused the question ({why}).")
        first = answer["candidates"][0]
        finish, parts = first.get("finishReason") or "", (first.get("content") or {}).get("parts") or []
        text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
        sent = [part["inlineData"]["data"] for part in parts if "inlineData" in part]
        pictures = [base64.b64decode(data, validate=True) for data in sent]
        tokens = (answer.get("usageMetadata") or {}).get("totalTokenCount", 0)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, ServiceError):
            raise
        raise ServiceError("strange", "The answer is JSON, but holds no candidate that can be read.") from None
    if not pictures and (draw or finish not in ("", "STOP", "MAX_TOKENS")):
        raise ServiceError("refused", f"It ended without an answer ({finish or 'no reason given'}). {text}".strip())
    if not text and not pictures and finish:
        raise ServiceError("strange", "The answer holds neither text nor a picture.")
    return Answer(text, pictures, finish, tokens, answer.get("modelVersion", ""))


def understand(status: int, body: bytes) -> tuple[str, str, float | None]:
    """What a refusal means: (kind, one sentence, seconds to wait or None). Only "busy" is worth another try."""
    try:
        error = json.loads(body)
        error = (error[0] if isinstance(error, list) else error)["error"]
        message, details = str(error["message"]), json.dumps(error.get("details"))
    except (ValueError, KeyError, TypeError, IndexError):
        return ("busy" if status >= 500 else "strange"), f"The service answered {status}, and not in JSON.", None
    first = " ".join(message.partition("\n")[0].split())
    if status == 429 and "limit: 0," in message:
        return "no quota", "Your plan has no quota for this model (limit: 0). Waiting does not help.", None
    if status == 429 and "PerDay" in details:
        return "day", "Today's quota for this model is used up. Go on tomorrow, or with another model.", None
    if status in (408, 429) or status >= 500:
        said = re.search(r'"retryDelay": "([\d.]+)s"', details)
        return "busy", first, float(said[1]) if said else None
    if status in (401, 403) or "API key" in message or "API_KEY" in details:
        return "key", first, None
    return {404: "model"}.get(status, "request" if status >= 400 else "strange"), first, None


def my_client(service: str, door) -> Client:
    """A client of the stand-in (service "stand-in"), or of Google ("gemini") with your own key and 20 requests at most.

    Raises ServiceError if there is no key, CourseError for another name.
    """
    if service == "stand-in":
        return Client(door.url, door.key, "stand-in-text", "stand-in-picture")
    if service != "gemini":
        raise CourseError(f'There is "stand-in" and "gemini", but no {service!r}.')
    return Client(GOOGLE, find_key(), MODELS["text"], MODELS["picture"], limiter=Limiter(10), budget=20)
