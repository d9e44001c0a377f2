// Time on the page, in milliseconds since consent. It never goes back: it goes on from what was kept before a reload.

export class Clock {
  constructor(store) {
    this.store = store;
    this.before = store.get("elapsed") ?? 0;
    this.loaded = performance.now();
    addEventListener("pagehide", () => this.keep());
  }

  /** Consent was given now. */
  start() {
    this.before = 0;
    this.loaded = performance.now();
  }

  get elapsed() {
    return this.before + performance.now() - this.loaded;
  }

  /** Remember it for after a reload. */
  keep() {
    if (this.store.get("session")) this.store.set("elapsed", this.elapsed);
  }
}

/** How long a stage took, over all visits to it; `keep` remembers it for after a reload. */
export function stopwatch(store, stage) {
  const before = store.get(`spent.${stage}`) ?? 0;
  const shown = performance.now();
  const spent = () => before + performance.now() - shown;
  const keep = () => store.set(`spent.${stage}`, spent());
  addEventListener("pagehide", keep);
  return () => {
    removeEventListener("pagehide", keep);
    return spent();
  };
}

/** A random UUID; `crypto.randomUUID` is there on secure pages only. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
