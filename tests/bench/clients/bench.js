'use strict';
// Signatures by Node.js, one after the other; see bench.py.

const crypto = require('crypto');
const fs = require('fs');

const BODY = Buffer.from(`{"paymentRequestId":"${'x'.repeat(277)}"}`);
const PAY = '/ams/api/v1/payments/pay';
const [mode, where, who, ms] = process.argv.slice(2);

function byAgent() {
  const { AntomAgent } = require('../../../client/node');
  const agent = new AntomAgent({ path: where });
  return { sign: () => agent.signRequest({ profile: who, method: 'POST', uri: PAY, body: BODY }), close: () => agent.close() };
}

function inProcess() {
  const pem = `-----BEGIN PRIVATE KEY-----\n${fs.readFileSync(where, 'latin1').trim().replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
  const kept = crypto.createPrivateKey(pem);
  const sign = async () => {
    const now = String(Date.now());
    const text = Buffer.concat([Buffer.from(`POST ${PAY}\n${who}.${now}.`), BODY]);
    const value = encodeURIComponent(crypto.sign('sha256', text, mode === 'parse' ? pem : kept).toString('base64'));
    return { 'Client-Id': who, 'Request-Time': now, Signature: `algorithm=RSA256,keyVersion=1,signature=${value}` };
  };
  return { sign, close: () => {} };
}

async function main() {
  const { sign, close } = mode === 'agent' ? byAgent() : inProcess();
  const spent = [];
  for (let i = 0; i < 20; i++) await sign();
  const begin = performance.now();
  const end = begin + Number(ms);
  for (let now = begin; now < end;) {
    await sign();
    const then = performance.now();
    spent.push(then - now);
    now = then;
  }
  const total = performance.now() - begin;
  spent.sort((a, b) => a - b);
  console.log(JSON.stringify({
    rate: (spent.length / total) * 1000,
    p50_us: spent[Math.floor(spent.length / 2)] * 1000,
    p99_us: spent[Math.floor((spent.length * 99) / 100)] * 1000,
  }));
  close();
}

main();
