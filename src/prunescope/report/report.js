"use strict";

// A click on a heading sorts its table: rising first, falling next; rows without a value stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const heading of table.tHead.rows[0].cells) {
    const numeric = heading.classList.contains("number");
    const value = (row) => row.cells[heading.cellIndex].dataset.value;
    heading.querySelector("button").addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (numeric ? x - y : x.localeCompare(y, undefined, { numeric: true }));
      });
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      body.append(...rows);
    });
  }
  table.dataset.sorting = "ready";
}

// What is wider than its room is scrolled by keyboard too.
const scrolled = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const table of document.querySelectorAll(".table")) scrolled.observe(table);

// A link to a row opens what the row is folded away in, where the browser does not.
const unfold = () => {
  const row = location.hash.startsWith("#finding-") && document.getElementById(location.hash.slice(1));
  const folded = row && row.closest("details:not([open])");
  if (!folded) return;
  folded.open = true;
  row.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();

// The section that is read is marked among all.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const passed = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -75%" });
for (const section of document.querySelectorAll("main > section")) passed.observe(section);
