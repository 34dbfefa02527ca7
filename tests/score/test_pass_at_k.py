"""The unbiased estimator against its definition: the mean over all draws."""

from __future__ import annotations

from itertools import combinations

import pytest

from magicoder_repro.score.pass_at_k import pass_at_k, percent


@pytest.mark.parametrize(("samples", "passed", "k"), [(1, 0, 1), (1, 1, 1), (5, 2, 1), (5, 2, 3), (6, 4, 3), (7, 7, 2)])
def test_it_is_the_share_of_draws_with_a_pass(samples: int, passed: int, k: int) -> None:
    draws = list(combinations([True] * passed + [False] * (samples - passed), k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(any(draw) for draw in draws) / len(draws))


def test_percent_is_the_mean_over_tasks() -> None:
    assert percent([(2, 1), (4, 4), (1, 0)]) == pytest.approx(50.0)


def test_too_few_samples() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        pass_at_k(1, 1, 2)
