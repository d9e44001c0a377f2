// The unit explorer: a list of all units, of which only the rows in sight are drawn.
const explorer = (() => {
  const { index } = unitFiles;
  const { make, colours, score, fate } = unitCards;
  const [choice, found, list] = ["explorer-choice", "explorer-found", "explorer-list"].map((id) => document.getElementById(id));
  const { q, layer, kind, series, value, network, state, concept, least, most, fall, rise, csv } = choice.elements;
  const controls = { q, layer, kind, series, value, network, state, concept, least, most, fall, rise }; // kept in the address
  const [heading, body] = [list.querySelector("thead tr"), list.querySelector("tbody")];
  const names = { mis: "MIS", hit_rate: "hit rate", iou: "IoU" };

  let networks = []; // of the chain shown, once they were read
  let own = []; // the units that any of them has
  let texts = new Map(); // what a search looks through
  let shown = []; // the units that fit, as sorted
  let sort = { by: "unit", down: false };
  let opened = null; // the unit whose card is open
  let active = 0; // the row that the keyboard is at
  let height = 44; // of a row, in pixels

  const chain = () => index.series[series.selectedIndex];
  const at = () => networks[network.selectedIndex];
  const compares = () => chain().networks.length > 1;
  const nameOf = ([place]) => index.networks[place];
  const changeOf = (unit) => at().change(unit, value.value, networks[0]);
  const where = (place) => {
    const [, name] = chain().networks[place];
    return ["dense", "pruned"].includes(name) ? `in the ${name} network` : `at ${name}`;
  };
  const written = (number) => number.toLocaleString("en");

  // ---- the address: #unit=conv1:12&q=dog, or #explorer&q=dog

  const defaults = (control) => (control === network ? nameOf(chain().networks.at(-1)) : control === q || control.type === "number" ? "" : control.options[0]?.value ?? "");
  function address(unit) {
    const given = new URLSearchParams();
    for (const [name, control] of Object.entries(controls)) if (control.value !== defaults(control)) given.set(name, control.value);
    if (sort.by !== "unit" || sort.down) given.set("sort", (sort.down ? "-" : "") + sort.by);
    const start = unit === null ? "explorer" : `unit=${encodeURIComponent(unitFiles.layer(unit))}:${unitFiles.number(unit)}`;
    return `#${[start, ...(given.size ? [given] : [])].join("&")}`;
  }
  let keeping = 0; // while one types: browsers refuse to have the address changed too often
  function keep(wait = 0) {
    clearTimeout(keeping);
    if (wait) keeping = setTimeout(keep, wait);
    else history.replaceState(null, "", address(opened));
  }

  function readAddress() {
    if (!/^#(unit=|explorer(&|$))/.test(location.hash)) return null;
    const given = new URLSearchParams(location.hash.slice(1));
    for (const [name, control] of Object.entries(controls)) if (control !== network) control.value = defaults(control);
    if (given.has("series")) series.value = given.get("series");
    if (series.selectedIndex < 0) series.selectedIndex = 0;
    listNetworks(false);
    const wrong = Object.entries(controls).filter(([name, control]) => {
      if (!given.has(name)) return false;
      control.value = given.get(name);
      if (control.value === given.get(name)) return false;
      control.value = defaults(control);
      return true;
    });
    const [, minus, by] = /^(-?)(.*)$/s.exec(given.get("sort") || "unit");
    sort = { by: columns().some(([key]) => key === by) ? by : "unit", down: minus === "-" };
    const [, where, number] = /^(.+):(\d+)$/s.exec(given.get("unit") || "") || [];
    const unit = where === undefined ? null : unitFiles.find(where, Number(number));
    const problems = wrong.map(([name]) => `There is no ${name} ${given.get(name)} here.`);
    if (given.has("unit") && unit === null) problems.push(`There is no unit ${given.get("unit")} here.`);
    return { unit, problem: problems.join(" ") };
  }

  // ---- what is listed, and in which order

  const within = (number, [from, to]) => (from.value === "" && to.value === "") ||
    (number >= (from.value === "" ? -Infinity : Number(from.value)) && number <= (to.value === "" ? Infinity : Number(to.value)));

  function textOf(unit) {
    if (!texts.has(unit)) {
      const concepts = networks.filter((each) => each.detector(unit)).flatMap((each) => index.concepts[each.concept(unit)]);
      texts.set(unit, [unitFiles.name(unit), unitFiles.kind(unit), index.classes[unit] || "", ...new Set(concepts)].join("\n").toLowerCase());
    }
    return texts.get(unit);
  }

  function conceptFits(unit) {
    if (concept.value === "detector") return at().detector(unit);
    if (concept.value === "none") return !at().detector(unit);
    return concept.value === "" || fate(at(), networks[0], unit) === concept.value;
  }

  function filtered() {
    const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
    return own.filter((unit) =>
      (layer.value === "" || unitFiles.layer(unit) === layer.value) &&
      (kind.value === "" || unitFiles.kind(unit) === kind.value) &&
      (state.value === "" || (state.value === "dead" ? at().dead(unit) : at().alive(unit))) &&
      conceptFits(unit) &&
      within(at().value(unit, value.value), [least, most]) &&
      (!compares() || within(changeOf(unit), [fall, rise])) &&
      words.every((word) => textOf(unit).includes(word)));
  }

  // The columns that sort: what they are called in the address, their heading, and their number of a unit.
  function columns() {
    const values = chain().networks.map((entry, i) => [nameOf(entry), entry[1], (unit) => networks[i].value(unit, value.value)]);
    return [["unit", "Unit", (unit) => unit], ...values, ...(compares() ? [["change", "Change", changeOf]] : [])];
  }

  // Units without a value stay last, and equal ones in the order of the network.
  function sorted(units) {
    const [, , key] = columns().find(([name]) => name === sort.by);
    const keys = new Map(units.map((unit) => [unit, key(unit)]));
    return units.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
      return (sort.down ? y - x : x - y) || a - b;
    });
  }

  // ---- the list

  function drawHeading() {
    const cells = columns().map(([name, text]) => {
      const button = make("button", { type: "button", "data-by": name }, text);
      const cell = make("th", { scope: "col" }, button);
      if (name === sort.by) cell.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      if (name === network.value && compares()) cell.classList.add("at");
      if (name === "change") button.title = `${names[value.value]} ${where(network.selectedIndex)} less that ${where(0)}`;
      return cell;
    });
    heading.replaceChildren(...cells);
    list.firstElementChild.style.setProperty("--columns", cells.length - 1);
  }

  function cell(unit, each) {
    if (!each.has(unit)) return make("td", {}, "");
    const [named] = index.concepts[each.concept(unit)] || [""];
    const below = named ? [make("small", each.detector(unit) ? { class: "detector" } : {}, named)] : [];
    return make("td", { style: colours(each, unit, value.value), title: named }, score(each, unit, value.value), ...below);
  }

  function changeCell(unit) {
    const change = changeOf(unit);
    const text = Number.isNaN(change) ? "–" : `${change > 0 ? "+" : ""}${change.toFixed(value.value === "iou" ? 3 : 2)}`.replace("-", "−");
    const became = fate(at(), networks[0], unit);
    return make("td", {}, text, ...(became ? [make("small", {}, became)] : []));
  }

  function row(unit, place) {
    const parts = [make("span", {}, unitFiles.layer(unit)), make("b", {}, `:${unitFiles.number(unit)}`)];
    const link = make("a", { href: address(unit), tabindex: place === active ? 0 : -1 }, ...parts);
    const first = make("th", { scope: "row", title: unitFiles.name(unit) }, link, make("small", {}, index.classes[unit] || unitFiles.kind(unit)));
    const attributes = { "data-unit": unit, "aria-rowindex": place + 2, ...(unit === opened && { "aria-current": "true" }) };
    return make("tr", attributes, first, ...networks.map((each) => cell(unit, each)), ...(compares() ? [changeCell(unit)] : []));
  }

  const gap = (rows) => make("tr", { "aria-hidden": "true", class: "gap", style: `height: ${rows * height}px` });

  // Draw the rows in sight, with room for the others above and below; the keyboard stays where it was.
  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / height) - 5);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / height) + 5);
    const focused = body.contains(document.activeElement);
    if (!focused && (active < first || active >= last)) active = Math.min(first + (first ? 5 : 0), Math.max(0, shown.length - 1));
    const rows = shown.slice(first, last).map((unit, i) => row(unit, first + i));
    body.replaceChildren(gap(first), ...rows, gap(shown.length - last));
    if (focused) (body.querySelector('[tabindex="0"]') || list).focus({ preventScroll: true });
    const measured = rows[0]?.offsetHeight;
    if (measured && Math.abs(measured - height) > 0.5) {
      height = measured;
      draw();
    }
  }

  function tell(problem = "") {
    const dead = shown.filter((unit) => at().dead(unit)).length;
    const lives = index.alive ? `, ${written(dead)} of them dead ${where(network.selectedIndex)}` : "";
    found.textContent = `${written(shown.length)} of ${written(own.length)} units fit${lives}. ${problem}`.trim();
  }

  function refresh(problem) {
    shown = sorted(filtered());
    active = Math.max(0, shown.indexOf(opened));
    list.hidden = false;
    body.replaceChildren(gap(shown.length)); // before anything asks how high the list is
    list.firstElementChild.setAttribute("aria-rowcount", shown.length + 1);
    drawHeading();
    const above = active * height;
    if (above < list.scrollTop || above > list.scrollTop + list.clientHeight - 3 * height) list.scrollTop = above;
    draw();
    tell(problem);
    csv.disabled = shown.length === 0;
  }

  // ---- cards

  function stepsFrom(unit) {
    const place = shown.indexOf(unit);
    const [before, after] = place < 0 ? [unit - 1, unit + 1] : [shown[place - 1], shown[place + 1]];
    const steps = { prev: before, next: after };
    const there = Object.entries(steps).filter(([, to]) => to !== undefined && unitFiles.grid[to]);
    return Object.fromEntries(there.map(([rel, to]) => [rel, address(to)]));
  }

  async function openCard(scroll) {
    if (opened === null) return unitCards.close();
    const drawn = await unitCards.show(opened, chain(), networks, stepsFrom(opened));
    if (drawn && scroll) unitCards.card.scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  // ---- reading

  function listNetworks(keepPlace = true) {
    const before = keepPlace ? network.selectedIndex : -1;
    const entries = chain().networks;
    network.replaceChildren(...entries.map((entry) => make("option", { value: nameOf(entry) }, entry[1])));
    network.selectedIndex = before >= 0 && before < entries.length ? before : entries.length - 1;
    network.parentElement.hidden = !compares();
    fall.closest(".range").hidden = !compares();
    if (sort.by !== "unit" && !columns().some(([name]) => name === sort.by)) sort = { by: "unit", down: false };
    for (const option of concept.querySelectorAll(".fate")) option.hidden = option.disabled = !compares();
  }

  let wanted = 0; // which reading was asked for last
  async function readChain() {
    const turn = ++wanted;
    if (!networks.length) found.textContent = "Reading …";
    const places = chain().networks.map(([place]) => place);
    const read = await unitFiles.networks(places).catch((error) => {
      found.textContent = error.message;
      return null;
    });
    if (!read || turn !== wanted) return false; // another was chosen meanwhile
    networks = read;
    texts = new Map();
    own = [...unitFiles.grid.keys()].filter((unit) => networks.some((each) => each.has(unit)));
    return true;
  }

  async function follow() {
    clearTimeout(keeping);
    const given = readAddress();
    if (given === null) return;
    opened = given.unit;
    if (!(await readChain())) return;
    refresh(given.problem);
    await openCard(true);
    if (opened === null) document.getElementById("explorer").scrollIntoView({ behavior: "instant" });
  }

  async function choose(event) {
    if (!(await readChain())) return;
    keep(event?.target.matches("input") ? 300 : 0);
    refresh();
    openCard(false);
  }

  // ---- a file of what is listed: a row for each unit and network

  const quoted = (text) => {
    const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text; // a spreadsheet would run it
    return /[",\n\r]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
  };
  function table() {
    const number = (found) => (Number.isNaN(found) ? "" : String(found));
    const rows = shown.flatMap((unit) => chain().networks.flatMap((entry, i) => {
      if (!networks[i].has(unit)) return [];
      const [named, category] = index.concepts[networks[i].concept(unit)] || ["", ""];
      const alive = networks[i].alive(unit) ? "true" : networks[i].dead(unit) ? "false" : "";
      const texts = [unitFiles.layer(unit), String(unitFiles.number(unit)), unitFiles.kind(unit), index.classes[unit] || "", nameOf(entry), alive];
      const concepts = index.values.includes("iou") ? [named, category, String(networks[i].detector(unit))] : [];
      return [[...texts.map(quoted), ...index.values.map((name) => number(networks[i].value(unit, name))), ...concepts.map(quoted)].join()];
    }));
    const concepts = index.values.includes("iou") ? ["concept", "category", "detector"] : [];
    return [["layer", "unit", "kind", "class", "network", "alive", ...index.values, ...concepts].join(), ...rows, ""].join("\n");
  }
  function download() {
    const link = make("a", { href: URL.createObjectURL(new Blob([table()], { type: "text/csv" })), download: "units.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- what the reader does

  function moveTo(place) {
    active = Math.min(Math.max(place, 0), shown.length - 1);
    const [above, room] = [active * height, list.clientHeight - heading.offsetHeight - height];
    if (above < list.scrollTop) list.scrollTop = above;
    if (above > list.scrollTop + room) list.scrollTop = above - room;
    draw();
    body.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
  }
  list.addEventListener("keydown", (event) => {
    if (!body.contains(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(list.clientHeight / height) - 2);
    const to = {
      ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: shown.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    moveTo(to);
  });
  list.addEventListener("focusin", (event) => {
    const place = event.target.closest("tbody tr")?.ariaRowIndex;
    if (place) active = Number(place) - 2;
  });
  let waiting = false;
  list.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  });
  body.addEventListener("click", (event) => {
    keep();
    if (!event.target.closest("a")) event.target.closest("tr")?.querySelector("a")?.click();
  });
  heading.addEventListener("click", (event) => {
    const by = event.target.closest("button")?.dataset.by;
    if (by === undefined) return;
    sort = { by, down: sort.by === by ? !sort.down : by !== "unit" };
    keep();
    refresh();
    heading.querySelector("[aria-sort] button").focus();
  });
  choice.addEventListener("submit", (event) => event.preventDefault());
  choice.addEventListener("reset", () => setTimeout(() => {
    sort = { by: "unit", down: false };
    listNetworks(false);
    choose();
  }));
  series.addEventListener("input", () => listNetworks());
  choice.addEventListener("input", choose);
  csv.addEventListener("click", download);
  window.addEventListener("hashchange", follow);
  window.addEventListener("resize", () => shown.length && draw());

  const options = (texts) => texts.map((text) => make("option", { value: text }, text));
  layer.append(...index.layers.map(([name, , width]) => make("option", { value: name }, `${name} (${width})`)));
  kind.append(...options([...new Set(index.layers.map(([, kindOf]) => kindOf))]));
  series.append(...index.series.map(({ name }) => make("option", { value: name }, name)));
  value.append(...index.values.map((name) => make("option", { value: name }, names[name])));
  concept.append(...["kept", "changed", "lost", "gained"].map((name) => make("option", { value: name, class: "fate" }, name)));
  kind.parentElement.hidden = kind.options.length < 3;
  series.parentElement.hidden = index.series.length < 2;
  state.parentElement.hidden = !index.alive;
  concept.parentElement.hidden = !index.values.includes("iou");
  listNetworks(false);
  choice.hidden = false;

  if (/^#(unit=|explorer(&|$))/.test(location.hash)) follow();
  else {
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (!networks.length) readChain().then((read) => read && refresh());
    }, { rootMargin: "600px" }).observe(choice);
  }
  return { address };
})();
