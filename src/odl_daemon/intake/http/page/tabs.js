// The tabs with their counts, the search, and whose tasks are shown.
import { el, one, setAttribute, setText } from "./dom.js";
import { isMoving, TABS } from "./phases.js";
import { onLanguage, say } from "./words.js";

const PATIENCE = 200;
const NAMES = Object.keys(TABS);

export class Tabs {
  #tasks;
  #show;
  #buttons = new Map();
  #search = one("#search");
  #owners = one("#by-owner");
  #me = null;

  /** @param show (view) shows another tab, search or owner */
  constructor(tasks, show) {
    this.#tasks = tasks;
    this.#show = show;
    for (const name of NAMES) this.#make(name);
    one("#tabs").addEventListener("keydown", (event) => this.#key(event));
    this.#search.addEventListener("input", () => this.#searchSoon());
    this.#owners.addEventListener("change", () => show({ owner: this.#owners.value }));
    tasks.addEventListener("change", () => this.draw());
    onLanguage(() => this.#drawOwners());
    onLanguage(() => this.draw());
  }

  /** What the address says: ?tab=failed&q=iso. */
  static fromAddress() {
    const asked = new URLSearchParams(location.search);
    return { tab: NAMES.includes(asked.get("tab")) ? asked.get("tab") : "all", q: asked.get("q") ?? "" };
  }

  draw() {
    const { view, counts } = this.#tasks;
    for (const [name, { tab, label, count }] of this.#buttons) {
      const isShown = name === view.tab;
      setAttribute(tab, "aria-selected", String(isShown));
      setAttribute(tab, "tabindex", isShown ? "0" : "-1");
      setText(label, say(`tab.${name}`));
      setText(count, counts[name] === undefined ? "" : counts[name].toLocaleString(document.documentElement.lang));
    }
    setAttribute(one("#panel"), "aria-labelledby", `tab-${view.tab}`);
    if (document.activeElement !== this.#search) this.#search.value = view.q;
    document.title = this.#title(counts.active);
  }

  focusSearch() {
    this.#search.focus();
    this.#search.select();
  }

  clearSearch() {
    this.#search.value = "";
    this.#show({ q: "" });
    this.#search.focus();
  }

  /** Offers an admin everybody's tasks, or one user's. */
  offerOwners(me, users) {
    this.#me = me;
    this.users = users;
    this.#owners.hidden = !me.admin || (me.local && users.length <= 1);
    this.#drawOwners();
  }

  #drawOwners() {
    if (!this.#me?.admin) return;
    const mine = this.#me.owner;
    const others = this.users.map((user) => user.owner).filter((owner) => owner !== mine);
    this.#owners.replaceChildren(
      el("option", { value: "*" }, say("owner.everybody")), el("option", { value: mine }, say("owner.mine")),
      ...others.map((owner) => el("option", { value: owner }, owner)),
    );
    this.#owners.value = this.#tasks.view.owner;
  }

  #title(active) {
    return active ? `(${active}) ${say("title")}` : say("title");
  }

  #make(name) {
    const [label, count] = [el("span"), el("span", { class: "count" })];
    const attributes = { type: "button", role: "tab", id: `tab-${name}`, class: "tab", "aria-controls": "panel" };
    const tab = el("button", { ...attributes, click: () => this.#show({ tab: name }) }, label, count);
    this.#buttons.set(name, { tab, label, count });
    one("#tabs").append(tab);
  }

  #key(event) {
    const at = NAMES.indexOf(this.#tasks.view.tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: NAMES.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = NAMES[(to + NAMES.length) % NAMES.length];
    this.#show({ tab: name });
    this.#buttons.get(name).tab.focus();
  }

  #searchSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#show({ q: this.#search.value.trim() }), PATIENCE);
  }
}

/** Tells what came to its end, for those who do not see it. */
export function endings(changes, nameOf) {
  const ended = changes.filter(([before, now]) => (isMoving(before) || before.phase === "queued") && ["done", "failed"].includes(now.phase));
  if (ended.length > 3) return [say("ended.many", { count: ended.length })];
  return ended.map(([, now]) => say(`ended.${now.phase}`, { name: nameOf(now) }));
}
