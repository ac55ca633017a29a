// The way to the next case: a page of its own, which remembers why it was chosen.

import * as client from "./client.js";
import { words } from "./view.js";

const WHY = "carina.why";

/**
 * @param {{strategy: string, user: string, task: string|null}} what
 * @returns {Promise<{image: string, address: URL}|null>} null when nothing is left
 */
export async function nextCase(what) {
  const found = await client.nextCase(what);
  if (!found.id || !found.StudyInstanceUID) return null;
  const why = found.why ?? `Chosen by the strategy "${words(what.strategy)}".`;
  sessionStorage.setItem(WHY, JSON.stringify({ image: found.id, why }));
  return { image: found.id, address: caseAddress(found.StudyInstanceUID, found.id) };
}

/** @param {string} image @returns {string} why it was handed out in this tab; empty if it was not */
export function whyHandedOut(image) {
  const known = JSON.parse(sessionStorage.getItem(WHY) ?? "{}");
  return known.image === image ? known.why : "";
}

/** @param {string} study @param {string} series */
export function caseAddress(study, series) {
  const address = new URL(location.href);
  address.search = new URLSearchParams({ StudyInstanceUIDs: study, initialSeriesInstanceUID: series }).toString();
  return address;
}
