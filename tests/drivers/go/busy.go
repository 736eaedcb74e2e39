package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

var turns, mistakes atomic.Int64

func idle(ready *sync.WaitGroup, over <-chan struct{}) {
	conn := connect()
	defer conn.Close(ctx)
	check(number(conn, "select $1::int + 1", 1) == 2, "the answer")
	ready.Done()
	<-over
	check(number(conn, "select $1::int + 1", 2) == 3, "the answer")
}

func turn(conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err = tx.Exec(ctx, "insert into busy values ($1)", "pgx"); err != nil {
		return err
	}
	var answer int
	if err = tx.QueryRow(ctx, "select $1::int * 2", 21).Scan(&answer); err != nil {
		return err
	}
	check(answer == 42, "the answer")
	return tx.Commit(ctx)
}

func busy() {
	var conn *pgx.Conn
	for {
		if _, err := os.Stat(os.Getenv("BUSY_STOP")); err == nil {
			break
		}
		var err error
		if conn == nil {
			conn, err = pgx.Connect(ctx, "")
		}
		if err == nil {
			err = turn(conn)
		}
		if err == nil {
			turns.Add(1)
			continue
		}
		fmt.Println("error:", err)
		mistakes.Add(1)
		if conn != nil {
			conn.Close(ctx)
			conn = nil
		}
	}
	if conn != nil {
		conn.Close(ctx)
	}
}

// Busy until the file $BUSY_STOP exists; see tests/systemd/test_drivers.py.
func stayBusy() {
	over := make(chan struct{})
	var ready, idlers, workers sync.WaitGroup
	for range 2 {
		ready.Add(1)
		idlers.Add(1)
		go func() { defer idlers.Done(); idle(&ready, over) }()
	}
	ready.Wait()
	for range 4 {
		workers.Add(1)
		go func() { defer workers.Done(); busy() }()
	}
	workers.Wait()
	close(over)
	idlers.Wait()
	fmt.Printf("turns=%d errors=%d\n", turns.Load(), mistakes.Load())
}
