"""Pictures of positions: the numbers drawn are those of the table, and what is said of it is measured."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import DataError, ShapeError, UsageError
from minigrad.nn.positional import sinusoids
from minigrad.tensor import raw
from minigrad.viz.positional import diagonal_spread

matplotlib = pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, the extra viz")


@pytest.fixture(scope="module")
def picture():
    return viz.positional(nn.PositionalEncoding(12), 20, dims=[0, 4], chosen=[3, 7], shift=2)


def axes_of(picture):
    return [axes for axes in picture.figure.axes if axes.get_label() != "<colorbar>"]


def image(axes):
    return np.asarray(axes.images[0].get_array())


def test_the_rotation_in_closed_form():
    """Each pair turns by its own angle: eigenvalues exp(+-i w k), determinant 1, and turns add up."""
    matrix = viz.rotation_matrix(6, 5)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-15)
    angles = 5 * 10000.0 ** (-np.arange(0, 6, 2) / 6)
    expected = np.exp(1j * np.concatenate([angles, -angles]))
    np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(matrix)), np.sort_complex(expected), atol=1e-12)
    np.testing.assert_allclose(viz.rotation_matrix(6, 2) @ viz.rotation_matrix(6, 3), matrix, atol=1e-14)
    table = sinusoids(30, 6)
    np.testing.assert_allclose(table[5:], table[:-5] @ matrix.T, atol=1e-13)


@pytest.mark.parametrize("dim", [2, 8, 9])
@pytest.mark.parametrize("shift", [1, 7])
def test_the_rotation_holds_for_sinusoids_alone(dim, shift, rng):
    found = viz.check_rotation(sinusoids(40, dim), shift)
    assert found.holds and found.error < 1e-12 and found.shift == shift and found.matrix.shape == (dim, dim)
    assert viz.check_rotation(nn.PositionalEncoding(dim), shift).holds  # in float32
    table = sinusoids(40, dim)
    table[20, 0] += 0.01
    wrong = viz.check_rotation(table, shift)
    assert not wrong.holds and wrong.error >= 0.0099
    assert not viz.check_rotation(rng.standard_normal((40, dim)), shift).holds


def test_similarity_depends_on_distance_alone(rng):
    table = sinusoids(50, 16)
    similarity = table @ table.T
    assert diagonal_spread(similarity) < 1e-12
    offsets = np.arange(50)
    frequencies = 10000.0 ** (-np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(similarity[0], np.cos(offsets[:, None] * frequencies).sum(1), atol=1e-12)
    matrix = rng.standard_normal((5, 5))
    by_hand = max(
        abs(matrix[i, j] - matrix[k, m])
        for i in range(5)
        for j in range(5)
        for k in range(5)
        for m in range(5)
        if i - j == k - m
    )
    assert diagonal_spread(matrix) == pytest.approx(by_hand)


def test_every_panel_shows_its_numbers(picture):
    table = sinusoids(20, 12).astype(np.float32).astype(np.float64)
    whole, waves, halves, across, alike, distance, matrix, errors = axes_of(picture)
    np.testing.assert_allclose(image(whole), table.T)
    for line, dim in zip(waves.lines, (0, 4), strict=True):
        np.testing.assert_allclose(line.get_ydata(), table[:, dim])
    np.testing.assert_allclose(image(halves), np.concatenate([table[:, 0::2].T, table[:, 1::2].T]))
    drawn = [line.get_ydata() for line in across.lines]
    for shown, expected in zip(drawn, [table[3, 0::2], table[3, 1::2], table[7, 0::2], table[7, 1::2]], strict=True):
        np.testing.assert_allclose(shown, expected)
    np.testing.assert_allclose(image(alike), table @ table.T)
    np.testing.assert_allclose(distance.lines[0].get_ydata(), [np.diagonal(table @ table.T, k).mean() for k in range(20)])
    np.testing.assert_allclose(image(matrix), viz.rotation_matrix(12, 2))
    expected = [np.abs(table[k:] - table[:-k] @ viz.rotation_matrix(12, k).T).max() for k in range(1, 20)]
    np.testing.assert_allclose(errors.lines[0].get_ydata(), expected, atol=1e-12)
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_title(loc="left") for axes in axes_of(picture))


def test_what_is_measured_is_said(picture):
    titles = [axes.get_title(loc="left") for axes in axes_of(picture)]
    assert any(title.startswith("constant along diagonals: ±") for title in titles)
    assert any(title.startswith("R(2) holds: max error") for title in titles)
    assert "sinusoidal" in picture.figure.get_suptitle() and "a rotation leads" in repr(picture)


def test_learned_positions_are_drawn_and_said_not_to_turn():
    mg.manual_seed(0)
    learned = nn.PositionalEncoding(5, max_len=9, learned=True)
    picture = viz.positional(learned, 64, theme="dark")
    table = raw(learned.weight)
    axes = axes_of(picture)
    np.testing.assert_allclose(image(axes[0]), table.T)  # as many as there are
    assert [line.get_ydata().shape for line in axes[3].lines] == [(5,)] * 3  # whole, as it is not sines and cosines
    titles = [a.get_title(loc="left") for a in axes]
    error = viz.check_rotation(learned, 3).error
    assert f"R(3) does not hold: max error {error:.2g}" in titles
    assert any(title.startswith("not constant along diagonals") for title in titles)
    assert "learned" in picture.figure.get_suptitle()


def test_what_does_not_fit_is_said_in_a_sentence():
    with pytest.raises(ShapeError, match=r"at least two of each: got \(4,\)"):
        viz.positional(np.zeros(4))
    with pytest.raises(DataError, match="NaN or infinity"):
        viz.positional(np.full((3, 4), np.nan))
    with pytest.raises(UsageError, match="dims are numbers from 0 to 3 here: got 4"):
        viz.positional(np.zeros((3, 4)), dims=[4])
    with pytest.raises(UsageError, match="chosen are numbers from 0 to 2"):
        viz.positional(np.zeros((3, 4)), chosen=[-1])
    with pytest.raises(UsageError, match="the shift is a number from 1 to 2"):
        viz.check_rotation(np.zeros((3, 4)), 3)
