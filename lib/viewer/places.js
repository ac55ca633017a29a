// Places in an image that findings are about, as the server counts voxels: what is sent of them, and where they are shown.

import { pointAt, sliceAt } from "./grid.js";

/**
 * A voxel `[i, j, k]`, or per axis the first voxel of a box and the one past its last.
 * @typedef {number[]|number[][]} Place
 */

/** @param {Place|null} place null for all of the image @returns {string} the same for the same place */
export const placeKey = (place) => JSON.stringify(place);

/**
 * @param {Place|null} place null for all of the image
 * @returns {Record<string, any>} keys of a request to `/infer`, or of an answer
 */
export function placePrompts(place) {
  if (!place) return {};
  return isBox(place) ? { box: place.flat() } : { foreground: [place] };
}

/**
 * @param {import("./grid.js").SeriesGrid} grid of the series
 * @param {Place} place
 * @returns {{at: number[], slice: number}} its middle: LPS mm, and the slice in the viewer's order
 */
export function middleOf(grid, place) {
  const middle = isBox(place) ? place.map(([first, past]) => (first + past - 1) / 2) : place;
  const slice = sliceAt(grid, Math.round(middle[2]));
  return { at: pointAt(grid, [middle[0], middle[1], slice]), slice };
}

/** @param {Place} place @returns {place is number[][]} */
function isBox(place) {
  return Array.isArray(place[0]);
}
