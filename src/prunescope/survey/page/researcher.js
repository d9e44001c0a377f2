// The researcher's page: who is where, how far each condition is, pause, withdrawal, export. The token is kept in
// this module's memory and nowhere else.

import { confirmed, make } from "./elements.js";
import { Refused, Server } from "./server.js";

const EVERY_MS = 3000;
const EXPORT_MS = 600_000; // a large study takes a while to write
const STAGES = {
  before: "questions before", instructions: "instructions", practice: "practice", main: "tasks", after: "questions after",
  done: "done",
};
const COUNTS = {
  participants: "Participants", under_way: "Under way", finished: "Finished", left: "Left", answers: "Answers",
  simulated: "Simulated",
};
const of = (id) => document.getElementById(id);
const server = new Server();
const rows = new Map(); // of participants, so that what is focused stays so
let state = null;
let timer = 0;

// ---- coming in

of("entry").addEventListener("submit", async (event) => {
  event.preventDefault();
  server.token = of("token").value.trim();
  of("token").value = "";
  of("refused").textContent = "";
  try {
    await update();
    of("entry").hidden = true;
    of("study").hidden = false;
    of("pause").focus();
    schedule();
  } catch (error) {
    of("refused").textContent = error.message;
    of("token").focus();
  }
});

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(poll, EVERY_MS);
}

async function poll() {
  try {
    await update();
  } catch (error) {
    if (error instanceof Refused && error.over) return shut(error.message);
    of("connection").textContent = "No connection to the server; trying again.";
    of("connection").className = "lost";
  }
  schedule();
}

function shut(why) {
  server.token = null;
  of("study").hidden = true;
  of("entry").hidden = false;
  of("refused").textContent = why;
}

// ---- what is shown

async function update() {
  const dated = async (response) => [await response.json(), response.headers.get("Date") ?? ""];
  const [told, date] = await server.ask("api/researcher/state", { method: "GET" }, dated);
  state = told;
  const now = Date.parse(date) || Date.now(); // the clock of the server is the one that counts
  document.title = `${state.title} – prunescope`;
  of("kicker").textContent = `Human study · ${state.name}`;
  of("title").textContent = state.title;
  of("pause").textContent = state.paused ? "Let people in again" : "Pause";
  of("paused").hidden = !state.paused;
  of("connection").className = "";
  of("connection").textContent = "";
  drawCounts(state.counts);
  of("conditions").replaceChildren(...state.conditions.map(condition));
  of("lists").replaceChildren(...state.lists.map((own) => row([own.list, own.finished, own.under_way, own.wanted].map(number))));
  drawParticipants(now / 1000);
}

function drawCounts(counts) {
  const shown = Object.keys(COUNTS).filter((name) => name !== "simulated" || counts.simulated > 0);
  const facts = shown.map((name) => make("div", {}, make("dt", {}, COUNTS[name]), make("dd", {}, written(counts[name]))));
  of("counts").replaceChildren(...facts);
}

const written = (count) => count.toLocaleString("en");
const number = (value) => make("td", { class: "number" }, typeof value === "number" ? written(value) : value);
const row = (cells) => make("tr", {}, ...cells);

function condition({ condition: name, wanted, answered, under_way }) {
  const cells = [answered, under_way, wanted].map(number);
  return row([make("td", {}, name), make("td", {}, bar(answered, under_way, wanted)), ...cells]);
}

/** The numbers stand beside it. */
function bar(done, way, total) {
  const part = (count, kind) => {
    const element = make("span", { class: kind });
    element.style.width = `${Math.min(100, (100 * count) / Math.max(total, 1))}%`;
    return element;
  };
  return make("span", { class: "bar", "aria-hidden": "true" }, part(done + way, "way"), part(done, "done"));
}

function drawParticipants(now) {
  const there = new Set(state.participants.map(({ participant }) => participant));
  for (const [participant, line] of rows) {
    if (there.has(participant)) continue;
    line.remove();
    rows.delete(participant);
  }
  let matching = 0;
  for (const person of state.participants) {
    const line = rows.get(person.participant) ?? newRow(person);
    fill(line, person, now);
    line.hidden = !wanted(person);
    matching += !line.hidden;
  }
  of("matching").textContent = `${written(matching)} of ${written(state.participants.length)}`;
}

const standing = ({ finished, left }) => (finished !== null ? "finished" : left ? "left" : "under way");

function wanted(person) {
  const shown = of("shown").value;
  return (shown === "all" || shown === standing(person)) && (of("simulated").checked || !person.simulated);
}

function newRow(person) {
  const name = make("td", {}, make("code", {}, person.participant));
  if (person.simulated) name.append(make("span", { class: "tag" }, "simulated"));
  const label = `Withdraw participant ${person.number}`;
  const out = make("button", { type: "button", class: "small", "aria-label": label, click: () => withdraw(person) }, "Withdraw");
  const empty = Array.from({ length: 3 }, () => make("td", {}));
  const line = row([number(person.number), name, ...empty, number(""), number(""), number(person.list), make("td", {}, out)]);
  rows.set(person.participant, line);
  of("participants").append(line);
  return line;
}

function fill(line, person, now) {
  const [, , where, progress, seen, right, events] = line.cells;
  const tag = { finished: "done", left: "left" }[standing(person)];
  const round = person.stage === "practice" ? `, round ${person.round}` : "";
  where.replaceChildren(STAGES[person.stage] + round, tag ? make("span", { class: `tag ${tag}` }, standing(person)) : "");
  progress.replaceChildren(bar(person.answered, 0, person.total), `${person.answered} of ${person.total}`);
  seen.textContent = ago(now - person.seen);
  right.textContent = person.catch_right === null ? "–" : `${Math.round(100 * person.catch_right)} %`;
  events.textContent = written(person.events);
}

function ago(seconds) {
  const [unit, size] = [["day", 86400], ["h", 3600], ["min", 60]].find(([, length]) => seconds >= length) ?? ["s", 1];
  const count = Math.max(0, Math.floor(seconds / size));
  return `${count} ${unit}${unit === "day" && count > 1 ? "s" : ""} ago`;
}

for (const id of ["shown", "simulated"]) of(id).addEventListener("change", () => drawParticipants(Date.now() / 1000));

// ---- what is done

async function act(button, task) {
  button.disabled = true;
  try {
    await task();
    await update();
  } catch (error) {
    if (error instanceof Refused && error.over) return shut(error.message);
    of("connection").textContent = error.message;
    of("connection").className = "lost";
  } finally {
    button.disabled = false;
  }
}

of("pause").addEventListener("click", async () => {
  const text = state.paused
    ? "New participants are let in again."
    : "Nobody new is let in until you say so. Who has begun can go on to the end.";
  const yes = state.paused ? "Let people in" : "Pause";
  if (!(await confirmed(of("pause").textContent, text, yes, "Cancel"))) return;
  const paused = !state.paused;
  await act(of("pause"), () => server.post("api/researcher/pause", { paused }));
});

async function withdraw({ participant, number: count }) {
  const text = `All answers of participant ${count} (${participant}) are deleted, in the database and in the exports, and cannot be brought back.`;
  if (!(await confirmed(`Withdraw participant ${count}?`, text, "Delete", "Cancel"))) return;
  const [button] = rows.get(participant).getElementsByTagName("button");
  await act(button, () => server.post("api/researcher/withdraw", { participant }));
}

of("export").addEventListener("click", () =>
  act(of("export"), async () => {
    const read = (response) => response.blob();
    const zip = await server.ask("api/researcher/export", { method: "GET" }, read, EXPORT_MS);
    const address = URL.createObjectURL(zip);
    make("a", { href: address, download: `${state.name}.zip` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }));
