// node-postgres through the pooler.
'use strict';
const assert = require('assert');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const { Client, Pool } = require('pg');
const copy = require('pg-copy-streams');
const Cursor = require('pg-cursor');

async function withClient(work) {
  const client = new Client();
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const tests = {
  async transactions() {
    await withClient(async (client) => {
      await client.query('create table np (id int primary key)');
      await client.query('begin');
      await client.query('insert into np values ($1)', [1]);
      await client.query('commit');
      await client.query('begin');
      await client.query('insert into np values ($1)', [2]);
      await client.query('rollback');
      const { rows } = await client.query('select count(*)::int as n from np');
      assert.strictEqual(rows[0].n, 1);
    });
  },

  async errors() {
    await withClient(async (client) => {
      await assert.rejects(client.query('select 1 / $1::int', [0]), { code: '22012' });
      await client.query('begin');
      await assert.rejects(client.query('selec'), { code: '42601' });
      await assert.rejects(client.query('select $1::int', [1]), { code: '25P02' });
      await client.query('rollback');
      assert.strictEqual((await client.query('select 1 as x')).rows[0].x, 1);
    });
  },

  async copies() {
    await withClient(async (client) => {
      await client.query('create table npc (a int, b text)');
      const lines = Array.from({ length: 20000 }, (_, n) => `${n}\tvalue\n`);
      await pipeline(Readable.from(lines), client.query(copy.from('copy npc from stdin')));
      let size = 0;
      for await (const chunk of client.query(copy.to('copy npc to stdout'))) size += chunk.length;
      assert.strictEqual(size, lines.join('').length);
    });
  },

  async large_values() {
    await withClient(async (client) => {
      const value = Buffer.alloc(8 << 20, 7);
      const { rows } = await client.query('select $1::bytea as v', [value]);
      assert.ok(rows[0].v.equals(value));
    });
  },

  async prepared() {
    await withClient(async (client) => {
      for (let n = 0; n < 30; n++) {
        const query = { name: 'twice', text: 'select $1::int * 2 as x', values: [n] };
        assert.strictEqual((await client.query(query)).rows[0].x, n * 2);
      }
      await client.query('begin');
      const cursor = client.query(new Cursor('select generate_series(1, 100) as g'));
      assert.strictEqual((await cursor.read(30)).length, 30);
      assert.strictEqual((await cursor.read(100)).length, 70);
      await cursor.close();
      await client.query('commit');
    });
  },

  // The same names for the same and for other texts, on more clients than there are servers.
  async named_statements() {
    const clients = await Promise.all(Array.from({ length: 6 }, async () => {
      const client = new Client();
      await client.connect();
      return client;
    }));
    for (let turn = 0; turn < 10; turn++) {
      await Promise.all(clients.map(async (client, place) => {
        const one = { name: 'one', text: `select $1::int + ${place % 2} as x`, values: [turn] };
        assert.strictEqual((await client.query(one)).rows[0].x, turn + (place % 2));
        const two = { name: 'two', text: 'select 10 / $1::int as x', values: [turn % 3] };
        if (turn % 3 === 0) await assert.rejects(client.query(two), { code: '22012' });
        else assert.strictEqual((await client.query(two)).rows[0].x, Math.floor(10 / (turn % 3)));
      }));
    }
    await Promise.all(clients.map((client) => client.end()));
  },

  async concurrency() {
    const pool = new Pool({ max: 10 });
    await pool.query('create table npn as select 0 as n');
    await Promise.all(Array.from({ length: 10 }, async () => {
      for (let n = 0; n < 40; n++) {
        const client = await pool.connect();
        await client.query('begin');
        await client.query('update npn set n = n + $1', [1]);
        await client.query('commit');
        client.release();
      }
    }));
    assert.strictEqual((await pool.query('select n from npn')).rows[0].n, 400);
    await pool.end();
  },

  async cancel() {
    await withClient(async (client) => {
      const sleeping = client.query('select pg_sleep(30)');
      setTimeout(() => {
        const other = new Client();
        other.connection.on('error', () => {});
        other.connection.once('connect', () =>
          other.connection.cancel(client.processID, client.secretKey));
        other.connection.connect(Number(process.env.PGPORT), process.env.PGHOST);
      }, 500);
      await assert.rejects(sleeping, { code: '57014' });
      assert.strictEqual((await client.query('select 1 as x')).rows[0].x, 1);
    });
  },
};

(async () => {
  for (const [name, test] of Object.entries(tests)) {
    await test();
    console.log('ok', name);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
