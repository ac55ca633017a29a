// The parts of OHIF and Cornerstone3D that carina uses, in one place: what may change with their versions.

/**
 * @typedef {object} DisplaySet
 * @property {string} displaySetInstanceUID
 * @property {string} SeriesInstanceUID
 * @property {string} StudyInstanceUID
 * @property {string} Modality
 * @property {string} [SeriesDescription]
 * @property {string[]} [imageIds]
 * @property {number} [numImageFrames]
 * @property {{SOPClassUID?: string, ImageType?: string|string[], PixelSpacing?: number[],
 *   ImagerPixelSpacing?: number[], NominalScannedPixelSpacing?: number[]}[]} [instances]
 */

/** @type {any} */
let managers = null;

/**
 * Called once, when OHIF registers the extension.
 * @param {any} given servicesManager, commandsManager and extensionManager
 */
export function connect(given) {
  managers = given;
}

/** @returns {any} OHIF's services by name */
export function services() {
  return managers.servicesManager.services;
}

/** @returns {any} Cornerstone3D's core, as OHIF's own cornerstone extension publishes it */
export function cornerstone() {
  return /** @type {any} */ (window).cornerstone;
}

/** @returns {any} Cornerstone3D's tools */
export function tools() {
  return /** @type {any} */ (window).cornerstoneTools;
}

/** @returns {string|undefined} */
export function activeViewportId() {
  return services().viewportGridService.getActiveViewportId();
}

/** @returns {DisplaySet[]} what the active viewport shows, or was asked to */
function openDisplaySets() {
  const { viewportGridService, displaySetService } = services();
  const viewportId = activeViewportId();
  const uids = viewportId ? (viewportGridService.getDisplaySetsUIDsForViewport(viewportId) ?? []) : [];
  return uids.map((/** @type {string} */ uid) => displaySetService.getDisplaySetByUID(uid)).filter(Boolean);
}

/**
 * The image series in the active viewport: the first display set there whose slices Cornerstone shows.
 * @returns {DisplaySet|null}
 */
export function openSeries() {
  return openDisplaySets().find(({ imageIds }) => imageIds?.length) ?? null;
}

/** @returns {DisplaySet|null} what is open that is no series of slices, such as a structure set */
export function openOther() {
  return openSeries() ? null : (openDisplaySets()[0] ?? null);
}

/**
 * @param {DisplaySet} displaySet
 * @returns {string|undefined} a viewport that shows it; the active one, if it does
 */
export function viewportOf(displaySet) {
  const { viewports } = services().viewportGridService.getState();
  const showing = [...viewports.values()].filter(({ displaySetInstanceUIDs }) =>
    displaySetInstanceUIDs?.includes(displaySet.displaySetInstanceUID),
  );
  return (showing.find(({ viewportId }) => viewportId === activeViewportId()) ?? showing[0])?.viewportId;
}

/**
 * Call back whenever another series may be open.
 * @param {() => void} changed
 * @returns {() => void} ends it
 */
export function onSeriesChange(changed) {
  const { viewportGridService, displaySetService } = services();
  const subscriptions = [
    viewportGridService.subscribe(viewportGridService.EVENTS.ACTIVE_VIEWPORT_ID_CHANGED, changed),
    viewportGridService.subscribe(viewportGridService.EVENTS.GRID_STATE_CHANGED, changed),
    viewportGridService.subscribe(viewportGridService.EVENTS.VIEWPORTS_READY, changed),
    displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, changed),
  ];
  return () => subscriptions.forEach((subscription) => subscription.unsubscribe());
}

/** @param {string|undefined} viewportId @returns {any} Cornerstone's viewport of that id, if it is there */
export function cornerstoneViewport(viewportId) {
  return viewportId ? services().cornerstoneViewportService.getCornerstoneViewport(viewportId) : null;
}

/**
 * Show slice `index` of a series in the active viewport.
 * @param {number} index position among the display set's images
 */
export function showSlice(index) {
  const viewport = cornerstoneViewport(activeViewportId());
  if (viewport?.element) cornerstone().utilities.jumpToSlice(viewport.element, { imageIndex: index });
}

/**
 * Give the left mouse button to a tool, as a click on OHIF's own toolbar does.
 * @param {string} toolName
 * @param {string[]} toolGroupIds
 */
export function useTool(toolName, toolGroupIds) {
  managers.commandsManager.runCommand("setToolActiveToolbar", { toolName, toolGroupIds });
  services().toolbarService.refreshToolbarState({ viewportId: activeViewportId() });
}

/**
 * @param {string} imageId
 * @returns {ArrayLike<number>|null} Hounsfield units (or what the modality has) of a slice, if it was decoded
 */
export function imageValues(imageId) {
  const image = cornerstone().cache.getImage(imageId);
  if (!image) return null;
  const values = image.voxelManager?.getScalarData() ?? image.getPixelData();
  const { slope = 1, intercept = 0 } = image;
  if (image.preScale?.scaled || (slope === 1 && intercept === 0)) return values;
  return Float32Array.from(values, (/** @type {number} */ value) => value * slope + intercept);
}

/** @param {string} imageId */
export async function loadImage(imageId) {
  await cornerstone().imageLoader.loadAndCacheImage(imageId);
}

/**
 * @param {string} segmentationId
 * @returns {string[]} viewports that show it
 */
export function viewportsShowing(segmentationId) {
  return services().segmentationService.getViewportIdsWithSegmentation(segmentationId);
}

/**
 * @param {string} segmentationId
 * @param {number} index
 * @returns {boolean} whether a segment is shown anywhere
 */
export function segmentShown(segmentationId, index) {
  const { getSegmentIndexVisibility } = tools().segmentation.config.visibility;
  const specifier = { segmentationId, type: "Labelmap" };
  return viewportsShowing(segmentationId).some((viewportId) => getSegmentIndexVisibility(viewportId, specifier, index));
}

/**
 * @param {string} segmentationId
 * @param {number} index
 * @param {boolean} shown
 */
export function showSegment(segmentationId, index, shown) {
  for (const viewportId of viewportsShowing(segmentationId)) {
    services().segmentationService.setSegmentVisibility(viewportId, segmentationId, index, shown, "Labelmap");
  }
}

/** @param {number} opacity of what is inside a segment's outline, 0–1 */
export function setOpacity(opacity) {
  services().segmentationService.setStyle({ type: "Labelmap" }, { fillAlpha: opacity, fillAlphaInactive: opacity });
}

/** @returns {string|undefined} id of the segmentation that tools draw on */
export function activeSegmentation() {
  const viewportId = activeViewportId();
  return viewportId ? services().segmentationService.getActiveSegmentation(viewportId)?.segmentationId : undefined;
}

/**
 * @param {string} segmentationId
 * @returns {number|undefined} index of the segment that tools draw when they draw on this segmentation
 */
export function activeSegment(segmentationId) {
  const { segments = {} } = services().segmentationService.getSegmentation(segmentationId) ?? {};
  return Object.values(segments).find((/** @type {any} */ segment) => segment?.active)?.segmentIndex;
}

/** Give the left mouse button of the active viewport to OHIF's brush. */
export function takeBrush() {
  const viewportId = activeViewportId();
  const group = viewportId ? services().toolGroupService.getToolGroupForViewport(viewportId) : null;
  if (group) useTool("CircularBrush", [group.id]);
}
