'use strict';
// One connection, with any number of calls under way. Once it is lost it stays so, and whoever waits is told.

const net = require('net');
const wire = require('./wire');
const { ConnectionLost, timedOut, unreachable } = require('./errors');

const ID_MAX = 0x7fffffff;
const QUEUE_PAUSE_MS = 10;
const AROUND_BODY = 4096; // bytes of a request beside its body, but for large headers

class Link {
  constructor(path, name) {
    this.path = path;
    this.isOpen = true;
    this.isDraining = false;
    this.onEvent = null;
    this.onLost = null;
    this.limits = { requests: wire.REQUESTS_MAX, bytes: wire.BYTES_MAX };
    this.waiting = new Map();
    this.queue = []; // calls for which there is no room yet, in order
    this.taken = 0;
    this.bytes = 0;
    this.came = 0;
    this.nextId = 0;
    this.said = null;
    this.splitter = new wire.Splitter();
    this.connected = false;
    this.unsent = []; // while it is not connected
    this.name = name;
    this.dial();
  }

  dial() {
    const socket = net.connect(this.path);
    this.socket = socket;
    socket.on('connect', () => {
      this.connected = true;
      for (const data of this.unsent.splice(0)) socket.write(data);
    });
    socket.on('data', (data) => this.read(data));
    socket.on('error', (e) => {
      if (!this.connected && e.code === 'EAGAIN' && this.isOpen) setTimeout(() => this.isOpen && this.dial(), QUEUE_PAUSE_MS); // its queue is full
      else this.lose(this.connected ? new ConnectionLost(this.said) : unreachable(this.path, e.code || e.message));
    });
    socket.on('close', () => this.connected && this.lose(new ConnectionLost(this.said)));
  }

  /** Resolves when the agent has said what it takes. */
  async hello(deadline) {
    const result = wire.mapOf(await this.send('hello', { versions: [1], client: this.name }, deadline));
    const limits = typeof result.limits === 'object' && result.limits !== null ? result.limits : {};
    if (Number.isInteger(limits.requests_per_connection)) this.limits.requests = limits.requests_per_connection;
    if (Number.isInteger(limits.bytes_per_connection)) this.limits.bytes = limits.bytes_per_connection;
    if (Number.isInteger(limits.frame)) this.splitter.limit = limits.frame;
  }

  lose(why) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.socket.destroy();
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const call of waiting) call.end(why, null);
    for (const waits of this.queue.splice(0)) waits();
    if (this.onLost) this.onLost(why);
  }

  read(data) {
    this.came++;
    try {
      for (const m of this.splitter.feed(data)) this.take(m);
    } catch (e) {
      this.lose(e);
    }
  }

  take(m) {
    if (m.event !== undefined) {
      this.isDraining = this.isDraining || m.event === 'draining';
      const event = this.onEvent && wire.eventOf(m.event, m.params);
      if (event) this.onEvent(event);
    } else if (m.id === null) {
      this.said = m.error;
    } else {
      const call = this.waiting.get(m.id);
      if (call) call.end(m.error, m.result);
    }
  }

  /** One request and its answer, whatever is under way beside it. */
  send(method, params, deadline) {
    return new Promise((resolve, reject) => {
      const id = this.nextId;
      const data = wire.frame(id, method, params);
      if (!this.isOpen) throw new ConnectionLost(this.said);
      this.nextId = (id + 1) & ID_MAX;
      const came = this.came;
      const timer = setTimeout(() => {
        call.end(timedOut(), null);
        // the id is not used again, so a late answer meets nobody
        if (this.came === came) this.lose(new ConnectionLost(null, 'the connection was given up, as nothing came on it any more'));
      }, Math.max(deadline - performance.now(), 0));
      const call = {
        end: (error, result) => {
          clearTimeout(timer);
          this.waiting.delete(id);
          if (this.waiting.size === 0 && !this.onEvent) this.socket.unref(); // an idle client keeps no process alive
          if (error) reject(error);
          else resolve(result);
        },
      };
      this.waiting.set(id, call);
      this.socket.ref();
      if (this.connected) this.socket.write(data);
      else this.unsent.push(data);
    });
  }

  /** The same, when the agent has room for it: beyond its limits it would answer BUSY. One request always fits. */
  async call(method, params, deadline) {
    const size = (params.body ? params.body.length : 0) + AROUND_BODY;
    if (!this.fits(size) || this.queue.length > 0) await this.room(deadline);
    while (this.isOpen && !this.fits(size)) await this.room(deadline, true);
    this.taken++;
    this.bytes += size;
    this.wakeNext();
    try {
      const left = Math.floor(deadline - performance.now());
      if (left < 1) throw timedOut();
      return await this.send(method, { ...params, deadline_ms: left }, deadline);
    } finally {
      this.taken--;
      this.bytes -= size;
      this.wakeNext();
    }
  }

  fits(size) {
    return this.taken === 0 || (this.taken < this.limits.requests && this.bytes + size <= this.limits.bytes);
  }

  room(deadline, first = false) {
    return new Promise((resolve, reject) => {
      const waits = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.queue.splice(this.queue.indexOf(waits), 1);
        this.wakeNext();
        reject(timedOut());
      }, Math.max(deadline - performance.now(), 0));
      if (first) this.queue.unshift(waits);
      else this.queue.push(waits);
    });
  }

  /** Whoever is woken looks again whether it fits, and wakes the next when it does. */
  wakeNext() {
    if (this.queue.length > 0 && this.fits(AROUND_BODY)) this.queue.shift()();
  }
}

module.exports = { Link };
