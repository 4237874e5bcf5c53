// Takes lists of links that are dropped, or pasted, anywhere on the page.
import { isTyping, one } from "./dom.js";
import { isOpen } from "./dialogs.js";
import { toast } from "./toasts.js";
import { say } from "./words.js";

const LARGEST = 2 << 20;

/** @param take (text) */
export function takeDrops(take) {
  let inside = 0;
  const show = (shows) => {
    inside = shows ? inside : 0;
    one("#drop").hidden = !shows;
  };
  addEventListener("dragenter", (event) => {
    if (!brings(event.dataTransfer) || isOpen()) return;
    inside += 1;
    show(true);
  });
  addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    if (inside === 0) show(false);
  });
  addEventListener("dragover", (event) => brings(event.dataTransfer) && event.preventDefault());
  addEventListener("drop", async (event) => {
    show(false);
    if (!brings(event.dataTransfer) || isTyping(event.target) && event.dataTransfer.files.length === 0) return;
    event.preventDefault();
    take(await textOf(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    if (isTyping(event.target) || isOpen()) return;
    take(event.clipboardData.getData("text/plain"));
  });
}

function brings(transfer) {
  return ["Files", "text/uri-list", "text/plain"].some((type) => transfer?.types.includes(type));
}

async function textOf(transfer) {
  if (transfer.files.length === 0) return transfer.getData("text/uri-list") || transfer.getData("text/plain");
  const texts = [];
  for (const file of [...transfer.files]) {
    if (isList(file)) texts.push(await file.text());
    else toast(say("drop.not", { name: file.name }), { isTrouble: true });
  }
  return texts.join("\n");
}

function isList(file) {
  return file.size <= LARGEST && (file.type.startsWith("text/") || /\.(txt|list|urls)$/i.test(file.name));
}
