'use strict';
// The client beside a small agent of its own: forms, errors, bodies. What all clients do alike is in the conformance suite.

const assert = require('node:assert');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { afterEach, beforeEach, test } = require('node:test');
const { decode, encode } = require('@msgpack/msgpack');
const { AntomAgent, AntomError } = require('..');

const SIGNED = {
  headers: { 'Client-Id': '5Y', 'Request-Time': '1', Signature: 's', 'Content-Type': 'application/json; charset=UTF-8' },
  uri: '/sent', version: 1, key_version: 3, record: 'soft:1',
};
let folder; let server; let agent; let asked; let script; let connections;

function serve(socket) {
  let data = Buffer.alloc(0);
  connections++;
  socket.on('error', () => {});
  socket.on('data', (part) => {
    data = Buffer.concat([data, part]);
    while (data.length >= 4 && data.length >= 4 + data.readUInt32BE(0)) {
      const size = data.readUInt32BE(0);
      const [, id, method, params] = decode(data.subarray(4, 4 + size));
      data = data.subarray(4 + size);
      asked.push({ method, params });
      const answer = method === 'hello' ? { result: {} } : script(method, params);
      const value = encode([1, id, answer.error || null, answer.result || null]);
      const head = Buffer.alloc(4);
      head.writeUInt32BE(value.length);
      socket.write(Buffer.concat([head, value]));
    }
  });
}

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'antag-'));
  asked = [];
  connections = 0;
  script = (method, params) => ({
    result: method === 'sign_request' ? { ...SIGNED, uri: params.uri } : { version: 1, time: '2', age_ms: 0 },
  });
  server = net.createServer(serve);
  await new Promise((resolve) => { server.listen(`${folder}/agent.sock`, resolve); });
  agent = new AntomAgent({ path: `${folder}/agent.sock` });
});

afterEach(async () => {
  agent.close();
  await new Promise((resolve) => { server.close(resolve); });
  fs.rmSync(folder, { recursive: true });
});

const sign = (more = {}) => agent.signRequest({ profile: 'shop/live', method: 'POST', uri: '/a', body: Buffer.from('x'), ...more });

test('bodies are bytes', async () => {
  for (const body of ['text', undefined, 7, ['x'], { a: 1 }]) {
    await assert.rejects(sign({ body }), (e) => e instanceof AntomError && e.status === 'BAD_PARAM' && e.field === 'body');
  }
  assert.deepStrictEqual(asked, []);
  for (const body of [Buffer.from('x'), new Uint8Array([120])]) assert.strictEqual((await sign({ body })).keyVersion, 3);
  assert.ok(asked.at(-1).params.body instanceof Uint8Array);
});

test('what is not given is not sent', async () => {
  await sign({ time: undefined });
  assert.deepStrictEqual(Object.keys(asked.at(-1).params).sort(), ['body', 'deadline_ms', 'method', 'profile', 'uri']);
});

test('headers of every kind', async () => {
  const verify = (headers) => agent.verifyResponse({ profile: 'shop/live', method: 'POST', uri: '/', headers, body: Buffer.alloc(0) });
  await verify({ Signature: ['a', 'b'], Missing: undefined });
  assert.deepStrictEqual(asked.at(-1).params.headers, { Signature: ['a', 'b'] });
  await verify(new Headers({ Signature: 'a' }));
  assert.deepStrictEqual(asked.at(-1).params.headers, { signature: 'a' });
  await verify([['X', '1'], ['X', '2']]);
  assert.deepStrictEqual(asked.at(-1).params.headers.X, ['1', '2']);
  await verify(undefined);
  assert.deepStrictEqual(asked.at(-1).params.headers, {});
});

test('an error says all of it', async () => {
  script = () => ({ error: { code: 104, name: 'BAD_PARAM', class: 'caller', message: 'm', field: 'uri' } });
  await assert.rejects(sign(), (e) => {
    assert.deepStrictEqual([e.name, e.code, e.status, e.errorClass, e.reason, e.field, e.retryAfterMs, e.isWorthRepeating],
      ['AntomError', 104, 'BAD_PARAM', 'caller', 'm', 'uri', null, false]);
    return true;
  });
});

test('two hundred at a time on one connection', async () => {
  const all = await Promise.all(Array.from({ length: 200 }, (_, i) => sign({ uri: `/${i}` })));
  assert.deepStrictEqual(all.map((s) => s.uri), Array.from({ length: 200 }, (_, i) => `/${i}`));
  assert.strictEqual(connections, 1);
});

test('what is too large is not sent', async () => {
  await assert.rejects(sign({ body: Buffer.alloc(2 << 20) }), (e) => e.status === 'BAD_PARAM' && e.field === 'body');
  assert.strictEqual((await sign()).version, 1);
});

test('closing ends what is under way', async () => {
  let reached;
  const arrived = new Promise((resolve) => { reached = resolve; });
  const silent = net.createServer((s) => s.on('data', reached).on('error', () => {}));
  await new Promise((resolve) => { silent.listen(`${folder}/silent.sock`, resolve); });
  const other = new AntomAgent({ path: `${folder}/silent.sock` });
  const call = other.health();
  await arrived;
  other.close();
  await assert.rejects(call, (e) => e instanceof AntomError && e.reason === 'the client was closed');
  await new Promise((resolve) => { silent.close(resolve); });
});

test('after closing there are no more calls', async () => {
  await sign();
  agent.close();
  await assert.rejects(sign(), (e) => e instanceof AntomError && e.reason === 'the client was closed');
  assert.strictEqual(connections, 1);
});
