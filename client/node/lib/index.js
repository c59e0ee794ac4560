'use strict';

const wire = require('./wire');
const { Link } = require('./link');
const { AntomError, ConnectionLost, badFrame, badParam, pauseBeforeRepeat, shown } = require('./errors');

const SOCKET_DEFAULT = '/run/antom-agent/agent.sock';
const NAME = 'antomagent-node/0.1.0';

/** Not repeated, unlike a connection that the agent closed. */
const closed = () => new AntomError(501, 'RETRY', 'retry', 'the client was closed');
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Calls to one agent, all on one connection. See index.d.ts. */
class AntomAgent {
  #path; #timeoutMs; #name; #link = null; #connecting = null; #opening = null; #isClosed = false;

  constructor({ path, timeoutMs = 10000, name = NAME } = {}) {
    this.#path = path || process.env.ANTOM_AGENT_SOCKET || SOCKET_DEFAULT;
    this.#timeoutMs = timeoutMs;
    this.#name = name;
    if (Buffer.byteLength(this.#path) > 107) throw badParam('path', "a socket's path has at most 107 bytes");
  }

  close() {
    for (const link of [this.#link, this.#opening]) {
      if (link) link.lose(closed());
    }
    this.#link = null;
    this.#isClosed = true;
  }

  async signRequest(c) {
    return wire.signedOf(await this.call('sign_request', wire.signParams(c), c.timeoutMs));
  }

  async verifyResponse(c) {
    return wire.verifiedOf(await this.call('verify_response', wire.verifyParams(c), c.timeoutMs));
  }

  async verifyNotification(c) {
    return wire.verifiedOf(await this.call('verify_notification', wire.verifyParams(c), c.timeoutMs));
  }

  async explain(c) {
    const { kind, maxAgeMs, timeoutMs, ...more } = c;
    const params = { kind, ...more, body: wire.bytesOf(c.body), max_age_ms: maxAgeMs };
    if (c.headers !== undefined) params.headers = wire.headersOf(c.headers);
    return wire.mapOf(await this.call('explain', params, timeoutMs));
  }

  async health({ timeoutMs } = {}) {
    const result = wire.mapOf(await this.call('health', {}, timeoutMs));
    if (typeof result.state !== 'string') throw badFrame('a result without state');
    return result;
  }

  async* watch() {
    const deadline = performance.now() + this.#timeoutMs;
    const link = new Link(this.#path, this.#name);
    const came = [];
    let lost = null;
    let wake = () => {};
    link.onEvent = (event) => { came.push(event); wake(); };
    link.onLost = (why) => { lost = why; wake(); };
    try {
      await link.hello(deadline);
      const result = wire.mapOf(await link.send('watch', {}, deadline));
      if (!Number.isInteger(result.epoch)) throw badFrame('a result without epoch');
      yield { name: 'epoch', params: { epoch: result.epoch } };
      for (;;) {
        while (came.length > 0) yield came.shift();
        if (lost) throw lost;
        await new Promise((resolve) => { wake = resolve; });
      }
    } catch (e) {
      throw shown(e);
    } finally {
      link.onEvent = link.onLost = null;
      link.lose(new ConnectionLost(null, 'the watch was ended'));
    }
  }

  async call(method, params, timeoutMs = this.#timeoutMs) {
    const deadline = performance.now() + timeoutMs;
    try {
      return await this.#try(method, params, deadline);
    } catch (e) {
      const pause = e instanceof AntomError ? pauseBeforeRepeat(e) : null;
      if (pause === null || performance.now() + pause >= deadline) throw shown(e);
      await sleep(pause);
    }
    try {
      return await this.#try(method, params, deadline);
    } catch (e) {
      throw shown(e);
    }
  }

  async #try(method, params, deadline) {
    const link = await this.#usable(deadline);
    return link.call(method, params, deadline);
  }

  async #usable(deadline) {
    if (this.#isClosed) throw closed();
    while (!this.#link || !this.#link.isOpen || this.#link.isDraining) {
      if (!this.#connecting) {
        this.#connecting = this.#connect(deadline).finally(() => { this.#connecting = null; });
      }
      await this.#connecting;
    }
    return this.#link;
  }

  async #connect(deadline) {
    const link = new Link(this.#path, this.#name);
    this.#opening = link;
    try {
      await link.hello(deadline);
      this.#link = link;
    } catch (e) {
      link.lose(new ConnectionLost());
      throw e;
    } finally {
      this.#opening = null;
    }
  }
}

module.exports = { AntomAgent, AntomError };
