// Node's client against a server: the program that `boathouse connect node` prints, as a module.
//
// `node check.mjs PRINTED.mjs` prints a line per check and ends with 1 when one of them failed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import grpc from "@grpc/grpc-js";
import * as arrow from "apache-arrow";

const printed = process.argv[2];
const { query, batches, ingest, tables, close } = await import(printed);
/** The module once more: a client of its own, with a session and a connection of its own. */
const another = (name) => import(`${printed}?${name}`);

/** What a check does to each call, when it wants to see or to break one. */
let touch = () => {};
const open = grpc.Client.prototype.makeBidiStreamRequest;
grpc.Client.prototype.makeBidiStreamRequest = function (path, encode, decode, headers, ...rest) {
  touch({ path, headers });
  const stream = open.call(this, path, encode, decode, headers, ...rest);
  touch({ path, stream });
  return stream;
};

/** Rows as plain objects. */
const rows = async (...of) => (await query(...of)).toArray().map((row) => row.toJSON());
const value = async (...of) => Object.values((await rows(...of))[0])[0];

/** Asks until the answer is true. How long that takes decides nothing. */
async function eventually(what, ask) {
  for (let round = 0; round < 1200; round += 1) {
    if (await ask()) return;
    await sleep(50);
  }
  assert.fail(`it never came: ${what}`);
}

/** What the server says of the statements whose text holds a word. */
const states = async (word) => {
  const sql = "SELECT state FROM system.queries WHERE sql LIKE $1 AND sql NOT LIKE '%system.queries%'";
  return (await rows(sql, [`%${word}%`])).map(({ state }) => state);
};
const runs = (word) => eventually(`${word} runs`, async () => (await states(word)).includes("running"));
const isCancelled = (word) =>
  eventually(`the server ends ${word}`, async () => {
    const found = await states(word);
    return found.length > 0 && found.every((state) => state === "cancelled");
  });
const isAbsent = async (table) => assert.deepEqual(await tables({ table }), []);

function numbers(from, count) {
  const values = BigInt64Array.from({ length: count }, (_, index) => BigInt(from + index));
  return new arrow.Table({ n: arrow.makeVector(values) });
}
/** Batches without an end; `then` is done once the server has begun to write their rows. */
async function* endless(table, then) {
  for (let sent = 0; ; sent += 1) {
    yield numbers(sent * 100_000, 100_000).batches[0];
    if (sent === 5) {
      await runs(`bulk ingestion: create ${table}`);
      await then();
    }
  }
}
const ENDLESS = "FROM generate_series(1, 1000000000000)";

const checks = {
  "tables and columns are browsed": async () => {
    await query("CREATE SCHEMA browsed");
    await query("CREATE TABLE browsed.items (id BIGINT NOT NULL, price DECIMAL(12, 2), day DATE, tags ARRAY<VARCHAR>)");
    await query("CREATE VIEW browsed.cheap AS SELECT id FROM browsed.items WHERE price < 1");
    assert.deepEqual(await tables({ schema: "browsed" }), [
      { schema: "browsed", name: "cheap", type: "VIEW" },
      { schema: "browsed", name: "items", type: "TABLE" },
    ]);
    const [{ name, columns }, ...others] = await tables({ schema: "brow%", table: "item_", columns: true });
    assert.deepEqual([name, others], ["items", []]);
    assert.deepEqual(
      columns.map((column) => [column.name, column.nullable, column.metadata.get("ARROW:FLIGHT:SQL:TYPE_NAME")]),
      [["id", false, "BIGINT"], ["price", true, "DECIMAL(12,2)"], ["day", true, "DATE"], ["tags", true, "VARCHAR[]"]],
    );
    assert.deepEqual([columns[1].type.precision, columns[1].type.scale], [12, 2]);
    assert.deepEqual(await tables({ schema: "nowhere" }), []);
    await query("DROP SCHEMA browsed CASCADE");
  },

  "values of all types come as they are": async () => {
    const table = await query(`SELECT true AS yes, CAST(-1 AS TINYINT) AS i8, CAST(2 AS SMALLINT) AS i16, CAST(3 AS INT) AS i32,
      9007199254740993 AS i64, CAST(0.5 AS REAL) AS f32, CAST(1.5 AS DOUBLE) AS f64, CAST(-12.34 AS DECIMAL(10, 2)) AS price,
      'größe' AS word, X'00ff' AS raw, DATE '2026-02-03' AS day, TIMESTAMP '2026-02-03 04:05:06.789' AS time,
      [1, NULL, 3] AS list, named_struct('a', 1, 'b', 'x') AS struct, MAP(['k'], [7]) AS map`);
    const { price, raw, list, struct, map, ...row } = table.get(0).toJSON();
    assert.deepEqual(row, {
      yes: true, i8: -1, i16: 2, i32: 3, i64: 9007199254740993n, f32: 0.5, f64: 1.5, word: "größe",
      day: Date.UTC(2026, 1, 3), time: Date.UTC(2026, 1, 3, 4, 5, 6, 789),
    });
    assert.equal(String(price), "-1234");
    assert.equal(table.schema.fields.find(({ name }) => name === "price").type.scale, 2);
    assert.deepEqual([...raw], [0, 255]);
    assert.deepEqual([...list], [1n, null, 3n]);
    assert.deepEqual(struct.toJSON(), { a: 1n, b: "x" });
    assert.deepEqual(map.toJSON(), { k: 7n });
  },

  "NULLs of all types come as null": async () => {
    const types = ["BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "REAL", "DOUBLE", "DECIMAL(10, 2)", "VARCHAR", "BINARY",
      "DATE", "TIMESTAMP", "ARRAY<BIGINT>", "STRUCT<a BIGINT>"];
    await query(`CREATE TABLE nulls (${types.map((type, index) => `c${index} ${type}`)})`);
    await query(`INSERT INTO nulls VALUES (${types.map(() => "?")})`, types.map(() => null));
    const [row] = await rows("SELECT *, NULL AS untyped FROM nulls");
    assert.deepEqual(Object.values(row), [...types, "untyped"].map(() => null));
  },

  "parameters are bound by place": async () => {
    await query(`CREATE TABLE node_bound (n BIGINT, word VARCHAR, price DECIMAL(20, 2), day DATE, time TIMESTAMP, x DOUBLE,
      yes BOOLEAN, raw BINARY, list ARRAY<VARCHAR>)`);
    const list = arrow.vectorFromArray([["a", null]], new arrow.List(new arrow.Field("item", new arrow.Utf8(), true)));
    const time = new Date(Date.UTC(2026, 4, 6, 7, 8, 9, 123));
    const given = [1, "it's", "123456789012345678.25", "2026-05-06", time, 0.5, true, Uint8Array.of(0, 255), list];
    assert.deepEqual(await rows("INSERT INTO node_bound VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", given), [{ count: 1n }]);
    const [row] = await rows("SELECT *, CAST(price AS VARCHAR) AS digits FROM node_bound WHERE n >= $1 AND word = $2", [1n, "it's"]);
    assert.deepEqual([row.n, row.word, row.digits, row.day], [1n, "it's", "123456789012345678.25", Date.UTC(2026, 4, 6)]);
    assert.deepEqual([row.time, row.x, row.yes, [...row.raw], [...row.list]], [+time, 0.5, true, [0, 255], ["a", null]]);
    await query("INSERT INTO node_bound (n) VALUES ($1)", [9007199254740993n]);
    assert.equal(await value("SELECT n FROM node_bound WHERE word IS NULL AND n = ?", [9007199254740993n]), 9007199254740993n);
    await assert.rejects(query("SELECT n FROM node_bound WHERE n = ?", [2n ** 64n]), { code: 3 });
    await assert.rejects(query("SELECT n FROM node_bound WHERE n = ?", [1, 2]), /1 parameter, but 2 were given/);
  },

  "a change happens once": async () => {
    await query("CREATE TABLE noded (n BIGINT)");
    assert.deepEqual(await rows("INSERT INTO noded VALUES (1), (2)"), [{ count: 2n }]);
    assert.equal(await value("SELECT count(*) FROM noded"), 2n);
  },

  "big results stream": async () => {
    const table = await query("SELECT value, 'row ' || value AS text FROM generate_series(1, 1000000) ORDER BY value");
    assert.equal(table.numRows, 1_000_000);
    assert.deepEqual(table.get(999_999).toJSON(), { value: 1_000_000n, text: "row 1000000" });
    let sum = 0n;
    for await (const batch of batches("SELECT value FROM generate_series(1, 1000000)")) {
      for (const number of batch.getChild("value").toArray()) sum += number;
    }
    assert.equal(sum, 500_000_500_000n);
    const empty = await query("SELECT 1 AS a, 'x' AS b WHERE false");
    assert.deepEqual([empty.numRows, empty.schema.names], [0, ["a", "b"]]);
  },

  "a session has its settings, and all of the streams of a result are read": async () => {
    const client = await another("session");
    await client.query("CREATE SCHEMA node_elsewhere");
    await client.query("CREATE TABLE node_elsewhere.here AS SELECT 5 AS five");
    await client.query("USE node_elsewhere");
    assert.equal((await client.query("SELECT five FROM here")).get(0).five, 5n);
    await assert.rejects(query("SELECT five FROM here"), { code: 5 });
    await client.query("SET parallel_endpoints = 4");
    let streams = 0;
    touch = ({ path, headers }) => (streams += headers && path.endsWith("DoGet") ? 1 : 0);
    const table = await client.query("SELECT value FROM generate_series(1, 1000000)");
    touch = () => {};
    assert.deepEqual([streams, table.numRows, new Set(table.getChild("value")).size], [4, 1_000_000, 1_000_000]);
    await client.close();
  },

  "errors have code, text and details": async () => {
    const error = await query("SELECT a FROM nowhere WHERE a = ? AND '#' = ''", [1]).catch((error) => error);
    assert.equal(error.code, grpc.status.NOT_FOUND);
    // The library's own text has "%3F" and "%23" in it.
    assert.match(error.message, /"main.nowhere" does not exist\nLINE 1: SELECT a FROM nowhere WHERE a = \? AND '#' = ''\n/);
    assert.equal(error.sqlstate, "42704");
    assert.match(error.query_id, /^[0-9a-f-]{36}$/);
    await assert.rejects(query("SELEC 1"), { code: grpc.status.INVALID_ARGUMENT, message: /LINE 1/ });
    // In the middle of the rows.
    await assert.rejects(query("SELECT 1 / (900000 - value) FROM generate_series(1, 1000000)"), { message: /zero/ });
    assert.equal(await value("SELECT 1"), 1n);
  },

  "a query that is cancelled ends on the server": async () => {
    const enough = new Error("enough");
    // While rows come. Without the stream's own end, what ends it is that the server is asked to.
    const read = async (word) => {
      const controller = new AbortController();
      const { signal } = controller;
      let read = 0;
      for await (const _ of batches(`SELECT value AS ${word} ${ENDLESS}`, [], { signal })) {
        controller.abort(enough);
        assert.ok((read += 1) < 5000, "rows come and come");
      }
    };
    await assert.rejects(read("rows_cancelled"), enough);
    await isCancelled("rows_cancelled");
    touch = ({ path, stream }) => stream && path.endsWith("DoGet") && (stream.cancel = () => {});
    await assert.rejects(read("asked_to_cancel"), enough).finally(() => (touch = () => {}));
    await isCancelled("asked_to_cancel");
    // Before there are rows, and a change.
    for (const [word, sql, parameters] of [
      ["count_cancelled", `SELECT count(*) AS count_cancelled ${ENDLESS} WHERE value > ?`, [0]],
      ["table_cancelled", `CREATE TABLE table_cancelled AS SELECT * ${ENDLESS}`, []],
    ]) {
      const controller = new AbortController();
      const rejected = assert.rejects(query(sql, parameters, { signal: controller.signal }), enough);
      await runs(word);
      controller.abort(enough);
      await isCancelled(word);
      await rejected;
    }
    await isAbsent("table_cancelled");
    // Who leaves the loop needs no more.
    for await (const _ of batches(`SELECT value AS loop_left ${ENDLESS}`)) break;
    await isCancelled("loop_left");
    // What is cancelled from the start is not sent.
    await assert.rejects(query("SELECT 1 AS never_sent", [], { signal: AbortSignal.abort(enough) }), enough);
    assert.deepEqual(await states("never_sent"), []);
  },

  "ingestion creates, appends and replaces": async () => {
    const n = Int32Array.from({ length: 1000 }, (_, index) => index);
    const table = arrow.tableFromArrays({ n, word: Array(1000).fill("w").fill(null, 999) });
    assert.equal(await ingest("node_ingested", table), 1000);
    await assert.rejects(ingest("node_ingested", table), { code: grpc.status.ALREADY_EXISTS });
    assert.equal(await ingest("node_ingested", table, { mode: "append" }), 1000);
    assert.equal(await ingest("node_ingested", table, { mode: "create_append", schema: "main" }), 1000);
    assert.deepEqual(await rows("SELECT count(*) AS n, count(word) AS w FROM node_ingested"), [{ n: 3000n, w: 2997n }]);
    assert.equal(await ingest("node_ingested", table.slice(3, 10), { mode: "replace" }), 7);
    assert.deepEqual(await rows("SELECT count(*) AS c, min(n) AS n FROM node_ingested"), [{ c: 7n, n: 3 }]);
    await assert.rejects(ingest("absent", table, { mode: "append" }), { code: grpc.status.NOT_FOUND });
    await assert.rejects(ingest("absent", table, { mode: "fail" }), TypeError);
    await assert.rejects(ingest("absent", [{ n: 1 }]), TypeError);
    const wrong = arrow.tableFromArrays({ n: ["not a number"], word: ["x"] });
    await assert.rejects(ingest("node_ingested", wrong, { mode: "append" }), { code: grpc.status.INVALID_ARGUMENT });
    await assert.rejects(ingest("node_ingested", [...table.batches, ...numbers(0, 1).batches], { mode: "append" }), TypeError);
    assert.equal(await value("SELECT count(*) FROM node_ingested"), 7n);
    await isAbsent("absent");
    // No rows, and the rows of a query as they come.
    assert.equal(await ingest("nothing", table.slice(0, 0)), 0);
    assert.equal(await value("SELECT count(*) FROM nothing"), 0n);
    assert.equal(await ingest("copied", batches("SELECT value FROM generate_series(1, 300000)")), 300_000);
    assert.equal(await value("SELECT sum(value) FROM copied"), 45_000_150_000n);
  },

  "values of all types are ingested": async () => {
    const vector = (type, ...values) => arrow.vectorFromArray([...values, null], type);
    const item = (type) => new arrow.Field("item", type, true);
    const table = new arrow.Table({
      yes: vector(new arrow.Bool(), true),
      i8: vector(new arrow.Int8(), -1),
      i16: vector(new arrow.Int16(), 2),
      i32: vector(new arrow.Int32(), 3),
      i64: vector(new arrow.Int64(), 9007199254740993n),
      f32: vector(new arrow.Float32(), 0.5),
      f64: vector(new arrow.Float64(), 1.5),
      price: vector(new arrow.Decimal(2, 10, 128), Uint32Array.of(1234, 0, 0, 0)),
      word: vector(new arrow.Utf8(), "größe"),
      kind: vector(new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()), "kind"),
      raw: vector(new arrow.Binary(), Uint8Array.of(0, 255)),
      day: vector(new arrow.DateDay(), new Date(Date.UTC(2026, 1, 3))),
      time: vector(new arrow.TimestampMicrosecond(), Date.UTC(2026, 1, 3, 4, 5, 6, 789)),
      list: vector(new arrow.List(item(new arrow.Int64())), [1n, null, 3n]),
      kinds: vector(new arrow.List(item(new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()))), ["a", null, "a"]),
      struct: vector(new arrow.Struct([new arrow.Field("a", new arrow.Int64(), true)]), { a: 1n }),
    });
    assert.equal(await ingest("typed", table), 2);
    const [none] = await rows("SELECT * FROM typed WHERE i8 IS NULL");
    assert.deepEqual(Object.values(none), table.schema.names.map(() => null));
    const sql = "SELECT *, CAST(price AS VARCHAR) AS digits FROM typed WHERE yes";
    const [{ raw, list, kinds, struct, price, ...row }] = await rows(sql);
    assert.deepEqual(row, {
      yes: true, i8: -1, i16: 2, i32: 3, i64: 9007199254740993n, f32: 0.5, f64: 1.5, word: "größe", kind: "kind",
      day: Date.UTC(2026, 1, 3), time: Date.UTC(2026, 1, 3, 4, 5, 6, 789), digits: "12.34",
    });
    assert.deepEqual([[...raw], struct.toJSON()], [[0, 255], { a: 1n }]);
    assert.deepEqual([[...list], [...kinds]], [[1n, null, 3n], ["a", null, "a"]]);
  },

  "a large batch is sent in parts": async () => {
    const ns = Array.from({ length: 150_000 }, (_, n) => n);
    const item = (name) => new arrow.Field(name, new arrow.Int32(), true);
    const table = new arrow.Table({
      n: numbers(0, ns.length).getChild("n"),
      even: arrow.vectorFromArray(ns.map((n) => (n % 3 ? n % 2 === 0 : null)), new arrow.Bool()),
      word: arrow.vectorFromArray(ns.map((n) => (n % 5 ? `word ${n}` : null))),
      list: arrow.vectorFromArray(ns.map((n) => [n, null]), new arrow.List(item("item"))),
      pair: arrow.vectorFromArray(ns.map((a) => ({ a })), new arrow.Struct([item("a")])),
    });
    assert.equal(table.batches.length, 1);
    let messages = 0;
    touch = ({ path, stream }) => {
      if (!stream || !path.endsWith("DoPut")) return;
      const write = stream.write;
      stream.write = (message) => ((messages += 1), write.call(stream, message));
    };
    assert.equal(await ingest("large", table).finally(() => (touch = () => {})), ns.length);
    assert.ok(messages > 3, `${messages} messages`);
    const right = `n % 3 = 0 AND even IS NULL OR n % 3 > 0 AND even = (n % 2 = 0)`;
    const [row] = await rows(`SELECT count(*) AS all, count(DISTINCT n) AS n, count(*) FILTER (WHERE ${right}) AS even,
      count(*) FILTER (WHERE n % 5 = 0 AND word IS NULL OR n % 5 > 0 AND word = 'word ' || n) AS word,
      count(*) FILTER (WHERE list[1] = n AND list[2] IS NULL) AS list,
      count(*) FILTER (WHERE pair['a'] = n) AS pair FROM large`);
    assert.deepEqual(Object.values(row), Object.values(row).map(() => 150_000n));
    // More than a message may have: 64 MiB in few rows.
    const wide = arrow.vectorFromArray(Array(70).fill("w".repeat(1 << 20)), new arrow.Utf8());
    assert.equal(await ingest("wide", new arrow.Table({ wide })), 70);
    assert.equal(await value("SELECT sum(length(wide)) FROM wide"), 70n << 20n);
  },

  "an ingestion whose stream breaks leaves nothing": async () => {
    const mine = new Error("mine");
    const fail = () => { throw mine; };
    await assert.rejects(ingest("threw", endless("threw", fail)), mine);
    await isCancelled("create threw");
    const controller = new AbortController();
    const aborted = ingest("aborted", endless("aborted", () => controller.abort(mine)), { signal: controller.signal });
    await assert.rejects(aborted, mine);
    await isCancelled("create aborted");
    // A client that dies.
    const dies = `${endless}\n${numbers}\n${eventually}
      import assert from "node:assert/strict";
      import { setTimeout as sleep } from "node:timers/promises";
      import * as arrow from "apache-arrow";
      import { query, ingest } from ${JSON.stringify(printed)};
      const running = "SELECT 1 FROM system.queries WHERE state = 'running' AND sql = ?";
      const runs = (sql) => eventually(sql, async () => (await query(running, [sql])).numRows > 0);
      await ingest("died", endless("died", () => process.kill(process.pid, "SIGKILL")));`;
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", dies], { cwd: dirname(printed), encoding: "utf8" });
    assert.equal(child.signal, "SIGKILL", child.stderr);
    await isCancelled("create died");
    for (const table of ["threw", "aborted", "died"]) await isAbsent(table);
  },

  "transactions are refused and not pretended": async () => {
    await query("CREATE TABLE node_untouched (n BIGINT)");
    await assert.rejects(query("BEGIN"), { code: grpc.status.UNIMPLEMENTED });
    await query("INSERT INTO node_untouched VALUES (1)");
    await assert.rejects(query("ROLLBACK"), { code: grpc.status.UNIMPLEMENTED });
    assert.equal(await value("SELECT count(*) FROM node_untouched"), 1n);
  },

  "closing in the middle leaves nothing, and no session": async () => {
    const client = await another("closing");
    await query("CREATE TABLE kept AS SELECT 1 AS value");
    let cookie;
    touch = ({ headers }) => (cookie = headers?.get("cookie")[0] ?? cookie);
    await client.query("SET batch_size = 2048");
    const stream = client.batches(`SELECT value AS stream_closed ${ENDLESS}`);
    await stream.next();
    touch = () => {};
    assert.match(cookie, /^boathouse_session=/);
    let isClosed;
    const closed = new Promise((resolve) => (isClosed = resolve));
    const words = ["stream_closed", "table_closed", "INSERT INTO kept", "create ingestion_closed"];
    const ended = Promise.all(
      [
        (async () => { for await (const _ of stream) await sleep(10); })(),
        client.query(`CREATE TABLE table_closed AS SELECT * ${ENDLESS}`),
        client.query(`INSERT INTO kept SELECT value ${ENDLESS}`),
        client.ingest("ingestion_closed", endless("ingestion_closed", () => closed)),
      ].map((work) => assert.rejects(work)),
    );
    for (const word of words) await runs(word);
    await client.close();
    isClosed();
    for (const word of words) await isCancelled(word);
    await ended;
    for (const table of ["table_closed", "ingestion_closed"]) await isAbsent(table);
    assert.equal(await value("SELECT count(*) FROM kept"), 1n);
    await assert.rejects(client.query("SELECT 1"));
    // Who comes with its cookie is told that it has ended.
    touch = ({ headers }) => headers?.set("cookie", cookie);
    const late = await another("late");
    await assert.rejects(late.query("SELECT 1"), { code: grpc.status.ABORTED }).finally(() => (touch = () => {}));
    await late.close();
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
console.log(`node: ${Object.keys(checks).length - failed} passed, ${failed} failed`);
await close();
process.exit(failed ? 1 : 0);
