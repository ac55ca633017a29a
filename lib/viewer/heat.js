// What speaks for a finding, as a picture on its image: no work begins with it, and it is never submitted.

import { activeSegment } from "./ohif.js";
import { placePrompts } from "./places.js";
import * as segmentation from "./segmentation.js";
import { session } from "./session.js";
import { words } from "./view.js";

/** @typedef {import("./sheets.js").Sheet} Sheet */

/** @param {Sheet} sheet @returns {string|null} the finding whose heat is on screen */
export function shown({ heat }) {
  return heat && segmentation.exists(heat.segmentationId) ? heat.finding : null;
}

/** @param {Sheet} sheet */
export function hide(sheet) {
  if (sheet.heat) segmentation.remove(sheet.heat.segmentationId);
  sheet.heat = null;
}

/**
 * Ask for the heat of a finding and show it in place of another one's.
 * @param {import("./ohif.js").DisplaySet} series that is open
 * @param {Sheet} sheet
 * @param {string} finding
 */
export async function show(series, sheet, finding) {
  await session.ask(sheet.task, {
    request: async () => ({ prompts: { ...placePrompts(sheet.place), heatmap: finding } }),
    take: async ({ volume }) => {
      hide(sheet);
      const labels = sheet.task.labels.filter(({ name }) => name === finding);
      const drawn = session.work && activeSegment(session.work.segmentationId);
      const title = `What speaks for ${words(finding)}: no segmentation`;
      const segmentationId = await segmentation.show(series, { title, labels, volume });
      sheet.heat = { finding, segmentationId };
      if (session.work && drawn) segmentation.activate(session.work.segmentationId, drawn);
    },
  });
}
