#!/bin/bash
# pgbench through the pooler in each of its protocol modes, with more clients than servers.
set -euo pipefail
export PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)
pgbench -i -q -s 1 2>&1 | tail -n 1
# A thread for each client: preparing makes pgbench wait, and a thread that waits holds up the
# transactions of its other clients.
for mode in simple extended prepared; do
  for script in tpcb-like select-only; do
    pgbench -n -M "$mode" -b "$script" -c 10 -j 10 -t 200 >/tmp/pgbench.$$ 2>&1 ||
      { cat /tmp/pgbench.$$; rm -f /tmp/pgbench.$$; exit 1; }
    grep -q '^number of failed transactions: 0 ' /tmp/pgbench.$$
    grep -q '^number of transactions actually processed: 2000/2000' /tmp/pgbench.$$
    rm -f /tmp/pgbench.$$
    echo "ok $mode $script"
  done
done
# Each transaction on a connection of its own: logins as fast as they go.
pgbench -n -C -S -c 10 -j 2 -t 20 | grep '^number of failed transactions: 0 '
[[ $(psql -XAtqc 'select sum(abalance) from pgbench_accounts') == \
   $(psql -XAtqc 'select sum(bbalance) from pgbench_branches') ]]
echo "ok sums agree"
