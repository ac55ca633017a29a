// A label map as an editable OHIF segmentation, and back.

import { cornerstone, services, tools, viewportOf, viewportsShowing } from "./ohif.js";
import { placed, seriesGrid } from "./grid.js";
import { replaceSegment } from "./strokes.js";

/** @typedef {import("./ohif.js").DisplaySet} DisplaySet */
/** @typedef {import("./nifti.js").LabelVolume} LabelVolume */
/** @typedef {import("./client.js").Label} Label */

/** More labels than this are not all listed: only those a draft holds, and those the user adds. */
const LISTED_LABELS = 24;

/**
 * @param {DisplaySet} displaySet
 * @returns {import("./grid.js").SeriesGrid}
 */
export function gridOf(displaySet) {
  const metaData = cornerstone().metaData;
  return seriesGrid((displaySet.imageIds ?? []).map((imageId) => metaData.get("imagePlaneModule", imageId)));
}

/**
 * Show a label map on its series, as the segmentation that OHIF's tools edit.
 * @param {DisplaySet} displaySet
 * @param {{title: string, labels: Label[], volume: LabelVolume|null}} what without a volume it starts empty
 * @returns {Promise<string>} its segmentation id
 */
export async function show(displaySet, { title, labels, volume }) {
  const { segmentationService } = services();
  const grid = gridOf(displaySet);
  const data = volume ? placed(volume, grid) : null;
  const present = data ? valuesIn(data) : new Set();
  const listed = labels.length <= LISTED_LABELS ? labels : labels.filter((label) => present.has(label.index));
  const segmentationId = `carina-${crypto.randomUUID()}`;
  await segmentationService.createLabelmapForDisplaySet(displaySet, {
    segmentationId,
    label: title,
    segments: Object.fromEntries(
      listed.map((label, place) => [label.index, { ...segment(label), active: place === 0 }]),
    ),
  });
  if (data) fill(segmentationId, data, grid.sizes[0] * grid.sizes[1]);
  await attach(displaySet, segmentationId, labels);
  if (listed.length && viewportOf(displaySet)) segmentationService.setActiveSegment(segmentationId, listed[0].index);
  return segmentationId;
}

/**
 * Make a segmentation visible where its series is shown, if it is shown and the segmentation is not visible yet.
 * @param {DisplaySet} displaySet
 * @param {string} segmentationId
 * @param {Label[]} labels
 */
export async function attach(displaySet, segmentationId, labels) {
  const { segmentationService } = services();
  const viewportId = viewportOf(displaySet);
  if (!viewportId || segmentationService.getSegmentationRepresentations(viewportId, { segmentationId }).length) return;
  await segmentationService.addSegmentationRepresentation(viewportId, {
    segmentationId,
    config: { colorLUTOrIndex: colours(labels) },
  });
}

/** @param {string} segmentationId */
export function remove(segmentationId) {
  if (exists(segmentationId)) services().segmentationService.remove(segmentationId);
}

/**
 * @param {string} segmentationId
 * @param {Label} label
 */
export function addSegment(segmentationId, label) {
  services().segmentationService.addSegment(segmentationId, { ...segment(label), color: [...label.colour, 255] });
}

/**
 * Have tools draw a segment, wherever it is shown.
 * @param {string} segmentationId
 * @param {number} index
 */
export function activate(segmentationId, index) {
  const { segmentationService } = services();
  for (const viewportId of viewportsShowing(segmentationId)) {
    segmentationService.setActiveSegmentation(viewportId, segmentationId);
  }
  segmentationService.setActiveSegment(segmentationId, index);
}

/**
 * Let a segment be what a label map says, whose voxels are 0 outside of it.
 * @param {DisplaySet} displaySet
 * @param {string} segmentationId
 * @param {{index: number, volume: LabelVolume}} what
 */
export function replace(displaySet, segmentationId, { index, volume }) {
  const grid = gridOf(displaySet);
  const { data } = read(displaySet, segmentationId);
  replaceSegment(data, placed(volume, grid), index);
  for (const layer of layersOf(segmentationId).slice(1)) memoryOf(layer).forEach((slice) => slice.fill(0));
  fill(segmentationId, data, grid.sizes[0] * grid.sizes[1]);
}

/**
 * The voxels on screen, on the series' grid.
 * @param {DisplaySet} displaySet
 * @param {string} segmentationId
 * @returns {LabelVolume}
 */
export function read(displaySet, segmentationId) {
  const grid = gridOf(displaySet);
  const perSlice = grid.sizes[0] * grid.sizes[1];
  const slices = slicesOf(segmentationId);
  const wide = slices.some((slice) => slice.BYTES_PER_ELEMENT > 1);
  const data = wide ? new Uint16Array(perSlice * slices.length) : new Uint8Array(perSlice * slices.length);
  slices.forEach((slice, index) => data.set(slice, index * perSlice));
  return { sizes: grid.sizes, affineRas: grid.affineRas, data };
}

/**
 * @param {string} segmentationId
 * @returns {{name: string, idx: number}[]} every segment that OHIF lists
 */
export function names(segmentationId) {
  const { segments } = services().segmentationService.getSegmentation(segmentationId);
  return Object.values(segments)
    .filter(Boolean)
    .map((found) => ({ name: String(found.label), idx: Number(found.segmentIndex) }));
}

/**
 * Call back when somebody edits a segmentation, or removes it, such as by OHIF's own menu.
 * @param {{edited: (segmentationId: string) => void, removed: (segmentationId: string) => void}} callbacks
 * @returns {() => void} ends it
 */
export function follow({ edited, removed }) {
  const { segmentationService } = services();
  const { SEGMENTATION_DATA_MODIFIED, SEGMENTATION_REMOVED } = segmentationService.EVENTS;
  const subscriptions = [
    [SEGMENTATION_DATA_MODIFIED, edited],
    [SEGMENTATION_REMOVED, removed],
  ].map(([event, callback]) =>
    segmentationService.subscribe(event, (/** @type {{segmentationId: string}} */ given) =>
      callback(given.segmentationId),
    ),
  );
  return () => subscriptions.forEach((subscription) => subscription.unsubscribe());
}

/**
 * @param {string} segmentationId
 * @returns {boolean} whether OHIF still has it
 */
export function exists(segmentationId) {
  return Boolean(services().segmentationService.getSegmentation(segmentationId));
}

/**
 * What OHIF keeps of a segment; the codes stand where its own SEG reader puts them.
 * @param {Label} label
 */
function segment({ name, index, type, modifier }) {
  return {
    segmentIndex: index,
    label: name,
    locked: false,
    active: false,
    cachedStats: {
      type: modifier ? `${type.meaning}, ${modifier.meaning}` : type.meaning,
      code: `${type.scheme} ${type.value}`,
    },
  };
}

/**
 * @param {Label[]} labels
 * @returns {number[][]} RGBA by label index; 0 is background
 */
function colours(labels) {
  const table = Array.from({ length: Math.max(...labels.map((label) => label.index)) + 1 }, () => [128, 174, 128, 255]);
  table[0] = [0, 0, 0, 0];
  for (const label of labels) table[label.index] = [...label.colour, 255];
  return table;
}

/**
 * Cornerstone moves a segment that may overlap others into a layer of its own, with its own numbers.
 * @typedef {object} Layer
 * @property {string[]} imageIds in the order of the series' images
 * @property {Record<number, number>} [labelToSegmentIndex]
 */

/**
 * @param {string} segmentationId
 * @returns {Layer[]} the one that was made first comes first
 */
function layersOf(segmentationId) {
  const { Labelmap } = services().segmentationService.getSegmentation(segmentationId).representationData;
  const { labelmaps = {}, primaryLabelmapId } = Labelmap;
  const others = Object.entries(labelmaps)
    .filter(([id]) => id !== primaryLabelmapId)
    .map(([, layer]) => layer);
  return [{ imageIds: Labelmap.imageIds, ...labelmaps[primaryLabelmapId] }, ...others];
}

/**
 * @param {Layer} layer
 * @returns {(Uint8Array|Uint16Array)[]} Cornerstone's own memory, slice by slice
 */
function memoryOf(layer) {
  return layer.imageIds.map((imageId) => cornerstone().cache.getImage(imageId).voxelManager.getScalarData());
}

/**
 * @param {string} segmentationId
 * @returns {(Uint8Array|Uint16Array)[]} label indices, slice by slice; where layers overlap, the newest counts
 */
export function slicesOf(segmentationId) {
  const [first, ...others] = layersOf(segmentationId);
  const slices = memoryOf(first).map((slice) => (others.length ? slice.slice() : slice));
  for (const layer of others) {
    memoryOf(layer).forEach((slice, index) => {
      for (let place = 0; place < slice.length; place++) {
        const value = slice[place];
        if (value) slices[index][place] = layer.labelToSegmentIndex?.[value] ?? value;
      }
    });
  }
  return slices;
}

/**
 * @param {string} segmentationId
 * @param {Uint8Array|Uint16Array} data
 * @param {number} perSlice
 */
function fill(segmentationId, data, perSlice) {
  const [layer] = layersOf(segmentationId);
  memoryOf(layer).forEach((slice, index) => slice.set(data.subarray(index * perSlice, (index + 1) * perSlice)));
  tools().segmentation.triggerSegmentationEvents.triggerSegmentationDataModified(segmentationId);
}

/**
 * @param {Uint8Array|Uint16Array} data
 * @returns {Set<number>}
 */
function valuesIn(data) {
  const seen = new Uint8Array(65536);
  for (let place = 0; place < data.length; place++) seen[data[place]] = 1;
  return new Set([...seen.keys()].filter((value) => value && seen[value]));
}
