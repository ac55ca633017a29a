// Strokes as the scribbles task is sent them, and its answer among the segments that are drawn.

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
 * @returns {Record<string, any>} keys of a request to `/infer`; the strokes themselves go as its label map
 */
export function strokePrompts(segment) {
  return {
    label_info: [OUTSIDE, INSIDE].map(({ name, index }) => ({ name, id: index })),
    selected_label_name: segment,
  };
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
