// Signing in: with the one-time token of the address, with one that is typed, or with the cookie that is there.
import { one, setText } from "./dom.js";
import { say } from "./words.js";

const TOKEN = /^#token=(.+)$/;

/** Who is signed in, or null; a token in the address is used, and is in it no longer. */
export async function whoIsIt(api) {
  const token = takeToken();
  if (token === null) return api.get("me").catch(orNobody);
  try {
    return await api.post("session", { token });
  } catch (refused) {
    setText(one("#sign-in-error"), say(refused.status === 401 ? "sign_in.old" : "sign_in.failed"));
    return api.get("me").catch(orNobody);
  }
}

/** Lets sign in by a token that is typed. */
export function listenForSignIn(api, welcome) {
  one("#sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = one("#token");
    const button = one("#sign-in button");
    button.disabled = true;
    setText(one("#sign-in-error"), "");
    try {
      const me = await api.post("session", { token: field.value.trim().replace(/^.*#token=/, "") });
      field.value = "";
      await welcome(me);
    } catch (refused) {
      if (refused.words === undefined) throw refused;
      setText(one("#sign-in-error"), refused.status === 401 ? say("sign_in.wrong") : refused.words);
      field.focus();
      field.select();
    } finally {
      button.disabled = false;
    }
  });
}

function takeToken() {
  const found = TOKEN.exec(location.hash);
  if (found === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return decodeURIComponent(found[1]);
}

function orNobody(refused) {
  if (refused.status === 401) return null;
  throw refused;
}
