// NIfTI-1 label maps (.nii.gz), read and written: the one form in which labels travel between server and viewer.

const HEADER_BYTES = 348;
const DATA_OFFSET = 352;
const UINT8 = 2;
const INT16 = 4;
const UINT16 = 512;

/**
 * @typedef {object} LabelVolume
 * @property {[number, number, number]} sizes voxels along i, j, k
 * @property {number[]} affineRas 4×4, row by row: (i, j, k, 1) to mm
 * @property {Uint8Array|Uint16Array} data label indices, i fastest
 */

/**
 * @param {Blob} file a gzip'ed NIfTI-1 file
 * @returns {Promise<LabelVolume>}
 */
export async function readNifti(file) {
  const buffer = await new Response(file.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const view = new DataView(buffer);
  if (buffer.byteLength < DATA_OFFSET || view.getInt32(0, true) !== HEADER_BYTES) {
    throw new Error("A label map must be a little-endian NIfTI-1 file. Ask the server for .nii.gz.");
  }
  /** @type {[number, number, number]} */
  const sizes = [view.getInt16(42, true), view.getInt16(44, true), Math.max(1, view.getInt16(46, true))];
  if (view.getInt16(254, true) === 0) throw new Error("A label map must say where it lies (sform). Draft again.");
  const affineRas = [...Array(12).keys()].map((index) => view.getFloat32(280 + 4 * index, true)).concat([0, 0, 0, 1]);
  const count = sizes[0] * sizes[1] * sizes[2];
  return { sizes, affineRas, data: voxels(buffer, view, count) };
}

/**
 * @param {ArrayBuffer} buffer
 * @param {DataView} view
 * @param {number} count
 * @returns {Uint8Array|Uint16Array}
 */
function voxels(buffer, view, count) {
  const type = view.getInt16(70, true);
  const offset = Math.round(view.getFloat32(108, true));
  const bytes = type === UINT8 ? 1 : 2;
  if (![UINT8, INT16, UINT16].includes(type) || buffer.byteLength < offset + count * bytes) {
    throw new Error("A label map must hold whole numbers for every voxel. Draft again.");
  }
  return type === UINT8 ? new Uint8Array(buffer, offset, count) : new Uint16Array(buffer, offset, count);
}

/**
 * @param {LabelVolume} volume
 * @returns {Promise<Blob>} a gzip'ed NIfTI-1 file
 */
export async function writeNifti({ sizes, affineRas, data }) {
  const header = new DataView(new ArrayBuffer(DATA_OFFSET));
  const wide = data.BYTES_PER_ELEMENT === 2;
  header.setInt32(0, HEADER_BYTES, true);
  [3, ...sizes, 1, 1, 1, 1].forEach((size, index) => header.setInt16(40 + 2 * index, size, true));
  header.setInt16(70, wide ? UINT16 : UINT8, true);
  header.setInt16(72, wide ? 16 : 8, true);
  [1, ...spacings(affineRas)].forEach((size, index) => header.setFloat32(76 + 4 * index, size, true));
  header.setFloat32(108, DATA_OFFSET, true);
  header.setFloat32(112, 1, true);
  header.setUint8(123, 2); // millimetres
  header.setInt16(254, 1, true); // the sform holds: scanner coordinates
  affineRas.slice(0, 12).forEach((value, index) => header.setFloat32(280 + 4 * index, value, true));
  [0x6e, 0x2b, 0x31, 0].forEach((byte, index) => header.setUint8(344 + index, byte)); // "n+1"
  const plain = new Blob([header.buffer, /** @type {BlobPart} */ (data)]);
  return new Response(plain.stream().pipeThrough(new CompressionStream("gzip"))).blob();
}

/**
 * @param {number[]} affine 4×4, row by row
 * @returns {number[]} length of each voxel axis in mm
 */
export function spacings(affine) {
  return [0, 1, 2].map((axis) => Math.hypot(affine[axis], affine[4 + axis], affine[8 + axis]));
}
