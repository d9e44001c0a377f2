// What stays around the tasks: progress, full screen, the connection, and the way out.

import { confirmed, make, newId } from "./elements.js";
import { say } from "./words.js";

const of = (id) => document.getElementById(id);
const RECOVERED_MS = 4000;

export function drawFrame(title) {
  document.title = title;
  of("title").textContent = title;
  of("top").hidden = of("bottom").hidden = false;
}

/** Say how far one has come; null: nothing to say. */
export function progress(text, value = 0, max = 1) {
  of("progress").hidden = text === null;
  of("progress-text").textContent = text ?? "";
  const bar = of("progress-bar");
  bar.setAttribute("aria-label", say("progress"));
  bar.max = max;
  bar.value = value;
}

/** Say what the connection does, only when it is gone and when it is back. */
export function connection(queue) {
  const status = of("status");
  status.dataset.unsent = queue.unsent;
  if (queue.offline) {
    status.textContent = queue.store.durable ? say("offline") : say("offline_memory");
    status.className = "offline";
  } else if (status.className === "offline") {
    status.textContent = say("online");
    status.className = "online";
    setTimeout(() => status.className === "online" && (status.textContent = status.className = ""), RECOVERED_MS);
  }
}

/** The way out, on every page once there is something to delete. */
export function wayOut(leave) {
  const link = of("withdraw");
  link.textContent = say("withdraw");
  link.hidden = false;
  link.onclick = async () => {
    const sure = await confirmed(say("withdraw"), say("withdraw_sure"), say("withdraw_yes"), say("withdraw_no"));
    if (!sure) return;
    link.disabled = true;
    await leave().catch(() => (of("status").textContent = say("withdraw_failed")));
    link.disabled = false;
  };
}

export function noWayOut() {
  of("withdraw").hidden = true;
  of("fullscreen").hidden = true;
  of("status").textContent = "";
  progress(null);
}

/** Whether the browser can give the whole screen; those of telephones often cannot. */
export const fullscreenThere = () => Boolean(document.fullscreenEnabled && document.documentElement.requestFullscreen);

export async function enterFullscreen() {
  await document.documentElement.requestFullscreen({ navigationUI: "hide" }).catch(() => {}); // it may say no
}

export async function leaveFullscreen() {
  if (document.fullscreenElement) await document.exitFullscreen().catch(() => {});
}

/** A button that offers the whole screen while one does not have it. */
export function offerFullscreen() {
  const offer = of("fullscreen");
  offer.textContent = say("fullscreen_enter");
  offer.onclick = enterFullscreen;
  const update = () => (offer.hidden = Boolean(document.fullscreenElement));
  document.addEventListener("fullscreenchange", update);
  update();
}

/** Say kindly that the window is too small, as long as it is; who cannot make it larger goes on anyway. */
export function checkWindow({ least_width: width, least_height: height }, goesOn) {
  const id = newId();
  let dialog = null;
  let enough = false;
  const close = () => {
    dialog?.remove();
    dialog = null;
  };
  const anyway = () => {
    enough = true;
    goesOn(`${innerWidth}x${innerHeight} is less than ${width}x${height}`);
    close();
  };
  const open = () => {
    const go = make("button", { type: "button", class: "plain", click: anyway }, say("window_anyway"));
    const size = make("p", {}, say("window_small", { width, height }));
    const title = make("h2", { id }, say("window_title"));
    dialog = make("dialog", { "aria-labelledby": id, cancel: (event) => event.preventDefault() }, title, size, go);
    document.body.append(dialog);
    dialog.showModal();
  };
  const check = () => {
    const small = !enough && (innerWidth < width || innerHeight < height);
    if (small && !dialog) open();
    if (!small && dialog) close();
  };
  addEventListener("resize", check);
  check();
}
