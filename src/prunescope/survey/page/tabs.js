// One tab at a time: two would show the same task twice.

const BEAT_MS = 1000;
const SILENT_MS = 4000;

/** Take the study for this tab; resolves to whether it is ours. `lost` is called if another tab takes it later. */
export function take(store, { steal, lost }) {
  return navigator.locks ? byLock(store.prefix, steal, lost) : byBeat(store, steal, lost);
}

function byLock(name, steal, lost) {
  return new Promise((resolve) => {
    const options = steal ? { steal: true } : { ifAvailable: true };
    const held = (lock) => {
      resolve(lock !== null);
      return lock && new Promise(() => {}); // until the tab is closed
    };
    navigator.locks.request(name, options, held).catch(lost);
  });
}

// Browsers have locks on secure pages only. Elsewhere the tab that has the study says so every second.
function byBeat(store, steal, lost) {
  const own = Math.random().toString(36).slice(2);
  const holder = () => store.get("tab");
  if (!steal && holder() && holder().own !== own && Math.abs(Date.now() - holder().at) < SILENT_MS) return false;
  const beat = () => store.set("tab", { own, at: Date.now() });
  beat();
  const timer = setInterval(() => {
    if (holder() && holder().own !== own) {
      clearInterval(timer);
      lost();
    } else beat();
  }, BEAT_MS);
  addEventListener("pagehide", () => holder()?.own === own && store.remove("tab"));
  return true;
}
