// What the page has to remember beyond a reload: in the browser's storage, or in memory where there is none.

export class Store {
  /** @param {string} name of the experiment: two studies on one server do not see each other's. */
  constructor(name) {
    this.prefix = `prunescope.${name}.`;
    this.memory = null;
    try {
      localStorage.setItem(`${this.prefix}probe`, "1");
      localStorage.removeItem(`${this.prefix}probe`);
    } catch {
      this.memory = new Map();
    }
  }

  /** Whether what is kept here is still there after the page was closed. */
  get durable() {
    return this.memory === null;
  }

  get(key) {
    const text = this.memory ? this.memory.get(key) : localStorage.getItem(this.prefix + key);
    try {
      return text ? JSON.parse(text) : null;
    } catch {
      return null; // not ours
    }
  }

  set(key, value) {
    const text = JSON.stringify(value);
    if (this.durable) {
      try {
        localStorage.setItem(this.prefix + key, text);
        return;
      } catch {
        this.retreat(); // it is full
      }
    }
    this.memory.set(key, text);
  }

  remove(key) {
    this.memory?.delete(key);
    try {
      localStorage.removeItem(this.prefix + key);
    } catch {
      // there is none
    }
  }

  /** Keys that start so, sorted. */
  keys(start = "") {
    const all = this.memory ? [...this.memory.keys()] : this.stored();
    return all.filter((key) => key.startsWith(start)).sort();
  }

  clear() {
    for (const key of this.keys()) this.remove(key);
  }

  stored() {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(this.prefix))
      .map((key) => key.slice(this.prefix.length));
  }

  retreat() {
    this.memory = new Map(this.stored().map((key) => [key, localStorage.getItem(this.prefix + key)]));
  }
}
