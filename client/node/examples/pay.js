#!/usr/bin/env node
'use strict';
// One payment: signed by the agent, sent by https, its response proven by the agent.   pay.js APP/ENV [AMOUNT]
// Certificates: Node's authorities, and those of $NODE_EXTRA_CA_CERTS.

const https = require('https');
const { randomUUID } = require('crypto');
const { AntomAgent, AntomError } = require('..');

const PAY = '/ams/api/v1/payments/pay';

function post(url, headers, body) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method: 'POST', headers: { ...headers, 'Content-Length': body.length }, timeout: 30000 });
    request.on('response', (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ headers: response.headersDistinct, body: Buffer.concat(parts) }));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no response in 30 s')));
    request.on('error', reject);
    request.end(body);
  });
}

async function main(profile, amount = '100') {
  const agent = new AntomAgent({ name: 'pay.js 1' });
  const body = Buffer.from(JSON.stringify({ paymentRequestId: randomUUID(), paymentAmount: { currency: 'USD', value: amount } }));
  const signed = await agent.signRequest({ profile, method: 'POST', uri: PAY, body });
  if (!signed.url) throw new Error(`${profile} has no gateway yet`);
  const response = await post(signed.url, signed.headers, body);
  await agent.verifyResponse({ profile, method: 'POST', uri: signed.uri, headers: response.headers, body: response.body });
  const answer = JSON.parse(response.body);
  console.log('paid', answer.paymentId || answer.result.resultCode);
  agent.close();
}

main(...process.argv.slice(2)).catch((e) => {
  console.error(e instanceof AntomError ? `${e.code} ${e.message}` : e.message);
  process.exit(1);
});
