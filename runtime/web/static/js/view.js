// What the page says: state, label, likeliest classes, transcript, figures. Texts are set as text, never as HTML.

import { median } from "./decoder.js";

const LONGEST_TRANSCRIPT = 50;
const AVERAGE_OVER = 30;

export const byId = (id) => document.getElementById(id);

export class View {
  constructor(site) {
    this.figures = new Map();
    byId("name").textContent = site.name;
    byId("classes").textContent = `${site.labels.length} classes: ${site.labels.join(", ")}.`;
    byId("licence").textContent = site.licence || "not stated";
    document.title = `${site.name} – LAST-Edge`;
    this.rows = Array.from({ length: Math.min(site.options.top, site.labels.length) }, () => newRow(byId("top")));
  }

  // What is going on, in a sentence that screen readers are told.
  state(text, { bad = false } = {}) {
    const element = byId("state");
    if (element.textContent !== text) element.textContent = text;
    element.classList.toggle("bad", bad);
  }

  // Over the picture; "" hides it.
  hint(text) {
    const element = byId("hint");
    if (element.textContent !== text) element.textContent = text;
    element.hidden = text === "";
  }

  // The likeliest classes, best first; null where there is nothing to predict.
  prediction(current) {
    this.rows.forEach((row, index) => {
      const guess = current?.top[index];
      row.name.textContent = guess?.label ?? "–";
      row.meter.value = guess?.probability ?? 0;
      row.share.textContent = guess ? percent(guess.probability) : "";
    });
    byId("unknown").hidden = !current || current.known;
  }

  // A recognised gesture: large, and a line of the transcript. Told in phases it is one line too, which says at the end
  // how long it lasted; meanwhile the seconds are counted beside the label, where no screen reader repeats them.
  event({ label, probability, end, phase }) {
    const share = percent(probability);
    const begins = phase === "" || phase === "begin";
    if (begins) this.began = end;
    const lasted = `${(end - this.began).toFixed(1)} s`;
    this.label(label, begins ? share : `${share}, ${lasted}`);
    if (phase === "hold") return;
    const list = byId("transcript");
    if (phase === "end") {
      byId("over").textContent = "";
      list.firstElementChild.textContent = `${this.began.toFixed(1)} s  ${label}  ${share}, lasted ${lasted}`;
      return;
    }
    const line = document.createElement("li");
    line.textContent = `${end.toFixed(1)} s  ${label}  ${share}`;
    list.prepend(line);
    while (list.children.length > LONGEST_TRANSCRIPT) list.lastElementChild.remove();
  }

  // The large label, and on a narrow screen, where it would be below the fold, over the picture too.
  label(text, share) {
    byId("label").textContent = text;
    byId("score").textContent = share;
    byId("over").textContent = share && text;
  }

  // The large label of a new recording, before anything is recognised in it.
  forget() {
    this.label("–", "");
    this.prediction(null);
    this.figures.clear();
  }

  // A stage's milliseconds or another figure; shown as the median of the last.
  figure(name, value, digits = 1) {
    const values = this.figures.get(name) ?? [];
    values.push(value);
    if (values.length > AVERAGE_OVER) values.shift();
    this.figures.set(name, values);
    byId(name).textContent = median(values).toFixed(digits);
  }

  // What the check against the golden tensors gave.
  check({ difference, tolerance }, precision) {
    const known = !Number.isNaN(difference);
    const limit = tolerance === null ? "" : ` (allowed ${tolerance})`;
    byId("check").textContent = known ? `${difference.toExponential(1)}${limit}` : "nothing to compare with";
    byId("badge").textContent = `${precision} · WASM`;
    return !known || tolerance === null || difference <= tolerance;
  }
}

function newRow(list) {
  const line = document.createElement("li");
  const name = document.createElement("span");
  const meter = document.createElement("meter");
  const share = document.createElement("span");
  meter.max = 1;
  meter.setAttribute("aria-hidden", "true");
  share.className = "share";
  line.append(name, meter, share);
  list.append(line);
  return { name, meter, share };
}

function percent(share) {
  return `${Math.round(share * 100)}%`;
}
