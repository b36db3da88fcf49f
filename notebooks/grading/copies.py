"""Which hand-ins are alike, in code (by its syntax) and in words (by pieces of five characters).

A softmax is two lines, so honest ones are alike: short code is compared by its text only, where that holds a comment of some length,
and what a good part of the class has in common is shown as a common source. No one loses a point for any of it.
A thousand hand-ins are half a million pairs; MinHash finds those worth a comparison.
"""

import re
import unicodedata
import zlib
from dataclasses import dataclass

import numpy as np

PRIME = 4294967311
BANDS, ROWS = 24, 3  # texts that share half of their pieces meet in a band with 96 % chance, those of a tenth with 2 %


@dataclass
class Group:
    """Hand-ins that are alike: how, how much, and whether so many that it is a common source."""

    part: str
    how: str
    likeness: float
    members: list
    common: bool


def pieces_of(text, length=5):
    """The pieces of `length` characters of a text without blanks and signs, as sorted numbers."""
    plain = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text[:20_000]).casefold())
    numbers = {zlib.crc32(plain[i : i + length].encode()) for i in range(len(plain) - length + 1)}
    return np.array(sorted(numbers), dtype=np.uint64)


def likeness(one, other):
    """The part of all pieces of two sets that both have (Jaccard)."""
    both = np.intersect1d(one, other, assume_unique=True).size
    return both / (one.size + other.size - both)


def near_pairs(sets, least):
    """[(likeness, a, b)] for the pairs of {name: pieces} that share at least the part `least`."""
    sets = {name: pieces for name, pieces in sets.items() if pieces.size}
    chance = np.random.default_rng(0)
    a = chance.integers(1, 1 << 31, BANDS * ROWS, dtype=np.uint64)[:, None]
    b = chance.integers(0, 1 << 31, BANDS * ROWS, dtype=np.uint64)[:, None]
    buckets = {}
    for name, pieces in sets.items():
        smallest = ((a * pieces + b) % PRIME).min(axis=1).reshape(BANDS, ROWS)
        for band, row in enumerate(smallest):
            buckets.setdefault((band, *row.tolist()), []).append(name)
    pairs = {(m[i], m[j]) for m in buckets.values() for i in range(len(m)) for j in range(i + 1, len(m))}
    found = [(likeness(sets[one], sets[other]), one, other) for one, other in sorted(pairs)]
    return [pair for pair in found if pair[0] >= least]


def grouped(pairs):
    """Join pairs to groups: [(least likeness that joined it, members)]; the likeliest pairs first."""
    group = {}
    for alike, one, other in sorted(pairs, reverse=True):
        first, second = group.get(one, ([1.0], [one])), group.get(other, ([1.0], [other]))
        if first is second:
            continue
        joined = ([min(first[0][0], second[0][0], alike)], first[1] + second[1])
        for member in joined[1]:
            group[member] = joined
    return [(least[0], sorted(members)) for least, members in {id(g): g for g in group.values()}.values()]


def same(values):
    """Groups of names with the same value: [[name, …], …]."""
    groups = {}
    for name, value in values.items():
        if value:
            groups.setdefault(value, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def alike_words(part, texts, rules, size):
    """Groups of the {name: text} that say nearly the same."""
    texts = {
        name: text
        for name, text in texts.items()
        if len(text) + len(re.findall("[\u3400-\u9fff]", text)) >= rules["words_shortest"]
    }
    plain = {name: " ".join(text.split()) for name, text in texts.items()}
    copies = {names[0]: names for names in same(plain)}
    twins = {twin for names in copies.values() for twin in names[1:]}
    pairs = near_pairs({name: pieces_of(text) for name, text in plain.items() if name not in twins}, rules["words"])
    return spread(part, "nearly the same words", "the same text", pairs, copies, rules, size)


def spread(part, near, equal, pairs, copies, rules, size):
    """Groups of pairs, in which each name stands for all its twins."""
    groups, seen = [], set()
    for least, members in grouped(pairs):
        everyone = sorted({twin for member in members for twin in copies.get(member, [member])})
        seen |= set(members)
        groups.append(Group(part, near, least, everyone, False))
    groups += [Group(part, equal, 1.0, sorted(names), False) for first, names in copies.items() if first not in seen]
    for group in groups:
        group.common = len(group.members) > max(5, rules["common"] * size)
    return groups


def alike_code(part, codes, rules, size):
    """Groups of {name: (text, shape)} that are the same but for names and layout, or nearly so."""
    large = {name: shape for name, (_, shape) in codes.items() if shape and shape["size"] >= rules["code_smallest"]}
    remarks = {name: shape.get("comments", "") for name, (_, shape) in codes.items() if shape and name not in large}
    remarked = {name: text for name, text in remarks.items() if len(text) >= 15}
    texts = {name: " ".join(codes[name][0].split()) for name in remarked}
    groups = [Group(part, "the same text, comments too", 1.0, sorted(names), False) for names in same(texts)]
    counted = {}
    for shape in large.values():
        for piece in shape["pieces"]:
            counted[piece] = counted.get(piece, 0) + 1
    rare = {
        name: np.array([p for p in shape["pieces"] if counted[p] <= max(5, 0.2 * size)], dtype=np.uint64)
        for name, shape in large.items()
    }
    rare = {name: pieces for name, pieces in rare.items() if pieces.size >= 5}
    copies = {names[0]: names for names in same({name: shape["shape"] for name, shape in large.items()})}
    twins = {twin for names in copies.values() for twin in names[1:]}
    pairs = near_pairs({name: pieces for name, pieces in rare.items() if name not in twins}, rules["code"])
    groups += spread(part, "nearly the same code", "the same code but for names and layout", pairs, copies, rules, size)
    for group in groups:
        group.common = len(group.members) > max(5, rules["common"] * size)
    return groups


def find(hand_ins, rules, templates):
    """All groups among {name: what was seen}; texts that equal a template are left out."""
    known = {" ".join(text.split()).casefold() for texts in templates.values() for text in texts}
    size, groups = len(hand_ins), []
    for part in ("prompt", "discovery"):
        texts = {name: str(seen["parts"].get(part, "")) for name, seen in hand_ins.items()}
        own = {name: text for name, text in texts.items() if " ".join(text.split()).casefold() not in known}
        groups += alike_words(part, own, rules, size)
    codes = {name: (str(seen["parts"].get("code", "")), seen["code"]) for name, seen in hand_ins.items()}
    groups += alike_code("code", codes, rules, size)
    notebooks = {name: ("", seen["notebook_code"]) for name, seen in hand_ins.items()}
    groups += alike_code("notebook", notebooks, rules, size)
    return sorted(groups, key=lambda g: (g.common, -g.likeness, -len(g.members), g.members))
