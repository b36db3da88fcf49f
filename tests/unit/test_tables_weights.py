"""Stored tables and shipped weights: what is written can be read; what is damaged or made otherwise is refused."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from helpers import CourseError, full_budget, load_results, load_weights, save_results, save_weights
from helpers import data as data_module

SETTINGS = {"steps": 3, "betas": (0.0, 0.99)}


def network(seed, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 1))


def test_what_is_saved_is_loaded_to_half_precision(data_folder):
    kept, other, x = network(0), network(1), torch.randn(5, 3)
    for _ in range(2):  # the second time it is replaced
        save_weights("08_x", {"G": kept, "D": other}, SETTINGS)
    fresh = {"G": network(2), "D": network(3)}
    loaded = load_weights("08_x", fresh, SETTINGS)
    assert loaded is fresh and not loaded["G"].training
    assert not any(weight.requires_grad for weight in loaded["D"].parameters())
    for net, mine in (("G", kept), ("D", other)):
        torch.testing.assert_close(loaded[net](x), mine.eval()(x), atol=2e-3, rtol=2e-3)
        for weight, before in zip(loaded[net].parameters(), mine.parameters(), strict=True):
            assert weight.dtype == torch.float32 and torch.equal(weight, before.half().float())
    assert loaded["G"][1].num_batches_tracked.dtype == torch.int64
    names = [line.split()[1] for line in (data_folder / "SHA256SUMS").read_text().splitlines()]
    assert names == ["other.npz", "weights/08_x.safetensors"]


def test_one_module_needs_no_name_and_the_file_has_two_bytes_a_number(data_folder):
    save_weights("08_x", nn.Linear(1000, 100), {})
    assert isinstance(load_weights("08_x", nn.Linear(1000, 100), {}), nn.Linear)
    assert 200_000 < (data_folder / "weights" / "08_x.safetensors").stat().st_size < 202_000


def test_the_same_weights_give_the_same_bytes(data_folder):
    sums = set()
    for _ in range(3):
        save_weights("08_x", {"G": network(0), "D": network(1)}, SETTINGS | {"a": 1, "b": 2})
        sums.add(hashlib.sha256((data_folder / "weights" / "08_x.safetensors").read_bytes()).hexdigest())
    assert len(sums) == 1


def refused(match, net, settings=SETTINGS):
    """Loading into `net` is refused with one sentence, and leaves it as it was."""
    before = [weight.clone() for weight in net.parameters()]
    with pytest.raises(CourseError, match=match) as caught:
        load_weights("08_x", net, settings)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(weight, old) for weight, old in zip(net.parameters(), before, strict=True))


def test_whose_numbers_they_are_is_said_where_the_page_has_other_settings(data_folder, capsys):
    """A student with a slow computer shortens the short run: what is shipped does not depend on it."""
    save_weights("08_x", network(0), SETTINGS)
    save_results("08_x", SETTINGS, [1], 1)
    load_weights("08_x", network(1), SETTINGS)
    load_results("08_x", SETTINGS)
    load_results("08_x")
    assert not capsys.readouterr().out
    loaded = load_weights("08_x", network(1), SETTINGS | {"short steps": 200})
    assert all(
        torch.equal(a.half(), b.half()) for a, b in zip(loaded.parameters(), network(0).parameters(), strict=True)
    )
    assert load_results("08_x", SETTINGS | {"short steps": 200})["values"] == [1]
    said = capsys.readouterr().out.splitlines()
    for file, sentence in zip(("weights/08_x.safetensors", "results/08_x.json"), said, strict=True):
        assert sentence.startswith(f"data/{file} was made with other settings than this page's")
        assert sentence.endswith("(short steps: none there, 200 on this page).")


def test_other_networks_and_other_names_are_refused(data_folder):
    save_weights("08_x", network(0), SETTINGS)
    refused("networks of another form than yours", network(1, width=5))
    with pytest.raises(CourseError, match="another form"):
        load_weights("08_x", {"G": network(1)}, SETTINGS)
    with pytest.raises(CourseError, match="missing"):
        load_weights("09_y", network(1), SETTINGS)


def test_a_damaged_file_is_refused(data_folder):
    save_weights("08_x", network(0), SETTINGS)
    path = data_folder / "weights" / "08_x.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    refused("damaged", network(1))


@pytest.mark.parametrize("foreign", ["text", "npz", "safetensors of somebody else"])
def test_a_foreign_file_is_refused_even_with_the_right_sum(data_folder, foreign):
    path = data_folder / "weights" / "08_x.safetensors"
    path.parent.mkdir()
    if foreign == "text":
        path.write_text("not weights")
    elif foreign == "npz":
        with open(path, "wb") as file:
            np.savez(file, a=np.zeros(3))
    else:
        from safetensors.torch import save_file

        save_file({"net.0.weight": torch.zeros(4, 3)}, path)
    data_module.write_sum("weights/08_x.safetensors")
    refused("was not written by save_weights", network(1))


def test_numbers_that_half_precision_cannot_hold_are_refused(data_folder):
    for bad in (1e5, float("nan")):
        net = nn.Linear(1, 1)
        nn.init.constant_(net.weight, bad)
        with pytest.raises(CourseError, match=r"net\.weight has numbers that half precision cannot hold"):
            save_weights("08_x", net, {})
    assert not (data_folder / "weights").exists()


# Tables


def test_a_table_is_loaded_as_it_was_saved(data_folder):
    for value in (0.5, 0.25):  # the second time it is replaced
        save_results("04_x", {"seeds": 10}, {"errors": [value]}, 90)
        table = load_results("04_x")
        assert table["settings"] == {"seeds": 10} and table["values"] == {"errors": [value]} and table["minutes"] == 1.5
        assert "torch" in table["versions"]
    assert [line.split()[1] for line in (data_folder / "SHA256SUMS").read_text().splitlines()] == [
        "other.npz",
        "results/04_x.json",
    ]


def test_a_changed_table_is_refused(data_folder):
    save_results("04_x", {}, {"errors": [0.5]}, 1)
    path = data_folder / "results" / "04_x.json"
    path.write_text(path.read_text().replace("0.5", "0.4"))
    with pytest.raises(CourseError, match="damaged"):
        load_results("04_x")


def test_the_budget_is_asked_of_the_environment(monkeypatch):
    for name in ("COURSE_BUDGET", "COURSE_ONLY"):
        monkeypatch.delenv(name, raising=False)
    assert not full_budget()
    monkeypatch.setenv("COURSE_BUDGET", "full")
    assert full_budget() and full_budget("09_heads")
    monkeypatch.setenv("COURSE_ONLY", "09_heads")
    assert full_budget("09_heads") and not full_budget("09_streets") and not full_budget()
