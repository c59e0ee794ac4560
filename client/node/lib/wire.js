'use strict';
// Frames, messages, params and results of the protocol; no sockets.

const { encode, decode } = require('@msgpack/msgpack');
const { badFrame, badParam, fromMap } = require('./errors');

const FRAME_MAX = 1114112; // until hello tells another
const REQUESTS_MAX = 128;
const BYTES_MAX = 8388608;
const ITEMS_MAX = 65536;

function frame(id, method, params) {
  let value;
  try {
    value = encode([0, id, method, params], { ignoreUndefined: true });
  } catch (e) {
    throw badParam('params', `cannot be sent: ${e.message}`);
  }
  if (value.length > FRAME_MAX) throw badParam('body', `the request has ${value.length} bytes; at most ${FRAME_MAX} can be sent`);
  const out = Buffer.allocUnsafe(4 + value.length);
  out.writeUInt32BE(value.length, 0);
  out.set(value, 4);
  return out;
}

/** Bytes as they come into messages. */
class Splitter {
  constructor() {
    this.limit = FRAME_MAX;
    this.parts = [];
    this.size = 0;
  }

  /** Messages that are whole now: {id, error, result} or {event, params}. Throws BAD_FRAME. */
  * feed(data) {
    this.parts.push(data);
    this.size += data.length;
    while (this.size >= 4) {
      const head = this.gather(4);
      const length = head.readUInt32BE(0);
      if (length === 0 || length > this.limit) throw badFrame(`a frame of ${length} bytes`);
      if (this.size < 4 + length) return;
      const whole = this.gather(4 + length);
      this.parts[0] = whole.subarray(4 + length);
      this.size -= 4 + length;
      yield message(whole.subarray(4, 4 + length));
    }
  }

  /** The parts as one buffer, if the first has fewer bytes than that. */
  gather(bytes) {
    if (this.parts[0].length < bytes) this.parts = [Buffer.concat(this.parts)];
    return this.parts[0];
  }
}

const isMap = (v) => typeof v === 'object' && v !== null && !Array.isArray(v) && !(v instanceof Uint8Array);

function message(bytes) {
  let m;
  try {
    m = decode(bytes, { maxStrLength: FRAME_MAX, maxBinLength: FRAME_MAX, maxArrayLength: ITEMS_MAX, maxMapLength: ITEMS_MAX });
  } catch (e) {
    throw badFrame('bytes that are no message');
  }
  if (Array.isArray(m) && m.length === 4 && m[0] === 1 && (m[1] === null || Number.isInteger(m[1]))) {
    if (m[2] === null) return { id: m[1], error: null, result: m[3] };
    if (isMap(m[2])) return { id: m[1], error: fromMap(m[2]), result: null };
  }
  if (Array.isArray(m) && m.length === 3 && m[0] === 2 && typeof m[1] === 'string') return { event: m[1], params: m[2] };
  throw badFrame('a value that is no message');
}

const EVENTS = {
  epoch: { epoch: Number.isInteger },
  profile: { profile: isText, sign: isText },
  state: { state: isText },
  lagged: { epoch: Number.isInteger },
  draining: {},
};

function isText(v) {
  return typeof v === 'string';
}

/** {name, params}; null: of a name, or in a form, that this version does not know. */
function eventOf(name, params) {
  const wanted = Object.prototype.hasOwnProperty.call(EVENTS, name) ? EVENTS[name] : null;
  if (!wanted || !isMap(params) || !Object.entries(wanted).every(([key, fits]) => fits(params[key]))) return null;
  if (name === 'profile' && params.sign === 'ready' && !(Number.isInteger(params.version) && Number.isInteger(params.key_version))) {
    return null;
  }
  return { name, params };
}

// ---- params

function bytesOf(body) {
  if (!(body instanceof Uint8Array)) throw badParam('body', 'is a Buffer or Uint8Array: exactly the bytes that are sent, or came');
  return body;
}

function signParams(c) {
  return { profile: c.profile, method: c.method, uri: c.uri, body: bytesOf(c.body), time: c.time, merchant: c.merchant, trace: c.trace };
}

/** An object, a Map, or a Headers of fetch; a name given twice stays twice, for the agent to judge. */
function headersOf(headers) {
  const named = Object.create(null);
  const pairs = headers && typeof headers[Symbol.iterator] === 'function' ? headers : Object.entries(headers || {});
  for (const [name, value] of pairs) {
    if (value !== undefined) named[name] = name in named ? [].concat(named[name], value) : value;
  }
  return { ...named };
}

function verifyParams(c) {
  return {
    profile: c.profile, method: c.method, uri: c.uri, headers: headersOf(c.headers), body: bytesOf(c.body),
    max_age_ms: c.maxAgeMs, trace: c.trace,
  };
}

// ---- results

function need(result, name, fits) {
  if (!isMap(result) || !fits(result[name])) throw badFrame(`a result without ${name}`);
  return result[name];
}

function signedOf(result) {
  const headers = need(result, 'headers', isMap);
  for (const name of ['Client-Id', 'Request-Time', 'Signature', 'Content-Type']) {
    if (!isText(headers[name]) || headers[name] === '') throw badFrame(`a result without the header ${name}`);
  }
  if (!Object.values(headers).every(isText)) throw badFrame('a header that is no text');
  return {
    headers,
    uri: need(result, 'uri', isText),
    url: isText(result.url) ? result.url : null,
    version: need(result, 'version', Number.isInteger),
    keyVersion: need(result, 'key_version', Number.isInteger),
    record: need(result, 'record', isText),
  };
}

function verifiedOf(result) {
  return {
    version: need(result, 'version', Number.isInteger),
    time: need(result, 'time', isText),
    ageMs: need(result, 'age_ms', Number.isInteger),
  };
}

function mapOf(result) {
  if (!isMap(result)) throw badFrame('a result that is no map');
  return result;
}

module.exports = { REQUESTS_MAX, BYTES_MAX, Splitter, frame, eventOf, signParams, verifyParams, bytesOf, headersOf, signedOf, verifiedOf, mapOf };
