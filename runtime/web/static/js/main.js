// Where the page begins: what it is told of the bundle, then the application.
import { App } from "./app.js";
import { loadClips } from "./clips.js";
import { byId } from "./view.js";

async function main() {
  const answer = await fetch("site.json");
  if (!answer.ok) throw new Error(`site.json: ${answer.status}`);
  const site = await answer.json();
  await new App(site, await loadClips(site)).start();
}

main().catch((error) => {
  byId("state").textContent = `The page cannot start: ${error.message}`;
  byId("state").classList.add("bad");
});
