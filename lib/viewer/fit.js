// Why nothing can be drafted or drawn on what is open, in words.

/** @typedef {import("./ohif.js").DisplaySet} DisplaySet */

const SECONDARY_CAPTURE = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.7(\.|$)/; // Secondary Capture and its multi-frame kinds
const OF_IMAGES = /** @type {Record<string, string>} */ ({
  RTSTRUCT: "a structure set (RTSTRUCT): contours of another series, and no images",
  RTPLAN: "a treatment plan (RTPLAN), and no images",
  RTDOSE: "a dose distribution (RTDOSE), and no image of the patient",
  SEG: "a segmentation (SEG) of another series, and no images",
  SR: "a report (SR), and no images",
  PR: "a presentation state (PR) of another series, and no images",
  DOC: "a document, and no images",
});

/**
 * @param {DisplaySet} displaySet what is open
 * @returns {string|null} why no task fits it, whatever the tasks; null if one may
 */
export function unfit(displaySet) {
  const name = displaySet.SeriesDescription ? `“${displaySet.SeriesDescription}”` : "The open series";
  const kind = OF_IMAGES[displaySet.Modality] ?? kindOfImages(displaySet);
  return kind ? `${name} is ${kind}. No task fits it: open an image series from the study's list.` : null;
}

/**
 * @param {Pick<import("./client.js").Task, "kind"|"labels"|"modality">} task
 * @param {string} modality
 * @returns {boolean} whether the task draws series of a modality by itself: from no strokes, and no mere findings
 */
export function draws({ kind, labels, modality: modalities }, modality) {
  return kind !== "classification" && labels.length > 0 && modalities.includes(modality);
}

/**
 * @param {Pick<import("./client.js").Task, "kind"|"labels"|"modality">} task
 * @param {string} modality
 * @returns {boolean} whether the task tells findings of images of a modality
 */
export function tells({ kind, labels, modality: modalities }, modality) {
  return kind === "classification" && labels.length > 0 && modalities.includes(modality);
}

/**
 * @param {{findings?: Record<string, boolean>, unsure?: string[]}} version as the server tells it
 * @returns {boolean} whether it holds a label map, and no findings
 */
export function drawn({ findings = {}, unsure = [] }) {
  return Object.keys(findings).length + unsure.length === 0;
}

/**
 * @param {DisplaySet} displaySet
 * @returns {string|null} what images they are that are not of a volume of the patient
 */
function kindOfImages({ instances = [], imageIds = [], Modality }) {
  const [first] = instances;
  if ([first?.ImageType ?? []].flat().some((value) => value?.toUpperCase() === "LOCALIZER")) {
    return "a localizer (scout), taken to plan the series";
  }
  if (SECONDARY_CAPTURE.test(first?.SOPClassUID ?? "")) return "a secondary capture: pictures without a place in space";
  return imageIds.length ? null : `of modality ${Modality}, and OHIF shows no slices of it`;
}
