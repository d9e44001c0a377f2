// The buttons that answer a task, and the keys that press them.

import { make, newId } from "./elements.js";
import { say } from "./words.js";

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "␣" };
const SPARE = "1234567890abcdefghijklmnopqrstuvwxyz";

/** The keys of all answers; those that a design gives none are dealt the digits, then letters, in their order. */
export function dealtKeys(answers) {
  const taken = new Set(answers.flatMap(({ keys }) => keys.map((key) => key.toLowerCase())));
  const spare = [...SPARE].filter((key) => !taken.has(key));
  return answers.map((answer) => ({ ...answer, keys: answer.keys.length ? answer.keys : [spare.shift()].filter(Boolean) }));
}

/**
 * The buttons of a task.
 *
 * @param answers {value, label, keys}; with levels of confidence, key j of an answer presses its level j + 1.
 * @param levels of confidence; 1: none is asked.
 * @returns {choices: [{answer, confidence, button, keys}], groups: from the value of an answer to its element}
 */
export function answerButtons(answers, levels) {
  const choices = [];
  const groups = new Map();
  for (const answer of dealtKeys(answers)) {
    const own = levels > 1 ? withConfidence(answer, levels) : [plain(answer)];
    choices.push(...own);
    groups.set(answer.value, levels > 1 ? confidenceGroup(answer, own) : own[0].button);
  }
  return { choices, groups };
}

function plain({ value, label, keys }) {
  const content = [make("span", {}, label), hint(keys[0])];
  return { answer: value, confidence: null, keys, button: answerButton(content, keys) };
}

function withConfidence({ value, keys }, levels) {
  return Array.from({ length: levels }, (_, index) => {
    const level = index + 1;
    const own = keys.slice(index, level);
    const meaning = { 1: say("confidence_least"), [levels]: say("confidence_most") }[level];
    const unseen = meaning ? make("span", { class: "unseen" }, ` ${meaning}`) : null;
    const content = [make("span", {}, String(level), unseen), hint(own[0])];
    return { answer: value, confidence: level, keys: own, button: answerButton(content, own) };
  });
}

const answerButton = (content, keys) =>
  make("button", { type: "button", class: "answer", "aria-keyshortcuts": keys.map(shortcut).join(" ") || null }, ...content);

const hint = (key) => (key ? make("kbd", { "aria-hidden": "true" }, NAMES[key] ?? key.toUpperCase()) : null);

const shortcut = (key) => (key === " " ? "Space" : key);

function confidenceGroup({ label }, choices) {
  const id = newId();
  const ends = [say("confidence_least"), say("confidence_most")].map((text) => make("span", {}, text));
  return make(
    "div",
    { class: "confidence", role: "group", "aria-labelledby": id },
    make("p", { id, class: "unseen" }, `${label}. ${say("confidence")}`),
    make("div", { class: "levels" }, ...choices.map(({ button }) => button)),
    make("p", { class: "ends", "aria-hidden": "true" }, ...ends),
  );
}

/** Resolves to the first choice, by click or key, and when it was made; a held key is no answer. */
export function chosen(choices, signal) {
  return new Promise((resolve) => {
    const of = new Map(choices.flatMap((choice) => choice.keys.map((key) => [key.toLowerCase(), choice])));
    for (const choice of choices) {
      choice.button.addEventListener("click", (event) => resolve({ choice, at: event.timeStamp }), { signal });
    }
    const press = (event) => {
      const choice = of.get(event.key.toLowerCase());
      const busy = event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]");
      if (!choice || busy) return;
      event.preventDefault(); // arrows would scroll
      if (!event.repeat) resolve({ choice, at: event.timeStamp });
    };
    document.addEventListener("keydown", press, { signal });
  });
}
