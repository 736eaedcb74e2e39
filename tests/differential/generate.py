"""Sequences from seeds. The same seed gives the same sequence on any machine.

A sequence is made of short scenes (a batch of the extended protocol, a query, a COPY, ...), most of
them as a driver would send them, some wrong; then messages are dropped, doubled and exchanged.
"""

import random
import re

import kinds
from others import ACTIONS, OTHERS, SHARED_TEXTS

NAMES = ["", "", "s1", "s2", "s3"]
PORTALS = ["", "", "", "p1", "p2"]
INT4, TEXT = 23, 25

# (SQL, what its parameters are). SHARED_TEXTS are here too.
STATEMENTS = [
    ("select $1::int4 + 1", ["small"]),
    ("select $1::int4, $2::text", ["small", "text"]),
    ("insert into t values ($1, $2)", ["key", "text"]),
    ("insert into t values ($1, $2) returning k, v", ["key", "text"]),
    ("update t set v = $2 where k = $1", ["key", "text"]),
    ("delete from t where k = $1", ["key"]),
    ("select k, v from t order by k", []),
    ("select v from t where k = $1", ["key"]),
    ("select generate_series(1, $1::int4)", ["small"]),
    ("select 10 / $1::int4", ["small"]),
    ("select g, 12 / (3 - g) from generate_series(1, $1::int4) g", ["small"]),
    ("select repeat($1::text, $2::int4)", ["text", "many"]),
]
PLAIN = [  # without parameters, by either protocol
    "insert into t values (5, 'five')", "delete from t", "select k, v from t order by k",
    "select count(*) from t", "values (1), (2), (3)", "", "select 1 / 0", "selec 1",
    "select * from missing", "select generate_series(1, 7)",
    "do $$ begin raise notice 'noticed %', 1; end $$",
    "do $$ begin raise exception 'raised' using errcode = '45678', hint = 'h'; end $$",
]
BLOCKS = ["begin", "begin", "begin", "commit", "commit", "rollback", "rollback", "end", "abort",
          "savepoint a", "rollback to a", "release a", "commit and chain", "start transaction"]
SETTINGS = [
    "set datestyle = 'German'", "set intervalstyle = 'iso_8601'", "set timezone = 'Asia/Tokyo'",
    "set application_name = 'changed'", "set client_encoding = 'LATIN1'", "reset datestyle",
    "set local datestyle = 'SQL, DMY'", "set datestyle to default", "set datestyle = 'nonsense'",
    "select set_config('datestyle', 'Postgres, MDY', false)", "set work_mem = '1MB'", "reset all",
    "set standard_conforming_strings = off", "set standard_conforming_strings = on",
]
SHOWS = [
    "show datestyle", "select date '2020-02-01', interval '1 day 2 hours'", "show client_encoding",
    "select current_setting('timezone') || ' ' || current_setting('application_name')",
    "select 'a\\\\b'", "select '\u00e9'",
]
CURSORS = ["declare c cursor for select generate_series(1, 9)", "fetch 2 from c", "fetch all c",
           "close c", "declare c scroll cursor for select k from t order by k"]
FORGETTING = ["deallocate all", "DEALLOCATE PREPARE ALL", "discard all", "/* all */ Discard All;",
              "deallocate nothing", "discard plans", "discard sequences", "discard temp"]
SQL_NAMES = [
    "prepare q1 as select 1", "prepare q2 (int4) as select $1 + 1", "execute q1", "execute q2 (3)",
    "PREPARE q2 (int4) AS select $1 + 2", 'execute "q2" (4)', "prepare q1 as select k from t order by k",
    "prepare s1 as values (1)", "prepare s2 (int4) as select generate_series(1, $1)",
    "execute s1", "execute s2 (2)", "EXECUTE S3 (5)", "/* x */ execute s1 (1)", "execute s2",
    "explain (costs off) execute q1", "create temp table made on commit drop as execute q1",
    "prepare q1 as selec", "execute never", "deallocate q1", "deallocate prepare q2",
    "deallocate s1", 'DEALLOCATE "s2"', "deallocate prepare S1", "deallocate s3",
]
COPY_IN = ["copy t from stdin", "copy t from stdin", "copy t (k, v) from stdin", "copy t from stdin;"
           " select count(*) from t", "select 1; copy t from stdin; copy t from stdin"]
COPY_OUT = ["copy (select k, v from t order by k) to stdout", "copy (select k from t order by k) to stdout",
            "copy (select 1 / (3 - g) from generate_series(1, 5) g) to stdout"]
ROWS = ["1\tone\n", "2\ttwo\n", "3\tthree\n", "4\tfour\n", "8\teight\n", "9\tnine\n"]
BAD_ROWS = ["bad\n", "x\ty\n", "1\t2\t3\n", "\n"]
LOGINS = [{}, {}, {}, {}, {"DateStyle": "German"}, {"application_name": "mine"},
          {"TimeZone": "Europe/Paris", "client_encoding": "LATIN1"}]
ABOUT_NAMES = re.compile(r"(?i)\b(prepare|execute|deallocate|discard)\b")
RESETS = re.compile(r"(?i)reset|default|discard all")
ENDING = ["rollback", "select k, v from t order by k", "show datestyle"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.known = {}  # name: what its statement's parameters are, if all went well
        self.items = []
        self.settings_texts = SETTINGS
        self.forgetting = FORGETTING
        kind_of_scene = [
            (9, self.batch), (4, self.simple), (4, self.block), (2, self.several), (2, self.settings),
            (2, self.copy_in), (1, self.copy_in_batch), (1, self.copy_out), (1.5, self.row_limits),
            (1, self.cursor), (1, self.forget), (1.5, self.parse_only), (1.5, self.by_name),
            (0.7, self.wrong), (0.3, self.call),
        ]
        if kinds.SQL_NAMES:
            kind_of_scene.append((2.5, self.sql_names))
        weights, self.scenes = zip(*kind_of_scene)
        # Each sequence has a taste of its own, so that things meet that are rare otherwise.
        self.weights = [weight * self.pick((0.1, 0.3, 1, 1, 5)) for weight in weights]
        self.sync_rate = self.pick((2, 10, 10, 30))
        self.wait_rate = self.pick((0.15, 0.6, 0.6, 0.9))
        self.actions = self.random.sample(ACTIONS, self.pick((2, 4, len(ACTIONS))))

    def sequence(self):
        """{"login": parameters, "messages": [...]}"""
        login = self.random.choice(LOGINS)
        if login:  # what a RESET gives then is the server's default, not the client's
            self.settings_texts = [text for text in SETTINGS if not RESETS.search(text)]
            self.forgetting = [text for text in FORGETTING if not RESETS.search(text)]
        for _ in range(self.random.choice((1, 2, 3, 4, 6, 9, 14))):
            self.random.choices(self.scenes, self.weights)[0]()
            self.items += self.random.choices(
                ([["sync"]], [["flush"]], [], [["sync"], ["sync"]]), (self.sync_rate, 2, 5, 0.5))[0]
        self.mutate()
        if self.random.random() < 0.75:
            self.items += [["copy_fail", "the end"], ["sync"]]
            self.items += [["query", sql] for sql in ENDING]
        return {"login": login, "messages": self.with_waits()}

    def pick(self, values):
        return self.random.choice(values)

    def values(self, what):
        make = {"small": lambda: self.pick(("0", "1", "3", "5", "7")),
                "key": lambda: self.pick(("1", "2", "3", "4", "5", "6")),
                "text": lambda: self.pick(("a", "bc", "", "word", None)),
                "many": lambda: self.pick(("0", "3", "1000", "20000"))}
        result = [make[each]() for each in what]
        if self.random.random() < 0.04:
            result = self.pick((result[:-1], result + ["extra"], ["nonsense"] * len(result)))
        return result

    def bind(self, portal, name, what):
        results = self.pick(([], [], [], [0], [1]))
        if what and self.random.random() < 0.15 and what[0] in ("small", "key"):
            given = self.values(what)
            if given and given[0] and given[0].isdigit():
                given[0] = {"hex": f"{int(given[0]):08x}"}
                return ["bind", portal, name, given, [1] + [0] * (len(given) - 1), results]
        return ["bind", portal, name, self.values(what), [], results]

    def some_sql(self):
        """Any text that can be prepared, and what its parameters are."""
        return self.random.choices(
            (self.pick(STATEMENTS), (self.pick(PLAIN), []), (self.pick(BLOCKS), []),
             (self.pick(self.settings_texts), []), (self.pick(SHOWS), []), (self.pick(COPY_OUT), []),
             ("select 1; select 2", [])), (20, 4, 3, 1, 2, 0.5, 0.2))[0]

    def parse(self, name, sql, what):
        types = []
        if what and self.random.random() < 0.2:
            types = [TEXT if each == "text" else INT4 for each in what]
            types = self.pick((types, types[:1], [0] * len(types)))
        self.known[name] = what
        return ["parse", name, sql, types]

    def free_name(self):
        """A name for a Parse: most often one that is not taken; else what was there goes first."""
        name = self.pick(NAMES)
        if name and name in self.known and self.random.random() < 0.8:
            self.items.append(["close", "S", name])
        return name

    def batch(self):
        name = self.free_name()
        sql, what = self.some_sql()
        self.items.append(self.parse(name, sql, what))
        self.use(name, what)
        if self.random.random() < 0.2:
            self.items.append(["close", "S", name])
            self.known.pop(name, None)

    def use(self, name, what):
        portal = self.pick(PORTALS)
        if self.random.random() < 0.25:
            self.items.append(["describe", "S", name])
        if portal and self.random.random() < 0.6:
            self.items.append(["close", "P", portal])
        self.items.append(self.bind(portal, name, what))
        if self.random.random() < 0.4:
            self.items.append(["describe", "P", portal])
        self.items.append(["execute", portal, self.pick((0, 0, 0, 1, 2))])
        if self.random.random() < 0.1:
            self.items.append(["close", "P", portal])

    def by_name(self):
        """Statements from before, once or often, rarely unknown ones."""
        for _ in range(self.pick((1, 1, 2, 5))):
            name = self.pick(sorted(self.known) or NAMES)
            if self.random.random() < 0.05:
                name = "never"
            self.use(name, self.known.get(name, []))
            if self.random.random() < 0.3:
                self.items.append(["sync"])

    def parse_only(self):
        name = self.free_name()
        self.items.append(self.parse(name, *self.some_sql()))
        if self.random.random() < 0.2:
            self.items.append(["close", "S", name])
            self.known.pop(name, None)

    def any_plain(self):
        return self.pick(self.pick((PLAIN, PLAIN, BLOCKS, SHOWS, self.settings_texts, COPY_OUT, CURSORS)))

    def simple(self):
        self.items.append(["query", self.pick(self.pick((PLAIN, PLAIN, SHOWS, COPY_OUT)))])

    def several(self):
        texts = [self.any_plain() for _ in range(self.random.randint(2, 4))]
        if self.random.random() < 0.1:
            texts.append(self.pick(self.forgetting))
        self.items.append(["query", ";".join(texts)])

    def block(self):
        self.by_either(self.pick(BLOCKS))

    def settings(self):
        self.by_either(self.pick(self.settings_texts))
        if self.random.random() < 0.5:
            self.by_either(self.pick(SHOWS))

    def cursor(self):
        if self.random.random() < 0.6:
            self.items.append(["query", "begin"])
        for _ in range(self.random.randint(1, 4)):
            self.by_either(self.pick(CURSORS))

    def forget(self):
        texts = list(self.forgetting)
        if kinds.SQL_NAMES:
            texts += SQL_NAMES[-6:]
        self.by_either(self.pick(texts))
        if self.random.random() < 0.7:
            self.items.append(["sync"])
            self.by_name()

    def sql_names(self):
        for _ in range(self.random.randint(1, 4)):
            texts = [self.pick(SQL_NAMES)]
            if self.random.random() < 0.15:
                texts.insert(self.random.randint(0, 1), self.any_plain())
            self.by_either(";".join(texts))
        if self.random.random() < 0.3:
            self.use(self.pick(("q1", "q2", "s1")), self.pick(([], ["small"])))

    def by_either(self, sql):
        """The text as a query, or prepared."""
        if self.random.random() < 0.6:
            self.items.append(["query", sql])
            return
        # What concerns names is not given a name that SQL may EXECUTE: see PROTOCOL.md.
        name = self.pick(("", "s4")) if ABOUT_NAMES.search(sql) else self.free_name()
        if name == "s4":
            self.items.append(["close", "S", name])
        self.items += [self.parse(name, sql, []), ["bind", "", name, [], [], []],
                       ["execute", "", 0]]

    def row_limits(self):
        name, portal = self.free_name(), self.pick(PORTALS)
        if self.random.random() < 0.5:
            self.items.append(["query", "begin"])
        sql = "select generate_series(1, $1::int4)"
        self.items += [self.parse(name, sql, ["small"]), self.bind(portal, name, ["small"])]
        for _ in range(self.random.randint(1, 4)):
            self.items.append(["execute", portal, self.pick((0, 1, 2, 3))])
            if self.random.random() < 0.25:
                self.items.append(["sync"])

    def rows(self):
        rows = self.random.sample(ROWS, self.random.randint(0, 3))
        if self.random.random() < 0.25:
            rows.insert(self.random.randint(0, len(rows)), self.pick(BAD_ROWS))
        if self.random.random() < 0.1:
            rows.append("\\.\n")
        data = "".join(rows)
        while data:
            size = self.random.randint(1, len(data)) if self.random.random() < 0.5 else len(data)
            self.items.append(["copy_data", data[:size]])
            data = data[size:]
            if self.random.random() < 0.08:
                self.items.append(self.pick((["sync"], ["flush"])))
        self.items += self.random.choices(
            ([["copy_done"]], [["copy_fail", "why not"]], []), (8, 2, 1))[0]

    def copy_in(self):
        self.items.append(["query", self.pick(COPY_IN)])
        self.rows()

    def copy_in_batch(self):
        name = self.free_name()
        self.items += [self.parse(name, COPY_IN[0], []), ["bind", "", name, [], [], []],
                       ["execute", "", 0]]
        if self.random.random() < 0.3:
            self.items.append(["sync"])  # ignored, as libpq's
        self.rows()

    def copy_out(self):
        self.by_either(self.pick(COPY_OUT))

    def call(self):
        self.items.append(self.pick((["call", 1257, ["abc"]], ["call", 999999, ["abc"]])))

    def wrong(self):
        """What no driver sends, where PostgreSQL does not end the connection for it."""
        self.items.append(self.pick((
            ["bind", "", "never", [], [], []], ["describe", "S", "never"], ["execute", "never", 0],
            ["describe", "P", "never"], ["close", "S", "never"], ["close", "P", "never"],
            ["describe", "Q", ""], ["close", "Q", ""], ["copy_data", "stray"], ["copy_done"],
            ["copy_fail", "stray"], ["raw", "Q", b"select 1".hex()], ["raw", "E", "00"],
            ["raw", "Q", b"select 1\0more".hex()], ["raw", "S", b"abc".hex()],
            ["raw", "B", b"p1\0s1".hex()], ["raw", "P", b"s1\0select 1".hex()], ["raw", "D", "53"],
            ["raw", "C", b"Ss1".hex()], ["raw", "F", "0000"], ["raw", "H", b"x".hex()],
            ["raw", "P", b"s1\0select 1\0\0\2\0\0\0\0".hex()])))

    def mutate(self):
        for _ in range(self.pick((0, 0, 0, 0, 1, 2, 4))):
            place = self.random.randrange(len(self.items) + 1)
            how = self.pick(("drop", "double", "exchange", "sync", "flush"))
            if how in ("sync", "flush"):
                self.items.insert(place, [how])
            elif how == "exchange" and 0 < place < len(self.items):
                self.items[place - 1:place + 1] = reversed(self.items[place - 1:place + 1])
            elif place < len(self.items):
                self.items[place:place + 1] = [] if how == "drop" else [self.items[place]] * 2

    def with_waits(self):
        result = []
        for item in self.items:
            result.append(item)
            if self.random.random() < (self.wait_rate if item[0] in ("sync", "query") else 0.1):
                result.append(["wait", [[self.random.randrange(OTHERS), self.pick(self.actions)]
                                        for _ in range(self.pick((0, 0, 1, 1, 2, 4)))]])
        return result


assert all(text in [sql for sql, _ in STATEMENTS] for text in SHARED_TEXTS)


def generate(seed):
    return {"seed": seed, **Generator(seed).sequence()}
