// One draft from the click to its label map: waits for it, and says meanwhile how far it is.

import * as client from "./client.js";
import { readNifti } from "./nifti.js";

const LOOK_MS = 400;

/**
 * @typedef {object} DraftProgress
 * @property {number} fraction 0–1
 * @property {string} text
 */

/**
 * @typedef {object} DraftRequest
 * @property {string} task
 * @property {string} image
 * @property {string} requestId
 * @property {Record<string, any>} prompts
 * @property {Blob|null} [label] strokes
 * @property {(progress: DraftProgress) => void} tell
 */

/**
 * @param {DraftRequest} what
 * @returns {Promise<{volume: import("./nifti.js").LabelVolume, params: any}>}
 */
export async function draft({ task, image, requestId, prompts, label, tell }) {
  tell({ fraction: 0, text: "sent to the server" });
  const timer = setInterval(async () => {
    const progress = await lookAt(requestId);
    if (progress) tell(progress);
  }, LOOK_MS);
  try {
    const { file, params } = await client.infer({ task, image, requestId, prompts, label });
    return { volume: await readNifti(file), params };
  } finally {
    clearInterval(timer);
  }
}

/**
 * What in a draft is unlike the labels its model learned from, as a sentence for the person who corrects it.
 * @param {{plausibility?: {reasons: string[]}}} params of the draft
 * @returns {string} empty if there is nothing
 */
export function doubts({ plausibility }) {
  const reasons = plausibility?.reasons ?? [];
  return reasons.length ? `Look closely: ${reasons.join("; ")}.` : "";
}

/**
 * @param {string} requestId
 * @returns {Promise<DraftProgress|null>}
 */
async function lookAt(requestId) {
  try {
    return described(await client.inferences(), requestId);
  } catch {
    return null; // the draft's own request tells what is wrong
  }
}

/**
 * @param {client.Inference[]} all oldest first
 * @param {string} requestId
 * @returns {DraftProgress|null}
 */
export function described(all, requestId) {
  const mine = all.findIndex((inference) => inference.request_id === requestId);
  if (mine < 0) return { fraction: 0, text: "fetching the images" };
  const { state, fraction, phase } = all[mine];
  if (state !== "queued") return { fraction, text: phase };
  const before = all.slice(0, mine).filter((inference) => ["queued", "running"].includes(inference.state)).length;
  return { fraction: 0, text: before ? `waiting, ${before} before you` : "waiting for a worker" };
}
