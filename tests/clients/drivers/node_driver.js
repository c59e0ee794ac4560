'use strict';
// Driver of the Node.js client. Protocol: tests/clients/README.md.

const readline = require('readline');
const { AntomAgent, AntomError } = require('../../../client/node');

let agent;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function failed(e) {
  if (!(e instanceof AntomError)) throw e;
  return {
    error: {
      code: e.code, name: e.status, class: e.errorClass, message: e.reason, field: e.field, retry_after_ms: e.retryAfterMs,
    },
  };
}

async function result(c) {
  if (c.op === 'health') return { state: (await agent.health({ timeoutMs: c.deadline_ms })).state };
  const call = {
    profile: c.profile, method: c.method, uri: c.uri, body: Buffer.from(c.body, 'base64'), trace: c.trace, timeoutMs: c.deadline_ms,
  };
  if (c.op === 'sign') {
    const s = await agent.signRequest({ ...call, time: c.time, merchant: c.merchant });
    return { headers: s.headers, uri: s.uri, url: s.url, version: s.version, key_version: s.keyVersion, record: s.record };
  }
  const message = { ...call, headers: c.headers, maxAgeMs: c.max_age_ms };
  const v = await (c.op === 'verify_response' ? agent.verifyResponse(message) : agent.verifyNotification(message));
  return { version: v.version, time: v.time, age_ms: v.ageMs };
}

async function one(c) {
  try {
    return { ok: await result(c) };
  } catch (e) {
    return failed(e);
  }
}

async function watch(count) {
  let left = count;
  try {
    for await (const event of agent.watch()) {
      say({ event: event.name, params: event.params });
      if (--left === 0) break;
    }
    return { ok: {} };
  } catch (e) {
    return failed(e);
  }
}

function open(c) {
  try {
    agent = new AntomAgent({ path: c.socket, timeoutMs: c.timeout_ms, name: 'driver 1' });
    return { ok: {} };
  } catch (e) {
    return failed(e);
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const c = JSON.parse(line);
    if (c.op === 'open') say(open(c));
    else if (c.op === 'many') say({ ok: await Promise.all(c.calls.map(one)) });
    else if (c.op === 'watch') say(await watch(c.count));
    else say(await one(c));
  }
  // without close: an idle client must not keep the process
}

main();
