// The gateway with Node 20 and no package: a fan-out, and its results as they come, one JSON a line on standard output.
//
//   GATEWAY=http://127.0.0.1:8321 GATEWAY_KEY=ct_... node gateway.mjs july-4711 1001 1002 1003
//
// july-4711 names this fan-out: run it again with the same name after any failure, and it adds only what is missing.
import { setTimeout as sleep } from "node:timers/promises";

const GATEWAY = process.env.GATEWAY ?? "http://127.0.0.1:8321";
const ANSWER_MS = 30_000;
const SILENCE_MS = 40_000; // an open event stream without news gets a comment every 15 s
const PAUSE_MS = 1_000;

class Refused extends Error {} // by an answer that repeating the call does not change

async function call(path, { headers, ...options }) {
  const authorization = `Bearer ${process.env.GATEWAY_KEY}`;
  const response = await fetch(GATEWAY + path, { ...options, headers: { authorization, ...headers } });
  if (response.ok) return response;
  const mayPass = response.status === 429 || response.status >= 500;
  const error = new (mayPass ? Error : Refused)(`${response.status}: ${await response.text()}`);
  throw Object.assign(error, { retryAfterMs: 1000 * response.headers.get("retry-after") || 0 });
}

/** Repeats an action until it succeeds or is refused. */
async function persist(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (error instanceof Refused) throw error;
      console.error(`${error.cause?.message || error.message}; trying again`);
      await sleep(Math.max(PAUSE_MS, error.retryAfterMs ?? 0));
    }
  }
}

function fanOut(name, batch) {
  const headers = { "content-type": "application/json", "idempotency-key": name };
  const request = { method: "POST", headers, body: JSON.stringify(batch) };
  return persist(async () => {
    const response = await call("/v1/batches", { ...request, signal: AbortSignal.timeout(ANSWER_MS) });
    return await response.json();
  });
}

/** Yields the events of one connection. A blank line ends an event; the beginning of one that was cut is dropped. */
async function* events(path, headers) {
  const silence = new AbortController();
  const watchdog = setTimeout(() => silence.abort(new Error("the event stream is silent")), SILENCE_MS);
  try {
    const response = await call(path, { headers, signal: silence.signal });
    let text = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      watchdog.refresh();
      const blocks = (text + chunk).split("\n\n");
      text = blocks.pop();
      for (const block of blocks.filter((block) => !block.startsWith(":"))) {
        yield Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      }
    }
    throw new Error("the event stream ended before the batch was complete");
  } finally {
    clearTimeout(watchdog);
  }
}

/** Follows a batch until it is complete: each result once, over as many connections as it takes. */
function follow(batchId, onResult) {
  const headers = {};
  return persist(async () => {
    for await (const { event, id, data } of events(`/v1/batches/${batchId}/events`, headers)) {
      if (event === "complete") return JSON.parse(data);
      if (event === "result") onResult(JSON.parse(data));
      headers["last-event-id"] = id;
    }
  });
}

const [name, ...userIds] = process.argv.slice(2);
if (!process.env.GATEWAY_KEY || !userIds.length) {
  console.error("usage: GATEWAY_KEY=ct_... node gateway.mjs NAME USER_ID ...");
  process.exit(2);
}
const setting = { symbol: "BTCUSDT", productType: "USDT-FUTURES", marginType: "trader", leverType: "trader" };
const settings = [{ ...setting, traceType: "amount", traceValue: "330" }];
const { batchId, refused } = await fanOut(name, { traderId: "123123123", settings, userIds });
for (const { field, rule, value } of refused) console.error(`refused: ${field} ${rule}; got ${value}`);
const { outcomes } = await follow(batchId, (result) => console.log(JSON.stringify(result)));
console.error("complete:", outcomes);
