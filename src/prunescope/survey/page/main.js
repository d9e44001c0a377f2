// The participant's page: who comes, where they are, and the study from there to its end.

import { arrival } from "./address.js";
import * as frame from "./frame.js";
import { Server, insist } from "./server.js";
import { Session } from "./session.js";
import * as steps from "./steps.js";
import { Store } from "./store.js";
import { take } from "./tabs.js";
import { deafen } from "./task.js";
import { timelineOf } from "./timeline.js";
import { watch } from "./watch.js";
import { say, speak } from "./words.js";

const TAKE_OVER = "prunescope.take-over";
const RIGHT_TO_LEFT = new Set(["ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"]);
const stage = document.getElementById("stage");
const over = new AbortController(); // of all that goes on while one takes part
let jsPsych = null;
let session = null;

async function start() {
  const { platform, preview } = arrival();
  const unreachable = document.getElementById("unreachable");
  const welcome = await insist(() => new Server().get("api/welcome"), () => {
    unreachable.textContent = "The server of the study cannot be reached. This page tries again by itself.";
    return false;
  });
  speak(welcome.words);
  document.documentElement.lang = welcome.language;
  document.documentElement.dir = RIGHT_TO_LEFT.has(welcome.language.split("-")[0]) ? "rtl" : "ltr";
  frame.drawFrame(welcome.title);
  if (preview) return steps.preview(stage, welcome);
  const store = new Store(welcome.name);
  if (!(await take(store, { steal: takesOver(), lost: elsewhere }))) return elsewhere();
  await resume(store, platform);
  if (!session.joined && !welcome.open) return steps.ends(stage, say("closed"), [welcome.closed]);
  await takePart(welcome, platform);
}

/** Go on with the session that is kept here, once what was left behind is sent, if it is that of who came. */
async function resume(store, platform) {
  session = new Session(store, hears);
  if (!session.joined) return;
  frame.connection(session.queue);
  steps.waits(stage, say("wait"));
  await session.queue.drained();
  if (stage.dataset.closed) await new Promise(() => {}); // it has ended, and the page says so
  if (session.belongsTo(platform)) return;
  session.end();
  session = new Session(store, hears);
}

const hears = {
  changed: (queue) => frame.connection(queue),
  over: () => close(say("over_title"), say("over"), true),
  conflict: () => {
    location.reload(); // the server knows where one is
    return new Promise(() => {});
  },
};

async function takePart(welcome, platform) {
  const before = session.joined;
  addEventListener("beforeunload", warn, { signal: over.signal });
  if (!before) await steps.consent(stage, welcome, () => session.join(platform));
  frame.wayOut(withdraw);
  steps.waits(stage, say("wait"));
  await session.load();
  const note = watch({ ...session, signal: over.signal });
  if (before) note("reload");
  frame.checkWindow(welcome.checks, (detail) => note("resize", detail));
  await run(timelineOf(welcome, session));
  if (over.signal.aborted) return;
  if (session.state.stage !== "done") return location.reload();
  await finish();
}

async function run(timeline) {
  stage.replaceChildren();
  jsPsych = globalThis.initJsPsych({
    display_element: stage,
    on_trial_start: () => (stage.tabIndex = -1), // jsPsych makes it a stop for the keyboard, and there is nothing to do
  });
  await jsPsych.run(timeline);
}

async function finish() {
  over.abort();
  frame.progress(null);
  document.getElementById("fullscreen").hidden = true;
  await frame.leaveFullscreen();
  await session.queue.drained();
  const completion = await session.completion();
  const direct = session.store.get("mark") === "direct";
  steps.done(stage, completion, direct && another);
}

/** Someone else takes part on the same device. */
function another() {
  session.end();
  location.reload();
}

async function withdraw() {
  await session.withdraw();
  close(say("withdrawn_title"), say("withdrawn"));
}

/** Nothing goes on here any more, and nothing is kept here. */
function close(title, words, anew = false) {
  if (stage.dataset.closed) return; // what was still on its way comes too late to say more
  stage.dataset.closed = "true";
  session.end();
  stop();
  steps.ends(stage, title, [words], ...(anew ? [[say("start_anew"), () => location.reload()]] : []));
}

/** The study is open in another tab; it may go on here instead. */
function elsewhere() {
  session?.stop();
  stop();
  const here = () => {
    sessionStorage.setItem(TAKE_OVER, "1");
    location.reload();
  };
  steps.ends(stage, say("elsewhere_title"), [say("elsewhere")], [say("elsewhere_here"), here]);
}

function takesOver() {
  try {
    const taken = sessionStorage.getItem(TAKE_OVER) !== null;
    sessionStorage.removeItem(TAKE_OVER);
    return taken;
  } catch {
    return true; // without storage nothing is shared with another tab
  }
}

function stop() {
  over.abort();
  deafen();
  document.querySelector("dialog[open]")?.remove();
  frame.noWayOut();
  if (jsPsych) jsPsych.abortExperiment();
}

/** Ask before leaving while answers are not with the server, or would not survive it. */
function warn(event) {
  if (session.joined && (session.queue.unsent || !session.store.durable)) event.preventDefault();
}

start().catch((error) => {
  console.error(error);
  steps.ends(stage, say("broken_title"), [say("broken")], [say("broken_again"), () => location.reload()]);
});
