// The controls: what they offer, what they are set to, and who is told when that changes.
import { byId } from "./view.js";

const SOURCES = ["camera", "play"];

// Fill the lists and show only what a bundle has a use for.
export function fillForms({ graphs, threshold, camera, rules }, clips) {
  // WebAssembly has no fast 8-bit product: docs/results/quantisation.md, "In the browser".
  const speed = { fp32: ", fastest in browsers" };
  const said = ({ precision, bytes }) => option(precision, `${precision}, ${kilobytes(bytes)}${speed[precision] ?? ""}`);
  byId("precision").append(...graphs.map(said));
  byId("clip").append(...clips.map(({ name }, index) => option(index, name)));
  setThreshold(threshold);
  byId("early-setting").hidden = !(rules?.early < 1);
  byId("phases-setting").hidden = rules?.early >= 1; // what is not known before it ends has no phases
  if (rules)
    for (const name of ["early-wrong", "phases-wrong"])
      byId(name).textContent = `(${(100 * rules.early_wrong).toFixed(1)}% of such answers were wrong)`;
  byId("hand-setting").hidden = camera?.detector !== "hand";
  byId("delegate-setting").hidden = byId("mirror-setting").hidden = !camera;
  byId("camera-note").hidden = Boolean(camera);
}

// Let the reader begin.
export function enable({ camera }) {
  byId("app").removeAttribute("aria-busy");
  byId("camera").disabled = !camera;
  byId("play").disabled = byId("measure").disabled = false;
}

export function settings() {
  return {
    threshold: Number(byId("threshold").value),
    reject: byId("reject").checked,
    early: byId("early").checked,
    phases: byId("phases").checked,
    hand: byId("hand").value,
    delegate: byId("delegate").value,
    mirrored: byId("mirror").checked,
    clip: Number(byId("clip").value),
    precision: byId("precision").value,
  };
}

export function setThreshold(value) {
  byId("threshold").value = value;
  showThreshold();
}

export function showThreshold() {
  byId("threshold-value").textContent = byId("threshold").value;
}

// Which of the sources plays: its button stops it, the others' start theirs.
export function showPlaying(playing) {
  for (const name of SOURCES) {
    const button = byId(name);
    button.setAttribute("aria-pressed", String(name === playing));
    button.textContent = name === playing ? button.dataset.stop : button.dataset.start;
  }
}

// Do something that must not be begun twice.
export async function whileDisabled(name, work) {
  byId(name).disabled = true;
  try {
    return await work();
  } finally {
    byId(name).disabled = false;
  }
}

function option(value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}

function kilobytes(bytes) {
  return `${Math.round(bytes / 1000)} kB`;
}
