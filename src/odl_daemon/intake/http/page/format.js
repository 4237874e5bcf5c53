// Figures, times and names as people read them.
import { locale, say } from "./words.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const KINDS = {
  film: "mp4 mkv avi mov webm m4v mpg mpeg wmv flv ts 3gp ogv",
  music: "mp3 flac wav ogg oga opus m4a aac wma aiff mid",
  image: "jpg jpeg png gif webp svg avif heic bmp tif tiff ico psd raw",
  archive: "zip tar gz tgz xz txz bz2 tbz 7z rar zst lz4 lzma cab",
  text: "pdf doc docx odt rtf txt md epub mobi tex xls xlsx ods csv ppt pptx odp log srt",
  disc: "iso img dmg vmdk qcow2 vdi vhd vhdx ova",
  code: "js mjs py c h cpp rs go java rb php html css json xml yaml yml toml sh sql ipynb",
  package: "deb rpm apk exe msi pkg appimage flatpak snap jar whl crate gem",
};
const KIND_OF = new Map(Object.entries(KINDS).flatMap(([kind, ends]) => ends.split(" ").map((end) => [end, kind])));

/** Bytes, like 1.5 GiB. */
export function bytes(count) {
  let amount = count;
  let unit = 0;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || amount >= 100 ? 0 : 1;
  const number = amount.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${number} ${UNITS[unit]}`;
}

export const speed = (count) => say("per_second", { size: bytes(count) });

export const percent = (part) => (Math.floor(part * 100) / 100).toLocaleString(locale(), { style: "percent" });

/** How long something takes, by its two largest units. */
export function duration(seconds) {
  const rest = Math.max(0, Math.round(seconds));
  if (rest < 60) return say("time.seconds", { n: rest });
  if (rest < 3600) return say("time.minutes", { n: Math.round(rest / 60) });
  if (rest < 86400) return say("time.hours", { n: Math.floor(rest / 3600), m: Math.floor((rest % 3600) / 60) });
  return say("time.days", { n: Math.floor(rest / 86400), h: Math.floor((rest % 86400) / 3600) });
}

/** A moment by its distance from now, like "5 min. ago". */
export function relative(moment, now = Date.now()) {
  const seconds = (Date.parse(moment) - now) / 1000;
  const words = new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" });
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return words.format(Math.trunc(seconds / length), unit);
  }
  return say("time.now");
}

/** The moment itself, in the zone of the one who looks. */
export const exact = (moment, style = "medium") =>
  new Intl.DateTimeFormat(locale(), { dateStyle: style, timeStyle: style }).format(new Date(moment));

/** Which icon suits a file of this name. */
export function fileKind(name) {
  const end = /\.([a-z0-9]+)$/i.exec(name);
  return (end && KIND_OF.get(end[1].toLowerCase())) || "file";
}

/** A stranger's text without what is not seen, or turns the direction of what follows. */
export const plain = (text) => String(text ?? "").replace(UNSEEN, "\ufffd");
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A link as it may be shown: without its login. */
export function withoutLogin(url) {
  return plain(url).replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1");
}

/** The links of a text: a line each, without blank ones and # comments. */
export function linksOf(text) {
  return text.split(/\r\n|\r|\n/).map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
}
