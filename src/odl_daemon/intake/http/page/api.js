// Asks the daemon over HTTP: an answer, or a Refused with a sentence.
import { say, sayFor } from "./words.js";

/** What the daemon did not do, and why; `reason` is its word for programs. */
export class Refused extends Error {
  constructor(status, { reason = null, sentence = "", action = null } = {}) {
    super(sentence);
    Object.assign(this, { status, reason, sentence, action });
  }

  /** For the user. */
  get words() {
    if (this.status === 0) return say("error.away");
    return this.sentence || this.reason ? sayFor("reason", this.reason, this.sentence) : say("error.other", { status: this.status });
  }
}

export class Api {
  /** @param {() => void} onSignedOut called when the daemon does not know (any longer) who asks */
  constructor(onSignedOut, root = "api/v1/") {
    this.onSignedOut = onSignedOut;
    this.root = root;
  }

  get(path, parameters = {}, options = {}) {
    return this.#ask("GET", path + query(parameters), undefined, options);
  }

  post(path, body = {}, options = {}) {
    return this.#ask("POST", path, body, options);
  }

  delete(path) {
    return this.#ask("DELETE", path);
  }

  /** The address of the stream of events. */
  events(parameters) {
    return `${this.root}events${query(parameters)}`;
  }

  async #ask(method, path, body, { signal } = {}) {
    const answer = await this.#send(method, path, body, signal);
    const content = await answer.json().catch(() => ({}));
    if (answer.ok) return content;
    const refused = new Refused(answer.status, content.error);
    if (answer.status === 401 && path !== "session") this.onSignedOut();
    throw refused;
  }

  async #send(method, path, body, signal) {
    const headers = { Accept: "application/json" };
    if (method !== "GET") headers["X-Odl"] = "1";
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      return await fetch(this.root + path, {
        method, headers, signal, body: body && JSON.stringify(body), credentials: "same-origin", cache: "no-store",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0);
    }
  }
}

/** ?a=1&b=2 without what is empty. */
export function query(parameters) {
  const kept = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
}
