// The list as one sees and steers it: rows in a window, the current one, what is picked, what is empty.
import { one, setAttribute, setText } from "./dom.js";
import { emptyState } from "./empty.js";
import { Row } from "./rows.js";
import { say } from "./words.js";
import { WindowedList } from "./window.js";

export class ListView {
  #tasks;
  #selection;
  #window;
  #list = one("#list");
  #order = [];
  #current = null;
  #act;
  #showsOwner;

  /** @param act (what, task) when a button of a row is pressed; @param showsOwner whether owners are of interest */
  constructor(tasks, selection, { act, showsOwner, emptyContext }) {
    Object.assign(this, { emptyContext });
    this.#tasks = tasks;
    this.#selection = selection;
    this.#act = act;
    this.#showsOwner = showsOwner;
    this.#window = new WindowedList(this.#list, (id) => this.#makeRow(id), () => this.#more());
    tasks.addEventListener("change", () => this.draw());
    selection.addEventListener("change", () => this.draw());
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#list.addEventListener("focusin", (event) => this.#follow(event.target));
    one("#pick-all").addEventListener("change", (event) => this.#pickAll(event.target.checked));
    setInterval(() => this.#window.ask(), 30_000); // "5 minutes ago" grows old
  }

  /** The task that keys work on. */
  get current() {
    return this.#tasks.tasks.get(this.#current) ?? null;
  }

  draw() {
    const { order, total, isLoading, trouble } = this.#tasks;
    this.#keepCurrent(order);
    this.#order = order;
    one("#panel").classList.toggle("shows-owner", this.#showsOwner());
    setAttribute(this.#list, "aria-busy", isLoading && order.length === 0 ? "true" : null);
    this.#list.hidden = order.length === 0;
    one("#heads").hidden = order.length === 0;
    this.#window.show(order, total);
    emptyState(one("#empty"), this.#tasks, this.emptyContext);
    this.#drawTail(order.length, total, trouble);
    this.#drawPickAll(order);
  }

  /** Moves to the next (1) or the one before (-1). */
  move(by) {
    if (this.#order.length === 0) return;
    const at = this.#order.indexOf(this.#current);
    const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), this.#order.length - 1);
    this.#focus(this.#order[next]);
  }

  pickCurrent(through) {
    if (this.current) this.#selection.toggle(this.#current, this.#order, through);
  }

  measure() {
    this.#window.measure();
  }

  #focus(id) {
    this.#current = id;
    this.#window.reveal(id, { above: one(".bar").getBoundingClientRect().bottom + 50 })?.querySelector(".name").focus({ preventScroll: true });
    this.#window.ask();
  }

  #follow(element) {
    const row = element.closest("li");
    if (row === null) return;
    this.#current = Number(row.dataset.id);
    this.#window.ask();
  }

  /** If the current task has left the list, its neighbour takes its place, and its focus. */
  #keepCurrent(order) {
    if (this.#current === null || order === this.#order || order.includes(this.#current)) return;
    const at = this.#order.indexOf(this.#current);
    const hadFocus = this.#list.contains(document.activeElement);
    this.#current = order.length ? order[Math.min(Math.max(at, 0), order.length - 1)] : null;
    if (hadFocus && this.#current !== null) queueMicrotask(() => this.#focus(this.#current));
  }

  #makeRow(id) {
    return new Row(id, {
      task: () => this.#tasks.tasks.get(id),
      isPicked: () => this.#selection.has(id),
      isCurrent: () => this.#current === id,
      showsOwner: this.#showsOwner,
    });
  }

  #click(event) {
    const row = event.target.closest("li");
    if (row === null) return;
    const id = Number(row.dataset.id);
    if (event.target.matches("input[type=checkbox]")) {
      this.#selection.toggle(id, this.#order, event.shiftKey);
      return;
    }
    const pressed = event.target.closest("[data-act]");
    if (pressed) this.#act(pressed.dataset.act, this.#tasks.tasks.get(id));
  }

  #more() {
    if (!this.#tasks.trouble) this.#tasks.more().catch(() => {}); // the banner tells; the next scroll tries again
  }

  #drawTail(loaded, total) {
    const tail = one("#tail");
    tail.hidden = this.#tasks.next === null || loaded === 0;
    setText(tail, tail.hidden ? "" : say("tail", { loaded, total }));
  }

  #pickAll(checked) {
    if (checked) this.#selection.pickAll(this.#order);
    else this.#selection.clear();
  }

  #drawPickAll(order) {
    const box = one("#pick-all");
    const picked = this.#selection.isEverything ? order.length : this.#selection.ids.size;
    box.checked = order.length > 0 && picked >= order.length;
    box.indeterminate = picked > 0 && !box.checked;
  }
}
