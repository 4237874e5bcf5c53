// Keeps a long list smooth: only the rows in sight are in the page, each at its place by its number.
import { setAttribute } from "./dom.js";

const SPARE = 6;

export class WindowedList {
  #list;
  #make;
  #onNearEnd;
  #order = [];
  #rows = new Map();
  #height = 0;
  #asked = false;
  #total = 0;

  /**
   * @param list the <ul>; all rows have the height that its custom property --row says
   * @param make (id) => a row with `element` and `update(index)`
   * @param onNearEnd called when the last rows come into sight
   */
  constructor(list, make, onNearEnd) {
    this.#list = list;
    this.#make = make;
    this.#onNearEnd = onNearEnd;
    addEventListener("scroll", () => this.ask(), { passive: true });
    addEventListener("resize", () => this.measure());
    list.addEventListener("focusout", () => this.ask());
    this.measure();
  }

  /** Shows these ids; what is in sight stays where it is. */
  show(order, total) {
    const shift = order === this.#order ? 0 : this.#shiftOf(order);
    this.#order = order;
    this.#total = total;
    this.#list.style.setProperty("height", `${order.length * this.#height}px`);
    if (shift) scrollBy({ top: shift * this.#height, behavior: "instant" });
    this.ask();
  }

  measure() {
    this.#height = parseFloat(getComputedStyle(this.#list).getPropertyValue("--row")) || 72;
    this.show(this.#order, this.#total);
  }

  /** Draws with the next frame. */
  ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.draw();
    });
  }

  /** Brings a row into sight and draws it; returns its element. */
  reveal(id, { above = 120, below = 90 } = {}) {
    const top = this.#list.getBoundingClientRect().top + this.#order.indexOf(id) * this.#height;
    const over = top - above;
    const under = top + this.#height + below - innerHeight;
    if (over < 0) scrollBy({ top: over, behavior: "instant" });
    else if (under > 0) scrollBy({ top: under, behavior: "instant" });
    this.draw();
    return this.#rows.get(id)?.element ?? null;
  }

  draw() {
    const [first, last] = this.#range();
    const ids = this.#order.slice(first, last);
    this.#letGo(new Set(ids));
    let place = this.#list.firstElementChild;
    for (const [index, id] of this.#withFocused(ids, first)) {
      const row = this.#row(id);
      if (row.element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(row.element, place);
      this.#put(row, index);
    }
    if (last >= this.#order.length - SPARE * 2) this.#onNearEnd();
  }

  #range() {
    if (this.#list.offsetParent === null) return [0, 0];
    const top = -this.#list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.#height) - SPARE);
    const last = Math.min(this.#order.length, Math.ceil((top + innerHeight) / this.#height) + SPARE);
    return [Math.min(first, this.#order.length), Math.max(last, 0)];
  }

  /** The row with the focus stays, wherever it is: whoever scrolls must not lose his place. */
  #focused() {
    const row = document.activeElement?.closest("li");
    return row && this.#list.contains(row) ? Number(row.dataset.id) : null;
  }

  #withFocused(ids, first) {
    const placed = ids.map((id, at) => [first + at, id]);
    const focused = this.#focused();
    const index = focused === null || ids.includes(focused) ? -1 : this.#order.indexOf(focused);
    if (index >= 0) placed.push([index, focused]);
    return placed.sort(([a], [b]) => a - b);
  }

  #letGo(wanted) {
    const focused = this.#focused();
    for (const [id, row] of this.#rows) {
      if (wanted.has(id) || (id === focused && this.#order.includes(id))) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
  }

  #row(id) {
    let row = this.#rows.get(id);
    if (row === undefined) {
      row = this.#make(id);
      this.#rows.set(id, row);
    }
    return row;
  }

  #put(row, index) {
    row.element.style.setProperty("transform", `translateY(${index * this.#height}px)`);
    setAttribute(row.element, "aria-posinset", index + 1);
    setAttribute(row.element, "aria-setsize", this.#total);
    row.update();
  }

  /** By how many rows the first one in sight has moved. */
  #shiftOf(order) {
    const hidden = Math.ceil(-this.#list.getBoundingClientRect().top / this.#height);
    if (hidden <= 0 || this.#order.length === 0 || order.length === 0) return 0;
    for (let index = hidden; index < this.#order.length; index += 1) {
      const now = order.indexOf(this.#order[index]);
      if (now >= 0) return now - index;
    }
    return 0;
  }
}
