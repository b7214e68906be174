"""The short form of fuzzing: every kept input, and a few thousand mutations of them with one seed."""

import gc

import pytest

from tests.fuzz.mutation import mutations
from tests.fuzz.target import GROWTH_BYTES, Target, check, kept_inputs, resident_bytes
from tests.fuzz.targets import TARGETS

MUTATIONS = 2000
SEED = 20261124


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_no_kept_input_is_a_finding(target: Target) -> None:
    for name, data in kept_inputs(target):
        try:
            check(target, data)
        except Exception as error:
            raise AssertionError(f"{target.name} fails on {name}") from error


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_no_mutation_is_a_finding_and_memory_stays_bounded(target: Target) -> None:
    seeds = [data for _, data in kept_inputs(target)]
    assert len(seeds) >= 3, "a target has kept inputs to start from"
    before = resident_bytes()
    for data in mutations(seeds, target.tokens, MUTATIONS, SEED):
        try:
            check(target, data)
        except Exception as error:
            raise AssertionError(f"{target.name} fails on {data!r}") from error
    gc.collect()
    assert resident_bytes() - before < GROWTH_BYTES
