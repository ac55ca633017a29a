// Strokes and boxes as the scribbles task is sent them, and its answer among the segments that are drawn.

import { imageBox } from "./grid.js";

/** @typedef {import("./client.js").Label} Label */

const NO_CODE = { value: "", scheme: "", meaning: "" };

/** Under these names, which are the server's, strokes travel; their indices are MONAI Label's own. */
export const INSIDE = /** @type {Label} */ ({
  name: "foreground_scribbles",
  index: 3,
  colour: [80, 220, 120],
  type: NO_CODE,
  modifier: null,
});
export const OUTSIDE = /** @type {Label} */ ({
  name: "background_scribbles",
  index: 2,
  colour: [255, 90, 90],
  type: NO_CODE,
  modifier: null,
});

/**
 * @param {string} segment the strokes are about
 * @param {{corners: number[][], grid: import("./grid.js").SeriesGrid}} region nothing outside of all boxes' corners
 *   (LPS mm) belongs to it; no corners: it may lie anywhere
 * @returns {Record<string, any>} keys of a request to `/infer`; the strokes themselves go as its label map
 */
export function strokePrompts(segment, { corners, grid }) {
  const asked = {
    label_info: [OUTSIDE, INSIDE].map(({ name, index }) => ({ name, id: index })),
    selected_label_name: segment,
  };
  if (!corners.length) return asked;
  const box = imageBox(grid, corners);
  if (!box) throw new Error("A box must lie on its series, and this one does not. Clear it, then draw it again.");
  return { ...asked, roi: box.flat() };
}

/**
 * Let a segment be what was cut out; what other segments hold stays theirs.
 * @param {Uint8Array|Uint16Array} drawn label indices, changed in place
 * @param {ArrayLike<number>} cut 0 outside of the structure, in the same order
 * @param {number} index of the segment
 */
export function replaceSegment(drawn, cut, index) {
  for (let place = 0; place < drawn.length; place++) {
    const value = drawn[place];
    if (value === 0 || value === index) drawn[place] = cut[place] ? index : 0;
  }
}
