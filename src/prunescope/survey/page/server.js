// Requests to the server of the study, which is the only one that this page speaks to.

const PATIENCE_MS = 20_000;
const KEPT_ALIVE = 15_000; // characters; browsers refuse a request that outlives its page if it is over 64 KiB
const PASSING = new Set([408, 425, 429]);

/** No reply, or one that a later try may change. */
export class Unreachable extends Error {
  constructor(message, { afterMs = 0, said = false } = {}) {
    super(message);
    this.said = said; // whether the message is the study's own
    this.afterMs = afterMs; // as long as the server asks to wait
  }
}

/** A reply that no repetition changes. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** The session has ended: withdrawn, or gone on elsewhere. */
  get over() {
    return this.status === 401;
  }
}

export class Server {
  constructor(token = null) {
    this.token = token;
    this.closed = false;
    this.underWay = new Set();
  }

  /** Give up what is on its way; nothing is asked any more. */
  close() {
    this.closed = true;
    for (const wait of this.underWay) wait.abort();
  }

  get(path) {
    return this.ask(path, { method: "GET" });
  }

  post(path, body, keepalive = false) {
    const headers = { "Content-Type": "application/json" };
    const text = JSON.stringify(body);
    return this.ask(path, { method: "POST", headers, body: text, keepalive: keepalive && text.length < KEPT_ALIVE });
  }

  /** A picture; the address as the server wrote it, below the page's own. */
  picture(path) {
    return this.ask(path, { method: "GET" }, (response) => response.blob());
  }

  /** What the server replies, as `read` reads it; all of it has to be here in time. */
  async ask(path, options, read = (response) => response.json(), patience = PATIENCE_MS) {
    if (this.closed) return new Promise(() => {}); // nobody waits for it
    const wait = new AbortController();
    const timer = setTimeout(() => wait.abort(), patience);
    this.underWay.add(wait);
    try {
      return await read(await this.reply(path, { ...options, signal: wait.signal }));
    } catch (error) {
      if (error instanceof Refused || error instanceof Unreachable) throw error;
      throw new Unreachable(error.message); // there was no reply, or it was cut off on its way
    } finally {
      clearTimeout(timer);
      this.underWay.delete(wait);
    }
  }

  async reply(path, options) {
    const headers = { ...options.headers, ...(this.token && { Authorization: `Bearer ${this.token}` }) };
    const address = new URL(path.replace(/^\//, ""), document.baseURI);
    const response = await fetch(address, { ...options, headers, cache: "no-store" });
    if (response.ok) return response;
    const detail = await response.json().then((body) => body.detail, () => undefined);
    // A refusal without words is not the study's: something between here and there said it.
    if (response.status >= 500 || PASSING.has(response.status) || detail === undefined) {
      const afterMs = 1000 * Number(response.headers.get("Retry-After") ?? 0) || 0;
      throw new Unreachable(`${detail ?? response.statusText}`, { afterMs, said: detail !== undefined });
    }
    throw new Refused(response.status, typeof detail === "string" ? detail : JSON.stringify(detail));
  }
}

/** How long to wait before the next try: doubled with each failure, at most ten seconds, and never two alike. */
export const backoff = (failures) => Math.min(10_000, 400 * 2 ** failures) * (0.5 + Math.random() / 2);

/** Wait, unless the connection comes back or the page comes into sight before. */
export function pause(ms) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      document.removeEventListener("visibilitychange", seen);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && end();
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
    document.addEventListener("visibilitychange", seen);
  });
}

/** Try until there is a reply; `failed` hears of each try that had none, and may say that it is enough. */
export async function insist(attempt, failed = () => false) {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Unreachable) || failed(error, failures)) throw error;
      await pause(Math.max(error.afterMs, backoff(failures)));
    }
  }
}
