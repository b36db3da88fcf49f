"""The picture that moves while a cell trains: what is shown, what is stored, and how little of the time it takes."""

import base64
import time

import matplotlib.pyplot as plt
import pytest

from helpers import TrainingPicture, figures

PNG = b"\x89PNG"


class Handle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, bundle, raw):
        self.shown.append(bundle)


@pytest.fixture
def shown(monkeypatch):
    bundles = []

    def display(bundle, raw, display_id):
        bundles.append(bundle)
        return Handle(bundles)

    monkeypatch.setattr(figures, "display", display)
    return bundles


def make(draw=lambda game: None):
    figure, axes = plt.subplots()
    (line,) = axes.plot([0, 1], [0, 0])
    return TrainingPicture(figure, lambda game: (line.set_ydata([game, game]), draw(game)), moving=[line])


def test_it_moves_and_leaves_its_last_state(shown):
    with make() as picture:
        first = picture.image.value
        picture(0.03)
        second = picture.image.value
        picture(0.05)
    last = picture.image.value
    assert first[:4] == second[:4] == PNG and len({first, second, last}) == 3
    begin, end = shown
    assert begin["text/plain"] == end["text/plain"], "nbval compares it"
    assert base64.b64decode(end["image/png"]) == last
    assert end["application/vnd.jupyter.widget-view+json"]["model_id"] == picture.image.model_id


def test_the_stop_button_leaves_the_last_state_too(shown):
    with pytest.raises(KeyboardInterrupt), make() as picture:
        picture(0.05)
        raise KeyboardInterrupt
    assert base64.b64decode(shown[-1]["image/png"]) == picture.image.value


def test_colab_gets_the_widget_only(shown, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    with make() as picture:
        picture(0.05)
    assert len(shown) == 1 and "image/png" not in shown[0]


def test_it_takes_less_than_a_tenth_of_the_time_however_often_it_is_called(shown, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow(game):
        clock[0] += 0.05

    with make(slow) as picture:
        for game in range(1000):
            clock[0] += 0.01  # a round of training
            picture(game)
    assert picture.frames > 5 and picture.seconds < 0.1 * picture.total


def test_without_a_round_there_is_nothing_to_draw(shown):
    with make() as picture:
        pass
    assert picture.frames == 0 and len(shown) == 2
