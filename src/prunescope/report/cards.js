// The card of a unit: its images, score and concept in the networks of a chain.
const unitCards = (() => {
  const { index } = unitFiles;
  const card = document.getElementById("card");
  const choice = document.getElementById("card-choice");
  const measure = choice.querySelector("select");

  const make = (tag, attributes = {}, ...children) => {
    const svg = ["svg", "image", "path", "title"].includes(tag);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  // Light is low, dark is high: MIS and hit rates from .4 to 1, IoU up to .2; text on it is black or white.
  const ends = { mis: [0.4, 1], hit_rate: [0.4, 1], iou: [0, 0.2] };
  function colours(network, unit, name) {
    const value = network.value(unit, name);
    if (network.dead(unit)) return "background: #e3a35c; color: #000";
    if (Number.isNaN(value)) return "";
    const level = Math.min(1, Math.max(0, (value - ends[name][0]) / (ends[name][1] - ends[name][0])));
    return `background: hsl(203 ${40 + 60 * level}% ${92 - 66 * level}%); color: ${level > 0.785 ? "#fff" : "#000"}`;
  }
  const digits = { mis: 2, hit_rate: 2, iou: 3 };
  function score(network, unit, name) {
    if (network.dead(unit)) return "dead";
    const value = network.value(unit, name);
    return Number.isNaN(value) ? "–" : value.toFixed(digits[name]);
  }

  // What became of the concept that the dense network's unit detected.
  function fate(network, dense, unit) {
    if (network === dense) return "";
    if (!dense.detector(unit)) return network.detector(unit) ? "gained" : "";
    if (!network.detector(unit)) return "lost";
    return network.concept(unit) === dense.concept(unit) ? "kept" : "changed";
  }

  function thumbnail(image, known, outline, side) {
    const [name, there] = known;
    const said = side === "highest" && !outline ? `${name}: nowhere above the unit's threshold` : name;
    const picture = make("svg", { viewBox: "0 0 96 96", role: "img", "aria-label": said }, make("title", {}, said));
    if (there) picture.append(make("image", { href: `thumbnails/${image}.jpg`, width: 96, height: 96 }));
    if (outline) picture.append(make("path", { d: `M-9-9H105V105H-9Z${outline}` }));
    return picture;
  }

  function pictures(examples, place, side) {
    const own = examples?.measures[measure.value];
    if (!own?.[side][place]) return [];
    const first = examples.at * own.keep;
    return own[side][place].slice(first, first + own.keep).flatMap((image, rank) => {
      const outline = side === "highest" ? own.outlines[place][first + rank] : "";
      return image < 0 ? [] : [thumbnail(image, examples.images[image], outline, side)];
    });
  }

  function conceptCell(network, dense, unit) {
    const became = fate(network, dense, unit);
    const [concept, category] = index.concepts[network.concept(unit)] || [];
    const overlaps = concept && network.value(unit, "iou") > 0;
    const detail = overlaps ? [category, `IoU ${score(network, unit, "iou")}`] : [];
    if (overlaps && !network.detector(unit)) detail.push("no detector");
    return make(
      "td", { class: network.detector(unit) ? "concept detector" : "concept" },
      overlaps ? concept : "–", make("small", {}, detail.join(" · ")),
      ...(became ? [make("em", { class: became }, became)] : []),
    );
  }

  function scoreCell(network, unit) {
    const hits = network.value(unit, "hit_rate");
    const detail = network.dead(unit) ? "no score" : Number.isNaN(hits) ? "" : `hit rate ${hits.toFixed(2)}`;
    const bar = make("i", { style: colours(network, unit, "mis") });
    return make("td", { class: "score" }, bar, score(network, unit, "mis"), make("small", {}, detail));
  }

  function row(unit, [place, name], network, dense, examples) {
    const cells = [make("th", { scope: "row" }, name)];
    if (index.values.includes("mis")) cells.push(scoreCell(network, unit));
    if (index.values.includes("iou")) cells.push(conceptCell(network, dense, unit));
    for (const side of examples ? ["lowest", "highest"] : []) {
      cells.push(make("td", { "data-side": `${side} activations` }, make("div", { class: "pictures" }, ...pictures(examples, place, side))));
    }
    return make("tr", {}, ...cells);
  }

  // `steps`: links to the units before and after, by their names.
  function draw(unit, chain, networks, steps, examples, note) {
    const headings = [
      "Network", ...(index.values.includes("mis") ? ["MIS"] : []), ...(index.values.includes("iou") ? ["Concept"] : []),
      ...(examples ? ["Least activating images", "Most activating images"] : []),
    ];
    const head = make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, text)));
    const title = make("h3", {}, `${unitFiles.layer(unit)}, unit ${unitFiles.number(unit)}`);
    if (index.classes[unit]) title.append(make("small", {}, ` logit of “${index.classes[unit]}”`));
    const links = Object.entries(steps).map(([rel, to]) => make("a", { rel, href: to }, rel === "prev" ? "← previous" : "next →"));
    const rows = chain.networks.map((entry, i) => row(unit, entry, networks[i], networks[0], examples));
    const hadFocus = card.contains(document.activeElement) && document.activeElement.rel;
    card.replaceChildren(
      make("header", {}, title, make("span", {}, chain.name), ...links),
      make("div", { class: "table" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))),
      ...(note ? [make("p", { class: "found" }, note)] : []),
    );
    const room = card.querySelector(".table");
    if (room.scrollWidth > room.clientWidth) room.tabIndex = 0; // scrolled by keyboard too
    if (hadFocus) (card.querySelector(`[rel="${hadFocus}"]`) || card).focus();
  }

  let shown = null; // what the card shows; drawn again when its images were read
  async function show(...what) {
    const [unit] = what;
    shown = what;
    const [examples, note] = index.measures.length
      ? await unitFiles.examplesOf(unit).then((found) => [found, ""], (error) => [null, error.message])
      : [null, ""];
    if (shown !== what) return false; // another was opened meanwhile
    draw(...what, examples, note);
    choice.hidden = index.measures.length < 2;
    card.dataset.unit = unitFiles.name(unit);
    return true;
  }
  function close() {
    shown = null;
    card.replaceChildren();
    delete card.dataset.unit;
    choice.hidden = true;
  }

  measure.append(...index.measures.map((name) => make("option", { value: name }, name === "mis" ? "MIS" : name)));
  measure.addEventListener("input", () => shown && show(...shown));
  return { show, close, make, colours, score, fate, card };
})();
