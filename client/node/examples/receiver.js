#!/usr/bin/env node
'use strict';
// Receives Antom's notifications with node:http.   receiver.js APP/ENV PORT   (0: any port)

const http = require('http');
const { AntomAgent, AntomError } = require('..');

const BODY_MAX = 1048576;
const DONE = '{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}';
const agent = new AntomAgent({ name: 'receiver.js 1' });
const [profile, port] = process.argv.slice(2);

/** The bytes as they came: parsed after they are proven, not before. null: more than are taken. */
async function read(request) {
  const parts = [];
  let size = Number(request.headers['content-length'] || 0);
  if (size > BODY_MAX) return null;
  size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY_MAX) return null;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function answer(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...(status === 413 ? { Connection: 'close' } : {}) });
  response.end(body);
}

async function receive(request, response) {
  const body = await read(request);
  if (body === null) {
    answer(response, 413, '');
    return;
  }
  try {
    // request.url is the raw request target. Behind a proxy that rewrites it, pass on the one that reached the proxy
    await agent.verifyNotification({ profile, method: request.method, uri: request.url, headers: request.headersDistinct, body });
  } catch (e) {
    if (!(e instanceof AntomError)) throw e;
    console.error(`refused ${request.url}: ${e.message}`);
    answer(response, e.errorClass === 'verify' || e.errorClass === 'caller' ? 400 : 503, ''); // 503: Antom sends it again
    return;
  }
  console.log(`notified ${request.url} ${body.length}`);
  // Antom repeats notifications: what is done here must be done once for each paymentRequestId and notifyType
  answer(response, 200, DONE);
}

const server = http.createServer((request, response) => {
  receive(request, response).catch((e) => {
    console.error(e.message);
    response.destroy(); // the request broke off
  });
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
