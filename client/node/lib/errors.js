'use strict';

const CLASSES = { 1: 'caller', 2: 'denied', 3: 'state', 4: 'verify', 5: 'retry' };
const TIMEOUT = 506;
const DEADLINE = 503;

/** Why a call has no result. See index.d.ts. */
class AntomError extends Error {
  constructor(code, status, errorClass, reason, field = null, retryAfterMs = null) {
    super(`${status}: ${reason}`);
    this.name = 'AntomError';
    this.code = code;
    this.status = status;
    this.errorClass = errorClass;
    this.reason = reason;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
  }

  get isWorthRepeating() {
    return this.errorClass === 'retry';
  }
}

/** The connection ended before the answer. `said`: what the agent gave as the reason, in place of this. */
class ConnectionLost extends AntomError {
  constructor(said = null, why = 'the agent closed the connection before it answered') {
    super(501, 'RETRY', 'retry', why);
    Object.defineProperty(this, 'said', { value: said });
  }
}

const answered = new WeakSet(); // errors that are the agent's, not made here

function text(value) {
  return typeof value === 'string' ? value : null;
}

function fromMap(e) {
  if (!Number.isInteger(e.code)) return badFrame('an error without a code');
  const made = new AntomError(e.code, text(e.name) || 'UNKNOWN', text(e.class) || CLASSES[Math.floor(e.code / 100)] || 'internal',
    text(e.message) || '', text(e.field), Number.isInteger(e.retry_after_ms) ? e.retry_after_ms : null);
  answered.add(made);
  return made;
}

/** Milliseconds before the one repetition; null: there is none. */
function pauseBeforeRepeat(error) {
  if (error instanceof ConnectionLost) return error.said ? pauseBeforeRepeat(error.said) : 0;
  if (!answered.has(error) || error.errorClass !== 'retry' || error.code === TIMEOUT || error.code === DEADLINE) return null;
  return error.retryAfterMs || 0;
}

/** As the caller gets it. */
function shown(error) {
  return (error instanceof ConnectionLost && error.said) || error;
}

const badFrame = (what) => new AntomError(100, 'BAD_FRAME', 'caller', `the agent sent ${what}; the connection was closed`);
const badParam = (field, message) => new AntomError(104, 'BAD_PARAM', 'caller', message, field);
const timedOut = () => new AntomError(TIMEOUT, 'TIMEOUT', 'retry', 'no answer came in time');
const unreachable = (path, why) => new AntomError(505, 'UNREACHABLE', 'retry', `${path}: ${why}`);

module.exports = { AntomError, ConnectionLost, fromMap, pauseBeforeRepeat, shown, badFrame, badParam, timedOut, unreachable };
