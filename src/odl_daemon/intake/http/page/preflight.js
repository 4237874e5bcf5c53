// Looks at a single link before it is added: name, size, whether it can be resumed, whether it will be taken.
import { el, icon, one } from "./dom.js";
import { bytes, fileKind, plain } from "./format.js";
import { onLanguage, say, sayFor } from "./words.js";

const PATIENCE = 500;

export class Preflight {
  #api;
  #card = one("#preflight");
  #asked = "";
  #timer = null;
  #asking = null;
  #last = null;

  constructor(api) {
    this.#api = api;
    onLanguage(() => this.#last && this.#show(...this.#last));
  }

  /** Looks at the link if there is just one; what was asked before is forgotten. */
  look(links, { library, path }) {
    const url = links.length === 1 && isWhole(links[0]) ? links[0] : null;
    const asked = JSON.stringify([url, library, path]);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#forget();
    if (url) this.#timer = setTimeout(() => this.#ask({ url, library, path }), PATIENCE);
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#card.hidden = true;
    this.#last = null;
  }

  async #ask(link) {
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    this.#show("preflight-wait", waiting());
    try {
      const found = await this.#api.post("preflight", link, { signal });
      if (!signal.aborted) this.#show("", found);
    } catch (trouble) {
      if (signal.aborted) return;
      if (trouble.words === undefined) throw trouble;
      if (trouble.status >= 500 || trouble.status === 0 || trouble.status === 404) this.#forget();
      else this.#show("", { refused: trouble });
    }
  }

  #show(look, found) {
    this.#last = [look, found];
    this.#card.hidden = false;
    this.#card.className = `preflight ${look}`.trim();
    this.#card.replaceChildren(...(found.isWait ? [el("p", {}, say("preflight.wait"))] : contents(found)));
  }
}

const waiting = () => ({ isWait: true });

function contents(found) {
  if (found.refused) return [el("ul", { class: "verdicts" }, line(false, found.refused.words))];
  const size = found.size === null || found.size === undefined ? say("preflight.no_size") : bytes(found.size);
  const facts = [size, say(found.resumable ? "preflight.resumable" : "preflight.not_resumable"), say("preflight.from", { host: hostOf(found) })];
  const verdicts = (found.verdicts ?? []).map(({ what, ok, sentence }) => line(ok, plain(sayFor("verdict", `${what}.${ok ? "ok" : "no"}`, sentence))));
  return [
    el("div", { class: "preflight-top" }, icon(fileKind(found.name ?? "")),
      el("div", {}, el("strong", {}, el("bdi", {}, plain(found.name))), el("p", { class: "quiet" }, facts.join(" · ")))),
    el("ul", { class: "verdicts" }, ...verdicts),
  ];
}

function line(ok, text) {
  return el("li", { class: ok ? "is-good" : "is-bad" }, icon(ok ? "check" : "alert"), el("span", { dir: "auto" }, text));
}

function hostOf({ final_url: final, url }) {
  try {
    return new URL(final ?? url).hostname;
  } catch {
    return "";
  }
}

function isWhole(link) {
  return /^https?:\/\//i.test(link) && URL.canParse(link);
}
