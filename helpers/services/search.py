"""A search engine that can be read in five minutes: BM25 over words, and over pairs of Chinese characters.

>>> engine = Search(passages)              # each {"url", "title", "content", "language"}
>>> engine.find("why does squared error stall", 3)
"""

from __future__ import annotations

import collections
import math
import re


def terms(text: str) -> list[str]:
    """What `text` is looked up by: its words in small letters; of Chinese each two neighbouring characters, 明月光 → 明月, 月光."""
    runs = re.findall(r"[\u4e00-\u9fff]+", text)
    pairs = [run[i : i + 2] for run in runs for i in range(max(1, len(run) - 1))]
    return re.findall(r"[a-z0-9]+", text.lower()) + pairs


class Search:
    """The passages, and for each term in which of them it stands, and how often.

    A passage scores for each term of the query: more if the term is rare among all passages, more if it stands there
    often (but ten times is not ten times better: `k`), less if the passage is long (`b`). Robertson and others 1994.
    """

    def __init__(self, passages: list[dict], k: float = 1.5, b: float = 0.75):
        self.passages, self.k = passages, k
        bags = [collections.Counter(terms(f"{p['title']} {p['content']}")) for p in passages]
        mean = sum(bag.total() for bag in bags) / max(1, len(bags))
        self.length = [k * (1 - b + b * bag.total() / mean) for bag in bags]
        self.where = collections.defaultdict(list)  # term → [(passage, how often)]
        for number, bag in enumerate(bags):
            for term, count in bag.items():
                self.where[term].append((number, count))

    def find(self, query: str, most: int = 5) -> list[dict]:
        """The passages that fit `query` best, at most `most`, each with its `score`."""
        scores = collections.Counter()
        for term in set(terms(query)):
            places = self.where.get(term, [])
            rare = math.log(1 + (len(self.passages) - len(places) + 0.5) / (len(places) + 0.5))
            for number, count in places:
                scores[number] += rare * count * (self.k + 1) / (count + self.length[number])
        best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        return [self.passages[number] | {"score": round(score, 3)} for number, score in best]
