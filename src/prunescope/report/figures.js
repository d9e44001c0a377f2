// Figures. Each is a picture until it comes near; then a script beside the page brings what it shows (interactive.py):
// panels, series with the ids of what is drawn of them, and marks: [panel, series, x, y, across, lines of text].
const prunescope = (() => {
  const boxes = new Map([...document.querySelectorAll(".plot")].map((box) => [box.dataset.figure, box]));
  const NEAR = 26; // pixels from the pointer within which a mark is told
  const MOST_TOLD = 4; // marks that lie on each other
  const MOST_ZOOM = 40;
  const CORNER = /(-?[\d.]+(?:e-?\d+)?)[\s,]+(-?[\d.]+(?:e-?\d+)?)/g; // of a path

  const make = (tag, attributes = {}, ...children) => {
    const svg = ["circle", "rect", "clipPath"].includes(tag);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  function read(box) {
    if ("read" in box.dataset) return;
    box.dataset.read = "";
    document.head.append(make("script", { src: `figures/${box.dataset.figure}.js` }));
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      read(entry.target);
    }
  }, { rootMargin: "700px" });
  for (const box of boxes.values()) near.observe(box);
  addEventListener("beforeprint", () => {
    for (const picture of document.querySelectorAll("img[loading]")) picture.loading = "eager";
  });

  // What is seen of each panel: from and to, as parts of its width and height.
  const ALL = { x: [0, 1], y: [0, 1] };

  // Remember where everything in a panel lies, so that it can be put elsewhere.
  function partsOf(svg, name, place, box) {
    const clip = make("clipPath", { id: `${name}-clip${place}` });
    const [left, top, right, bottom] = box;
    clip.append(make("rect", { x: left, y: top, width: right - left, height: bottom - top }));
    svg.append(clip);
    const parts = [];
    for (const part of svg.querySelectorAll(`[id^="${CSS.escape(name)}-part${place}-"], [id^="${CSS.escape(name)}-dots${place}-"]`)) {
      const clipped = part.querySelectorAll("[clip-path]");
      for (const each of clipped) each.removeAttribute("clip-path");
      const within = `url(#${name}-clip${place})`;
      if (clipped.length) part.setAttribute("clip-path", within);
      const dots = part.id.startsWith(`${name}-dots`);
      const leaves = [];
      for (const leaf of part.querySelectorAll("use, path, image, text")) {
        if (leaf.closest("defs")) continue;
        const [x, y] = [Number(leaf.getAttribute("x")), Number(leaf.getAttribute("y"))];
        const before = leaf.getAttribute("transform") || "";
        if (leaf.tagName === "use" && (x || y)) leaves.push({ leaf, at: [x, y], before });
        else if (leaf.tagName === "text" || dots) {
          const size = leaf.getBBox();
          const turned = leaf.tagName === "text" ? part.getBBox() : size;
          leaves.push({ leaf, at: [turned.x + turned.width / 2, turned.y + turned.height / 2], before });
        } else leaves.push({ leaf, before, path: before ? null : leaf.getAttribute("d") });
      }
      parts.push({ part, within, clipped: clipped.length > 0, leaves });
    }
    return parts;
  }

  function ticksOf(svg, name, place, which) {
    const ticks = [];
    for (const tick of svg.querySelectorAll(`#${CSS.escape(name)}-panel${place} [id^="${CSS.escape(name)}-${which}tick_"]`)) {
      const use = tick.querySelector("use");
      const from = /^M\s*(-?[\d.]+)[\s,]+(-?[\d.]+)/.exec(tick.querySelector("path")?.getAttribute("d") || "");
      const at = use ? Number(use.getAttribute(which)) : from ? Number(from[which === "x" ? 1 : 2]) : NaN;
      if (!Number.isNaN(at)) ticks.push({ tick, at });
    }
    return ticks;
  }

  class Figure {
    constructor(data, box) {
      this.data = data;
      this.box = box;
      this.figure = box.closest("figure");
      const picture = box.querySelector("img");
      box.innerHTML = data.svg; // matplotlib's, where every name is escaped
      this.svg = box.firstElementChild;
      this.svg.setAttribute("role", "img");
      this.svg.setAttribute("aria-label", picture ? picture.alt : "");
      this.hidden = new Set();
      this.view = ALL;
      this.current = -1;
      this.ring = make("circle", { class: "ring", visibility: "hidden" });
      this.svg.append(this.ring);
      this.tip = make("div", { class: "tip", role: "status" });
      this.tip.hidden = true;
      this.figure.append(this.tip);
      this.order = this.inOrder();
      this.offerLegend();
      if (data.marks.length || data.untold) this.offerTools();
      if (data.marks.length) this.listen();
      this.box.dataset.ready = "";
    }

    get width() { return this.svg.viewBox.baseVal.width; }

    // Along a series from left to right, then the next; cells along a row.
    inOrder() {
      const { marks, panels } = this.data;
      const key = ([panel, series, x, y]) => [panel, panels[panel].cells ? y : series, x, y];
      return marks.map((mark, place) => [key(mark), place])
        .sort(([a], [b]) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3])
        .map(([, place]) => place);
    }

    offerLegend() {
      for (const line of this.figure.querySelectorAll(".legend [data-series]")) {
        const series = this.data.series.findIndex(([name]) => name === line.dataset.series);
        if (series < 0 || line.querySelector("button")) continue;
        const button = make("button", { type: "button", "aria-pressed": "true", title: "Hide or show" }, ...line.childNodes);
        line.append(button);
        button.addEventListener("click", () => this.toggle(series, button));
      }
    }

    toggle(series, button) {
      const hide = !this.hidden.delete(series);
      if (hide) this.hidden.add(series);
      button.setAttribute("aria-pressed", String(!hide));
      for (const id of this.data.series[series][1]) {
        const part = document.getElementById(id);
        if (part) part.style.display = hide ? "none" : "";
      }
      this.leave();
    }

    offerTools() {
      const button = (text, label, act) => {
        const made = make("button", { type: "button", "aria-label": label, title: label }, text);
        made.addEventListener("click", act);
        return made;
      };
      this.tools = make("div", { class: "tools", role: "group", "aria-label": "Zoom" },
        button("+", "Zoom in", () => this.zoom(1.6)),
        button("−", "Zoom out", () => this.zoom(1 / 1.6)),
        button("All", "Show all of the figure again", () => this.show(ALL)));
      if (this.data.untold) {
        const said = `${this.data.untold.toLocaleString("en")} values, too many to tell one by one: they are in the file of its data.`;
        this.tools.append(make("small", {}, said));
      }
      this.box.before(this.tools);
    }

    listen() {
      const { box } = this;
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", "Values of the figure. Arrow keys go from one to the next; plus and minus zoom, 0 shows all.");
      box.addEventListener("pointermove", (event) => event.pointerType !== "touch" && !this.drag && this.point(event, NEAR));
      box.addEventListener("pointerleave", () => this.leave());
      box.addEventListener("click", (event) => this.point(event, 2 * NEAR));
      box.addEventListener("blur", () => this.leave());
      box.addEventListener("keydown", (event) => this.press(event));
      box.addEventListener("wheel", (event) => {
        if (!event.ctrlKey) return; // the page scrolls
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.25 : 0.8, this.at(event));
      }, { passive: false });
      box.addEventListener("dblclick", () => this.show(ALL));
      box.addEventListener("pointerdown", (event) => this.startDrag(event));
      box.addEventListener("pointermove", (event) => this.drag && this.moveDrag(event));
      box.addEventListener("pointerup", (event) => this.drag && this.endDrag(event));
      box.addEventListener("pointercancel", () => this.stopDrag());
    }

    // Where a pointer is in the picture, and in which panel.
    at({ clientX, clientY }) {
      const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(this.svg.getScreenCTM().inverse());
      const panel = this.data.panels.findIndex(({ box: [left, top, right, bottom], bar }) =>
        !bar && x >= left - 6 && x <= right + 6 && y >= top - 6 && y <= bottom + 6);
      return { x, y, panel };
    }

    // A place in the picture as it is seen now.
    moved(panel, x, y) {
      const [left, top, right, bottom] = this.data.panels[panel].box;
      const { x: [x0, x1], y: [y0, y1] } = this.view;
      return [
        left + (x - left - x0 * (right - left)) / (x1 - x0),
        top + (y - top - y0 * (bottom - top)) / (y1 - y0),
      ];
    }

    seen([panel, series, x, y, across]) {
      if (this.hidden.has(series)) return null;
      const [left, top, right, bottom] = this.data.panels[panel].box;
      const [atX, atY] = this.moved(panel, x, y);
      const out = (across !== "x" && (atX < left - 4 || atX > right + 4)) || (across !== "y" && (atY < top - 4 || atY > bottom + 4));
      return out ? null : [atX, atY];
    }

    point(event, reach) {
      const { x, y, panel } = this.at(event);
      if (panel < 0) return this.leave();
      const scale = this.svg.getScreenCTM().a;
      const far = this.data.panels[panel].cells ? Infinity : reach;
      const found = [];
      this.data.marks.forEach((mark, place) => {
        const seen = mark[0] === panel && this.seen(mark);
        if (!seen) return;
        const [dx, dy] = [mark[4] === "x" ? 0 : seen[0] - x, mark[4] === "y" ? 0 : seen[1] - y];
        const away = Math.hypot(dx, dy) * scale + (mark[4] ? NEAR / 2 : 0); // a point goes before a line across
        if (away <= far) found.push([away, place]);
      });
      if (!found.length) return this.leave();
      found.sort(([a], [b]) => a - b);
      const [, first] = found[0];
      const [x0, y0] = this.seen(this.data.marks[first]);
      const same = found.map(([, place]) => place).filter((place) => {
        const seen = this.seen(this.data.marks[place]);
        return place === first || (!this.data.marks[place][4] && Math.hypot(seen[0] - x0, seen[1] - y0) * scale < 3);
      });
      this.tell(same, this.data.marks[first][4] ? [this.data.marks[first][4] === "x" ? x : x0, this.data.marks[first][4] === "y" ? y : y0] : [x0, y0]);
    }

    tell(places, [x, y]) {
      const name = (series) => (series < 0 ? "" : this.data.series[series][0]);
      [this.current] = places;
      this.tip.replaceChildren(...places.slice(0, MOST_TOLD).map((place) => {
        const [, series, , , , lines] = this.data.marks[place];
        return make("p", {}, make("strong", {}, name(series)), ...lines.map((line) => make("span", {}, line)));
      }));
      if (places.length > MOST_TOLD) this.tip.append(make("p", {}, `and ${places.length - MOST_TOLD} more here`));
      this.tip.hidden = false;
      const scale = this.svg.getScreenCTM().a;
      for (const [key, value] of Object.entries({ cx: x, cy: y, r: 7 / scale, "stroke-width": 2 / scale, visibility: "visible" })) {
        this.ring.setAttribute(key, value);
      }
      const frame = this.figure.getBoundingClientRect();
      const at = new DOMPoint(x, y).matrixTransform(this.svg.getScreenCTM());
      const room = frame.width - this.tip.offsetWidth;
      const above = at.y - frame.top - this.tip.offsetHeight - 14;
      this.tip.style.left = `${Math.max(0, Math.min(room, at.x - frame.left - this.tip.offsetWidth / 2))}px`;
      this.tip.style.top = `${above >= -20 ? above : at.y - frame.top + 16}px`;
    }

    leave() {
      this.tip.hidden = true;
      this.ring.setAttribute("visibility", "hidden");
    }

    press(event) {
      const act = {
        "+": () => this.zoom(1.6), "=": () => this.zoom(1.6), "-": () => this.zoom(1 / 1.6), 0: () => this.show(ALL),
        Escape: () => this.leave(),
        ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
        ArrowDown: () => this.jump(1), ArrowUp: () => this.jump(-1),
      }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    }

    step(by) {
      const order = this.order.filter((place) => this.seen(this.data.marks[place]));
      if (!order.length) return;
      const at = order.indexOf(this.current);
      const next = at < 0 ? order[0] : order[(at + by + order.length) % order.length];
      this.tell([next], this.seen(this.data.marks[next]));
    }

    // To the first mark of another series, or row of cells.
    jump(by) {
      const { marks, panels } = this.data;
      const group = (place) => `${marks[place][0]} ${panels[marks[place][0]].cells ? marks[place][3] : marks[place][1]}`;
      const order = this.order.filter((place) => this.seen(marks[place]));
      if (!order.length) return;
      const firsts = order.filter((place, i) => i === 0 || group(place) !== group(order[i - 1]));
      const at = firsts.findIndex((place) => this.current >= 0 && group(place) === group(this.current));
      const next = firsts[(at + (at < 0 ? 1 : by) + firsts.length) % firsts.length];
      this.tell([next], this.seen(marks[next]));
    }

    // A place as a part of the width and the height of its panel.
    part({ panel, x, y }) {
      const [left, top, right, bottom] = this.data.panels[panel].box;
      return [(x - left) / (right - left), (y - top) / (bottom - top)];
    }

    // What to zoom about: the mark told last; before any was, the one in the middle of those that are seen.
    middle() {
      const { marks } = this.data;
      const places = this.current >= 0 && this.seen(marks[this.current]) ? [this.current] : this.order;
      const parts = places.flatMap((place) => {
        const seen = !marks[place][4] && this.seen(marks[place]);
        return seen ? [this.part({ panel: marks[place][0], x: seen[0], y: seen[1] })] : [];
      });
      if (!parts.length) return [0.5, 0.5];
      const [x, y] = [0, 1].map((which) => parts.reduce((sum, part) => sum + part[which], 0) / parts.length);
      const away = (part) => Math.hypot(part[0] - x, part[1] - y);
      return parts.reduce((best, part) => (away(part) < away(best) ? part : best));
    }

    // Zoom about a place in the picture; without one, about the middle.
    zoom(by, at) {
      const [fx, fy] = at && at.panel >= 0 ? this.part(at) : this.middle();
      const narrower = ([from, to], f) => {
        const size = Math.min(1, Math.max(1 / MOST_ZOOM, (to - from) / by));
        const start = Math.min(1 - size, Math.max(0, from + f * (to - from) - f * size));
        return [start, start + size];
      };
      this.show({ x: narrower(this.view.x, fx), y: narrower(this.view.y, fy) });
    }

    show(view) {
      this.view = view;
      this.leave();
      const whole = view.x[1] - view.x[0] > 0.999 && view.y[1] - view.y[0] > 0.999;
      this.box.classList.toggle("zoomed", !whole);
      this.data.panels.forEach((panel, place) => panel.bar || this.place(panel, place, whole));
    }

    place(panel, place, whole) {
      const { svg, data: { name } } = this;
      panel.parts ??= partsOf(svg, name, place, panel.box);
      panel.ticks ??= { x: ticksOf(svg, name, place, "x"), y: ticksOf(svg, name, place, "y") };
      const [left, top, right, bottom] = panel.box;
      const [a, d] = [1 / (this.view.x[1] - this.view.x[0]), 1 / (this.view.y[1] - this.view.y[0])];
      const [e, f] = this.moved(place, 0, 0);
      for (const { part, within, clipped, leaves } of panel.parts) {
        if (!clipped) whole ? part.removeAttribute("clip-path") : part.setAttribute("clip-path", within);
        for (const { leaf, at, before, path } of leaves) {
          if (path) { // its corners are moved, so that lines stay as thick as they are
            const corner = (_, px, py) => this.moved(place, Number(px), Number(py)).join(" ");
            leaf.setAttribute("d", whole ? path : path.replace(CORNER, corner));
            continue;
          }
          const [x, y] = at ? this.moved(place, ...at) : [];
          const move = at ? `translate(${x - at[0]} ${y - at[1]})` : `matrix(${a} 0 0 ${d} ${e} ${f})`;
          leaf.setAttribute("transform", whole ? before : `${move} ${before}`);
        }
      }
      for (const which of ["x", "y"]) {
        const [from, to] = which === "x" ? [left, right] : [top, bottom];
        for (const { tick, at } of panel.ticks[which]) {
          const now = this.moved(place, at, at)[which === "x" ? 0 : 1];
          tick.style.display = now < from - 0.6 || now > to + 0.6 ? "none" : "";
          const by = whole ? 0 : now - at;
          tick.setAttribute("transform", which === "x" ? `translate(${by} 0)` : `translate(0 ${by})`);
        }
      }
    }

    // A mouse draws the frame to zoom to; a finger moves what is zoomed.
    startDrag(event) {
      const from = this.at(event);
      const zoomed = this.box.classList.contains("zoomed");
      if (from.panel < 0 || event.button !== 0 || (event.pointerType === "touch" && !zoomed)) return;
      this.drag = { from, view: this.view, touch: event.pointerType === "touch" };
    }

    moveDrag(event) {
      const { from, view, touch } = this.drag;
      const { x, y } = this.at(event);
      const [left, top, right, bottom] = this.data.panels[from.panel].box;
      if (touch) {
        const slide = ([start, end], part) => {
          const by = Math.max(-start, Math.min(1 - end, -part * (end - start)));
          return [start + by, end + by];
        };
        this.show({ x: slide(view.x, (x - from.x) / (right - left)), y: slide(view.y, (y - from.y) / (bottom - top)) });
        return;
      }
      if (!this.drag.frame) {
        this.drag.frame = make("rect", { class: "frame" });
        this.svg.append(this.drag.frame);
        this.box.setPointerCapture(event.pointerId);
        this.leave();
      }
      const [x0, x1] = [Math.max(left, Math.min(from.x, x)), Math.min(right, Math.max(from.x, x))];
      const [y0, y1] = [Math.max(top, Math.min(from.y, y)), Math.min(bottom, Math.max(from.y, y))];
      this.drag.to = [(x0 - left) / (right - left), (x1 - left) / (right - left), (y0 - top) / (bottom - top), (y1 - top) / (bottom - top)];
      const { frame } = this.drag;
      for (const [key, value] of Object.entries({ x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) })) {
        frame.setAttribute(key, value);
      }
    }

    endDrag() {
      const { to, view } = this.drag;
      this.stopDrag();
      if (!to || to[1] - to[0] < 0.02 || to[3] - to[2] < 0.02) return;
      const within = ([start, end], from, until) => {
        const size = Math.max(1 / MOST_ZOOM, (until - from) * (end - start));
        const first = Math.min(start + from * (end - start), 1 - size);
        return [first, first + size];
      };
      this.show({ x: within(view.x, to[0], to[1]), y: within(view.y, to[2], to[3]) });
    }

    stopDrag() {
      this.drag?.frame?.remove();
      this.drag = null;
    }
  }

  return {
    figure(data) {
      const box = boxes.get(data.name);
      if (box) box.live = new Figure(data, box);
    },
  };
})();
