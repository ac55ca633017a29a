// A training's curve: loss on a scale of its own, Dice or AUROC from 0 to 1, one point for each epoch.

import { h, svg } from "./view.js";

const WIDTH = 260;
const HEIGHT = 64;
const EDGE = 3;

/** @typedef {import("./training.js").Epoch} Epoch */

/**
 * @param {(number|undefined)[]} values one for each epoch; gaps are left out
 * @param {{from: number, to: number}} scale
 * @returns {string} points of an SVG polyline
 */
export function points(values, { from, to }) {
  const across = (WIDTH - 2 * EDGE) / Math.max(1, values.length - 1);
  const up = (HEIGHT - 2 * EDGE) / (to - from || 1);
  return values
    .map((value, place) =>
      value === undefined
        ? ""
        : `${(EDGE + place * across).toFixed(1)},${(HEIGHT - EDGE - (value - from) * up).toFixed(1)}`,
    )
    .filter(Boolean)
    .join(" ");
}

/**
 * @param {Epoch[]} epochs
 * @returns {HTMLElement}
 */
export function curve(epochs) {
  const loss = epochs.map((epoch) => epoch.loss);
  const last = (/** @type {(number|undefined)[]} */ values) => values.findLast((value) => value !== undefined);
  const quality = epochs.map((epoch) => epoch.dice ?? epoch.auroc);
  const called = epochs.some(({ auroc }) => auroc !== undefined) ? "AUROC" : "Dice";
  const best = last(quality);
  const losses = /** @type {number[]} */ (loss.filter((value) => value !== undefined));
  const shown = [`loss ${last(loss)?.toFixed(3) ?? "–"}`, best === undefined ? "not validated" : `${called} ${best.toFixed(3)}`];
  const count = `${epochs.length} ${epochs.length === 1 ? "epoch" : "epochs"}`;
  return h(
    "figure",
    {},
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${shown.join(", ")} after ${count}` },
      svg("polyline", { class: "loss", points: points(loss, { from: 0, to: Math.max(0, ...losses) }) }),
      svg("polyline", { class: "quality", points: points(quality, { from: 0, to: 1 }) }),
    ),
    h(
      "figcaption",
      { class: "quiet" },
      h("span", { class: "loss" }, shown[0]),
      h("span", { class: "quality" }, shown[1]),
      h("span", {}, count),
    ),
  );
}
