// Which tasks are picked: some by their ids, or all that match the view.

/** Fires "change". */
export class Selection extends EventTarget {
  ids = new Set();
  /** All that match the view, loaded or not. */
  isEverything = false;
  #anchor = null;

  get isEmpty() {
    return this.ids.size === 0 && !this.isEverything;
  }

  has(id) {
    return this.isEverything || this.ids.has(id);
  }

  /** Picks one, or lets go of it; with `through`, all from the last one picked to this one. */
  toggle(id, order, through = false) {
    this.isEverything = false;
    const from = order.indexOf(this.#anchor);
    if (through && from >= 0) this.#pick(order, from, order.indexOf(id));
    else if (!this.ids.delete(id)) this.ids.add(id);
    this.#anchor = id;
    this.#changed();
  }

  pickAll(order) {
    this.ids = new Set(order);
    this.#changed();
  }

  pickEverything() {
    this.isEverything = true;
    this.#changed();
  }

  clear() {
    if (this.isEmpty) return;
    this.ids.clear();
    this.isEverything = false;
    this.#changed();
  }

  /** Lets go of what is not in the list any longer. */
  keep(tasks) {
    const gone = [...this.ids].filter((id) => !tasks.has(id));
    if (gone.length === 0) return;
    for (const id of gone) this.ids.delete(id);
    this.#changed();
  }

  #pick(order, from, to) {
    for (const id of order.slice(Math.min(from, to), Math.max(from, to) + 1)) this.ids.add(id);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
