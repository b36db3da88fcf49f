"""The results for people: a CSV that Excel opens, and one HTML page that needs nothing else. What students wrote is only ever text there."""

import csv
import html
import io
import re
import unicodedata
from datetime import datetime

from grading.marking import PARTS, say

COLUMNS = [
    "student 學號", "name 姓名", "file 檔案", "late 遲交", "attempts 次數", "prompt 提示詞", "code 程式", "discovery 發現",
    "total 總分", "look 請看", "alike 相似", "reasons 評語",
]  # fmt: skip
LABELS = {"prompt": "prompt 提示詞", "code": "code 程式", "discovery": "discovery 發現", "notebook": "notebook 筆記本"}
STYLE = """
body{font:16px/1.5 system-ui,"Noto Sans TC","PingFang TC","Microsoft JhengHei",sans-serif;margin:2rem auto;max-width:75rem;
 padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.5rem}.quiet{color:#595959}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
th{position:sticky;top:0;background:#f4f4f4}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.open{color:#9a3412;font-weight:600}details{margin:.2rem 0}summary{cursor:pointer}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f6f6;padding:.6rem;border-left:4px solid #0072b2;max-height:22rem;overflow:auto}
.look{background:#fff4e5;border-left:4px solid #d55e00;padding:.15rem .6rem;margin:.2rem 0}svg text{font-size:12px}
@media print{details>*{display:block}th{position:static}}
"""


def visible(text):
    """Text whose invisible and direction-changing characters are written out, so that nothing pretends to be something else."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", str(text))
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else f"\\u{ord(c):04x}"
        for c in text
    )


def text_of(value):
    return html.escape(visible(value), quote=True)


def safe_cell(value):
    """A cell that no spreadsheet takes for a formula."""
    text = " ".join(visible(value).split("\t")).replace("\r", " ")
    return f"'{text}" if re.match(r"\s*[=+\-@＝＋－＠|%]", text) and not re.fullmatch(r"-?\d+(\.\d+)?", text) else text


def number(points):
    return "" if points is None else f"{points:g}"


def reasons_of(row):
    """The reasons of all parts in the student's language, a line for each part."""
    language = row["language"]
    if all(row["parts"][part].reasons == [("unread",)] for part in PARTS):
        return [say(key, language, *values) for key, *values in [("unread",), *row["notes"]]]
    lines = []
    for part in PARTS:
        words = " ".join(say(key, language, *values) for key, *values in row["parts"][part].reasons)
        label = LABELS[part].split()[language == "zh-TW"]
        lines.append(f"{label} {number(row['parts'][part].points) or '?'}/{row['full'][part]:g}: {words}")
    return lines + [say(key, language, *values) for key, *values in row["notes"]]


def write_csv(rows, path):
    """UTF-8 with a mark, so that Excel shows Chinese."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(COLUMNS)
    for row in rows:
        points = [number(row["parts"][part].points) for part in PARTS]
        cells = [row["number"], row["name"], row["file"], "late 遲交" if row["late"] else "", row["attempts"], *points]
        cells += [number(row["total"]), "; ".join(row["look"]), "; ".join(row["alike"]), "\n".join(reasons_of(row))]
        table.writerow([safe_cell(cell) for cell in cells])
    path.write_bytes(b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace"))


def histogram(rows, full):
    """How many hand-ins got how many points, as a drawing."""
    totals = [row["total"] for row in rows if row["total"] is not None]
    counts = [
        sum(1 for t in totals if low <= t < low + full / 10 or (low + full / 10 >= full == t))
        for low in [full * i / 10 for i in range(10)]
    ]
    most = max([*counts, 1])
    bars = []
    for i, count in enumerate(counts):
        height = 100 * count / most
        bars.append(f'<rect x="{i * 50 + 4}" y="{125 - height:.1f}" width="42" height="{height:.1f}" fill="#0072b2"/>')
        bars.append(f'<text x="{i * 50 + 25}" y="{120 - height:.1f}" text-anchor="middle">{count}</text>')
        bars.append(f'<text x="{i * 50 + 25}" y="142" text-anchor="middle">{full * i / 10:g}+</text>')
    label = f"Histogram of {len(totals)} totals: " + ", ".join(
        f"{full * i / 10:g}+: {count}" for i, count in enumerate(counts)
    )
    return f'<svg role="img" aria-label="{label}" viewBox="0 0 504 150" width="504">{"".join(bars)}</svg>'


def part_of(title, text):
    return f"<p><b>{text_of(title)}</b></p><pre>{text_of(text[:6000])}</pre>" if text else ""


def link_of(address):
    """A link, if it is one to the web; the page that it leads to learns nothing of this one."""
    if not re.fullmatch(r"https?://[A-Za-z0-9./?=&#%_~:+@-]+", address or ""):
        return ""
    return f'<p><b>link 連結</b>: <a rel="noopener noreferrer nofollow" href="{text_of(address)}">{text_of(address)}</a></p>'


def line_of(row):
    marks = "".join(
        f'<td class="n{" open" if row["parts"][part].points is None else ""}">{number(row["parts"][part].points) or "?"}</td>'
        for part in PARTS
    )
    look = "".join(f'<div class="look">{text_of(words)}</div>' for words in row["look"])
    late = " · late 遲交" if row["late"] else ""
    parts, said = row["seen"]["parts"], row["printed"]
    body = "".join(part_of(LABELS[part], parts.get(part, "")) for part in PARTS)
    body += part_of("printed 印出來的", said) + part_of("other files 其他檔案", "\n".join(row["seen"].get("extra", [])))
    reasons = "<br>".join(text_of(line) for line in reasons_of(row))
    return (
        f'<tr><td><b>{text_of(row["number"] or row["name"])}</b><br><span class="quiet">{text_of(row["name"])}{late}</span></td>{marks}'
        f'<td class="n{"" if row["total"] is not None else " open"}">{number(row["total"]) or "?"}</td>'
        f"<td>{look}{reasons}{link_of(parts.get('link', ''))}<details><summary>what was handed in 作業內容</summary>{body}</details></td></tr>"
    )


def group_of(group):
    alike = "" if group.how.startswith("the same") else f", {group.likeness:.0%}"
    source = " · so many that it is a common source 很多人都有，應該是共同的來源" if group.common else ""
    names = "、".join(text_of(name) for name in group.members[:40]) + (
        f" … ({len(group.members)})" if len(group.members) > 40 else ""
    )
    return (
        f"<tr><td>{text_of(LABELS[group.part])}</td><td>{text_of(group.how)}{alike}{source}</td><td>{names}</td></tr>"
    )


def discovery_of(row):
    words = row["seen"]["parts"].get("discovery", "").strip()
    shown = words if len(words) <= 600 else words[:600] + " …"
    points = number(row["parts"]["discovery"].points) or "?"
    return (
        f'<tr><td>{text_of(row["number"] or row["name"])}</td><td class="n">{points}</td><td>{text_of(shown)}</td></tr>'
        if words
        else ""
    )


def write_html(rows, groups, about, path):
    """`about`: {"folder", "protection", "full", "seconds", "command"}. The rows come sorted, what needs you most first."""
    totals = sorted(row["total"] for row in rows if row["total"] is not None)
    middle = f"{totals[len(totals) // 2]:g}" if totals else "–"
    waiting = sum(row["total"] is None for row in rows)
    facts = [
        f"{len(rows)} hand-ins 份作業", f"{waiting} wait for you 等您決定", f"{sum(bool(row['look']) for row in rows)} to look at 請看一下",
        f"{sum(row['late'] for row in rows)} late 遲交", f"middle total 中位數 {middle} / {about['full']:g}",
    ]  # fmt: skip
    table = "".join(line_of(row) for row in rows)
    alike = "".join(group_of(group) for group in groups) or '<tr><td colspan="3">none 沒有</td></tr>'
    told = "".join(discovery_of(row) for row in sorted(rows, key=lambda row: row["seen"]["parts"].get("discovery", "")))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="referrer" content="no-referrer">
<title>Softmax homework · {text_of(about["folder"])}</title><style>{STYLE}</style></head><body>
<h1>Softmax homework 作業評分 · {text_of(about["folder"])}</h1>
<p>{" · ".join(facts)}</p>{histogram(rows, about["full"])}
<p class="quiet">{text_of(about["protection"])}</p>
<p class="quiet">Graded 評分時間 {datetime.now():%Y-%m-%d %H:%M}. Points are computed from <code>rubric.toml</code>. To decide otherwise, write a line into
<code>changes.csv</code> beside this page and give the same command again. 想改分數：在同一個資料夾的 <code>changes.csv</code> 加一行，再執行同一個指令。</p>
<h2>Hand-ins, what needs you first 需要您看的排在前面</h2>
<table><thead><tr><th>student 學號</th><th class="n">prompt<br>提示詞</th><th class="n">code<br>程式</th><th class="n">discovery<br>發現</th>
<th class="n">total<br>總分</th><th>reasons 評語</th></tr></thead><tbody>{table}</tbody></table>
<h2>Discoveries, to read in one go 所有的發現</h2><p class="quiet">By their first words, so that alike ones stand together. Whether they are true is yours to say. 照開頭的字排列，相似的會排在一起；對不對由您判斷。</p>
<table><tbody>{told}</tbody></table>
<h2>Alike 相似的作業</h2><p class="quiet">Nobody loses points for this; read them side by side. 不會因此扣分，請您對照著看。</p>
<table><thead><tr><th>part</th><th>how 怎麼相似</th><th>who 誰</th></tr></thead><tbody>{alike}</tbody></table></body></html>
"""
    path.write_text(page, encoding="utf-8", errors="replace")
