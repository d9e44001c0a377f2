// What happens around the tasks: the page loses the focus, the window changes, the connection goes.

import { uuid } from "./clock.js";

const AT_MOST = 950; // the server keeps a thousand of a participant
const THROTTLE_MS = 1000;

/** Note events until the signal ends it. */
export function watch({ queue, clock, store, signal }) {
  let noted = store.get("noted") ?? 0;
  const note = (kind, detail = "") => {
    if (signal.aborted || noted >= AT_MOST) return;
    noted += 1;
    store.set("noted", noted);
    queue.put("event", { key: uuid(), kind, elapsed_ms: clock.elapsed, detail });
  };
  const size = () => `${innerWidth}x${innerHeight}`;
  let resized = 0;
  const resize = () => {
    clearTimeout(resized);
    resized = setTimeout(() => note("resize", size()), THROTTLE_MS);
  };
  const on = (target, type, listener) => target.addEventListener(type, listener, { signal });
  on(window, "blur", () => note("blur"));
  on(window, "focus", () => note("focus"));
  on(window, "offline", () => note("offline"));
  on(window, "online", () => note("online"));
  on(window, "resize", resize);
  on(document, "visibilitychange", () => note(document.visibilityState === "visible" ? "visible" : "hidden"));
  on(document, "fullscreenchange", () =>
    note(document.fullscreenElement ? "fullscreen_enter" : "fullscreen_exit", size()));
  return note;
}
