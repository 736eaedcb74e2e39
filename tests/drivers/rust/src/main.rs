//! tokio-postgres through the pooler, with its defaults: every query is a named prepared statement.

use bytes::Bytes;
use futures_util::{pin_mut, SinkExt, TryStreamExt};
use std::env::var;
use std::time::Duration;
use tokio_postgres::{Client, Config, Error, NoTls};

async fn connect() -> Client {
    let (client, connection) = Config::new()
        .host(var("PGHOST").unwrap())
        .port(var("PGPORT").unwrap().parse().unwrap())
        .user(var("PGUSER").unwrap())
        .password(var("PGPASSWORD").unwrap())
        .dbname(var("PGDATABASE").unwrap())
        .connect(NoTls)
        .await
        .expect("connect");
    tokio::spawn(async move { connection.await.expect("connection") });
    client
}

fn fails<T>(result: Result<T, Error>, state: &str) {
    let error = result.err().expect("an error");
    assert_eq!(error.code().expect("a SQLSTATE").code(), state);
}

async fn number(client: &Client, sql: &str) -> i32 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn transactions() {
    let mut client = connect().await;
    client.execute("create table tp (id int primary key)", &[]).await.unwrap();
    let first = client.transaction().await.unwrap();
    first.execute("insert into tp values ($1)", &[&1]).await.unwrap();
    first.commit().await.unwrap();
    let second = client.transaction().await.unwrap();
    second.execute("insert into tp values ($1)", &[&2]).await.unwrap();
    second.rollback().await.unwrap();
    assert_eq!(number(&client, "select count(*)::int from tp").await, 1);
}

async fn errors() {
    let mut client = connect().await;
    fails(client.query("select 1 / $1::int", &[&0]).await, "22012");
    let block = client.transaction().await.unwrap();
    fails(block.query("selec", &[]).await, "42601");
    fails(block.query("select 1", &[]).await, "25P02");
    block.rollback().await.unwrap();
    assert_eq!(number(&client, "select 7").await, 7);
}

async fn copies() {
    let client = connect().await;
    client.batch_execute("create table tpc (a int, b text)").await.unwrap();
    let sink = client.copy_in::<_, Bytes>("copy tpc from stdin").await.unwrap();
    pin_mut!(sink);
    for n in 0..20000 {
        sink.send(Bytes::from(format!("{n}\tvalue\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 20000);
    let stream = client.copy_out("copy tpc to stdout").await.unwrap();
    let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
    let lines = chunks.iter().flat_map(|chunk| chunk.iter()).filter(|byte| **byte == b'\n');
    assert_eq!(lines.count(), 20000);
}

async fn large_values() {
    let client = connect().await;
    let value = vec![7u8; 8 << 20];
    let row = client.query_one("select $1::bytea", &[&value]).await.unwrap();
    assert!(row.get::<_, Vec<u8>>(0) == value);
}

async fn prepared() {
    let client = connect().await;
    let statement = client.prepare("select $1::int * 2").await.unwrap();
    for n in 0..30 {
        let row = client.query_one(&statement, &[&n]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), n * 2);
    }
    // Pipelined: all are sent before the first is answered.
    let values: Vec<i32> = (0..100).collect();
    let ask = |n: i32| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[&n]).await }
    };
    let answers = values.into_iter().map(ask);
    for (n, row) in futures_util::future::join_all(answers).await.into_iter().enumerate() {
        assert_eq!(row.unwrap().get::<_, i32>(0), n as i32 * 2);
    }
}

// Statements that live long and that are dropped, on more clients than there are servers.
async fn prepared_by_many() {
    let mut clients = Vec::new();
    for _ in 0..6 {
        let client = connect().await;
        let kept = client.prepare("select $1::int + 1").await.unwrap();
        clients.push((client, kept));
    }
    for turn in 0..5 {
        for (client, kept) in &clients {
            let row = client.query_one(kept, &[&turn]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), turn + 1);
            for text in 0..4 {
                let dropped = client.prepare(&format!("select $1::int * {text}")).await.unwrap();
                let row = client.query_one(&dropped, &[&turn]).await.unwrap();
                assert_eq!(row.get::<_, i32>(0), turn * text);
            }
            fails(client.query("select 1 / $1::int", &[&0]).await, "22012");
        }
    }
}

async fn concurrency() {
    let client = connect().await;
    client.batch_execute("create table tpn as select 0 as n").await.unwrap();
    let workers = (0..10).map(|_| {
        tokio::spawn(async {
            let mut client = connect().await;
            for _ in 0..40 {
                let block = client.transaction().await.unwrap();
                block.execute("update tpn set n = n + $1", &[&1]).await.unwrap();
                block.commit().await.unwrap();
            }
        })
    });
    for done in futures_util::future::join_all(workers).await {
        done.unwrap();
    }
    assert_eq!(number(&client, "select n from tpn").await, 400);
}

async fn cancel() {
    let client = connect().await;
    let token = client.cancel_token();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(NoTls).await.unwrap();
    });
    fails(client.query("select pg_sleep(30)", &[]).await, "57014");
    assert_eq!(number(&client, "select 1").await, 1);
}

#[tokio::main]
async fn main() {
    transactions().await;
    println!("ok transactions");
    errors().await;
    println!("ok errors");
    copies().await;
    println!("ok copies");
    large_values().await;
    println!("ok large values");
    prepared().await;
    println!("ok prepared");
    prepared_by_many().await;
    println!("ok prepared by many");
    concurrency().await;
    println!("ok concurrency");
    cancel().await;
    println!("ok cancel");
}
