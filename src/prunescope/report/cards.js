"use strict";

// Unit cards. A layer is a script beside the page; it calls prunescope.layer with what cards.py wrote.
const prunescope = (() => {
  const index = JSON.parse(document.getElementById("cards-index").textContent);
  const [choice, found, list, card] = ["cards-choice", "cards-found", "cards-list", "card"].map((id) =>
    document.getElementById(id),
  );
  const { layer: layerChoice, series, network, order, concept, measure } = choice.elements;
  const layers = new Map(); // those that were read, by name
  const waiting = new Map(); // what to do when a layer was read
  let wanted = null; // the name of the layer asked for last
  let layer = null; // the one shown
  let opened = null; // the unit whose card is open

  const make = (tag, attributes = {}, ...children) => {
    const svg = ["svg", "image", "path", "title"].includes(tag);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const option = (value, text) => make("option", { value }, text);
  const chain = () => index.series[series.value];
  const address = (unit) => `#unit=${encodeURIComponent(layer.layer)}:${unit}`;

  function read(name, then) {
    if (layers.has(name)) return then(layers.get(name));
    const place = index.layers.findIndex(([known]) => known === name);
    waiting.set(name, then);
    const script = make("script", { src: `units/${place}.js` });
    script.onerror = () => {
      found.textContent = `units/${place}.js could not be read: keep the page together with its folder.`;
    };
    document.head.append(script);
  }

  // What a unit is in one network: place is that of the network in the study.
  function look(unit, place) {
    const value = (column) => (layer[column][place] ? layer[column][place][unit] : NaN);
    const named = layer.concepts[value("concept")];
    return {
      alive: value("alive"), mis: value("mis"), hitRate: value("hit_rate"),
      iou: value("iou"), detector: value("detector") === 1, concept: named ? named[0] : "", category: named ? named[1] : "",
    };
  }

  const isDead = (seen) => seen.alive === 0;
  const change = (unit, column) => {
    const dense = chain().networks[0][0];
    return Math.abs(look(unit, Number(network.value))[column] - look(unit, dense)[column]);
  };
  const orders = {
    unit: ["number", () => 0],
    ...(index.mis && {
      mis: ["MIS", (unit) => look(unit, Number(network.value)).mis],
      "change-mis": ["change of MIS against dense", (unit) => change(unit, "mis")],
    }),
    ...(index.dissection && {
      iou: ["IoU", (unit) => look(unit, Number(network.value)).iou],
      "change-iou": ["change of IoU against dense", (unit) => change(unit, "iou")],
    }),
  };

  // The largest first, those without a value last, equal ones by number.
  function sorted(units) {
    const key = new Map(units.map((unit) => [unit, orders[order.value][1](unit)]));
    const last = (value) => (Number.isNaN(value) ? -Infinity : value);
    return units.sort((a, b) => {
      const [x, y] = [last(key.get(a)), last(key.get(b))];
      return x === y ? a - b : y - x;
    });
  }

  function colour(seen) {
    if (isDead(seen)) return "#e3a35c";
    if (Number.isNaN(seen.mis)) return "#e3e7ec";
    const level = Math.min(1, Math.max(0, (seen.mis - 0.4) / 0.6));
    return `hsl(203 ${40 + 60 * level}% ${92 - 66 * level}%)`;
  }

  function strip(unit) {
    const colours = chain().networks.map(([place]) => colour(look(unit, place)));
    const stops = colours.map((c, i) => `${c} ${(100 * i) / colours.length}% ${(100 * (i + 1)) / colours.length}%`);
    return make("i", { style: `background: linear-gradient(90deg, ${stops.join()})` });
  }

  const score = (seen) => (isDead(seen) ? "dead" : Number.isNaN(seen.mis) ? "–" : seen.mis.toFixed(2));

  function item(unit) {
    const seen = look(unit, Number(network.value));
    const button = make("button", { type: "button", "data-unit": unit, tabindex: -1 }, make("b", {}, String(unit)));
    if (index.mis) button.append(make("span", {}, score(seen)), strip(unit));
    const name = layer.classes[unit] || (seen.detector ? seen.concept : "");
    button.append(make("small", seen.detector ? { class: "detector" } : {}, name || "\u00a0"));
    return button;
  }

  function showList() {
    const wanted = concept.value.trim().toLowerCase();
    const fits = (unit) => {
      const seen = look(unit, Number(network.value));
      const words = [layer.classes[unit] || "", seen.detector ? `${seen.concept} ${seen.category}` : ""];
      return words.join(" ").toLowerCase().includes(wanted);
    };
    const units = sorted([...Array(layer.units).keys()].filter((unit) => !wanted || fits(unit)));
    const dead = units.filter((unit) => isDead(look(unit, Number(network.value)))).length;
    const rate = network.selectedOptions[0].textContent;
    const where = ["dense", "pruned"].includes(rate) ? `in the ${rate} network` : `at ${rate}`;
    found.textContent = `${units.length} of ${layer.units} units, ${dead} of them dead ${where}`;
    list.replaceChildren(...units.map(item));
    mark();
  }

  // One unit of the list takes the keyboard; the arrows go on from there.
  function mark() {
    const shown = list.querySelector(`[data-unit="${opened}"]`);
    for (const button of list.children) button.tabIndex = -1;
    for (const button of list.querySelectorAll("[aria-current]")) button.removeAttribute("aria-current");
    if (shown) {
      shown.setAttribute("aria-current", "true");
      const below = shown.offsetTop - list.offsetTop - list.scrollTop;
      if (below < 0 || below > list.clientHeight - shown.offsetHeight) list.scrollTop += below;
    }
    const first = shown || list.firstElementChild;
    if (first) first.tabIndex = 0;
  }

  list.addEventListener("keydown", (event) => {
    const buttons = [...list.children];
    const at = buttons.indexOf(document.activeElement);
    const across = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
    const to = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + across, ArrowUp: at - across,
      Home: 0, End: buttons.length - 1,
    }[event.key];
    if (to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) location.hash = address(button.dataset.unit);
  });

  function thumbnail(local, outline, side) {
    const [number, name, there] = layer.images[local];
    const said = side === "highest" && !outline ? `${name}: nowhere above the unit's threshold` : name;
    const picture = make("svg", { viewBox: "0 0 96 96", role: "img", "aria-label": said }, make("title", {}, said));
    if (there) picture.append(make("image", { href: `thumbnails/${number}.jpg`, width: 96, height: 96 }));
    if (outline) picture.append(make("path", { d: `M-9-9H105V105H-9Z${outline}` }));
    return picture;
  }

  function pictures(unit, place, side) {
    const examples = layer.examples[measure.value];
    if (!examples || !examples[side][place]) return [];
    const { keep } = examples;
    const places = examples[side][place].slice(unit * keep, (unit + 1) * keep);
    return places.flatMap((local, rank) =>
      local < 0 ? [] : [thumbnail(local, side === "highest" ? examples.outlines[place][unit * keep + rank] : "", side)],
    );
  }

  // What became of the concept that the dense network's unit detected.
  function fate(seen, dense) {
    if (!dense.detector) return seen.detector ? "gained" : "";
    if (!seen.detector) return "lost";
    return seen.concept === dense.concept && seen.category === dense.category ? "kept" : "changed";
  }

  function row(unit, [place, name], dense, isDense) {
    const seen = look(unit, place);
    const cells = [make("th", { scope: "row" }, name)];
    if (index.mis) {
      const detail = isDead(seen) ? "no score" : Number.isNaN(seen.hitRate) ? "" : `hit rate ${seen.hitRate.toFixed(2)}`;
      const bar = make("i", { style: `background: ${colour(seen)}` });
      cells.push(make("td", { class: "score" }, bar, score(seen), make("small", {}, detail)));
    }
    if (index.dissection) {
      const became = isDense ? "" : fate(seen, dense);
      const overlap = `IoU ${seen.iou.toFixed(3)}`;
      const detail = [seen.category, overlap, seen.detector ? "" : "no detector"];
      cells.push(
        make(
          "td", { class: seen.detector ? "concept detector" : "concept" },
          seen.iou > 0 ? seen.concept : "–",
          make("small", {}, seen.iou > 0 ? detail.filter(Boolean).join(" · ") : ""),
          ...(became ? [make("em", { class: became }, became)] : []),
        ),
      );
    }
    for (const side of ["lowest", "highest"]) {
      cells.push(make("td", {}, make("div", { class: "pictures" }, ...pictures(unit, place, side))));
    }
    return make("tr", {}, ...cells);
  }

  function showCard() {
    const { networks, name } = chain();
    const dense = look(opened, networks[0][0]);
    const headings = ["Network", ...(index.mis ? ["MIS"] : []), ...(index.dissection ? ["Concept"] : []), "Least activating images", "Most activating images"];
    const head = make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, text)));
    const step = (by, rel, text) => {
      const to = opened + by;
      return to < 0 || to >= layer.units ? "" : make("a", { href: address(to), rel }, text);
    };
    const title = make("h3", {}, `${layer.layer}, unit ${opened}`);
    if (layer.classes[opened]) title.append(make("small", {}, ` logit of “${layer.classes[opened]}”`));
    const rows = networks.map((entry, i) => row(opened, entry, dense, i === 0));
    card.replaceChildren(
      make("header", {}, title, make("span", {}, name), step(-1, "prev", "← previous"), step(1, "next", "next →")),
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
    );
    card.dataset.unit = `${layer.layer}:${opened}`;
  }

  // What is shown anew takes the keyboard back, if what it replaces had it.
  function show() {
    const { activeElement } = document;
    const [inList, step] = [list.contains(activeElement), card.contains(activeElement) && activeElement.rel];
    layerChoice.value = layer.layer;
    showList();
    if (opened === null) card.replaceChildren();
    else showCard();
    if (inList) list.querySelector('[tabindex="0"]')?.focus();
    if (step) (card.querySelector(`[rel="${step}"]`) || card).focus();
  }

  function goTo(name, unit) {
    wanted = name;
    found.textContent = `Reading ${name} …`;
    read(name, (content) => {
      if (wanted !== name) return; // another was chosen meanwhile
      layer = content;
      opened = unit !== null && unit < layer.units ? unit : null;
      show();
      if (unit !== null && opened === null) found.textContent += `; there is no unit ${unit}`;
      if (opened !== null) card.scrollIntoView({ block: "nearest" });
    });
  }

  // An address such as #unit=conv1:12 opens that unit; it may be sent to others.
  function follow() {
    const [, given, unit] = /^#unit=(.+):(\d+)$/.exec(location.hash) || [];
    if (!given) return false;
    let name = given;
    try {
      name = decodeURIComponent(given);
    } catch { /* a percent sign that stands for itself */ }
    if (index.layers.some(([known]) => known === name)) goTo(name, Number(unit));
    else found.textContent = `There is no layer ${name} here.`;
    return true;
  }

  function listNetworks() {
    const before = network.selectedIndex;
    network.replaceChildren(...chain().networks.map(([place, name]) => option(place, name)));
    network.parentElement.hidden = network.options.length < 2;
    network.selectedIndex = Math.min(Math.max(before, 0), network.options.length - 1);
  }

  layerChoice.append(...index.layers.map(([name, kind, units]) => option(name, `${name} (${kind}, ${units})`)));
  series.append(...index.series.map(({ name }, place) => option(place, name)));
  order.append(...Object.entries(orders).map(([key, [text]]) => option(key, text)));
  measure.append(...index.measures.map((name) => option(name, name === "mis" ? "MIS" : name)));
  concept.parentElement.hidden = !index.dissection;
  series.parentElement.hidden = index.series.length < 2;
  measure.parentElement.hidden = index.measures.length < 2;
  listNetworks();
  choice.hidden = false;

  choice.addEventListener("submit", (event) => event.preventDefault());
  layerChoice.addEventListener("change", () => goTo(layerChoice.value, null));
  series.addEventListener("input", listNetworks); // before the list is shown anew
  for (const control of [series, network, order, concept, measure]) {
    control.addEventListener("input", () => layer && show());
  }
  window.addEventListener("hashchange", follow);
  if (!follow()) {
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (layer === null) goTo(index.layers[0][0], null);
    }, { rootMargin: "600px" }).observe(choice);
  }

  return {
    layer(content) {
      layers.set(content.layer, content);
      const then = waiting.get(content.layer);
      waiting.delete(content.layer);
      if (then) then(content);
    },
  };
})();
