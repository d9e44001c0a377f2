// Elements are made here, and only here: what a server or a participant says becomes text, never markup.

let made = 0;

/** A new id, for labels. */
export const newId = () => `e${++made}`;

/** An element with attributes (null, false: none; true: empty; functions: listeners) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The heading of a step; it takes the focus when the step is shown, so that screen readers start there. */
export const heading = (text, before = "") =>
  make("h1", { tabindex: "-1" }, before && make("span", { class: "unseen" }, before), text);

/** Paragraphs of a text: an empty line parts them. */
export const paragraphs = (text) => text.split(/\n\s*\n/).map((part) => make("p", {}, part.trim()));

export const button = (text, click, kind = "main") => make("button", { type: "button", class: kind, click }, text);

/** Show a step in place of what is there, from its top. */
export function show(place, ...children) {
  place.replaceChildren(...children);
  scrollTo(0, 0);
  place.querySelector("h1")?.focus({ preventScroll: true });
}

/** A question that lies over the page: resolves to whether it was answered with yes. */
export function confirmed(title, text, yes, no) {
  const id = newId();
  return new Promise((resolve) => {
    const answer = (value) => () => {
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    const dialog = make(
      "dialog",
      { "aria-labelledby": id, cancel: answer(false) },
      make("h2", { id }, title),
      make("p", {}, text),
      make("div", { class: "row" }, button(no, answer(false)), button(yes, answer(true), "plain")),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
