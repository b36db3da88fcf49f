"""From what was seen to points, each with its reason in plain words, in the student's language.

A part is worth points, or it is open: then no program can say, and you decide. Nothing is ever taken off for a likeness.
"""

import hashlib
import math
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

PARTS = ("prompt", "code", "discovery")
TEMPLATES = {  # what the course's page holds before a student changes anything
    "prompt": ("teach me softmax in colab, section by section, with markdown explanations.",),
    "discovery": ("it adds up to 1.",),
}

SENTENCES = {
    # the prompt
    "prompt_missing": ("There is no prompt in your hand-in.", "作業裡沒有提示詞。"),
    "prompt_short": ("Your prompt is too short to be one: “{0}”.", "太短了，不像提示詞：「{0}」。"),
    "prompt_unchanged": ("This is the sample prompt, unchanged, which is allowed.", "這是原來的範本，沒有改；沒有改也沒關係。"),
    "prompt_own": ("A prompt of your own.", "你自己的提示詞。"),
    # the code
    "code_missing": ("There is no code in your hand-in.", "作業裡沒有程式。"),
    "code_template": ("my_softmax returns the scores unchanged: it is still the template.", "my_softmax 把分數原封不動傳回來：還是範本。"),
    "code_syntax": ("Python cannot read your code ({0}).", "Python 看不懂你的程式（{0}）。"),
    "code_stopped": ("Your code stopped: {0}.", "程式執行時出錯：{0}。"),
    "code_no_function": ("Your code defines no function my_softmax.", "程式裡沒有定義 my_softmax。"),
    "code_slow": ("Your code was stopped after {0} seconds: it did not end.", "程式跑了 {0} 秒還沒結束，所以中止了。"),
    "code_ended": ("Your code ended the program, or crashed it, before it gave an answer.", "程式還沒有給答案，就把自己結束或弄壞了。"),
    "code_memory": ("Your code needs too much memory.", "程式用了太多記憶體。"),
    "code_right": ("Right for {0}.", "{0}：答對。"),
    "code_wrong": ("Not right for {0}: my_softmax({1}) should give {2} but gives {3}.", "{0}：不對。my_softmax({1}) 應該是 {2}，你的是 {3}。"),
    "code_error": ("Not right for {0}: my_softmax({1}) stopped with {2}.", "{0}：my_softmax({1}) 執行時出錯，{2}。"),
    "code_not_run": ("Your code has not been run yet; your teacher looks at it.", "程式還沒有執行過，由老師來看。"),
    "code_needs": ("Your code needs {0}, which is not here; your teacher looks at it.", "程式需要 {0}，這裡沒有，由老師來看。"),
    "notebook_right": ("Your notebook runs, and its function {0} is a softmax.", "你的筆記本跑得動，裡面的函式 {0} 是 softmax。"),
    "notebook_runs": ("Your notebook runs from top to bottom ({0} cells with code).", "你的筆記本從頭到尾都跑得動（{0} 格程式）。"),
    "notebook_partly": ("{0} of your notebook's {1} cells run; cell {2} stopped with {3}.", "你的筆記本 {1} 格程式裡有 {0} 格跑得動；第 {2} 格出錯：{3}。"),
    "notebook_fails": ("Only {0} of your notebook's {1} cells run; cell {2} stopped with {3}.", "你的筆記本 {1} 格程式裡只有 {0} 格跑得動；第 {2} 格出錯：{3}。"),
    "notebook_slow": ("Your notebook did not finish within {0} seconds here; your teacher looks at it.", "你的筆記本在 {0} 秒內跑不完，由老師來看。"),
    "notebook_needs": ("Your notebook needs {0}, which is not here; your teacher looks at it.", "你的筆記本需要 {0}，這裡沒有，由老師來看。"),
    "notebook_ended": ("Your notebook ended the program, or crashed it.", "你的筆記本把程式結束或弄壞了。"),
    "notebook_seen": ("It has {0} sliders and boxes, and {1} words of explanation.", "裡面有 {0} 個滑桿和輸入框，說明文字 {1} 個字。"),
    "notebook_empty": ("Your notebook holds no code.", "你的筆記本裡沒有程式。"),
    "notebook_not_run": ("Your notebook has not been run; your teacher looks at it.", "你的筆記本還沒有執行，由老師來看。"),
    "link_only": ("You handed in a link; your teacher opens it.", "你交的是連結，由老師打開來看。"),
    # the discovery
    "discovery_missing": ("There is no discovery in your hand-in.", "作業裡沒有寫發現。"),
    "discovery_template": ("This is still the template; that it adds up to 1 does not count.", "還是範本；「加起來是 1」不算。"),
    "discovery_nothing": ("These words name nothing that you discovered (that it adds up to 1 does not count).", "這些話沒有說出你的發現（「加起來是 1」不算）。"),
    "discovery_short": ("Too short: say in a sentence or two what you did not expect.", "太短：用一兩句話說出你沒料到的事。"),
    "discovery_no_number": ("It names no number that you saw (1 does not count).", "沒有寫出你看到的數字（1 不算）。"),
    "half_right": ("At your HALF_AT the largest share of your own scores is one half.", "HALF_AT 對了：你的三個分數，最大的比例正好是一半。"),
    "half_wrong": ("At HALF_AT = {0} the largest share of your own scores is {1}, not one half.", "HALF_AT = {0} 時，你的三個分數最大的比例是 {1}，不是一半。"),
    "half_empty": ("HALF_AT is still empty.", "HALF_AT 還沒填。"),
    "discovery_good": ("A discovery with a number that you saw.", "寫出了發現，也寫出了看到的數字。"),
    # everything
    "late": ("Handed in late.", "遲交。"),
    "changed": ("Your teacher's decision: {0}", "老師的決定：{0}"),
    "not_written": ("(no reason given)", "（沒有寫理由）"),
    "unread": ("Your hand-in could not be read; ask your teacher whether to hand it in again.", "你的作業讀不出來，請問老師要不要再交一次。"),
    # what was odd about the files; for the teacher, and honest enough for the student
    "empty": ("The hand-in holds nothing that can be read.", "作業裡沒有任何讀得到的東西。"),
    "zip_broken": ("A zip in it is damaged.", "裡面的 zip 壞了。"),
    "zip_many": ("A zip holds more than {0} files; the others were not read.", "zip 裡的檔案超過 {0} 個，多的沒有讀。"),
    "zip_outside": ("A zip holds a path that leads outside: {0}.", "zip 裡有通到外面的路徑：{0}。"),
    "zip_link": ("A zip holds a link, which is not followed: {0}.", "zip 裡有連結，不會跟過去：{0}。"),
    "zip_locked": ("A zip has a password: {0}.", "zip 設了密碼：{0}。"),
    "zip_method": ("A zip is packed in a way that is not read here: {0}.", "zip 的壓縮方式這裡不讀：{0}。"),
    "zip_member": ("A file in a zip is damaged: {0}.", "zip 裡有檔案壞了：{0}。"),
    "zip_bomb": ("A zip unpacks to more than {0} MB; the rest was not read.", "zip 解開超過 {0} MB，其餘沒有讀。"),
    "zip_deep": ("Zips within zips, too deep: {0}.", "zip 裡又有 zip，太多層：{0}。"),
    "not_zip": ("Not a zip, but RAR, 7z or gzip: {0}. Ask for a zip.", "不是 zip，是 RAR、7z 或 gzip：{0}。請改交 zip。"),
    "twice": ("There are several files for one part ({0}); not taken: {1}.", "同一部分（{0}）有好幾個檔案，沒有採用的是 {1}。"),
    "notebook_broken": ("The notebook cannot be read: {0}.", "筆記本讀不出來：{0}。"),
    "many_files": ("{0} files; only {1} were read.", "有 {0} 個檔案，只讀了 {1} 個。"),
    "unreadable": ("Not an ordinary file, or not readable: {0}.", "不是一般檔案，或讀不到：{0}。"),
    "too_large": ("Larger than {1} MB, not read: {0}.", "大於 {1} MB，沒有讀：{0}。"),
    "look_failed": ("The hand-in could not be taken apart ({0}).", "這份作業拆不開（{0}）。"),
}  # fmt: skip


# What a notebook meets here that it would not meet on Colab: the fault need not be the student's.
OUTSIDE = {
    "URLError",
    "gaierror",
    "ConnectionError",
    "PermissionError",
    "FileNotFoundError",
    "TimeoutError",
    "NotADirectoryError",
}


class RubricError(ValueError):
    """The rubric cannot be used; the message says in one sentence why."""


def read_rubric(path):
    """The rubric as a dictionary, checked; RubricError in one sentence where something is missing or impossible."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10: Jupyter brings the same under its older name
        import tomli as tomllib
    try:
        rubric = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RubricError(f"The rubric {path} cannot be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RubricError(f"The rubric {Path(path).name} is not written as TOML ({error}).") from None
    wanted = tomllib.loads((Path(__file__).parent / "rubric.toml").read_text(encoding="utf-8"))
    for section, values in wanted.items():
        if section not in rubric:
            raise RubricError(
                f"The rubric lacks the part [{section}]: copy it from {Path(__file__).parent.name}/rubric.toml."
            )
        for name in values if isinstance(values, dict) else ():
            if name not in rubric[section]:
                raise RubricError(
                    f"The rubric lacks `{name}` in [{section}]: copy it from {Path(__file__).parent.name}/rubric.toml."
                )
            if type(values[name]) in (int, float) and not (
                isinstance(rubric[section][name], int | float) and rubric[section][name] >= 0
            ):
                raise RubricError(
                    f"In the rubric `{name}` of [{section}] is {rubric[section][name]!r}: it has to be a number, 0 or more."
                )
    if rubric["language"] not in ("student", "en", "zh-TW"):
        raise RubricError(f'In the rubric language is "{rubric["language"]}": take "student", "en" or "zh-TW".')
    for group in rubric["code"]["group"]:
        if not isinstance(group.get("scores"), list) or not all(0 < len(s) <= 50 for s in group["scores"]):
            raise RubricError(f"In the rubric the group “{group.get('name')}” needs scores, such as [[2, 1, -1]].")
    for pattern in rubric["discovery"]["says_nothing"]:
        try:
            re.compile(pattern)
        except re.error as error:
            raise RubricError(f"In the rubric the pattern {pattern!r} is no regular expression ({error}).") from None
    if sum(group["points"] for group in rubric["code"]["group"]) != 100:
        raise RubricError("In the rubric the points of the code's groups have to add up to 100.")
    return rubric


def cases_of(rubric, seed):
    """For each group of the rubric its scores and one random list more: [[scores, …], …]. `seed` is the hand-in's hash."""
    groups = []
    for group in rubric["code"]["group"]:
        chance = random.Random(hashlib.sha256(f"{seed} {group['scores']}".encode()).hexdigest())
        count, spread = chance.randint(3, 6), group.get("spread", 0)
        one = round(chance.uniform(-5, 5), 3)
        extra = [round(chance.uniform(-spread, spread), 3) if spread else one for _ in range(count)]
        groups.append([[float(x) for x in scores] for scores in [*group["scores"], extra]])
    return groups


def right_answer(scores):
    powers = [math.exp(x - max(scores)) for x in scores]
    return [power / sum(powers) for power in powers]


def numbers_in(answer):
    """The numbers in an answer, as floats; none where there is anything else among them (it is a stranger's word)."""
    values = answer.get("values")
    try:
        kinds = isinstance(values, list) and all(type(value) in (int, float) for value in values)
        return [float(value) for value in values] if kinds else []
    except OverflowError:  # an integer of a thousand digits
        return []


def is_right(answer, scores):
    """Whether what came back is the softmax of `scores`."""
    values, wanted = numbers_in(answer), right_answer(scores)
    if answer.get("shape") != [len(scores)] or len(values) != len(wanted):
        return False
    return all(abs(v - w) <= 1e-6 + 1e-5 * w for v, w in zip(values, wanted, strict=True))


@dataclass
class Part:
    """Points of a part (None: open, you decide), the reasons, and whether you should look."""

    points: float | None
    reasons: list = field(default_factory=list)
    look: str = ""


def language_of(texts, rubric):
    """en or zh-TW: that of the student's own words, or the one that the rubric wants."""
    if rubric["language"] != "student":
        return rubric["language"]
    words = "".join(texts)
    chinese = len(re.findall(r"[\u3400-\u9fff]", words))
    return "zh-TW" if chinese * 5 > len(re.findall(r"[A-Za-z]", words)) else "en"


def say(key, language, *values):
    """A sentence in one of both languages."""
    sentence = SENTENCES[key][language == "zh-TW"]
    return sentence.format(*(value[language == "zh-TW"] if isinstance(value, tuple) else value for value in values))


def mark_prompt(text, rubric):
    rules, full = rubric["prompt"], rubric["points"]["prompt"]
    text = text.strip()
    if not text:
        return Part(0, [("prompt_missing",)])
    if " ".join(re.findall(r"[a-z]+", text.lower())) in [
        " ".join(re.findall(r"[a-z]+", t)) for t in TEMPLATES["prompt"]
    ] and not re.search(r"[^\x00-\x7f]", text):
        return Part(min(rules["unchanged"], full), [("prompt_unchanged",)])
    if len(text) < rules["shortest"]:
        return Part(0, [("prompt_short", text[:30])])
    return Part(full, [("prompt_own",)])


def own_scores(student):
    """The three scores that page 01 gives to a student number (the page's own function; a test holds both together)."""
    chance = random.Random(f"softmax {''.join(student.split()).upper()}")
    largest, gap = chance.randint(10, 40), chance.randint(4, 40)
    return [score / 10 for score in (largest, largest - gap, largest - gap - chance.randint(1, 25))]


def mark_half(value, student):
    """(whether it is right, the reason) for the temperature at which the student's own largest share is one half."""
    try:
        temperature = float(value)
    except ValueError:
        temperature = 0.0
    if not 1e-6 < temperature < 1e6:
        return False, ("half_empty",)
    share = max(right_answer([score / temperature for score in own_scores(student)]))
    return (
        (True, ("half_right",))
        if abs(share - 0.5) <= 0.02
        else (False, ("half_wrong", f"{temperature:g}", f"{share:.2f}"))
    )


def mark_discovery(text, rubric, student=""):
    """Points for the words; where the page asked for HALF_AT, too, some of them are for that."""
    full, half = rubric["points"]["discovery"], min(rubric["discovery"]["half_at"], rubric["points"]["discovery"])
    *lines, last = text.strip()[:20_000].splitlines() or [""]
    asked = re.fullmatch(r"HALF_AT *= *(\S{0,40})", last)
    value = asked and asked.group(1)
    part = mark_words(" ".join(" ".join(lines if asked else [*lines, last]).split()), rubric)
    if value is None or not student or half == 0:
        return part
    right, reason = mark_half(value, student)
    points = round(part.points * (full - half) / full + half * right, 1)
    return Part(points, [*part.reasons, reason], part.look)


def mark_words(text, rubric):
    rules, full = rubric["discovery"], rubric["points"]["discovery"]
    if not text:
        return Part(0, [("discovery_missing",)])
    if text.lower() in TEMPLATES["discovery"] or text.lower() + "." in TEMPLATES["discovery"]:
        return Part(0, [("discovery_template",)])
    rest = text
    for pattern in rules["says_nothing"]:
        rest = re.sub(pattern, " ", rest, flags=re.I)
    if weight_of(text) < rules["shortest"]:
        return Part(0, [("discovery_short",)])
    if rest != text and weight_of(re.sub(r"[\W_]+", "", rest)) < rules["shortest"] / 2:
        return Part(0, [("discovery_nothing",)], "words")
    numbers = [number.replace(",", "") for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", rest)[:100]]
    seen = [number for number in numbers if float(number) != 1 and ("." in number or len(number) < 5)]
    if not seen and not re.search("[二兩三四五六七八九十百千半倍]", rest):
        return Part(min(rules["without_number"], full), [("discovery_no_number",)])
    return Part(full, [("discovery_good",)])


def weight_of(text):
    """How much a text is: its characters, a Chinese one counted twice."""
    return len(text) + len(re.findall(r"[\u3400-\u9fff]", text))


def shown(values):
    return "[" + ", ".join(f"{value:.6g}" for value in values[:6]) + (", …" if len(values) > 6 else "") + "]"


def compare(answers, groups, rubric):
    """(points of 100, reasons, whether the scores came back unchanged) for the answers to all cases, in their order."""
    answers = answers if isinstance(answers, list) else []
    points, reasons, place, same = 0, [], 0, True
    for group, cases in zip(rubric["code"]["group"], groups, strict=True):
        name, wrong = (group["name"], group.get("chinese", group["name"])), None
        for scores in cases:
            answer = (
                answers[place] if place < len(answers) and isinstance(answers[place], dict) else {"error": "no answer"}
            )
            place += 1
            same &= answer.get("values") == scores
            if wrong is None and not is_right(answer, scores):
                wrong = scores, answer
        if wrong is None:
            points += group["points"]
            reasons.append(("code_right", name))
        elif isinstance(wrong[1].get("error"), str):
            reasons.append(("code_error", name, shown(wrong[0]), wrong[1]["error"][:200]))
        else:
            given, wanted = shown(numbers_in(wrong[1])), shown(right_answer(wrong[0]))
            reasons.append(("code_wrong", name, shown(wrong[0]), wanted, given))
    return points, reasons, same


def mark_code(seen, runs, groups, rubric):
    """The better of both: the function my_softmax, and the student's own notebook."""
    full, found = rubric["points"]["code"], []
    if seen["parts"].get("code"):
        found.append(mark_function(seen, runs.get("code"), groups, rubric))
    if seen["notebook"]:
        found.append(mark_notebook(seen["notebook"], runs.get("notebook"), groups, rubric))
    if not found and seen["parts"]["link"]:
        found.append(Part(None, [("link_only",)], "open"))
    if not found:
        return Part(0, [("code_missing",)])
    best = max(found, key=lambda part: -1 if part.points is None else part.points)
    for part in found:  # what is open could still be the better one, unless the other one is perfect
        if part.points is None and (best.points or 0) < 100:
            best = Part(None, [*part.reasons, *(best.reasons if best is not part else [])], "open")
    points = None if best.points is None else round(best.points * full / 100, 1)
    look = best.look or next((part.look for part in found if part.look == "odd"), "")
    return Part(points, best.reasons, look)


def mark_function(seen, run, groups, rubric):
    limits = rubric["limits"]
    if seen["code"]["error"]:
        return Part(0, [("code_syntax", seen["code"]["error"])])
    if run is None or run["end"].startswith("sandbox"):
        return Part(None, [("code_not_run",)], "open")
    said = run["said"]
    if run["end"] == "time":
        return Part(0, [("code_slow", limits["code_seconds"])], "odd")
    if said and (said.get("failed") == "MemoryError" or str(said.get("error")).startswith("MemoryError")):
        return Part(0, [("code_memory",)], "odd")
    if said is None or "failed" in said or not isinstance(said.get("cases"), list):
        return Part(0, [("code_ended",)], "odd")
    if said.get("error") == "no my_softmax":
        return Part(0, [("code_no_function",)])
    if isinstance(said.get("missing"), str):
        return Part(None, [("code_needs", said["missing"][:50])], "open")
    if said.get("error"):
        return Part(0, [("code_stopped", str(said["error"])[:200])])
    if len(said["cases"]) != sum(len(cases) for cases in groups):
        return Part(0, [("code_ended",)], "odd")
    points, reasons, same = compare(said["cases"], groups, rubric)
    missing = [a["missing"] for a in said["cases"] if isinstance(a, dict) and isinstance(a.get("missing"), str)]
    if missing:
        return Part(None, [("code_needs", missing[0][:50])], "open")
    return Part(0, [("code_template",)]) if same else Part(points, reasons)


def mark_notebook(notebook, run, groups, rubric):
    rules = rubric["notebook"]
    if run is None or run["end"].startswith("sandbox"):
        return Part(None, [("notebook_not_run",)], "open")
    said = run["said"]
    if run["end"] == "time":
        return Part(None, [("notebook_slow", rubric["limits"]["notebook_seconds"])], "open")
    kinds = {"cells": int, "ran": int, "errors": list, "functions": dict, "widgets": int, "asked": int}
    if said is None or not all(isinstance(said.get(name), kind) for name, kind in kinds.items()):
        return Part(0, [("notebook_ended",)], "odd")
    cells, ran = said["cells"], said["ran"]
    if cells == 0:
        return Part(0, [("notebook_empty",)])
    best = max(
        ((compare(answers, groups, rubric)[0], str(name)[:50]) for name, answers in said["functions"].items()),
        default=(0, ""),
    )
    errors = [error for error in said["errors"] if isinstance(error, dict)]
    needs = next((error["missing"] for error in errors if isinstance(error.get("missing"), str)), None)
    if needs is None and any(str(error.get("error")).split(":")[0] in OUTSIDE for error in errors):
        needs = ("a file or the network", "檔案或網路")
    if needs:
        return Part(None, [("notebook_needs", needs)], "open")
    if ran == cells:
        reasons = [("notebook_runs", cells)] if best[0] < 100 else [("notebook_right", best[1])]
        words = sum(
            len(re.findall(r"[\u3400-\u9fff]|[A-Za-z]+", text))
            for kind, text in notebook["cells"]
            if kind == "markdown"
        )
        reasons.append(("notebook_seen", said["widgets"] + said["asked"], words))
        return Part(max(rules["runs"], best[0]), reasons)
    first = errors[0] if errors else {}
    words = (ran, cells, first.get("cell", "?"), str(first.get("error", "?"))[:200])
    if 2 * ran > cells:
        return Part(rules["partly"], [("notebook_partly", *words)])
    return Part(0, [("notebook_fails", *words)])


def mark(seen, runs, groups, rubric, student=""):
    """{part: Part} of one hand-in; `student` is the number that its scores of page 01 follow from."""
    return {
        "prompt": mark_prompt(seen["parts"].get("prompt", ""), rubric),
        "code": mark_code(seen, runs, groups, rubric),
        "discovery": mark_discovery(seen["parts"].get("discovery", ""), rubric, student),
    }
