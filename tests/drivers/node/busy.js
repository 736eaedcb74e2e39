// node-postgres, busy until the file $BUSY_STOP exists; see tests/systemd/test_drivers.py.
'use strict';
const assert = require('assert');
const fs = require('fs');
const { Client } = require('pg');

let turns = 0;
let errors = 0;
const over = () => fs.existsSync(process.env.BUSY_STOP);

async function connect() {
  const client = new Client();
  client.on('error', () => {}); // the query that waits for an answer reports it too
  await client.connect();
  return client;
}

async function idle(work) {
  const client = await connect();
  const ask = async (value) => {
    const query = { name: 'plus', text: 'select $1::int + 1 as n', values: [value] };
    assert.strictEqual((await client.query(query)).rows[0].n, value + 1);
  };
  await ask(1);
  await work;
  await ask(2);
  await client.end();
}

async function busy() {
  let client = null;
  while (!over()) {
    try {
      if (client === null) client = await connect();
      await client.query('begin');
      await client.query({ name: 'add', text: 'insert into busy values ($1)', values: ['node'] });
      await client.query('select 1');
      await client.query('commit');
      turns += 1;
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      console.log('error:', String(error));
      errors += 1;
      if (client !== null) client.end().catch(() => {});
      client = null;
    }
  }
  if (client !== null) await client.end();
}

async function main() {
  const work = Promise.all([busy(), busy(), busy(), busy()]);
  await Promise.all([idle(work), idle(work), work]);
  console.log(`turns=${turns} errors=${errors}`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
