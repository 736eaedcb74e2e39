"""The judge of tests/differential: what PostgreSQL itself may answer is explained, all else fails.

PostgreSQL stands for the pooler here, with a database of its own that has been changed.
"""

import itertools
import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parent.parent / "differential"))

import kinds  # noqa: E402
from pools import Pool  # noqa: E402
from trial import Trial  # noqa: E402

DIVIDE = [["parse", "s1", "select 10 / $1::int4", []], ["bind", "", "s1", ["0"], [], []],
          ["execute", "", 0], ["sync"]]
DIVIDE_UNNAMED = [["parse", "", "select 10 / $1::int4", []], ["bind", "", "", ["0"], [], []],
                  ["execute", "", 0], ["sync"]]
SIXTH = [DIVIDE_UNNAMED[0], *[["bind", "", "", [value], [], []] for value in "123450"],
         ["execute", "", 0], ["sync"]]
INSERT = [["query", "insert into t values (1, 'a')"]]
RETURNING = [["query", "insert into t values (1, 'a') returning v"]]
ALL_GENERIC = "alter database {} set plan_cache_mode = force_generic_plan"
ALL_CUSTOM = "alter database {} set plan_cache_mode = force_custom_plan"
OTHER_VALUES = """create function other() returns trigger language plpgsql as
    'begin new.v := ''other''; return new; end';
    create trigger other before insert on t for each row when (new.k = 1)
    execute function other()"""


@pytest.fixture
def judge(postgres, numbers=itertools.count()):  # noqa: B008
    """A function that gives the Difference, or None."""
    trial = Trial(postgres, f"judged{next(numbers)}")

    def judge(messages, change=None, size=1, cache=100, unnamed=False):
        name = trial.database.name
        trial.database.reset()
        if change:
            trial.database.helper.execute(change.format(name))
        pool = Pool(name, size, cache, unnamed, postgres)
        pool.database = lambda of_job: of_job
        sequence = {"seed": 1, "login": {}, "messages": messages}
        return trial.replay(sequence, trial.copy.expect(sequence), pool)

    return judge


@pytest.mark.parametrize("messages", [DIVIDE, DIVIDE_UNNAMED, RETURNING])
def test_the_same_passes(judge, messages):
    assert judge(messages) is None


def test_a_plan_for_all_values_is_explained_where_statements_are_shared(judge):
    assert judge(DIVIDE, ALL_GENERIC).explained.kind == kinds.FOR_ALL_VALUES
    assert judge(DIVIDE_UNNAMED, ALL_GENERIC, unnamed=True).explained.kind == kinds.FOR_ALL_VALUES


def test_a_plan_for_all_values_fails_where_nothing_is_shared(judge):
    difference = judge(DIVIDE_UNNAMED, ALL_GENERIC)
    assert difference.what == "another frame" and not difference.explained


def test_a_plan_for_its_values_is_explained_where_a_server_may_lack_the_statement(judge):
    assert judge(SIXTH, ALL_CUSTOM, size=3).explained.kind == kinds.FOR_ITS_VALUES
    elsewhere = SIXTH[:3] + [["sync"], ["wait", [[0, "select"]]]] + SIXTH[3:]
    assert judge(elsewhere, ALL_CUSTOM).explained.kind == kinds.FOR_ITS_VALUES
    difference = judge(SIXTH, ALL_CUSTOM)
    assert difference.what == "another frame" and not difference.explained


@pytest.mark.parametrize("pool", [{}, {"size": 3}, {"cache": 1, "unnamed": True}])
def test_another_value_fails(judge, pool):
    difference = judge(DIVIDE + RETURNING, OTHER_VALUES, **pool)
    assert difference.what == "another frame" and not difference.explained


def test_other_rows_fail(judge):
    difference = judge(INSERT, OTHER_VALUES, cache=1, size=3)
    assert "the table holds" in difference.what and not difference.explained


@pytest.mark.parametrize("messages, what", [(RETURNING, "another frame"),
                                            (INSERT, "the table holds")])
def test_what_is_wrong_behind_something_explained_fails(judge, messages, what):
    difference = judge(DIVIDE + messages, ALL_GENERIC + ";" + OTHER_VALUES)
    assert what in difference.what and not difference.explained
    assert "".join(kind for kind, _ in difference.got).startswith("12EZ")  # the explained part


def test_an_end_of_the_connection_is_compared(judge):
    end = [["parse", "s", "savepoint a", []], ["sync"], ["query", "begin"], ["query", "execute s"]]
    assert judge(end) is None
    difference = judge(RETURNING + end, OTHER_VALUES)
    assert difference.what == "another frame"
