"""What lies behind a bar, computed another way."""

import numpy as np

from undertow.patterns.trailing import (
    ages,
    episode_starts,
    highest,
    move,
    multiple,
    trailing_quantile,
    window_sum,
)

AGE = np.array([1, 2, 3, 0, 1, 2, 3, 4])
VALUES = np.array([1.0, 2.0, 4.0, np.nan, 8.0, 16.0, 3.0, 64.0])
NONE = np.nan


def same(told: object, expected: list[float]) -> None:
    np.testing.assert_array_equal(told, np.array(expected))


def test_ages_count_bars_without_a_hole() -> None:
    opened = np.array([10, 20, 30, 40, 60, 70, 80])
    usable = np.array([True, True, False, True, True, True, True])
    assert ages(opened, usable, 10).tolist() == [1, 2, 0, 1, 1, 2, 3]


def test_windows_stay_in_their_stretch() -> None:
    same(window_sum(VALUES, AGE, 2), [NONE, 3, 6, NONE, NONE, 24, 19, 67])
    same(move(VALUES, AGE, 2), [NONE, NONE, 3, NONE, NONE, NONE, -5, 48])
    same(move(VALUES, AGE, 1), [NONE, 1, 2, NONE, NONE, 8, -13, 61])
    same(highest(VALUES, AGE, 3), [NONE, NONE, 4, NONE, NONE, NONE, 16, 64])
    same(highest(VALUES, AGE, 1), [1, 2, 4, NONE, 8, 16, 3, 64])


def test_a_multiple_is_null_where_it_means_nothing() -> None:
    value, threshold = np.array([3.0, 3.0, 3.0, NONE, -4.0]), np.array([2.0, 0.0, NONE, 2.0, 2.0])
    same(multiple(value, threshold), [1.5, NONE, NONE, NONE, -2.0])
    condition = np.array([False, False, False, False, True])
    same(multiple(value, threshold, condition), [0.0, NONE, NONE, NONE, -2.0])


def test_an_episode_begins_after_quiet_and_known_bars() -> None:
    strength = np.array([0, 0, 1, 1, 0, 2, 0, 0, 3, NONE, 0, 1, 0, 0, 1.0])
    age = np.arange(1, 16)
    assert episode_starts(strength, age, 2, 0).tolist() == [2, 8, 14]
    assert episode_starts(strength, age, 1, 0).tolist() == [2, 5, 8, 11, 14]
    assert episode_starts(strength, age, 2, 3).tolist() == [8, 14]
    assert episode_starts(strength, age, 2, 9).tolist() == [14]


def test_the_order_statistic_is_the_nearest_rank() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, np.nan, 7.0])
    age = np.arange(1, 9)
    told = trailing_quantile(values, age, 4, 1, 0.75)
    assert np.isnan(told[:4]).all()
    assert told[4:6].tolist() == [4.0, 3.0]
    assert np.isnan(told[7])
    assert trailing_quantile(values, age, 4, 1, 0.0)[4] == 1.0
    assert trailing_quantile(values, age, 4, 1, 1.0)[4] == 5.0


def test_the_order_statistic_equals_sorting() -> None:
    random = np.random.default_rng(2)
    values = np.round(random.normal(0, 4, 3000))
    age = np.arange(1, 3001)
    age[1000:] -= 1000
    told = trailing_quantile(values, age, 200, 7, 0.93)
    for i in range(3000):
        window = values[max(i - 7 - 199, 0) : max(i - 6, 0)]
        if age[i] < 207:
            assert np.isnan(told[i])
        else:
            assert told[i] == np.sort(window)[185]
