// The segments of the work on the open series: which are listed, and the one that tools, points and strokes are about.

import { activeSegment, showSlice } from "./ohif.js";
import * as segmentation from "./segmentation.js";
import { session } from "./session.js";

/** @typedef {import("./client.js").Label} Label */

/** @returns {Label|null} the segment that points, strokes and boxes are about */
export function chosenSegment() {
  const { work } = session;
  const active = work ? activeSegment(work.segmentationId) : undefined;
  return work?.labels.find(({ index }) => index === active) ?? null;
}

/** @returns {{label: Label, measure: import("./measures.js").Measure|undefined}[]} listed, by index */
export function listedSegments() {
  const { work } = session;
  if (!work) return [];
  const listed = new Set(segmentation.names(work.segmentationId).map(({ idx }) => idx));
  return work.labels
    .filter(({ index }) => listed.has(index))
    .map((label) => ({ label, measure: work.measuring.of(label.index) }));
}

/** @param {Label} label to be listed too */
export function addSegment(label) {
  if (session.work) segmentation.addSegment(session.work.segmentationId, label);
  session.redraw();
}

/**
 * Make a segment the one that tools draw, and show the slice that holds most of it.
 * @param {number} index
 */
export function goToSegment(index) {
  const { work } = session;
  if (!work) return;
  segmentation.activate(work.segmentationId, index);
  const slice = work.measuring.of(index)?.slice ?? -1;
  if (slice >= 0) showSlice(slice);
  session.redraw();
}
