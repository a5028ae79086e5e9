// A list of which only the rows in view are in the document. Rules: a row has a fixed
// height, that of `--row`; rows are made once and filled again. The list is one stop of
// the Tab key, and the arrow keys choose a row.

import { el } from "/page/text.js";

const BEYOND = 8; // rows above and below the view

export class Rows {
  /** `fill(row, item)` fills a row; `choose(item)` is called for a chosen one. */
  constructor({ label, make, fill, choose }) {
    this._make = make;
    this._fill = fill;
    this._choose = choose;
    this.items = [];
    this.chosen = null;
    this._rows = new Map();
    this._spare = [];
    this._isAsked = false;
    this.space = el("div", { class: "space", role: "presentation" });
    this.node = el("div", { class: "rows", tabindex: 0, role: "listbox", "aria-label": label }, this.space);
    this.node.addEventListener("scroll", () => this._ask(), { passive: true });
    this.node.addEventListener("keydown", (event) => this._key(event));
    this.node.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row !== null) this.pick(Number(row.dataset.index), true);
    });
    this._observer = new ResizeObserver(() => this.refresh());
    this._observer.observe(this.node);
  }

  /** Show other items; stay at the end if the end was in view. */
  show(items) {
    const isAtEnd = this.isAtEnd;
    this.items = items;
    this.refresh();
    if (isAtEnd) this.node.scrollTop = this.node.scrollHeight;
  }

  get isAtEnd() {
    return this.node.scrollTop + this.node.clientHeight >= this.node.scrollHeight - 4;
  }

  /** Fill all rows in view again. */
  refresh() {
    this._height = parseFloat(getComputedStyle(this.node).getPropertyValue("--row")) || 26;
    this.space.style.height = `${this.items.length * this._height}px`;
    for (const row of this._rows.values()) this._spare.push(row);
    this._rows.clear();
    this._draw();
  }

  /** Choose a row by its index; `isAct` if it was a click or the Enter key. */
  pick(index, isAct = false) {
    if (this.items.length === 0) return;
    const at = Math.max(0, Math.min(index, this.items.length - 1));
    this.chosen = this.items[at];
    const top = at * this._height;
    const { scrollTop, clientHeight } = this.node;
    if (top < scrollTop) this.node.scrollTop = top;
    else if (top + this._height > scrollTop + clientHeight) this.node.scrollTop = top + this._height - clientHeight;
    this.refresh();
    this._choose(this.chosen, isAct);
  }

  /** Mark an item as chosen, or none. */
  mark(item) {
    this.chosen = item;
    this.refresh();
  }

  _key(event) {
    const page = Math.max(1, Math.floor(this.node.clientHeight / this._height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const now = this.items.indexOf(this.chosen);
    if (event.key in steps) this.pick(now < 0 ? this._first() : now + steps[event.key]);
    else if (event.key === "Home") this.pick(0);
    else if (event.key === "End") this.pick(this.items.length - 1);
    else if (event.key === "Enter") this.pick(now < 0 ? this._first() : now, true);
    else return;
    event.preventDefault();
  }

  _first() {
    return Math.floor(this.node.scrollTop / this._height);
  }

  _ask() {
    if (this._isAsked) return;
    this._isAsked = true;
    requestAnimationFrame(() => {
      this._isAsked = false;
      this._draw();
    });
  }

  _draw() {
    const first = Math.max(0, this._first() - BEYOND);
    const count = Math.ceil(this.node.clientHeight / this._height) + 2 * BEYOND;
    const end = Math.min(this.items.length, first + count);
    for (const [index, row] of this._rows) {
      if (index < first || index >= end) {
        this._rows.delete(index);
        this._spare.push(row);
      }
    }
    for (let index = first; index < end; index++) {
      if (!this._rows.has(index)) this._rows.set(index, this._place(index));
    }
    for (const row of this._spare) row.hidden = true;
    const chosen = this.items.indexOf(this.chosen);
    if (this._rows.has(chosen)) this.node.setAttribute("aria-activedescendant", `row-${chosen}`);
    else this.node.removeAttribute("aria-activedescendant");
  }

  _place(index) {
    let row = this._spare.pop();
    if (row === undefined) {
      row = this._make();
      row.classList.add("row");
      row.setAttribute("role", "option");
      this.space.append(row);
    }
    const item = this.items[index];
    row.hidden = false;
    row.id = `row-${index}`;
    row.dataset.index = index;
    row.style.transform = `translateY(${index * this._height}px)`;
    row.setAttribute("aria-setsize", this.items.length);
    row.setAttribute("aria-posinset", index + 1);
    row.setAttribute("aria-selected", item === this.chosen);
    row.classList.toggle("chosen", item === this.chosen);
    this._fill(row, item);
    return row;
  }
}
