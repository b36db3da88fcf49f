"""Notebook 01's judge of discoveries and prompts on 40 hand-ins as students write them, good and bad, in both languages."""

import numpy as np
import pytest
from notebook_code import run_cells

cells = ("judge-lists", "judge-words", "judge-more-words")
names = run_cells("01", *cells, np=np)

GOOD = [
    "把溫度從 1 調到 0.5，第一名的比例從 0.59 變成 0.84，我以為只會多一點點。",
    "我的三個分數是 3.1、1.4、0.2，T=10 的時候幾乎一樣大，0.38、0.33、0.29。",
    "原來全部加 100 分，比例完全不變！本來以為會溢位，結果還是 0.665、0.245、0.09。",
    "差 1 分就變成 2.718 倍，差 2 分變 7.389 倍，不是兩倍。",
    "輸入 0.5、0.4、0.1 結果第一名只剩 0.388，softmax 反而讓它變平均了",
    "春眠不覺後面接曉的機率有 85%，可是換成「山中明月」就亂猜，最大的才 4%。",
    "溫度很低的時候，模型寫的詩一直重複同樣的句子，T=0.2 有三成的句子是重複的，我很驚訝。",
    "兩個一樣大的分數，不管溫度多低都是一人一半，不會有人全拿。",
    "我發現分數是 −1000 也沒關係，比例就是 0，程式不會壞。",
    "把五個滑桿都拉到最低 −5，每個還是 0.2，跟都拉到最高一樣。",
    "When I halved T the ratio of my first two shares was squared: 2.72 became 7.39.",
    "I expected 1000, 999, 998 to give something close to a third each, but it is 0.665, 0.245, 0.09.",
    "At T = 10 my largest share is still 0.41, so even a hot softmax keeps the order.",
    "Raising one score lowers all the others, but their ratio stays exactly 2.718.",
    "With 20 equal numbers each share is 0.05; adding a 21st that is larger by 3 takes half of everything.",
    "The poem model gives 曉 86 %, and if I change one character it drops below 2 %.",
    "A negative score does not give a negative share: -3 still got 0.0049.",
    "I thought doubling all scores changes nothing, like division, but the winner went from 0.705 to 0.88.",
    "My function broke at 710 and not at 700. exp(709) still works!",
    "nothing can get exactly 0 unless its score is minus infinity: even -50 got 1e-23, I mean 0.00000000000000000000002",
    "第三個分數改了之後，前兩個的比值一直是 2.718，沒發現任何例外。",
]
BAD = [
    "",
    "It adds up to 1.",
    "加起來等於 1",
    "我什麼都沒發現，隨便寫寫 123456",
    "沒發現什麼，就這樣交了 0.5 0.5",
    "不知道要寫什麼，溫度 0.5 分數 2",
    "隨便打一些字湊字數，比例 0.5，溫度 2.0",
    "asdfasdf 3.14 asdfasdf score",
    "I found nothing, the shares are 0.5 and so on.",
    "I have no clue what to write here. Temperature 0.5.",
    "softmax 很有趣，學到很多，謝謝老師，下次還要再學",
    "Softmax is very useful in machine learning and in deep learning and everywhere.",
    "我的學號是 B12345678，這是我的作業，請老師給高分",
    "這一頁總共有一百多個儲存格，我全部都執行完了，沒有出錯",
    "0.5",
    "3.14159 2.71828 1.41421 1.73205 2.23606",
    "Every time the shares add up to 1 again, I did not expect that",
    "每次的比例加起來都是 1，我本來沒有想到",
    "我今天早餐吃了 2 個包子，天氣很好，心情也不錯喔喔喔",
    "Homework 12345678 student 987654321 submitted on time with all the parts, score please",
]


def test_there_are_forty_of_them():
    assert len(GOOD) + len(BAD) >= 40


@pytest.mark.parametrize("text", GOOD)
def test_a_real_discovery_counts(text):
    assert names["judge_discovery"](text) == ""


@pytest.mark.parametrize("text", BAD)
def test_what_is_none_does_not_and_is_told_why(text):
    assert names["judge_discovery"](text)


@pytest.mark.parametrize(
    "text",
    [
        "Teach me softmax in Colab, section by section, with Markdown explanations.",  # unchanged is allowed
        "請用國中生聽得懂的話教我 softmax",
        "你是一位很有耐心的老師，一節一節教我 softmax，每節都先問我一個問題",
        "Explain softmax with sliders; ask me before each cell what I expect.",
    ],
)
def test_a_prompt_counts_unchanged_too(text):
    assert names["judge_prompt"](text) == ""


@pytest.mark.parametrize("text", ["", "  \n ", "hi", "softmax"])
def test_a_prompt_that_is_none(text):
    assert "too short" in names["judge_prompt"](text)
