// pgx through the pooler, with its defaults: every statement is described and cached by name.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func check(good bool, what string) {
	if !good {
		log.Panic("wrong: ", what)
	}
}

func connect() *pgx.Conn {
	conn, err := pgx.Connect(ctx, "")
	must(err)
	return conn
}

func number(conn *pgx.Conn, sql string, values ...any) (n int) {
	must(conn.QueryRow(ctx, sql, values...).Scan(&n))
	return n
}

func fails(err error, state string) {
	var pgErr *pgconn.PgError
	check(errors.As(err, &pgErr) && pgErr.Code == state, fmt.Sprint(err, ", expected ", state))
}

func transactions() {
	conn := connect()
	defer conn.Close(ctx)
	_, err := conn.Exec(ctx, "create table gx (id int primary key)")
	must(err)
	for id, end := range []func(pgx.Tx) error{
		func(tx pgx.Tx) error { return tx.Commit(ctx) },
		func(tx pgx.Tx) error { return tx.Rollback(ctx) },
	} {
		tx, err := conn.Begin(ctx)
		must(err)
		_, err = tx.Exec(ctx, "insert into gx values ($1)", id)
		must(err)
		must(end(tx))
	}
	check(number(conn, "select count(*) from gx") == 1, "one row")
}

func failures() {
	conn := connect()
	defer conn.Close(ctx)
	_, err := conn.Exec(ctx, "select 1 / $1::int", 0)
	fails(err, "22012")
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "selec")
	fails(err, "42601")
	_, err = tx.Exec(ctx, "select $1::int", 1)
	fails(err, "25P02")
	must(tx.Rollback(ctx))
	check(number(conn, "select 7") == 7, "usable after errors")
}

func copies() {
	conn := connect()
	defer conn.Close(ctx)
	_, err := conn.Exec(ctx, "create table gxc (a int, b text)")
	must(err)
	rows := make([][]any, 20000)
	for n := range rows {
		rows[n] = []any{n, "value"}
	}
	count, err := conn.CopyFrom(ctx, pgx.Identifier{"gxc"}, []string{"a", "b"},
		pgx.CopyFromRows(rows))
	must(err)
	check(count == int64(len(rows)), "rows copied in")
	var out bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &out, "copy gxc to stdout")
	must(err)
	check(strings.Count(out.String(), "\n") == len(rows), "rows copied out")
	_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader("bad\n"), "copy gxc from stdin")
	fails(err, "22P02")
}

func largeValues() {
	conn := connect()
	defer conn.Close(ctx)
	value := bytes.Repeat([]byte{0, 255}, 4<<20)
	var back []byte
	must(conn.QueryRow(ctx, "select $1::bytea", value).Scan(&back))
	check(bytes.Equal(value, back), "large value")
}

func prepared() {
	conn := connect()
	defer conn.Close(ctx)
	for n := range 30 {
		check(number(conn, "select $1::int * 2", n) == n*2, "prepared")
	}
	batch := &pgx.Batch{}
	for n := range 100 {
		batch.Queue("select $1::int + 1", n)
	}
	results := conn.SendBatch(ctx, batch)
	for n := range 100 {
		var got int
		must(results.QueryRow().Scan(&got))
		check(got == n+1, "batch")
	}
	must(results.Close())
}

// Each way in which pgx may prepare, on more connections than there are servers.
func modes() {
	for _, mode := range []string{
		"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol",
	} {
		conns := make([]*pgx.Conn, 5)
		for n := range conns {
			config, err := pgx.ParseConfig("default_query_exec_mode=" + mode +
				" statement_cache_capacity=2 description_cache_capacity=2")
			must(err)
			conns[n], err = pgx.ConnectConfig(ctx, config)
			must(err)
		}
		for turn := range 4 {
			for _, conn := range conns {
				for text := range 4 {
					sql := fmt.Sprintf("select $1::int + %d", text)
					check(number(conn, sql, turn) == turn+text, mode)
				}
				_, err := conn.Exec(ctx, "select 1 / $1::int", 0)
				fails(err, "22012")
				batch := &pgx.Batch{}
				for n := range 10 {
					batch.Queue("select $1::int * 2", n)
				}
				results := conn.SendBatch(ctx, batch)
				for n := range 10 {
					var got int
					must(results.QueryRow().Scan(&got))
					check(got == n*2, mode+", batch")
				}
				must(results.Close())
			}
		}
		for _, conn := range conns {
			must(conn.Close(ctx))
		}
	}
}

func concurrency() {
	config, err := pgxpool.ParseConfig("pool_max_conns=10")
	must(err)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	must(err)
	defer pool.Close()
	_, err = pool.Exec(ctx, "create table gxn as select 0 as n")
	must(err)
	var group sync.WaitGroup
	for range 10 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 40 {
				must(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, "update gxn set n = n + $1", 1)
					return err
				}))
			}
		}()
	}
	group.Wait()
	var n int
	must(pool.QueryRow(ctx, "select n from gxn").Scan(&n))
	check(n == 400, "every update counted")
}

func cancel() {
	conn := connect()
	defer conn.Close(ctx)
	time.AfterFunc(500*time.Millisecond, func() { must(conn.PgConn().CancelRequest(ctx)) })
	_, err := conn.Exec(ctx, "select pg_sleep(30)")
	fails(err, "57014")
	check(number(conn, "select 1") == 1, "usable after cancel")
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "busy" {
		stayBusy()
		return
	}
	for _, test := range []struct {
		name string
		run  func()
	}{{"transactions", transactions}, {"errors", failures}, {"copies", copies},
		{"large values", largeValues}, {"prepared", prepared}, {"modes", modes},
		{"concurrency", concurrency}, {"cancel", cancel}} {
		test.run()
		fmt.Println("ok", test.name)
	}
}
