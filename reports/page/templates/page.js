"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const collator = new Intl.Collator("en", { numeric: true });

  // Sorting. A unit is a row, or the body of a row and what it opens to.
  const rowOf = (unit) => (unit.rows ? unit.rows[0] : unit);

  function keyOf(unit, column, numeric) {
    const cell = rowOf(unit).cells[column];
    const text = (cell.querySelector("bdi, code") ?? cell).textContent.trim();
    if (text === "" || text === "–") return null;
    if (!numeric) return text;
    const number = parseFloat(text.replace(/^[<≈] ?/, "").replace("−", "-"));
    return Number.isNaN(number) ? null : number;
  }

  function compare(one, other, numeric) {
    return numeric ? one - other : collator.compare(one, other);
  }

  // Missing values stay last in both directions; equal ones keep their order.
  function sort(table, head, direction) {
    const numeric = head.classList.contains("number");
    const keyed = all(".unit", table).map((unit) => ({
      unit,
      place: Number(unit.dataset.place),
      key: keyOf(unit, head.cellIndex, numeric),
    }));
    keyed.sort((a, b) => {
      if (direction === 0 || (a.key === null && b.key === null)) return a.place - b.place;
      if (a.key === null || b.key === null) return a.key === null ? 1 : -1;
      return direction * compare(a.key, b.key, numeric) || a.place - b.place;
    });
    const parent = keyed[0]?.unit.parentNode;
    parent?.append(...keyed.map(({ unit }) => unit));
  }

  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
  const DIRECTIONS = { none: 0, ascending: 1, descending: -1 };

  function onHead(head) {
    const table = head.closest("table");
    const order = NEXT[head.getAttribute("aria-sort") ?? "none"];
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    if (order !== "none") head.setAttribute("aria-sort", order);
    sort(table, head, DIRECTIONS[order]);
  }

  for (const table of all("table")) {
    all(".unit", table).forEach((unit, place) => { unit.dataset.place = place; });
    for (const button of all("thead button", table)) {
      button.disabled = false;
      button.addEventListener("click", () => onHead(button.closest("th")));
    }
  }

  // Filtering. What all rows share is in the caption of their table.
  const chosen = (form, name) => form.elements[name]?.value ?? "";

  function isShown(unit, wanted, texts) {
    if (!texts.has(unit)) {
      const caption = unit.closest("figure").querySelector("figcaption")?.textContent ?? "";
      texts.set(unit, `${caption} ${rowOf(unit).textContent}`.toLowerCase());
    }
    return (
      texts.get(unit).includes(wanted.text) &&
      ["task", "training", "status"].every(
        (name) => !wanted[name] || !unit.dataset[name] || unit.dataset[name].split(" ").includes(wanted[name]),
      )
    );
  }

  function filter(form, texts) {
    const wanted = { text: chosen(form, "text").trim().toLowerCase() };
    for (const name of ["task", "training", "status"]) wanted[name] = chosen(form, name);
    let shown = 0;
    const units = all(`#${form.dataset.for} .unit`);
    for (const unit of units) {
      unit.hidden = !isShown(unit, wanted, texts);
      shown += !unit.hidden;
    }
    for (const figure of all(`#${form.dataset.for} figure.table`)) {
      figure.hidden = !figure.querySelector(".unit:not([hidden])");
    }
    form.querySelector("output").value = shown < units.length ? `${shown} of ${units.length} rows` : "";
  }

  for (const form of all("form.filter")) {
    const texts = new Map();
    form.hidden = false;
    form.addEventListener("input", () => filter(form, texts));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // A cell that is opened shows the texts that it shares with others in place.
  function fill(unit) {
    for (const link of all(".drill a[href^='#']", unit)) {
      const content = document.getElementById(link.hash.slice(1)).cloneNode(true);
      content.removeAttribute("id");
      link.replaceWith(content);
    }
  }

  for (const unit of all("tbody.unit")) {
    unit.querySelector("details").addEventListener("toggle", () => fill(unit));
  }
})();
