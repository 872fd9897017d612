"""Smoothing without delay, live smoothing, and gaps."""

from __future__ import annotations

import numpy as np
import pytest

from wan_models.pose import filters


def test_zero_phase_keeps_the_slow_and_drops_the_fast() -> None:
    times = np.arange(300) / 60.0
    slow, fast = np.sin(2 * np.pi * times), 0.3 * np.sin(2 * np.pi * 20 * times)
    found = filters.zero_phase((slow + fast)[:, None], 60.0, 6.0)[:, 0]
    assert np.abs(found - slow)[30:-30].max() < 0.02


@pytest.mark.parametrize(("count", "cutoff"), [(1, 6.0), (3, 6.0), (50, 0.0), (50, 20.0)])
def test_what_cannot_be_filtered_stays(count: int, cutoff: float) -> None:
    values = np.random.default_rng(0).normal(size=(count, 2))
    np.testing.assert_array_equal(filters.zero_phase(values, 24.0, cutoff), values)


def test_few_frames_are_filtered_too() -> None:
    assert filters.zero_phase(np.ones((5, 3)), 30.0, 6.0) == pytest.approx(np.ones((5, 3)))


def test_the_weighted_filter_has_the_same_response_and_no_delay() -> None:
    times = np.arange(300) / 60.0
    for hertz, kept in ((1.0, 1.0), (6.0, 0.5**0.5), (20.0, 0.04)):
        wave = np.sin(2 * np.pi * hertz * times)[:, None, None]
        found = filters.weighted(wave, np.ones((300, 1)), 60.0, 6.0)[30:-30, 0, 0]
        assert np.ptp(found) / np.ptp(wave) == pytest.approx(kept, abs=0.02)
        lags = [float(found @ wave[30 + lag : 270 + lag, 0, 0]) for lag in (-1, 0, 1)]
        assert np.argmax(lags) == 1


@pytest.mark.parametrize(("count", "cutoff"), [(1, 6.0), (3, 6.0), (50, 0.0), (50, 20.0)])
def test_what_the_weighted_filter_cannot_smooth_stays(count: int, cutoff: float) -> None:
    values = np.random.default_rng(0).normal(size=(count, 2, 3))
    np.testing.assert_array_equal(filters.weighted(values, np.ones((count, 2)), 24.0, cutoff), values)


def test_a_jump_that_comes_back_is_not_believed_and_a_quick_path_is() -> None:
    times = np.arange(90) / 30.0
    path = np.stack([0.4 * np.sin(2 * np.pi * 1.5 * times), times, 0 * times], axis=-1)[:, None]
    noise = np.random.default_rng(0).normal(0, 0.005, path.shape)
    seen = path + noise
    seen[[20, 50, 51]] += (0.5, 0.0, 0.3)
    trust = filters.plausible(seen, np.ones((90, 1)), 30.0, 0.02)
    assert (trust[[20, 50, 51]] < 0.05).all()
    assert np.median(trust) > 0.9
    found = filters.weighted(seen, trust, 30.0, 6.0)
    assert np.abs(found - path).max() < 0.04
    assert np.abs(filters.zero_phase(seen, 30.0, 6.0) - path).max() > 0.15


def test_one_euro_calms_what_rests_and_follows_what_moves() -> None:
    rng = np.random.default_rng(0)
    still = filters.one_euro(rng.normal(0, 0.01, (200, 1)), 30.0)
    assert still[50:].std() < 0.005
    ramp = np.linspace(0, 10, 100)[:, None]
    assert np.abs(filters.one_euro(ramp, 30.0) - ramp).max() < 0.3


def test_one_euro_holds_through_what_is_missing() -> None:
    smooth = filters.OneEuro()
    smooth(np.array([1.0, np.nan]), 0.0)
    found = smooth(np.array([np.nan, 2.0]), 0.1)
    np.testing.assert_allclose(found, [1.0, 2.0])


def test_short_gaps_are_bridged_and_marked_long_ones_are_only_bridged() -> None:
    values = np.arange(20, dtype=float)[:, None, None].repeat(2, 1)
    holed = values.copy()
    holed[[3, 4, 10, 11, 12, 13, 14]] = np.nan
    holed[[0, 19]] = np.nan
    found, filled = filters.bridge(holed, 3)
    assert np.flatnonzero(filled).tolist() == [3, 4]
    np.testing.assert_allclose(found[1:19], values[1:19])
    np.testing.assert_allclose(found[[0, 19], 0, 0], [1.0, 18.0])


def test_nothing_known_stays_unknown() -> None:
    found, filled = filters.bridge(np.full((4, 2), np.nan), 3)
    assert np.isnan(found).all()
    assert not filled.any()


def test_what_jumps_is_not_believed_although_it_is_seen_more_surely() -> None:
    """A hidden knee that is suddenly 'seen' elsewhere for five frames."""
    times = np.arange(90) / 30.0
    values = np.stack([100 * np.sin(2 * np.pi * times), 0 * times], axis=-1)[:, None]
    weights = np.full((90, 1), 0.3)
    values[40:45, 0, 1] += 150.0
    weights[40:45] = 0.95
    trust = filters.plausible(values, weights, 30.0, 3.0)
    assert trust[41:44].max() < 0.05
    assert np.median(trust[:35] / weights[:35]) > 0.8
