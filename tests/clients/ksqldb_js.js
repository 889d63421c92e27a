// Calls the commands of npm's ksqldb-js: node ksqldb_js.js URL STREAM TABLE
// Prints {"command": result} for each, or {"command": {"failed": reason}}.
const Ksqldb = require("ksqldb-js");
const [url, stream, table] = process.argv.slice(2);
const client = new Ksqldb({ ksqldbURL: url });

async function command(name, call) {
  let result;
  try { result = await call(); } catch (error) { result = { failed: String(error) }; }
  console.log(JSON.stringify({ [name]: result === undefined ? null : result }));
}

(async () => {
  await command("ksql", async () => (await client.ksql("LIST STREAMS;")).streams.some((item) => item.name === stream));
  await command("ksql that is wrong", async () => { await client.ksql("CREATE NOPE;"); });
  await command("pull", async () => (await client.pull(`SELECT * FROM ${table} WHERE k = 'a';`)).slice(1));
  await command("push", async () => {
    const chunks = [];
    return await new Promise((resolve, reject) => {
      client.push(`SELECT * FROM ${stream} EMIT CHANGES LIMIT 1;`, (chunk) => {
        chunks.push(JSON.parse(chunk));
        if (chunks.length === 2) resolve(chunks[1]);
      }).then(() => client.insertStream(stream, [{ K: "npm2", V: 4 }])).catch(reject);
    });
  });
  await command("insertStream", async () => await client.insertStream(stream, [{ K: "npm3", V: 7 }, { K: "npm4", V: 8 }]));
  await command("createStream", async () => (await client.createStream(`${stream}2`, ["a INT"], `${stream}2`)).status);
  await command("createStreamAs", async () =>
    typeof await client.createStreamAs(`${stream}3`, ["k", "v"], stream, {}, "v > 0", ""));
  await command("inspectServerInfo", async () => (await client.inspectServerInfo()).data.KsqlServerInfo.version);
  await command("inspectServerHealth", async () => (await client.inspectServerHealth()).data.isHealthy);
  await command("inspectQueryStatus", async () => (await client.inspectQueryStatus(`stream/\`${stream}2\`/create`)).data.status);
  await command("isValidProperty", async () => (await client.isValidProperty("auto.offset.reset")).data);
  process.exit(0);
})();
