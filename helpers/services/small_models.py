"""What answers behind the stand-in's door: a poet, figurines with faces drawn beforehand, a reader that quotes, a search.

Plain numpy and Pillow, so that the door's process starts in a second.
"""

import collections
import io
import json
import random
import re
from pathlib import Path

import numpy as np

if "." in __name__:
    from .search import Search, terms
else:  # beside the door, in its process
    from search import Search, terms

DATA, FONT = Path(__file__).resolve().parents[2] / "data", "NotoSansCJKtc-subset.otf"
FILES = [
    "tang_quatrains.tsv",
    "drawn_faces.npz",
    FONT,
    "course_passages.jsonl",
]  # whose sums the notebook checks before the door opens
COMMON = (
    "the a an of to and in is it that what does say about how why do on for with are be this which from as not by or at"
)
STOP = frozenset(COMMON.split())  # words that no search is about
LABELS = [r"glasses|眼鏡", r"long hair|長髮|長頭髮", r"\bhat\b|帽"]
COLOURS = {"red|紅": "#D64545", "blue|藍": "#2F6FB5", "green|綠": "#3B9C6B", "yellow|黃": "#E8B93C", "purple|紫": "#8A5BB0",
           "pink|粉": "#E58FB1", "black|黑": "#3A3A44", "orange|橘": "#E07B39"}  # fmt: skip


class Poet:
    """A tiny language model: which character follows which two, which one, and stands where, counted in Tang quatrains."""

    def __init__(self):
        rows = (DATA / FILES[0]).read_text(encoding="utf-8").splitlines()[1:]
        poems = sorted({re.sub("[，。]", "", row.split("\t")[2]) for row in rows})
        self.known = sorted(set("".join(poems)))
        self.number = {character: n for n, character in enumerate(self.known)}
        self.places, self.after = np.zeros((20, len(self.known))), collections.defaultdict(collections.Counter)
        for poem in poems:
            for place, character in enumerate(poem):
                self.places[place, self.number[character]] += 1
                for back in (1, 2):
                    if place >= back:
                        self.after[poem[place - back : place]][self.number[character]] += 1
        often = self.places.sum(axis=0)
        self.places = (self.places + 3000 * often / often.sum()) / (len(poems) + 3000)  # (20, known), as in notebook 01

    def shares(self, text):
        """The share of each character to come next: longer contexts weigh more, the more often they were seen."""
        shares = self.places[len(text) % 20].copy()
        for back in (1, 2):
            seen = self.after.get(text[-back:]) if len(text) >= back else None
            if seen:
                total, trust = sum(seen.values()), len(seen)
                shares *= trust / (total + trust)
                for number, count in seen.items():
                    shares[number] += count / (total + trust)
        return shares

    def write(self, opening, temperature, seed):
        """The characters of a quatrain, with its commas and full stops, one after the other."""
        text, chance = "", random.Random(seed)
        for place in range(20):
            if place < len(opening):
                text += opening[place]
            elif temperature < 0.01:
                text += self.known[int(self.shares(text).argmax())]
            else:
                powers = self.shares(text) ** (1 / temperature)
                sums = powers.cumsum()
                text += self.known[min(int(sums.searchsorted(chance.random() * sums[-1])), len(self.known) - 1)]
            yield text[-1] + ("，。"[place // 5 % 2] if place % 5 == 4 else "")


def opening_of(prompt, known):
    """What a quatrain is to begin with: the prompt's last quotation, or all of it if it is a few Chinese characters."""
    quoted = re.findall(r"[「“\"']([\u4e00-\u9fff，]+)[」”\"']", prompt) or re.findall(
        r"^\s*([\u4e00-\u9fff]{1,10})\s*$", prompt
    )
    return "".join(character for character in (quoted or [""])[-1] if character in known)[:19]


def figurines(words, pictures, seed):
    """A figurine in its box, as PNG, and a sentence; the head is a face that was drawn, or each picture in 16 × 16 pixels."""
    from PIL import Image, ImageDraw, ImageFont

    chance, said = (
        random.Random(seed),
        "I have made 16 × 16 pixels of each of your pictures, and understood nothing of it.",
    )
    heads = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    heads = [head.crop((0, 0, min(head.size), min(head.size))).resize((16, 16), Image.Resampling.BOX) for head in heads]
    if not heads:
        with np.load(DATA / FILES[1], allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
        wanted = np.array([bool(re.search(pattern, words, re.IGNORECASE)) for pattern in LABELS])
        fits = (labels == wanted).sum(axis=1)
        pick = chance.choice(np.flatnonzero(fits == fits.max()).tolist())
        heads, said = (
            [Image.fromarray(images[pick])],
            f"Face {pick} of {len(images)} that notebook 08's generator drew.",
        )
    shirt = next((colour for name, colour in COLOURS.items() if re.search(name, words, re.IGNORECASE)), "#2F6FB5")
    title = (re.findall(r"[「“\"]([^「」“”\"]{1,14})[」”\"]", words) or ["FIGURINE"])[0]
    wide = 300 + 220 * (len(heads) - 1)
    sheet, font = Image.new("RGB", (wide + 120, 560), "#E9E2D6"), str(DATA / FONT)
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


class Library:
    """The search engine behind the door, over the course's own pages: one index for each language, made when first needed."""

    def __init__(self):
        self.engines = {}

    def find(self, query, language, most):
        """The passages of one language that fit the query best."""
        if language not in self.engines:
            rows = map(json.loads, (DATA / FILES[3]).read_text(encoding="utf-8").splitlines())
            self.engines[language] = Search([row for row in rows if row["language"] == language])
        return self.engines[language].find(query, most)


def sentences(text):
    """The sentences of a text that are long enough to say something."""
    return [s.strip() for s in re.split(r"(?<=[.!?]) +|(?<=[。！？])", text) if len(terms(s)) > 4]


def answer_in_json(prompt, fields, liar=False):
    """What a request for JSON with these fields gets: quotations of the prompt itself, chosen by the terms they share.

    It writes nothing of its own. A `liar` adds a sentence that no source holds, and a number that no source has.
    """
    said = lambda name: (re.findall(rf"^{name}: (.*)$", prompt, re.MULTILINE) or [""])[-1]  # noqa: E731
    listed, passages = (
        re.findall(r"^- (.*)$", prompt, re.MULTILINE),
        re.findall(r"^\[(\d+)\] (.*)$", prompt, re.MULTILINE),
    )
    wanted = [term for term in terms(said("Question") or said("Topic")) if term not in STOP]
    answer = {name: [] if kind == "ARRAY" else "" for name, kind in fields.items()}
    if "perspectives" in fields:
        answer["perspectives"] = list(dict.fromkeys(listed))[: int(said("How many") or 3)]
    if "question" in fields:
        asked = set(terms(" ".join(listed) + said("Topic")))
        new = [
            term
            for term in terms(f"{said('Perspective')} {said('Last answer')}")
            if term not in asked | STOP and len(term) > 1
        ]
        answer["question"] = f"What about {' '.join(new[:2]) or 'this'} in {said('Topic')}?"
    if "queries" in fields:
        answer["queries"] = [" ".join(wanted), " ".join(wanted[:3])]
    if "answer" in fields:
        every = [(len(set(wanted) & set(terms(s))), -len(s), s, n) for n, text in passages for s in sentences(text)]
        best = [f"{s} [{n}]" for _, _, s, n in sorted(every, reverse=True)[:3]]
        if liar and best:
            best += [
                f"Experts of all countries agree on this without any doubt. [{passages[0][0]}]",
                f"{best[0].rpartition(' ')[0]} [999]",
            ]
        answer["answer"] = " ".join(best)
    if "outline" in fields:
        answer["outline"] = listed
    return answer
