// The steps that are no tasks. Each shows itself in a place and resolves when it is over.

import { button, heading, make, newId, paragraphs, show } from "./elements.js";
import { say } from "./words.js";

const text = (...children) => make("div", { class: "text" }, ...children);

/** A page with a button: resolves when it is pressed. */
export const told = (place, title, words, label = say("next")) =>
  new Promise((resolve) => {
    show(place, text(heading(title), ...paragraphs(words), make("div", { class: "row" }, button(label, resolve))));
  });

/** A page that waits for something. */
export const waits = (place, title, words = "") => show(place, text(heading(title), make("p", { role: "status" }, words)));

/** The last page there is: what happened, and what one may do, as [label, action]. */
export function ends(place, title, words, ...actions) {
  const buttons = actions.map(([label, act]) => button(label, act));
  show(place, text(heading(title), ...words.flatMap(paragraphs), buttons.length ? make("div", { class: "row" }, ...buttons) : null));
}

/**
 * Consent: `join` is called when it is given, and resolves when the study is joined.
 *
 * @param join throws a `Refused` whose words are shown.
 */
export const consent = (place, { title, consent: words }, join) =>
  new Promise((resolve) => {
    const said = make("p", { class: "problem", role: "alert" });
    const agree = button(say("consent_agree"), async () => {
      agree.disabled = true;
      said.textContent = "";
      try {
        resolve(await join());
      } catch (error) {
        said.textContent = error.message;
        agree.disabled = false;
      }
    });
    const kept = make("p", { class: "small" }, say("consent_nothing_kept"));
    show(place, text(heading(title), ...words.flatMap(paragraphs), kept, make("div", { class: "row" }, agree), said));
  });

/** What who only looks sees. */
export const preview = (place, { title, consent: words }) =>
  show(place, text(heading(title), ...words.flatMap(paragraphs), make("p", { class: "note" }, say("preview"))));

/** The instructions, a page at a time. */
export const instructions = (place, pages) =>
  new Promise((resolve) => {
    const turn = (index) => {
      const last = index === pages.length - 1;
      const next = button(last ? say("instructions_done") : say("next"), () => (last ? resolve() : turn(index + 1)));
      const back = index > 0 ? button(say("back"), () => turn(index - 1), "plain") : null;
      const count = say("page_of", { n: index + 1, total: pages.length });
      const title = heading(say("instructions"));
      const row = make("div", { class: "row" }, back, next, make("span", { class: "small" }, count));
      show(place, text(title, ...paragraphs(pages[index]), row));
    };
    turn(0);
  });

/** Questions beside the tasks: resolves to the answers, from id to text or number; what was left empty is left out. */
export const questions = (place, asked, send) =>
  new Promise((resolve) => {
    const said = make("p", { class: "problem", role: "alert" });
    const done = make("button", { type: "submit", class: "main" }, say("next"));
    const form = make("form", {}, ...asked.map(field), make("div", { class: "row" }, done), said);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      for (const input of form.querySelectorAll("textarea")) input.value = input.value.trim();
      if (!form.reportValidity()) return; // blanks alone are no answer
      done.disabled = true;
      said.textContent = "";
      try {
        resolve(await send(answersIn(form, asked)));
      } catch (error) {
        said.textContent = error.message;
        done.disabled = false;
      }
    });
    show(place, text(heading(say("questions")), form));
  });

function field({ id, text: question, kind, choices, required }) {
  const label = required ? question : `${question} ${say("optional")}`;
  if (kind === "choice") {
    const options = choices.map((choice) =>
      make("label", { class: "option" }, make("input", { type: "radio", name: id, value: choice, required }), make("span", {}, choice)),
    );
    return make("fieldset", {}, make("legend", {}, label), ...options);
  }
  const own = newId();
  const input =
    kind === "number"
      ? make("input", { id: own, name: id, type: "number", step: "any", required })
      : make("textarea", { id: own, name: id, rows: 2, maxlength: 1000, required });
  return make("div", { class: "field" }, make("label", { for: own }, label), input);
}

function answersIn(form, asked) {
  const given = new FormData(form);
  const filled = asked.filter(({ id }) => given.get(id)?.trim());
  return Object.fromEntries(filled.map(({ id, kind }) => [id, kind === "number" ? Number(given.get(id)) : given.get(id).trim()]));
}

/** Whether the whole screen is wanted: `enter` or `without` is called. */
export const fullscreen = (place, enter, without) =>
  new Promise((resolve) => {
    const yes = button(say("fullscreen_yes"), () => enter().then(resolve));
    const no = button(say("fullscreen_no"), () => resolve(without()), "plain");
    show(place, text(heading(say("fullscreen_title")), make("p", {}, say("fullscreen_ask")), make("div", { class: "row" }, yes, no)));
  });

/** The end: what the platform wants to know, and the way back to it. */
export function done(place, { code, link, submit }, again) {
  const back = link && make("a", { class: "main", href: link, rel: "noreferrer" }, say("done_return"));
  const form = submit && make(
    "form",
    { method: "post", action: submit.action },
    ...Object.entries(submit.fields).map(([name, value]) => make("input", { type: "hidden", name, value })),
    make("button", { type: "submit", class: "main" }, say("done_submit")),
  );
  const shown = code && make("p", {}, `${say("done_code")} `, make("output", { class: "code" }, code));
  const other = again && button(say("done_another"), again, "plain");
  show(place, text(heading(say("done_title")), make("p", {}, say("done")), shown, make("div", { class: "row" }, back, form, other)));
}
