"""PROTOCOL section 3: the order of the records, and which repeats are dropped for which reason."""

from __future__ import annotations

import random

from magicoder_repro.data.deduplicate import deduplicate


def _record(seed: str, problem: str, solution: str) -> dict[str, str]:
    return {"seed": seed, "problem": problem, "solution": solution}


def test_the_first_in_shuffled_order_stays_and_the_reasons_are_tested_in_order() -> None:
    rows = [
        _record("s1", "p1", "c1"),
        _record(" s\n1", "p2", "c2"),
        _record("s3", "p 1", "c3"),
        _record("s4", "p4", "\tc1 "),
        _record("s1", "p1", "c1"),
        _record("s6", "p6", "c6"),
    ]
    order = list(range(len(rows)))
    random.seed(666)
    random.shuffle(order)
    kept, dropped = deduplicate(rows, 666)
    expected: dict[str, set[str]] = {"seed": set(), "problem": set(), "solution": set()}
    reasons = []
    for position in order:
        keys = {field: "".join(rows[position][field].split()) for field in expected}
        hit = [field for field in expected if keys[field] in expected[field]]
        if hit:
            reasons.append(f"duplicate {hit[0]}s")
        else:
            for field in expected:
                expected[field].add(keys[field])
    assert [row["reason"] for row in dropped] == reasons and reasons
    assert len(kept) + len(dropped) == len(rows)
    assert rows[5] in kept


def test_a_dropped_record_marks_nothing_as_seen() -> None:
    rows = [_record("s1", "p1", "c1"), _record("s1", "p2", "c2"), _record("s3", "p2", "c3")]
    for seed in range(50):
        kept, dropped = deduplicate(rows, seed)
        if kept[0] == rows[0] and len(dropped) == 1:
            assert rows[2] in kept
            return
    raise AssertionError("no order showed the case")
