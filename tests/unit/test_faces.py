"""The faces and their judge: one split, the sheet, shipped weights that are what the code says and are a ruler."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data.rebuild import face_judge as training
from data.rebuild.judges import errors
from helpers import (
    CourseError,
    data_file,
    face_judge,
    face_labels,
    face_sheet,
    frechet_distance,
    load_faces,
    rows,
)


@pytest.fixture(scope="module")
def faces():
    return load_faces()


def test_the_split_leaves_nothing_out_and_nothing_twice(faces):
    assert faces.x.shape == (3000, 3, 16, 16) and faces.test_x.shape == (1000, 3, 16, 16)
    assert faces.y.shape == (3000, 3) and faces.test_y.shape == (1000, 3) and set(faces.y.unique().tolist()) == {0, 1}
    both = torch.cat([faces.x, faces.test_x])
    assert both.min() >= -1 and both.max() <= 1 and both.min() < -0.9 and both.max() == 1
    stored = np.load(data_file("pixel_faces_16.npz"))
    bytes_again = ((both + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert (bytes_again == stored["images"]).all()
    assert (torch.cat([faces.y, faces.test_y])[:, 1].numpy() == stored["long_hair"]).all()
    assert len(np.unique(stored["images"].reshape(4000, -1), axis=0)) == 4000, "a face on both sides would leak"


def test_the_sheet_puts_pictures_in_rows():
    pictures = torch.arange(5).float().view(5, 1, 1, 1).expand(5, 3, 2, 3) / 2 - 1
    sheet = face_sheet(pictures, columns=3)
    assert sheet.shape == (4, 9, 3)
    np.testing.assert_allclose(sheet[0, ::3, 0], [0, 0.25, 0.5])
    np.testing.assert_allclose(sheet[3, ::3, 2], [0.75, 1, 1])  # the last place stays white
    channels = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    np.testing.assert_allclose(face_sheet(channels, 1)[0, 0], [0, 0.5, 1])
    np.testing.assert_allclose(face_sheet(9 * channels, 1)[0, 0], [0, 0.5, 1])
    with pytest.raises(CourseError, match="received"):
        face_sheet(torch.zeros(2, 16, 16, 3), 2)


def test_the_shipped_weights_were_made_with_these_settings_and_load_without_pickle():
    path = data_file("face_judge.npz")
    assert path.stat().st_size < 400_000
    with np.load(path, allow_pickle=False) as stored:
        assert json.loads(str(stored["settings"])) == training.SETTINGS
        assert all(stored[name].dtype == np.float32 for name in stored.files if name != "settings")


def test_at_most_two_in_a_hundred_held_out_faces_are_misread():
    wrong = errors(training.answers(face_judge()))
    assert list(wrong) == ["glasses", "long hair", "hat"] and max(wrong.values()) < 0.02


def test_a_ruler_knows_what_is_no_face(faces):
    ruler, random = face_judge(), torch.Generator().manual_seed(0)
    labels, sure = face_labels(ruler, faces.test_x)
    assert labels.shape == (1000, 3) and labels.dtype == torch.bool and sure.shape == (1000,)
    assert sure.min() >= 0.5 and (sure > 0.9).float().mean() > 0.85
    noise = 2 * torch.rand(500, 3, 16, 16, generator=random) - 1
    assert (face_labels(ruler, noise)[1] > 0.9).float().mean() < 0.02
    blends = (faces.test_x + faces.test_x.roll(1, 0)) / 2
    assert (face_labels(ruler, blends)[1] > 0.9).float().mean() < 0.5
    features = [ruler.features(x).numpy() for x in (faces.test_x, faces.x[:1000], blends, noise)]
    real, blended, noisy = (frechet_distance(features[0], other) for other in features[1:])
    assert 10 * real < blended < noisy


def test_it_saw_the_working_faces_only(faces, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "rows", lambda size, **parts: seen.append(parts) or rows(size, **parts))
    training.judge_game(10)
    assert torch.equal(seen[0]["x"], faces.x) and torch.equal(seen[0]["y"], faces.y)


def test_jiggling_moves_by_a_pixel_changes_colours_and_keeps_what_stays():
    picture = torch.full((1, 3, 16, 16), -0.5)
    picture[0, :, 6, 9] = 0.5
    middle = torch.full((1, 8), 0.5)
    torch.testing.assert_close(training.jiggled(picture, middle), picture)
    right = middle.clone()
    right[0, 0] = 0.99  # the window goes right, what is drawn goes left
    assert training.jiggled(picture, right)[0, 0].argmax() == 6 * 16 + 8
    bright = middle.clone()
    bright[0, 5] = 1.0
    change = training.jiggled(picture, bright) - picture
    torch.testing.assert_close(change[0].amax(dim=(1, 2)), torch.tensor([0.1, 0, 0]), atol=1e-6, rtol=0)


def test_a_face_that_has_drowned_has_fifty_fifty_for_its_names():
    game, seen = training.judge_game(10), []
    batch = {name: value[0] for name, value in game.batch("judge").items()}
    batch["left"] = torch.zeros_like(batch["left"])
    nets = SimpleNamespace(judge=lambda x: seen.append(x) or torch.zeros(len(x), 3))
    loss = training.judge_loss(nets, SimpleNamespace(**batch), None)
    assert torch.isclose(loss, torch.tensor(2 * 0.6931472))  # a judge that says fifty-fifty pays ln 2 for everything
    assert torch.equal(seen[2], training.noise_for(SimpleNamespace(**batch)))
    assert seen[2].min() >= -1 and seen[2].max() <= 1


@pytest.mark.slow
def test_the_game_of_the_command_learns():
    game = training.judge_game(150)
    game.train(150)
    wrong = errors(training.answers(game.member(0).judge))
    assert wrong["glasses"] < 0.2 and wrong["long hair"] < 0.2
