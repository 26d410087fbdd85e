// Publishes a finished run and waits for what comes of it: node publish.mjs EVENT.json [SECONDS]
//
// The server is PACKHOUSE_REDIS_URL, the namespace PACKHOUSE_NAMESPACE. With PACKHOUSE_SIGNING_KEY (id:secret) the event
// is signed; it then needs a time. The final event goes to standard output. Exit status as of `packhouse publish --wait`:
// 0 succeeded, 1 failed or rejected, 2 usage, 3 partly succeeded, 4 timed out, 5 no connection.
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createClient } from "redis";

const [file, seconds = "600"] = process.argv.slice(2);
const environment = process.env;
const keys = `{${environment.PACKHOUSE_NAMESPACE ?? "packhouse"}}`;
const queue = `${keys}:runs`;

function leave(status, complaint) {
  if (complaint) console.error(complaint);
  process.exit(status);
}

function read() {
  try {
    const event = JSON.parse(readFileSync(file, "utf8"));
    if (event.id && event.source && event.subject) return { time: new Date().toISOString(), ...event };
    leave(2, `${file} needs an id, a source and a subject`);
  } catch (error) {
    leave(2, `usage: node publish.mjs EVENT.json [SECONDS]: ${error.message}`);
  }
}

// What is signed is a line that names the form, a line that names the queue, and the event's bytes as they are sent.
function signature(bytes) {
  const key = environment.PACKHOUSE_SIGNING_KEY;
  if (!key) return {};
  const [id, secret] = key.trim().split(":");
  const digest = createHmac("sha256", Buffer.from(secret, "hex"))
    .update(`packhouse-event-1\n${queue}\n`)
    .update(bytes)
    .digest("hex");
  return { signature: `v1 ${id} ${digest}` };
}

function tell(final) {
  console.log(JSON.stringify(final));
  leave({ succeeded: 0, partly_succeeded: 3 }[final.data.state] ?? 1);
}

const isFinal = (status, event) =>
  status.source === event.source &&
  status.subject === event.subject &&
  (status.type === "packhouse.packaging.completed" ||
    (status.type === "packhouse.packaging.rejected" && status.data.event_id === event.id));

const event = read();
const client = createClient({
  url: environment.PACKHOUSE_REDIS_URL ?? "redis://127.0.0.1:6379/0",
  socket: { reconnectStrategy: false },
});
client.on("error", () => {}); // each call below fails by itself

try {
  await client.connect();
  // A run is named by source and subject, and is packaged once: its final event lies under a key.
  const run = createHash("sha256").update(`${event.source}\0${event.subject}`).digest("hex").slice(0, 32);
  const known = await client.get(`${keys}:final:${run}`);
  if (known) {
    console.error(`run ${event.subject} was published before: this is its outcome`);
    tell(JSON.parse(known));
  }
  const bytes = JSON.stringify(event);
  const entry = await client.xAdd(queue, "*", { event: bytes, ...signature(bytes) });
  // On the same connection, for it answers for the writes of its own. It is an error before Redis 7.2.
  const synced = await client.sendCommand(["WAITAOF", "1", "0", "5000"]).catch(() => [0]);
  if (!Number(synced[0])) console.error("note: the server did not say that the event is on its disk");

  // Whatever is said of the run comes after its entry, by the clock of the same server.
  let after = `${entry.split("-")[0]}-0`;
  const until = Date.now() + Number(seconds) * 1000;
  while (Date.now() < until) {
    const streams = await client.xRead({ key: `${keys}:status`, id: after }, { COUNT: 100, BLOCK: 1000 });
    for (const { id, message } of streams?.[0]?.messages ?? []) {
      after = id;
      const status = JSON.parse(message.event);
      if (isFinal(status, event)) tell(status);
    }
  }
} catch (error) {
  leave(5, `the server: ${error.message}`);
}
leave(4, `no final status within ${seconds} s`);
