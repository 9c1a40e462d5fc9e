// Changes of two users, enqueued and followed with nothing but Redis commands and msgpack, by the page
// producers/contract/WIRE.md. Prints each result as a line of JSON, then the counters of the batch.
//
//   npm ci
//   COPYTRADE_REDIS_DSN=redis://localhost:6379/0 node raw_redis.mjs [USER...]

import { setTimeout as sleep } from "node:timers/promises";
import { decode, encode } from "@msgpack/msgpack";
import { createClient, RESP_TYPES } from "redis";

const QUEUE = "copytrade:queue";
const LAYOUT = "2";
const JOB_TTL_MS = 86_400_000; // how long a job waits for a worker
const POLL_MS = 5_000; // in case a notification was lost with a connection
const TIMEOUT_MS = 60_000;

const users = process.argv.length > 2 ? process.argv.slice(2) : ["1001", "1002"];
const batch = `raw-${Date.now()}-${process.pid}`;

const redis = createClient({ url: process.env.COPYTRADE_REDIS_DSN });
const subscriber = redis.duplicate();
const bytes = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
for (const client of [redis, subscriber]) client.on("error", (error) => console.error(`redis: ${error.message}`));

/** Put a job into the workers' queue. The same ID again adds nothing. */
async function enqueue(job, name, args, options = {}) {
  const nowMs = Date.now();
  const payload = Buffer.from(encode({ t: null, f: name, a: args, k: options, et: nowMs }));
  await redis
    .multi()
    .del(`arq:result:${job}`) // the answer of an earlier try
    .set(`arq:job:${job}`, payload, { condition: "NX", expiration: { type: "PX", value: JOB_TTL_MS } })
    .zAdd(QUEUE, { score: nowMs, value: job }, { condition: "NX" })
    .exec();
}

/** Return what is stored as the result of a job or change; undefined while there is none. */
async function readResult(id) {
  const stored = await bytes.get(`arq:result:${id}`);
  return stored === null ? undefined : decode(stored);
}

/** Return the result of a job or change as soon as there is one: subscribe, read, and read again when it has ended. */
async function waitForResult(id) {
  const channel = `copytrade:done:${id}`;
  const deadline = Date.now() + TIMEOUT_MS;
  let wake = () => {};
  const onMessage = () => wake();
  await subscriber.subscribe(channel, onMessage); // returns when the server has confirmed it
  try {
    for (;;) {
      const woken = new Promise((resolve) => (wake = resolve)); // before reading: nothing between the two is missed
      const found = await readResult(id);
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`${id} has no result within ${TIMEOUT_MS} ms`);
      await Promise.race([woken, sleep(POLL_MS, undefined, { ref: false })]);
    }
  } finally {
    await subscriber.unsubscribe(channel, onMessage);
  }
}

/** Enqueue a job and return its answer. */
async function call(job, name, args, options) {
  await enqueue(job, name, args, options);
  const result = await waitForResult(job);
  if (!result.s) throw new Error(`job ${job} failed: ${result.r}`);
  return result.r;
}

/** Enqueue changes of one user. Each waits until the one before is accepted, since jobs run side by side. */
async function submit(userId, settings) {
  const jobIds = [];
  for (const [index, setting] of settings.entries()) {
    const change = { userId, traderId: "123123123", settings: [setting] };
    const options = { ttlS: 600, priority: "interactive", batchId: batch };
    const { jobId } = await call(`${batch}-${userId}-${index}`, "submit", [change], options);
    jobIds.push(jobId);
  }
  return jobIds;
}

/** Return the IDs and outcomes in the batch's stream, from a cursor to its end. */
async function readStream(after = "0-0") {
  const found = [];
  for (let cursor = after; ; ) {
    const read = await redis.xRead({ key: `copytrade:results:${batch}`, id: cursor }, { BLOCK: 1_000, COUNT: 1_000 });
    for (const { id, message } of read?.[0].messages ?? []) {
      if (message.end) return found;
      cursor = id;
      found.push(message);
    }
  }
}

await Promise.all([redis.connect(), subscriber.connect()]);
try {
  const layout = (await redis.get("copytrade:layout")) ?? LAYOUT;
  if (layout !== LAYOUT) throw new Error(`the queue has layout ${layout}; this program knows ${LAYOUT}`);
  const setting = {
    symbol: "BTCUSDT",
    productType: "USDT-FUTURES",
    marginType: "trader",
    leverType: "trader",
    traceType: "amount",
  };
  const settings = ["330", "340"].map((traceValue) => ({ ...setting, traceValue }));
  const accepted = await Promise.all(users.map((userId) => submit(userId, settings)));
  for (const { r: result } of await Promise.all(accepted.flat().map(waitForResult))) {
    console.log(JSON.stringify(result));
  }

  await call(`${batch}-seal`, "seal_batch", [batch]);
  const entries = await readStream();
  const { total, finished } = await redis.hGetAll(`copytrade:batch:${batch}`);
  console.log(JSON.stringify({ batch, total, finished, entries: entries.length }));
} finally {
  await Promise.all([redis.close(), subscriber.close()]);
}
