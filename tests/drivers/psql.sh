#!/bin/bash
# psql through the pooler: scripts, errors, COPY from and to files, large values, cancel, and many at
# once. The connection is described by libpq's environment variables.
set -euo pipefail
export PSQLRC=/dev/null
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ask() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
same() { [[ $1 == "$2" ]] || { echo "psql: expected '$2', got '$1'"; exit 1; }; echo "ok $3"; }

ask -c 'create table psql_t (id int primary key, v text)'
same "$(ask -c 'begin' -c "insert into psql_t values (1, 'a')" -c 'commit' -c 'table psql_t')" \
  '1|a' commit
same "$(ask -c "begin; insert into psql_t values (2, 'b'); rollback; select count(*) from psql_t")" \
  1 rollback
same "$(psql -XAtq -c '\set VERBOSITY sqlstate' -c 'select 1/0' 2>&1 || true)" \
  'ERROR:  22012' sqlstate
seq 1 100000 | sed 's/$/\trow/' >"$folder/in"
ask -c "create table psql_c (a int, b text)"
ask -c "\\copy psql_c from '$folder/in'"
ask -c "\\copy (select * from psql_c order by a) to '$folder/out'"
cmp "$folder/in" "$folder/out" && echo "ok copy"
same "$(ask -c "select length(repeat('x', 8 << 20))")" 8388608 'large value'
same "$(ask -c "select repeat('x', 8 << 20)" | wc -c)" 8388609 'large result'

# A cancel as Ctrl-C sends it.
psql -XAtq -c 'select pg_sleep(60)' 2>"$folder/cancelled" & sleeper=$!
for _ in {1..100}; do
  [[ $(ask -c "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'") == 1 ]] && break
  sleep 0.05
done
kill -INT "$sleeper"
! wait "$sleeper"
grep -q 'canceling statement due to user request' "$folder/cancelled" && echo "ok cancel"

ask -c 'create table psql_n (n int); insert into psql_n values (0)'
for _ in {1..12}; do
  ask -c 'begin' -c 'update psql_n set n = n + 1' -c 'commit' & pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
same "$(ask -c 'select n from psql_n')" 12 concurrency
