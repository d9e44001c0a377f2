// How the pictures of a task lie on the page, by the kind of the design. What is left and right stays left and right
// on a telephone too.

import { button, make, newId } from "./elements.js";
import { say } from "./words.js";

/** What each picture is called for those who cannot see it; `n` counts from 1. */
export function altOf(kind, place, n, total) {
  switch (`${kind} ${place}`) {
    case "mis left":
      return say("alt_reference_left", { n, total });
    case "mis right":
      return say("alt_reference_right", { n, total });
    case "mis top":
      return say("alt_top");
    case "mis bottom":
      return say("alt_bottom");
    case "pairwise left":
      return say("alt_left");
    case "pairwise right":
      return say("alt_right");
    case "pairwise middle":
      return say("alt_original");
    default:
      return say("alt_map");
  }
}

/**
 * Lay a task out.
 *
 * @param kind of the design.
 * @param pictures from place to images.
 * @param groups from the value of an answer to its buttons.
 */
export const laidOut = (kind, pictures, groups) => ({ mis, pairwise, identification })[kind](pictures, groups);

function mis(pictures, groups) {
  const query = (value) =>
    make("div", { class: "query" }, make("div", { class: "picture" }, ...pictures[value]), groups.get(value));
  return make(
    "div",
    { class: "places mis" },
    references("left", say("group_left"), pictures.left),
    make("div", { class: "queries" }, query("top"), query("bottom")),
    references("right", say("group_right"), pictures.right),
  );
}

function references(side, title, images) {
  const id = newId();
  const enlarge = button(say("enlarge"), () => enlarged(title, images), "enlarge");
  enlarge.setAttribute("aria-describedby", id);
  return make(
    "section",
    { class: `references ${side}`, "aria-labelledby": id },
    make("h2", { id }, title),
    make("div", { class: "grid" }, ...images, enlarge),
  );
}

function enlarged(title, images) {
  const id = newId();
  const copies = images.map((image) => image.cloneNode());
  const close = button(say("close"), () => dialog.close());
  const grid = make("div", { class: "grid" }, ...copies);
  const dialog = make("dialog", { class: "large", "aria-labelledby": id }, make("h2", { id }, title), grid, close);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function pairwise(pictures, groups) {
  const figure = (place, caption) =>
    make("figure", { class: place }, make("div", { class: "picture" }, ...pictures[place]), make("figcaption", {}, caption));
  return make(
    "div",
    { class: "places pairwise" },
    figure("left", say("caption_left")),
    figure("middle", say("caption_original")),
    figure("right", say("caption_right")),
    make("div", { class: "buttons" }, ...groups.values()),
  );
}

function identification(pictures, groups) {
  const map = make("div", { class: "picture" }, ...pictures.middle);
  return make("div", { class: "places identification" }, map, make("div", { class: "buttons" }, ...groups.values()));
}
