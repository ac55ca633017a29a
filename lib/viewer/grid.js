// Where a series' slices lie, and how a label map on the server's grid is brought onto them without interpolation.

/** @typedef {import("./nifti.js").LabelVolume} LabelVolume */

/**
 * Cornerstone's `imagePlaneModule` of one slice; positions and directions in LPS mm.
 * @typedef {object} Plane
 * @property {number} rows
 * @property {number} columns
 * @property {number[]} imagePositionPatient
 * @property {number[]} rowCosines
 * @property {number[]} columnCosines
 * @property {number} rowPixelSpacing
 * @property {number} columnPixelSpacing
 * @property {number} [sliceThickness]
 */

/**
 * A series' grid: i along a row, j down a column, k through the slices in the order given.
 * @typedef {object} SeriesGrid
 * @property {[number, number, number]} sizes
 * @property {number[]} affineRas 4×4, row by row
 */

const EVEN_MM = 0.05;
const FIT_VOXELS = 0.1;

/**
 * @param {Plane[]} planes of the slices, in order
 * @returns {SeriesGrid}
 */
export function seriesGrid(planes) {
  const first = planes[0];
  const last = planes[planes.length - 1];
  if (!first?.imagePositionPatient || !first.rowCosines || !first.rowPixelSpacing) {
    throw new Error("A series must say where its slices lie, and this one does not. Open another series.");
  }
  const row = [...first.rowCosines].map((value) => value * first.columnPixelSpacing);
  const column = [...first.columnCosines].map((value) => value * first.rowPixelSpacing);
  const step =
    planes.length > 1
      ? first.imagePositionPatient.map((value, axis) => (last.imagePositionPatient[axis] - value) / (planes.length - 1))
      : cross(first.rowCosines, first.columnCosines).map((value) => value * (first.sliceThickness || 1));
  planes.forEach((plane, index) => {
    const off = plane.imagePositionPatient.map(
      (value, axis) => value - first.imagePositionPatient[axis] - index * step[axis],
    );
    if (Math.hypot(...off) > EVEN_MM || plane.rows !== first.rows || plane.columns !== first.columns) {
      throw new Error(
        "A series must have evenly spaced slices of one size, and this one has not. Open another series.",
      );
    }
  });
  const flip = [-1, -1, 1]; // LPS to RAS
  const affineRas = flip.flatMap((sign, axis) =>
    [row[axis], column[axis], step[axis], first.imagePositionPatient[axis]].map((value) => sign * value),
  );
  return { sizes: [first.columns, first.rows, planes.length], affineRas: [...affineRas, 0, 0, 0, 1] };
}

/**
 * Bring a label map onto a series' grid. Both show the same voxels; only order and direction of axes may differ.
 * @param {LabelVolume} volume
 * @param {SeriesGrid} grid
 * @returns {Uint8Array|Uint16Array} label indices, i fastest
 */
export function placed(volume, grid) {
  const index = multiply(inverse(volume.affineRas), grid.affineRas);
  const whole = index.map(Math.round);
  const reach = Math.max(...grid.sizes);
  if (index.some((value, place) => Math.abs(value - whole[place]) * (place % 4 < 3 ? reach : 1) > FIT_VOXELS)) {
    throw new Error("A label map must lie on the voxels of its series, and this one does not. Draft again.");
  }
  const strides = [1, volume.sizes[0], volume.sizes[0] * volume.sizes[1]];
  const along = (/** @type {number} */ axis) =>
    strides.reduce((sum, stride, row) => sum + stride * whole[4 * row + axis], 0);
  const [di, dj, dk, start] = [along(0), along(1), along(2), along(3)];
  const [columns, rows, slices] = grid.sizes;
  const corner =
    start + (columns - 1) * Math.max(di, 0) + (rows - 1) * Math.max(dj, 0) + (slices - 1) * Math.max(dk, 0);
  const least = start + (columns - 1) * Math.min(di, 0) + (rows - 1) * Math.min(dj, 0) + (slices - 1) * Math.min(dk, 0);
  if (least !== 0 || corner !== volume.data.length - 1 || volume.data.length !== columns * rows * slices) {
    throw new Error("A label map must have the size of its series, and this one has not. Draft again.");
  }
  const result =
    volume.data.BYTES_PER_ELEMENT === 1 ? new Uint8Array(volume.data.length) : new Uint16Array(volume.data.length);
  let target = 0;
  for (let k = 0; k < slices; k++) {
    for (let j = 0; j < rows; j++) {
      let source = start + j * dj + k * dk;
      for (let i = 0; i < columns; i++, source += di) result[target++] = volume.data[source];
    }
  }
  return result;
}

/**
 * The voxel at a point, as the server counts: its slices always run along row × column, a viewer's may run back.
 * @param {SeriesGrid} grid
 * @param {number[]} point LPS mm
 * @returns {[number, number, number]|null} null off the grid
 */
export function imageVoxel(grid, point) {
  const voxel = nearestVoxel(grid, point);
  return voxel.some((at, axis) => at < 0 || at >= grid.sizes[axis]) ? null : voxel;
}

/**
 * The voxels that some points lie around, as the server counts.
 * @param {SeriesGrid} grid
 * @param {number[][]} points LPS mm
 * @returns {[number, number][]|null} per axis the first voxel and the one past the last; null off the grid
 */
export function imageBox(grid, points) {
  const voxels = points.map((point) => nearestVoxel(grid, point));
  const box = grid.sizes.map((size, axis) => {
    const along = voxels.map((voxel) => voxel[axis]);
    return /** @type {[number, number]} */ ([Math.max(0, Math.min(...along)), Math.min(size, Math.max(...along) + 1)]);
  });
  return box.some(([first, past]) => first >= past) ? null : box;
}

/**
 * @param {SeriesGrid} grid
 * @param {number[]} index in the viewer's order
 * @returns {number[]} LPS mm
 */
export function pointAt({ affineRas: m }, [i, j, k]) {
  const [x, y, z] = [0, 4, 8].map((row) => m[row] * i + m[row + 1] * j + m[row + 2] * k + m[row + 3]);
  return [-x, -y, z];
}

/**
 * @param {SeriesGrid} grid
 * @param {number} k a slice as the server counts, or in the viewer's order
 * @returns {number} the same slice in the other order
 */
export function sliceAt({ sizes, affineRas }, k) {
  const [row, column, step] = [0, 1, 2].map((axis) => [affineRas[axis], affineRas[4 + axis], affineRas[8 + axis]]);
  return dot(cross(row, column), step) > 0 ? k : sizes[2] - 1 - k;
}

/**
 * @param {SeriesGrid} grid
 * @param {number[]} point LPS mm
 * @returns {[number, number, number]} it may lie off the grid
 */
function nearestVoxel(grid, [x, y, z]) {
  const m = inverse(grid.affineRas);
  const [i, j, k] = [0, 4, 8].map((row) => Math.round(-m[row] * x - m[row + 1] * y + m[row + 2] * z + m[row + 3]));
  return [i, j, sliceAt(grid, k)];
}

/**
 * @param {number[]} a 4×4
 * @param {number[]} b 4×4
 * @returns {number[]}
 */
export function multiply(a, b) {
  return a.map((_, place) => {
    const [row, column] = [Math.floor(place / 4), place % 4];
    return [0, 1, 2, 3].reduce((sum, k) => sum + a[4 * row + k] * b[4 * k + column], 0);
  });
}

/**
 * @param {number[]} m affine 4×4
 * @returns {number[]}
 */
export function inverse(m) {
  const axes = [0, 1, 2].map((column) => [m[column], m[4 + column], m[8 + column]]);
  const normals = [cross(axes[1], axes[2]), cross(axes[2], axes[0]), cross(axes[0], axes[1])];
  const volume = dot(axes[0], normals[0]);
  const origin = [m[3], m[7], m[11]];
  const rows = normals.map((normal) => {
    const row = normal.map((value) => value / volume);
    return [...row, -dot(row, origin)];
  });
  return [...rows.flat(), 0, 0, 0, 1];
}

/**
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 * @returns {number[]}
 */
function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

/**
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 * @returns {number}
 */
function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
