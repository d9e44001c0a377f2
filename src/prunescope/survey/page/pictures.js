// Pictures are fetched ahead, in the order of the trials, and kept here; so tasks go on while the connection is away.

import { Refused, insist } from "./server.js";

const AT_ONCE = 6;

export class Pictures {
  /**
   * @param server whom they are asked of; they need the session, so they are no plain addresses.
   * @param trials as the server gives them.
   * @param refused is called when the server will not give one.
   */
  constructor(server, trials, refused) {
    this.server = server;
    this.refused = refused;
    this.left = [];
    this.trials = new Map(trials.map((trial) => [trial.position, this.planned(trial)]));
    for (let lane = 0; lane < AT_ONCE; lane++) this.work();
  }

  /** Resolves to the pictures of a trial: from place to addresses of blobs. */
  of(position) {
    return this.trials.get(position).ready;
  }

  /** Whether all pictures of a trial are here. */
  has(position) {
    return this.trials.get(position).missing === 0;
  }

  /** The trial is over: its pictures are not needed any more. */
  release(position) {
    const plan = this.trials.get(position);
    if (!plan) return; // it was answered before the page was loaded
    for (const address of Object.values(plan.addresses).flat()) URL.revokeObjectURL(address);
    this.trials.delete(position);
  }

  planned(trial) {
    const plan = { addresses: {}, missing: 0 };
    plan.ready = new Promise((resolve) => (plan.done = () => resolve(plan.addresses)));
    for (const [place, paths] of Object.entries(trial.pictures)) {
      plan.addresses[place] = [];
      for (const [index, path] of paths.entries()) {
        plan.missing += 1;
        this.left.push({ plan, place, index, path });
      }
    }
    return plan;
  }

  async work() {
    for (let next = this.left.shift(); next; next = this.left.shift()) {
      const { plan, place, index, path } = next;
      try {
        const blob = await insist(() => this.server.picture(path));
        plan.addresses[place][index] = URL.createObjectURL(blob);
      } catch (error) {
        if (error instanceof Refused) return this.refused(error);
        throw error;
      }
      plan.missing -= 1;
      if (plan.missing === 0) plan.done();
    }
  }
}

/** An image that is ready to be painted. */
export async function decoded(address, alt) {
  const image = new Image();
  image.alt = alt;
  image.draggable = false;
  image.src = address;
  await image.decode().catch(() => {}); // a broken picture is shown as what it is called
  return image;
}

/** Resolves when what is in the document now has been painted; a page out of sight paints nothing, and waits. */
export const painted = () =>
  new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now()))));
