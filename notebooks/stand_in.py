"""What answers behind the door of notebooks 11 and 12, the stand-in: four small things, and none of them an AI service.

- `Poet`, notebook 01's network with its shipped weights: a true language model, which has read nothing but Tang quatrains;
- `figurine`, a drawing: a box, a body, and a face that notebook 08's generator drew beforehand;
- `Search`, a search engine (BM25), over the course's own pages;
- `quote`, which answers questions by repeating sentences of the prompt, and writes nothing of its own.

The door (`helpers/services/door.py`) lets requests in, this file reads and answers them, in two dialects. It runs in the door's process;
numpy does its arithmetic, because PyTorch alone takes two seconds to start.
"""

import base64
import collections
import functools
import io
import json
import math
import random
import re
import secrets
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATA = Path(__file__).resolve().parents[1] / "data"


CAP = 20_000  # tokens of a request; a token is a Chinese character, or four letters, or a 258th of a picture


class Asked(NamedTuple):
    """A request for `model`, understood."""

    model: str
    prompt: str
    pictures: list
    settings: dict
    tokens: int


class Said(NamedTuple):
    """One answer: its words as they come, why it ended, and a picture (PNG) if there is one; in four forms for the wire."""

    asked: Asked
    name: str
    words: list
    finish: str
    png: bytes | None = None

    def whole(self, words=None, finish=True):
        """The answer to generateContent, or a piece of it; one that has not ended has no finishReason."""
        parts = [{"text": "".join(words or self.words)}]
        if self.png:
            parts.append({"inlineData": {"mimeType": "image/png", "data": base64.b64encode(self.png).decode()}})
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
        out = len(self.words) if len(self.words) != 1 else max(1, len(self.words[0]) // 4)
        tokens = {"promptTokenCount": self.asked.tokens, "candidatesTokenCount": out}
        return {
            "candidates": [candidate | ({"finishReason": self.finish} if finish else {})],
            "usageMetadata": tokens | {"totalTokenCount": self.asked.tokens + out},
            "modelVersion": f"{self.asked.model} (a stand-in, no AI service)",
            "responseId": self.name,
        }

    def pieces(self):
        """The answer to streamGenerateContent, a character at a time."""
        for n, word in enumerate(self.words, 1):
            yield self.whole([word], n == len(self.words))
            time.sleep(0.03)  # to be seen

    def chat(self, answer=None, kind="message"):
        """The answer to chat/completions, or a piece of it."""
        answer = answer or self.whole()
        text, finish = (
            answer["candidates"][0]["content"]["parts"][0]["text"],
            answer["candidates"][0].get("finishReason"),
        )
        finish = {"STOP": "stop", "MAX_TOKENS": "length"}.get(finish)
        choice = {"index": 0, kind: {"role": "assistant", "content": text}, "finish_reason": finish}
        count = zip(
            ("prompt_tokens", "completion_tokens", "total_tokens"), answer["usageMetadata"].values(), strict=True
        )
        return {
            "id": self.name,
            "object": "chat.completion" if kind == "message" else "chat.completion.chunk",
            "created": int(time.time()),
            "model": answer["modelVersion"],
            "choices": [choice],
            "usage": dict(count),
        }

    def chunks(self):
        """The same as a stream."""
        yield from (self.chat(piece, "delta") for piece in self.pieces())
        yield "[DONE]"


def native(body):
    """Prompt, pictures and settings of a generateContent request."""
    parts = [part for content in body["contents"] for part in content["parts"]]
    prompt = "\n".join(part["text"] for part in parts if "text" in part)
    sent = [part["inlineData"]["data"].translate(str.maketrans("-_", "+/")) for part in parts if "inlineData" in part]
    return prompt, [base64.b64decode(data, validate=True) for data in sent], body.get("generationConfig") or {}


def chat(body):
    """The same of a chat/completions request, which has texts only."""
    texts = [message["content"] for message in body["messages"]]
    texts = [text if isinstance(text, str) else "\n".join(part["text"] for part in text) for text in texts]
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    settings = {"temperature": body.get("temperature"), "maxOutputTokens": most, "seed": body.get("seed")}
    return "\n".join(texts), [], {name: value for name, value in settings.items() if value is not None}


class Models:
    """All of them, as the door knows them."""

    def __init__(self):
        self.poet, self.lies = Poet(), 0

    def listed(self, names, chat):
        """The names of the models, in either dialect."""
        if chat:
            data = [{"id": name, "object": "model", "owned_by": "stand-in"} for name in names]
            return {"object": "list", "data": data}
        methods = ["generateContent", "streamGenerateContent"]
        return {"models": [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in names]}

    def search(self, asked):
        """The answer of a search engine, in the form of SearXNG's."""
        query, language = asked.get("q", ""), "zh" if asked.get("language", "en").startswith("zh") else "en"
        return {"query": query, "results": library(language).find(query, min(50, int(asked.get("most", "5"))))}

    def read(self, model, body, dialect):
        """The request, understood; raises ValueError, with a sentence, for one that this model cannot answer."""
        try:
            prompt, pictures, settings = (chat if dialect == "chat" else native)(body)
            tokens = int(sum(1 if ord(character) > 0x2E80 else 0.25 for character in prompt)) + 258 * len(pictures)
            heat, most = settings.get("temperature", 0.8), settings.get("maxOutputTokens", 20)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise ValueError("Invalid value: the request does not have the form of the API.") from None
        if not prompt.strip():
            raise ValueError("Unable to submit request because it must have a text parameter.")
        if tokens > CAP:
            raise ValueError(f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({CAP}).")
        if not isinstance(heat, int | float) or not 0 <= heat <= 2:
            raise ValueError("Invalid value at 'generation_config.temperature': it has to be from 0 to 2.")
        if not isinstance(most, int) or most < 1:
            raise ValueError("Invalid value at 'generation_config.max_output_tokens': it has to be 1 or more.")
        if len(pictures) > 2 or (pictures and model == "stand-in-text"):
            raise ValueError("This model takes at most 2 pictures, and the one for text none.")
        if not all(map(is_picture, pictures)):
            raise ValueError(
                "Unable to process input image: PNG or JPEG of at most 6000 pixels is what this model takes."
            )
        return Asked(model, prompt, pictures, settings, tokens)

    def answer(self, asked, fault):
        """What the model says; `fault` is "", "liar", "cut", or a way in which JSON goes wrong."""
        _, prompt, pictures, settings, _ = asked
        seed, name = int(settings.get("seed", random.randrange(2**31))), secrets.token_hex(6)
        if "picture" in asked.model:
            png, said = figurine(prompt, pictures, seed)
            return Said(asked, name, [said], "STOP", png)
        if schema := settings.get("responseSchema"):
            fields = {name: str(about.get("type", "")).upper() for name, about in schema["properties"].items()}
            said = quote(prompt, fields, fault == "liar")
            self.lies += 2 * ("[999]" in said.get("answer", ""))
            text = json.dumps(said, ensure_ascii=False)
            bad = {"prose": "Certainly! Here is what you asked for: " + text[:20], "half": text[: len(text) // 2],
                   "missing": "{}", "wrong type": json.dumps(dict.fromkeys(fields, 7))}  # fmt: skip
            return Said(asked, name, [bad.get(fault, text)], "STOP")
        opening = opening_of(prompt, self.poet.number)
        words = list(self.poet.write(opening, settings.get("temperature", 0.8), seed))
        most = settings.get("maxOutputTokens", len(words))
        return Said(asked, name, words[:most], "STOP" if most >= len(words) else "MAX_TOKENS")


def is_picture(data):
    """Whether the bytes are a picture that can be read."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        return max(image.size) <= 6000 and image.load() is not None
    except Exception:
        return False


# ---- a poet


class Poet:
    """Notebook 01's `NextCharacter`: which character comes next, after those before it and at its place in the poem."""

    def __init__(self):
        from safetensors.numpy import load_file

        rows = (DATA / "tang_quatrains.tsv").read_text(encoding="utf-8").splitlines()[1:]
        self.known = sorted({character for row in rows for character in row.split("\t")[2] if character not in "，。"})
        self.number = {character: n + 1 for n, character in enumerate(self.known)}  # 0 stands for "nothing yet"
        weights = load_file(DATA / "weights" / "01_poems.safetensors")
        self.net = {name.removeprefix("net."): array.astype(np.float32) for name, array in weights.items()}
        self.before = self.net["read.weight"].shape[1] // self.net["embed.weight"].shape[1]

    def scores(self, text):
        """The score of each character to come next, (known,)."""
        net, numbers = self.net, [0] * self.before + [self.number[character] for character in text]
        seen = net["embed.weight"][numbers[len(text) :]].ravel()  # (before × width,)
        hidden = net["read.weight"] @ seen + net["read.bias"] + net["place.weight"][len(text)]  # (hidden,)
        out = net["write.weight"] @ np.maximum(hidden, 0) + net["write.bias"]  # (width,)
        return (net["embed.weight"] @ out + net["bias"])[1:]  # nothing is never written

    def write(self, opening, temperature, seed):
        """The characters of a quatrain, with its commas and full stops, one after the other."""
        text, chance = "", random.Random(seed)
        for place in range(20):
            if place < len(opening):
                text += opening[place]
            elif temperature < 0.01:
                text += self.known[int(self.scores(text).argmax())]
            else:
                scores = self.scores(text).astype(np.float64)
                sums = np.exp((scores - scores.max()) / temperature).cumsum()
                text += self.known[min(int(sums.searchsorted(chance.random() * sums[-1])), len(self.known) - 1)]
            yield text[-1] + ("，。"[place // 5 % 2] if place % 5 == 4 else "")


def opening_of(prompt, known):
    """What a quatrain is to begin with: the prompt's last quotation, or all of it if it is a few Chinese characters."""
    quoted = re.findall(r"[「“\"']([\u4e00-\u9fff，]+)[」”\"']", prompt)
    quoted = quoted or re.findall(r"^\s*([\u4e00-\u9fff]{1,10})\s*$", prompt)
    return "".join(character for character in (quoted or [""])[-1] if character in known)[:19]


# ---- a figurine

LABELS = [r"glasses|眼鏡", r"long hair|長髮|長頭髮", r"\bhat\b|帽"]
COLOURS = {"red|紅": "#D64545", "blue|藍": "#2F6FB5", "green|綠": "#3B9C6B", "yellow|黃": "#E8B93C", "purple|紫": "#8A5BB0",
           "pink|粉": "#E58FB1", "black|黑": "#3A3A44", "orange|橘": "#E07B39"}  # fmt: skip


def figurine(words, pictures, seed):
    """A figurine in its box, as PNG, and a sentence; the head is a face that was drawn, or each picture in 16 × 16 pixels."""
    from PIL import Image, ImageDraw, ImageFont

    said = "I have made 16 × 16 pixels of each of your pictures, and understood nothing of it."
    heads = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    heads = [head.crop((0, 0, min(head.size), min(head.size))).resize((16, 16), Image.Resampling.BOX) for head in heads]
    if not heads:
        with np.load(DATA / "drawn_faces.npz", allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
        wanted = np.array([bool(re.search(pattern, words, re.IGNORECASE)) for pattern in LABELS])
        fits = (labels == wanted).sum(axis=1)
        pick = random.Random(seed).choice(np.flatnonzero(fits == fits.max()).tolist())
        heads = [Image.fromarray(images[pick])]
        said = f"Face {pick} of {len(images)} that notebook 08's generator drew."
    shirt = next((colour for name, colour in COLOURS.items() if re.search(name, words, re.IGNORECASE)), "#2F6FB5")
    title = (re.findall(r"[「“\"]([^「」“”\"]{1,14})[」”\"]", words) or ["FIGURINE"])[0]
    wide = 300 + 220 * (len(heads) - 1)
    sheet, font = Image.new("RGB", (wide + 120, 560), "#E9E2D6"), str(DATA / "NotoSansCJKtc-subset.otf")
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 430, wide + 120, 560), fill="#C9A67C")  # the desk
    draw.polygon([(60, 510), (60 + wide, 510), (90 + wide, 532), (40, 532)], fill="#A98560")  # the box's shadow
    draw.rounded_rectangle((60, 30, 60 + wide, 512), 14, fill=shirt)
    draw.rounded_rectangle((84, 96, 36 + wide, 440), 10, fill="#F7F4EE")
    for y, size, line in [(62, 30, title), (474, 16, "a stand-in, no AI service")]:
        draw.text((60 + wide / 2, y), line, "white", ImageFont.truetype(font, size), "mm")
    for n, head in enumerate(heads):
        x = 60 + wide / 2 + 220 * (n - (len(heads) - 1) / 2)
        draw.ellipse((x - 78, 398, x + 78, 430), fill="#CFC8BA")  # its stand
        for side in (-1, 1):
            leg, arm, hand = x + 21 * side, x + 55 * side, x + 55 * side
            draw.rounded_rectangle((leg - 13, 352, leg + 13, 414), 6, fill="#3A3A44")
            draw.rounded_rectangle((arm - 11, 262, arm + 11, 330), 10, fill=shirt)
            draw.ellipse((hand - 11, 322, hand + 11, 344), fill="#E8B98F")
        draw.rounded_rectangle((x - 46, 250, x + 46, 366), 14, fill=shirt)
        draw.rectangle((x - 75, 113, x + 75, 263), fill="#3A3A44")
        sheet.paste(head.resize((144, 144), Image.Resampling.NEAREST), (round(x - 72), 116))
    shine = Image.new("L", sheet.size, 0)
    ImageDraw.Draw(shine).polygon([(110, 96), (170, 96), (84, 300), (84, 170)], fill=90)
    sheet.paste("white", mask=shine)
    stream = io.BytesIO()
    sheet.save(stream, "png")
    return stream.getvalue(), said


# ---- a search engine


def terms(text):
    """What `text` is looked up by: its words in small letters; of Chinese each two neighbouring characters, 明月光 → 明月, 月光."""
    runs = re.findall(r"[\u4e00-\u9fff]+", text)
    pairs = [run[i : i + 2] for run in runs for i in range(max(1, len(run) - 1))]
    return re.findall(r"[a-z0-9]+", text.lower()) + pairs


class Search:
    """The passages, and for each term in which of them it stands, and how often.

    A passage scores for each term of the query: more if the term is rare among all passages, more if it stands there
    often (but ten times is not ten times better: `k`), less if the passage is long (`b`). Robertson and others 1994.
    """

    def __init__(self, passages, k=1.5, b=0.75):
        self.passages, self.k = passages, k
        bags = [collections.Counter(terms(f"{p['title']} {p['content']}")) for p in passages]
        mean = sum(bag.total() for bag in bags) / max(1, len(bags))
        self.length = [k * (1 - b + b * bag.total() / mean) for bag in bags]
        self.where = collections.defaultdict(list)  # term → [(passage, how often)]
        for number, bag in enumerate(bags):
            for term, count in bag.items():
                self.where[term].append((number, count))

    def find(self, query, most=5):
        """The passages that fit `query` best, at most `most`, each with its `score`."""
        scores = collections.Counter()
        for term in set(terms(query)):
            places = self.where.get(term, [])
            rare = math.log(1 + (len(self.passages) - len(places) + 0.5) / (len(places) + 0.5))
            for number, count in places:
                scores[number] += rare * count * (self.k + 1) / (count + self.length[number])
        best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        return [self.passages[number] | {"score": round(score, 3)} for number, score in best]


@functools.cache
def library(language):
    """The index of the course's pages in one language, made when it is first asked."""
    rows = map(json.loads, (DATA / "course_passages.jsonl").read_text(encoding="utf-8").splitlines())
    return Search([row for row in rows if row["language"] == language])


# ---- a reader that quotes

COMMON = (
    "the a an of to and in is it that what does say about how why do on for with are be this which from as not by or at"
)
STOP = frozenset(COMMON.split())  # words that no search is about


def sentences(text):
    """The sentences of a text that are long enough to say something."""
    return [s.strip() for s in re.split(r"(?<=[.!?]) +|(?<=[。！？])", text) if len(terms(s)) > 4]


def quote(prompt, fields, liar=False):
    """What a request for JSON with these fields gets: quotations of the prompt itself, chosen by the terms they share.

    It writes nothing of its own. A `liar` adds a sentence that no source holds, and a number that no source has.
    """
    said = lambda name: (re.findall(rf"^{name}: (.*)$", prompt, re.MULTILINE) or [""])[-1]  # noqa: E731
    listed = re.findall(r"^- (.*)$", prompt, re.MULTILINE)
    passages = re.findall(r"^\[(\d+)\] (.*)$", prompt, re.MULTILINE)
    wanted = [term for term in terms(said("Question") or said("Topic")) if term not in STOP]
    answer = {name: [] if kind == "ARRAY" else "" for name, kind in fields.items()}
    if "perspectives" in fields:
        answer["perspectives"] = list(dict.fromkeys(listed))[: int(said("How many") or 3)]
    if "question" in fields:
        asked = set(terms(" ".join(listed) + said("Topic"))) | STOP
        words = terms(f"{said('Perspective')} {said('Last answer')}")
        new = [term for term in words if term not in asked and len(term) > 1]
        answer["question"] = f"What about {' '.join(new[:2]) or 'this'} in {said('Topic')}?"
    if "queries" in fields:
        answer["queries"] = [" ".join(wanted), " ".join(wanted[:3])]
    if "answer" in fields:
        every = [(len(set(wanted) & set(terms(s))), -len(s), s, n) for n, text in passages for s in sentences(text)]
        best = [f"{s} [{n}]" for _, _, s, n in sorted(every, reverse=True)[:3]]
        if liar and best:
            best.append(f"Experts of all countries agree on this without any doubt. [{passages[0][0]}]")
            best.append(f"{best[0].rpartition(' ')[0]} [999]")
        answer["answer"] = " ".join(best)
    if "outline" in fields:
        answer["outline"] = listed
    return answer
