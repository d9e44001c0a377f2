// The words of the page, in the language of the design.

let words = {};

export function speak(given) {
  words = given;
}

/** The word of a key, with {name} replaced by values. */
export const say = (key, values = {}) =>
  (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
