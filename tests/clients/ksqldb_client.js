// Calls every command of npm's ksqldb-client: node ksqldb_client.js PORT STREAM TABLE
// Prints {"command": result} for each, or {"command": {"failed": reason}}.
const KsqldbClient = require("ksqldb-client");
const [port, stream, table] = process.argv.slice(2);
const client = new KsqldbClient({ host: "http://127.0.0.1", port: Number(port) });
const earliest = { "auto.offset.reset": "earliest" };

async function command(name, call) {
  let result;
  try { result = await call(); } catch (error) { result = { failed: String(error) }; }
  console.log(JSON.stringify({ [name]: result === undefined ? null : result }));
}

(async () => {
  await client.connect();
  await command("query", async () => (await client.query(`SELECT * FROM ${table} WHERE k = 'a';`)).data.rows);
  await command("query with a variable", async () =>
    (await client.query("SELECT * FROM ${T} WHERE k = '${K}';", { sessionVariables: { T: table, K: "b" } })).data.rows);
  await command("streamQuery", async () => {
    const rows = [];
    const ended = await client.streamQuery(`SELECT * FROM ${stream} EMIT CHANGES LIMIT 2;`,
      (data) => rows.push(...(data.rows || [])), { properties: earliest });
    return { rows, status: ended.status };
  });
  await command("insertInto", async () => (await client.insertInto(stream, { K: "npm1", V: 3 })).status);
  await command("insertInto an unknown stream", async () => { await client.insertInto("NOPE", { K: "c" }); });
  await command("terminatePushQuery", async () => {
    let rows = 0;
    const ended = client.streamQuery(`SELECT * FROM ${stream} EMIT CHANGES;`, async (data) => {
      rows += (data.rows || []).length;
      if (rows === 3) await client.terminatePushQuery(data.metadata.queryId);
    }, { properties: earliest });
    await ended;
    return rows >= 3;
  });
  await command("executeStatement", async () => (await client.executeStatement(`DROP STREAM IF EXISTS ${stream}X;`)).status);
  await command("executeStatement that is wrong", async () => {
    const { status, error } = await client.executeStatement("CREATE NOPE;");
    return { status, code: error.error_code };
  });
  await command("describeSource", async () => (await client.describeSource(stream)).fields.map((field) => field.name));
  await command("listStreams", async () => (await client.listStreams()).some((item) => item.name === stream));
  await command("listTables", async () => (await client.listTables()).some((item) => item.name === table));
  await command("listTopics", async () => (await client.listTopics()).some((item) => item.name === table));
  await command("listQueries", async () =>
    (await client.listQueries()).some((item) => item.sinks.includes(table)));
  await client.disconnect();
})();
