"""The same frames to PostgreSQL and through the pooler bring the same frames back."""

import time

import pytest

import oracle
from oracle_cases import CASES

REFERENCE = {}


@pytest.fixture(scope="module")
def pooler(shared_pooler):
    names = [(mode, size) for mode in oracle.ALL for size in oracle.POOL_SIZES]
    return shared_pooler(databases={f"{mode}{size}": f"pool_mode={mode} pool_size={size}"
                                    for mode, size in names})


def reference(postgres, case):
    if case.name not in REFERENCE:
        REFERENCE[case.name] = oracle.talk(postgres, case.steps, "postgres", **case.login)
        assert ("silence", b"") not in sum(REFERENCE[case.name], []), "the case itself is wrong"
    return REFERENCE[case.name]


def cases(chosen=lambda case: True):
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "_"))
                                            for case in CASES if chosen(case)])


@cases()
@pytest.mark.parametrize("size", oracle.POOL_SIZES)
@pytest.mark.parametrize("mode", oracle.ALL)
def test_same_answer(postgres, pooler, mode, size, case):
    if mode not in case.modes:
        pytest.skip("not for this mode")
    expected = reference(postgres, case)
    found = oracle.talk(pooler, case.steps, f"{mode}{size}", **case.login)
    (oracle.check_refusal if case.refused else oracle.compare)(expected, found)


@cases(lambda case: case.cut)
def test_same_answer_byte_by_byte(postgres, pooler, case):
    found = oracle.talk(pooler, case.steps, "transaction1", send=lambda wire, data:
                        wire.send_cut(data), **case.login)
    oracle.compare(reference(postgres, case), found)


@cases(lambda case: case.cut)
def test_same_answer_wherever_it_is_cut_in_two(postgres, pooler, case):
    expected = reference(postgres, case)
    longest = max(len(data) for data, _ in case.steps)
    for cut in range(1, longest):
        def send(wire, data):
            wire.send(data[:cut])
            time.sleep(0.001)  # so that the two arrive apart
            wire.send(data[cut:])
        found = oracle.talk(pooler, case.steps, "transaction1", send=send, **case.login)
        oracle.compare(expected, found, f"cut at {cut}")
