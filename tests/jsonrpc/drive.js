// Drives a server that speaks as aria2 does, with aria2's own client for JavaScript, and prints what it met.
"use strict";

const Aria2 = require("aria2");

const [port, secret] = process.argv.slice(2);
const EVENTS = ["onDownloadStart", "onDownloadPause", "onDownloadStop", "onDownloadComplete", "onDownloadError"];

async function main() {
  const aria2 = new Aria2({ host: "127.0.0.1", port, secret });
  const overHttp = await live(aria2);
  const heard = [];
  for (const name of EVENTS) aria2.on(name, ([{ gid }]) => heard.push(`${name} ${gid}`));
  await aria2.open();
  const overSocket = await live(aria2);
  await until(() => heard.includes(`onDownloadStop ${overSocket.slow}`));
  await aria2.close();
  console.log(JSON.stringify({ overHttp, overSocket, heard }));
}

// Adds, looks, pauses, goes on, removes.
async function live(aria2) {
  const quick = await aria2.call("addUri", ["http://h/quick.bin"], { dir: "/js" });
  await until(async () => (await aria2.call("tellStatus", quick)).status === "complete");
  const slow = await aria2.call("addUri", ["http://h/slow/js.bin"], { split: "4" });
  await until(async () => (await aria2.call("tellActive", ["gid"])).some((each) => each.gid === slow));
  await aria2.call("pause", slow);
  await until(async () => (await aria2.call("tellWaiting", 0, 10)).some((each) => each.status === "paused"));
  await aria2.call("unpause", slow);
  await until(async () => (await aria2.call("tellStatus", slow, ["status"])).status === "active");
  await aria2.call("remove", slow);
  await until(async () => (await aria2.call("tellStopped", -1, 1))[0].gid === slow);
  const multicall = await aria2.multicall([["getGlobalStat"], ["tellStatus", "nonsense"]]);
  const batch = await Promise.allSettled(await aria2.batch([["getVersion"], ["tellStatus", "nonsense"]]));
  const methods = await aria2.listMethods();
  return {
    quick,
    slow,
    stopped: multicall[0][0].numStopped,
    fault: multicall[1],
    batch: batch.map((each) => (each.status === "fulfilled" ? each.value.version : each.reason.message)),
    lists: methods.includes("addUri"),
  };
}

async function until(look) {
  for (const end = Date.now() + 10000; Date.now() < end; ) {
    if (await look()) return;
    await new Promise((again) => setTimeout(again, 20));
  }
  throw new Error(`did not happen: ${look}`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
