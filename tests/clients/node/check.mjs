// Node's client against a server: the program that `boathouse connect node` prints, as a module.
//
// `node check.mjs PRINTED.mjs` prints a line per check and ends with 1 when one of them failed.
import assert from "node:assert/strict";

const { query, close } = await import(process.argv[2]);

const checks = {
  "values come as they are": async () => {
    const [row] = (await query("SELECT 1 AS n, 'größe' AS word, 0.5 AS x, CAST(NULL AS INT) AS none, true AS yes")).toArray();
    assert.equal(row.n, 1n);
    assert.equal(row.word, "größe");
    assert.equal(row.none, null);
    assert.equal(row.yes, true);
  },
  "a change happens once": async () => {
    await query("CREATE TABLE noded (n BIGINT)");
    await query("INSERT INTO noded VALUES (1), (2)");
    const [row] = (await query("SELECT count(*) AS rows FROM noded")).toArray();
    assert.equal(row.rows, 2n);
  },
  "big results stream": async () => {
    const table = await query("SELECT value, 'row ' || value AS text FROM generate_series(1, 200000)");
    assert.equal(table.numRows, 200000);
  },
  "errors have code and text": async () => {
    await assert.rejects(query("SELECT * FROM nowhere"), (error) => error.code === 5 && /nowhere/.test(error.details));
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
close();
process.exit(failed ? 1 : 0);
