// Marks on the image at the places that findings are about: a reader puts them there, or they come back with an answer.

import { imageVoxel } from "./grid.js";
import { removeMarks, rest, spots } from "./marks.js";
import { showSlice } from "./ohif.js";
import { middleOf, placeKey } from "./places.js";
import { gridOf } from "./segmentation.js";

/** @typedef {import("./ohif.js").DisplaySet} DisplaySet */
/** @typedef {import("./places.js").Place} Place */

/** @type {WeakMap<DisplaySet, import("./grid.js").SeriesGrid>} */
const grids = new WeakMap();

/** @returns {boolean} whether a click on the image marks a place */
export const pointing = () => spots.placing;

export { rest };

/**
 * Have clicks mark places; asked for again, have them do so no more.
 * @param {Parameters<typeof spots.place>[0]} callbacks
 */
export function point(callbacks) {
  if (pointing()) return rest();
  spots.place(callbacks);
}

/**
 * @param {DisplaySet} series
 * @returns {number[][]} voxels that were pointed at and nothing was said about yet, the oldest first
 */
export function pointedAt(series) {
  return free(series).flatMap(({ voxel }) => (voxel ? [voxel] : []));
}

/**
 * Take marks away that are not on the image.
 * @param {DisplaySet} series
 * @returns {boolean} whether there were any
 */
export function tidy(series) {
  const off = free(series).filter(({ voxel }) => !voxel);
  if (off.length) removeMarks(off);
  return off.length > 0;
}

/**
 * Keep a place's mark where it is from now on; a place without one gets it.
 * @param {DisplaySet} series
 * @param {Place} place
 * @param {{label: string, colour: [number, number, number]}} says
 */
export function hold(series, place, says) {
  const key = placeKey(place);
  const known = spots.on(series.SeriesInstanceUID).find(({ held }) => held === key);
  const mark = known ?? free(series).find(({ voxel }) => placeKey(voxel) === key);
  const id = mark?.id ?? spots.put(series, { ...says, ...middleOf(grid(series), place) });
  if (id) spots.hold(id, { place: key, label: says.label });
}

/**
 * Take a place's mark away.
 * @param {DisplaySet} series
 * @param {Place} place
 */
export function forget(series, place) {
  const key = placeKey(place);
  const held = spots.on(series.SeriesInstanceUID).filter((mark) => mark.held === key);
  removeMarks([...held, ...free(series).filter(({ voxel }) => placeKey(voxel) === key)]);
}

/** @param {DisplaySet} series @param {Place} place @returns {number} its slice in the viewer's order, from 0 */
export const sliceOf = (series, place) => middleOf(grid(series), place).slice;

/** @param {DisplaySet} series @param {Place} place */
export const goTo = (series, place) => showSlice(sliceOf(series, place));

/** @param {DisplaySet} series @returns {(import("./marks.js").Mark & {voxel: number[]|null})[]} marks that may be moved */
function free(series) {
  return spots
    .on(series.SeriesInstanceUID)
    .filter(({ held }) => !held)
    .map((mark) => ({ ...mark, voxel: imageVoxel(grid(series), mark.at[0]) }));
}

/** @param {DisplaySet} series @returns {import("./grid.js").SeriesGrid} */
function grid(series) {
  const known = grids.get(series) ?? gridOf(series);
  grids.set(series, known);
  return known;
}
