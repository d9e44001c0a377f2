// One participation: who takes part, where they are, and what is on its way.

import { forget, mark } from "./address.js";
import { Clock, uuid } from "./clock.js";
import { Queue } from "./queue.js";
import { Server, insist } from "./server.js";

export class Session {
  /**
   * @param store what is remembered of it.
   * @param hears {changed(queue), over(error), conflict()}: what the page does about it.
   */
  constructor(store, hears) {
    this.store = store;
    this.hears = hears;
    this.server = new Server(store.get("session"));
    this.clock = new Clock(store);
    this.state = null;
    this.answered = 0; // of the current phase, with those on their way
    this.queue = new Queue(store, this.server, {
      changed: () => hears.changed(this.queue),
      over: (error) => hears.over(error),
      conflict: () => hears.conflict(),
    });
  }

  get joined() {
    return this.server.token !== null;
  }

  /** Whether the session that is kept here is that of who came now. */
  belongsTo(platform) {
    const kept = this.store.get("mark");
    return platform.name === "direct" || kept === mark(platform, this.store.get("salt"));
  }

  /** Join the study; a server that says why it cannot be joined now is not asked again by itself. */
  async join(platform) {
    const body = { consent: true, platform, simulated: false };
    const join = () => this.server.post("api/participants", body);
    const { session } = await insist(join, (error) => this.failed() || error.said);
    this.failures(0);
    const salt = uuid();
    for (const key of this.store.keys()) if (key !== "tab") this.store.remove(key);
    this.store.set("salt", salt);
    this.store.set("mark", mark(platform, salt));
    if (platform.name === "mturk") this.store.set("assignment", platform.session); // its form asks for it at the end
    this.store.set("session", session);
    this.server.token = session;
    this.clock.start();
    this.clock.keep();
    forget();
  }

  /** Ask the server where one is; nothing may be on its way. */
  async load() {
    try {
      this.state = await insist(() => this.server.get("api/session"), () => this.failed());
    } catch (error) {
      if (!error.over) throw error;
      this.hears.over(error);
      return new Promise(() => {}); // the page says so, and nothing goes on
    }
    this.failures(0);
    this.answered = this.state.next;
    return this.state;
  }

  failed() {
    this.failures(this.queue.failures + 1);
    return false;
  }

  failures(count) {
    this.queue.failures = count;
    this.hears.changed(this.queue);
  }

  /** Keep an answer, on this device first; resolves when the server has it. */
  answer(position, { answer, confidence, rt_ms }) {
    const { phase, round } = this.state;
    this.clock.keep();
    this.answered = position + 1;
    const elapsed_ms = this.clock.elapsed;
    return this.queue.put("answer", { phase, round, position, key: uuid(), answer, confidence, rt_ms, elapsed_ms });
  }

  /** A stage is over; resolves when the server has taken that in and said what is next. */
  async passed(stage, elapsed_ms = 0) {
    await this.queue.put("stage", { done: stage, elapsed_ms });
    await this.load();
  }

  /** All answers are with the server, and it says where one is now. */
  async settled() {
    await this.queue.drained();
    await this.load();
  }

  /** How one shows that all is done; only when it is. */
  async completion() {
    const completion = await insist(() => this.server.get("api/completion"));
    const assignmentId = this.store.get("assignment"); // of which the server has but a hash
    if (completion.submit && assignmentId) completion.submit.fields.assignmentId = assignmentId;
    return completion;
  }

  async withdraw() {
    try {
      await this.server.post("api/withdraw", {});
    } catch (error) {
      if (!error.over) throw error;
      this.hears.over(error); // an earlier try got through and its reply was lost, or it went on elsewhere
      return;
    }
    this.end();
  }

  /** Forget all that this device has of it. */
  end() {
    this.stop();
    this.store.clear();
    this.server.token = null;
  }

  /** Ask the server for nothing more. */
  stop() {
    this.queue.stop();
    this.server.close();
  }
}
