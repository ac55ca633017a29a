// How large a segment is, for people: a volume, and in a projection, which has no depth, an area; as the server's sizes.py says.

import { spacings } from "./nifti.js";

const PROJECTIONS = ["CR", "DX", "RG"];

/**
 * @typedef {object} SizeUnit
 * @property {string} heading
 * @property {string} shown after a number
 * @property {number} perVoxel size of one voxel
 */

/**
 * @param {Pick<import("./ohif.js").DisplaySet, "Modality"|"instances">} displaySet
 * @param {import("./grid.js").SeriesGrid} grid
 * @returns {SizeUnit}
 */
export function sizeUnit({ Modality, instances = [] }, { sizes, affineRas }) {
  if (!PROJECTIONS.includes(Modality)) {
    return { heading: "ml", shown: "ml", perVoxel: spacings(affineRas).reduce((product, size) => product * size, 1e-3) };
  }
  const { PixelSpacing, ImagerPixelSpacing, NominalScannedPixelSpacing } = instances[0] ?? {};
  const pixel = [PixelSpacing, ImagerPixelSpacing, NominalScannedPixelSpacing].find((spacing) => spacing?.length === 2);
  if (pixel) return { heading: "cm²", shown: "cm²", perVoxel: (Number(pixel[0]) * Number(pixel[1])) / 100 };
  return { heading: "%", shown: "% of the image", perVoxel: 100 / (sizes[0] * sizes[1]) };
}

/** @param {number} size @returns {string} as a number that a person reads */
export const sizeText = (size) => (size < 10 ? size.toFixed(1) : String(Math.round(size)));
