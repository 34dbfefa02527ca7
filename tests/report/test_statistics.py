"""The report's statistics against values known from elsewhere, and by simulation."""

from __future__ import annotations

import math

import numpy
import pytest

from magicoder_repro.report import statistics

RUNS = 2_000


def test_clopper_pearson_is_the_textbook_s() -> None:
    low, high = statistics.clopper_pearson(0, 10)
    assert (low, round(high, 4)) == (0.0, 0.3085)
    low, high = statistics.clopper_pearson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4439, 0.9748)


@pytest.mark.parametrize(("passed", "tasks"), [(0, 164), (1, 45), (99, 164), (226, 399), (164, 164)])
def test_the_test_and_the_interval_say_the_same(passed: int, tasks: int) -> None:
    low, high = statistics.clopper_pearson(passed, tasks)
    for rate in numpy.linspace(0, 1, 201):
        inside = low <= rate <= high
        p = statistics.binomial_p(passed, tasks, float(rate))
        assert inside == (p >= 0.05) or math.isclose(p, 0.05, abs_tol=1e-6), rate


def test_holm_adjusts_as_in_its_paper() -> None:
    assert statistics.holm([]) == []
    found = statistics.holm([0.01, 0.04, 0.03, 0.005])
    assert [round(p, 4) for p in found] == [0.03, 0.06, 0.06, 0.02]
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]


def test_mcnemar_is_a_sign_test_of_the_tasks_that_differ() -> None:
    assert statistics.mcnemar(0, 0) == 1.0
    assert round(statistics.mcnemar(1, 9), 6) == round(2 * 11 / 1024, 6)
    assert statistics.mcnemar(9, 1) == statistics.mcnemar(1, 9)


@pytest.mark.parametrize(("discordance", "percent"), [(0.06, 71), (0.1, 45), (0.2, 24)])
def test_the_power_that_the_page_prints(discordance: float, percent: int) -> None:
    assert round(100 * statistics.mcnemar_power(164, 0.05, discordance)) == percent


def test_power_is_what_simulated_runs_show() -> None:
    generator = numpy.random.default_rng(1)
    lost, gained = (0.1 + 0.05) / 2, (0.1 - 0.05) / 2
    drawn = generator.multinomial(164, [lost, gained, 1 - lost - gained], size=RUNS)
    found = sum(statistics.mcnemar(int(one), int(other)) < 0.05 for one, other, _ in drawn) / RUNS
    assert abs(found - statistics.mcnemar_power(164, 0.05, 0.1)) < 0.04


def test_no_drop_is_seen_no_more_often_than_alpha() -> None:
    generator = numpy.random.default_rng(2)
    drawn = generator.multinomial(164, [0.05, 0.05, 0.9], size=RUNS)
    alarms = sum(statistics.mcnemar(int(one), int(other)) < 0.05 for one, other, _ in drawn) / RUNS
    assert alarms <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def test_a_power_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="needs at least that discordance"):
        statistics.mcnemar_power(164, 0.05, 0.01)


def test_clusters_that_hang_together_widen_the_interval() -> None:
    generator = numpy.random.default_rng(3)
    problems = generator.random(450)
    rates = [float(rate > 0.6) for rate in problems for _ in range(2)]
    clusters = [str(number) for number in range(450) for _ in range(2)]
    alone = statistics.cluster_means(rates, [str(number) for number in range(900)])
    together = statistics.cluster_means(rates, clusters)
    assert 1.3 < float(numpy.std(together)) / float(numpy.std(alone)) < 1.55  # the square root of two
    assert abs(float(together.mean()) - numpy.mean(rates)) < 0.002
    assert (statistics.cluster_means(rates, clusters) == together).all()


def test_bootstrap_intervals_cover_the_truth() -> None:
    generator = numpy.random.default_rng(4)
    covered = 0
    for _ in range(300):
        rates = generator.binomial(40, generator.beta(0.5, 0.9, size=220)) / 40
        low, high = statistics.percentile_interval(statistics.cluster_means(rates, [str(i) for i in range(220)], 1000))
        covered += low <= 0.5 / 1.4 <= high
    assert covered / 300 >= 0.91


def test_a_bootstrap_p_is_small_only_far_away() -> None:
    means = statistics.cluster_means([0.0, 1.0] * 100, [str(i) for i in range(200)])
    assert statistics.bootstrap_p(means, 0.5) > 0.9
    assert 0 < statistics.bootstrap_p(means, 0.9) < 0.001


def test_the_smallest_difference_is_one_that_is_found() -> None:
    smallest = statistics.smallest_difference(164, 116 / 164)
    assert smallest is not None and 8 < smallest < 12
    generator = numpy.random.default_rng(5)
    counts = generator.binomial(164, 116 / 164 - smallest / 100, size=RUNS)
    found = sum(statistics.binomial_p(int(count), 164, 116 / 164) < 0.05 for count in counts) / RUNS
    assert found > 0.7
    assert statistics.smallest_difference(1, 0.5) is None
