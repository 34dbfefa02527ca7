"""The paper's numbers as data: what they are checked against, and what a wrong file says."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from magicoder_repro import benchmarks
from magicoder_repro.errors import UsageError
from magicoder_repro.report import reference
from magicoder_repro.report.reference import LATER, LAYOUT, Number

WEIGHTS = {"1": 164, "4": 164}
EXCEPTION = ("1", "WizardCoder-SC-15B", "humaneval")  # printed 51.9 in its source; 85 of 164 are 51.8
HEADER = "table,row,model,metric,value,tasks,samples,protocol,status,source\n"
LINE = "1,GPT,GPT,humaneval,72.6,164,1,paper,confirmed,somewhere\n"


def test_a_cell_of_one_sample_a_task_is_a_number_of_tasks() -> None:
    wrong = []
    for number in reference.numbers():
        if number.passed is not None and number.tasks is not None:
            rounded = round(100 * number.passed / number.tasks + 1e-9, 1)
            if abs(rounded - number.value) > 0.001:
                wrong.append(number.key)
    assert wrong == [EXCEPTION]


def test_the_paper_s_tasks_are_the_sets_sizes() -> None:
    sizes = {number.metric: number.tasks for number in reference.numbers() if number.table not in LATER}
    assert {sizes[name] for name in ("humaneval", "humaneval_plus")} == {164}
    assert {sizes[name] for name in ("mbpp", "mbpp_plus")} == {399}
    languages = {name: size for name, size in sizes.items() if name.startswith("multipl_e_")}
    average = languages.pop("multipl_e_average")
    assert average == sum(size or 0 for size in languages.values()) == 955


def test_overall_of_ds1000_is_the_weighted_mean_of_its_row() -> None:
    rows: dict[str, dict[str, Number]] = defaultdict(dict)
    for number in reference.numbers():
        if number.table == "3":
            rows[number.row][number.metric] = number
    assert len(rows) == 9
    for row in rows.values():
        overall = row.pop("ds1000_overall")
        mean = sum(one.value * (one.tasks or 0) for one in row.values()) / 1000
        assert len(row) == 7 and abs(mean - overall.value) <= 0.1, overall.row


def test_every_table_and_column_of_the_layout_has_numbers() -> None:
    have = {(number.table, number.metric) for number in reference.numbers()}
    assert have == {(table, metric) for table, (_, columns) in LAYOUT.items() for metric in columns}


def test_a_later_leaderboard_is_never_of_the_paper_s_protocol() -> None:
    kinds = {(number.table == "leaderboard", number.protocol) for number in reference.numbers()}
    assert kinds == {(True, "current"), (False, "paper")}
    current = {
        number.tasks for number in reference.numbers() if number.metric == "mbpp" and number.protocol == "current"
    }
    assert current == {378}


def test_every_metric_of_a_benchmark_has_numbers_and_the_other_way_round() -> None:
    measured = {
        name for one in ("humaneval", "mbpp", "multipl-e", "ds1000") for name in benchmarks.get(one).reference.values()
    }
    figures = {"mean_max_tfidf_cosine", "decontamination_removed"}
    assert {number.metric for number in reference.numbers()} - measured - figures == {"apps_300", "apps_competition_60"}
    assert measured <= {number.metric for number in reference.numbers()}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (LINE.replace("72.6", "seventy"), "value"),
        (LINE.replace("72.6", "nan"), "value"),
        (LINE.replace("72.6", "172.6"), "no percentage"),
        (LINE.replace("confirmed", "sure"), "status"),
        (LINE.replace("humaneval", "humanevil"), "no column 'humanevil'"),
        (LINE.replace("paper,", "current,"), "protocol"),
        (LINE + LINE, "twice"),
        (LINE.replace(",somewhere", ""), "source"),
        (LINE.replace("somewhere", "somewhere,more"), "None"),
    ],
)
def test_a_wrong_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(HEADER + line)
    with pytest.raises(UsageError, match=rf"cells.csv:\d: .*{said}"):
        reference.read_numbers(path)


def test_a_claim_about_a_cell_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    text = "[{id: a, sentence: b, place: c, test: {kind: order, cells: [[1, X, humaneval], [1, Y, humaneval]]}}]"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"a: cells.csv has no cell 1, X, humaneval"):
        reference.read_claims(path)
    path.write_text("[{id: a, sentence: b, place: c, test: {kind: orders}}]")
    with pytest.raises(UsageError, match=r"claims.yaml: 0.test"):
        reference.read_claims(path)
    path.write_text("[")
    with pytest.raises(UsageError, match=r"claims.yaml"):
        reference.read_claims(path)
