// What is on its way to the server. Each entry is in the browser's storage before anything else happens, and
// stays there until the server has acknowledged it; so a reload, a crash or a lost connection loses nothing.

import { Refused, Unreachable, backoff, pause } from "./server.js";

const PATHS = { answer: "api/answers", event: "api/events", questions: "api/questions", stage: "api/stage" };
const LIST = { answer: "answers", event: "events" }; // these go several at once
const BATCH = 50;

export class Queue {
  /**
   * @param store where entries are kept.
   * @param server whom they go to.
   * @param hears {changed(), over(error), conflict(entries)}: what the page does about it; `conflict` returns a promise.
   */
  constructor(store, server, hears) {
    this.store = store;
    this.server = server;
    this.hears = hears;
    this.waiting = new Map();
    this.failures = 0;
    this.stopped = false;
    this.pumping = null;
  }

  /** Keep an entry and send it; resolves to what the server says of it. */
  put(kind, body) {
    const [last] = this.store.keys("queue.").slice(-1);
    const number = last ? Number(last.split(".")[1]) + 1 : 0;
    const name = `queue.${String(number).padStart(9, "0")}.${Math.random().toString(36).slice(2, 8)}`;
    this.store.set(name, { kind, body });
    const reply = new Promise((resolve, reject) => this.waiting.set(name, { resolve, reject }));
    reply.catch(() => {}); // not everyone waits for it
    this.pump();
    return reply;
  }

  /** All entries: `{name, kind, body}`, in order. */
  entries() {
    return this.store.keys("queue.").map((name) => ({ name, ...this.store.get(name) }));
  }

  /** How many answers the server has not acknowledged; events are no answers. */
  get unsent() {
    return this.entries().filter(({ kind }) => kind !== "event").length;
  }

  get offline() {
    return this.failures > 0 || !navigator.onLine;
  }

  /** Resolves when nothing is left to send. */
  async drained() {
    while (!this.stopped && this.entries().length) await this.pump();
  }

  stop() {
    this.stopped = true;
  }

  pump() {
    this.pumping ??= this.run().finally(() => {
      this.pumping = null;
      if (!this.stopped && this.next().length) this.pump(); // put while the last reply was being handed out
    });
    return this.pumping;
  }

  async run() {
    for (let batch = this.next(); batch.length && !this.stopped; batch = this.next()) {
      this.hears.changed();
      try {
        this.settle(batch, await this.send(batch));
        this.failures = 0;
      } catch (error) {
        if (this.stopped) return;
        await this.failed(batch, error);
      }
    }
    this.hears.changed();
  }

  /** The entries that go next: answers before what is only noted, and several of a kind at once. */
  next() {
    const all = this.entries();
    const answers = all.filter(({ kind }) => kind !== "event");
    const lane = answers.length ? answers : all;
    const alike = lane.findIndex(({ kind }) => kind !== lane[0].kind || !LIST[kind]);
    return lane.slice(0, alike < 0 ? BATCH : Math.min(Math.max(alike, 1), BATCH));
  }

  send(batch) {
    const [{ kind }] = batch;
    const bodies = batch.map(({ body }) => body);
    return this.server.post(PATHS[kind], LIST[kind] ? { [LIST[kind]]: bodies } : bodies[0], true);
  }

  settle(batch, reply) {
    const known = new Map((reply.acknowledged ?? []).map((one) => [one.key, one]));
    const done = batch.filter(({ kind, body }) => kind !== "answer" || known.has(body.key));
    if (!done.length) throw new Unreachable("nothing was acknowledged");
    for (const { name, kind, body } of done) {
      this.store.remove(name);
      this.waiting.get(name)?.resolve(kind === "answer" ? known.get(body.key) : reply);
      this.waiting.delete(name);
    }
  }

  async failed(batch, error) {
    if (error instanceof Unreachable) {
      this.failures += 1;
      this.hears.changed();
      await pause(Math.max(error.afterMs, backoff(this.failures)));
    } else if (error instanceof Refused && error.over) {
      this.stop();
      this.hears.over(error);
    } else {
      for (const { name } of batch) {
        this.store.remove(name);
        this.waiting.get(name)?.reject(error);
        this.waiting.delete(name);
      }
      if (batch[0].kind === "answer" || batch[0].kind === "stage") await this.hears.conflict(batch);
    }
  }
}
