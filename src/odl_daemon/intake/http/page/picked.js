// The bar that shows while tasks are picked: how many, and what may be done with all of them.
import { button, el, iconButton, one } from "./dom.js";
import { MAY_UNDER, wishesFor } from "./phases.js";
import { say } from "./words.js";

export class PickedBar {
  #bar = one("#picked");
  #drawn = "";

  constructor(tasks, selection, actions) {
    Object.assign(this, { tasks, selection, actions });
    tasks.addEventListener("change", () => {
      selection.keep(tasks.tasks);
      this.draw();
    });
    selection.addEventListener("change", () => this.draw());
  }

  /** Asks it of all that is picked. */
  async wish(wish) {
    if (this.selection.isEverything) await this.actions.wishEverything(wish);
    else await this.actions.wish(wish, this.#picked());
  }

  draw() {
    const { isEmpty, isEverything, ids } = this.selection;
    this.#bar.hidden = isEmpty;
    document.body.classList.toggle("has-picked", !isEmpty);
    const { order, total, view } = this.tasks;
    const wishes = isEmpty ? [] : this.#wishes();
    const drawn = [isEmpty, isEverything, ids.size, order.length, total, view.tab, wishes, document.documentElement.lang].join();
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const held = this.#bar.contains(document.activeElement) && document.activeElement.dataset.wish;
    this.#bar.replaceChildren(...(isEmpty ? [] : this.#contents(wishes)));
    if (held) this.#bar.querySelector(`[data-wish="${held}"]`)?.focus();
  }

  #contents(wishes) {
    const { isEverything, ids } = this.selection;
    const { order, total } = this.tasks;
    const count = isEverything ? total : ids.size;
    const offersAll = !isEverything && ids.size >= order.length && total > order.length;
    return [
      el("span", { class: "picked-count" }, say("picked", { count })),
      offersAll && named("all", button(say("pick_everything", { count: total }), () => this.selection.pickEverything(), { look: "plain" })),
      el("span", { class: "picked-acts" }, ...wishes.map((wish) =>
        named(wish, button(say(`do.${wish}`), () => this.wish(wish), { symbol: wish, look: wish === "cancel" ? "danger-plain" : "" })))),
      named("none", iconButton("cancel", say("pick_nothing"), () => this.selection.clear())),
    ].filter(Boolean);
  }

  #wishes() {
    const under = MAY_UNDER[this.tasks.view.tab];
    if (this.selection.isEverything) return under;
    const able = new Set(this.#picked().flatMap(wishesFor));
    return ["pause", "resume", "retry", "cancel"].filter((wish) => able.has(wish));
  }

  #picked() {
    return [...this.selection.ids].map((id) => this.tasks.tasks.get(id)).filter(Boolean);
  }
}

function named(wish, element) {
  element.dataset.wish = wish;
  return element;
}
