// Crystals as numbers: supercells from an integer matrix, bonds, coordination polyhedra, distances.
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const scale = (a, s) => [a[0] * s, a[1] * s, a[2] * s];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const norm = (a) => Math.sqrt(dot(a, a));
const unit = (a) => scale(a, 1 / (norm(a) || 1));
const rowTimes = (v, m) => [0, 1, 2].map((j) => v[0] * m[0][j] + v[1] * m[1][j] + v[2] * m[2][j]);
const times = (a, b) => a.map((row) => rowTimes(row, b));
const det3 = (m) => dot(m[0], cross(m[1], m[2]));
function inverse(m) {
  const d = det3(m);
  const c = [cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1])];
  return [0, 1, 2].map((i) => [0, 1, 2].map((j) => c[j][i] / d));
}
const rows3 = (flat) => [flat.slice(0, 3), flat.slice(3, 6), flat.slice(6, 9)];

function crystalOf(candidate) {
  const s = candidate.structure;
  const frac = s.species.map((_, i) => s.frac.slice(3 * i, 3 * i + 3));
  return { lattice: rows3(s.lattice), frac, species: s.species };
}

/** The crystal in the cell M . lattice (M integer, rows). */
function transformed(crystal, matrix) {
  const lattice = times(matrix, crystal.lattice);
  const toNew = inverse(matrix);
  const copies = Math.round(Math.abs(det3(matrix)));
  const reach = [0, 1, 2].map((j) => {
    let low = 0, high = 0;
    for (const row of matrix) row[j] < 0 ? (low += row[j]) : (high += row[j]);
    return [low, high];
  });
  const out = { lattice, frac: [], species: [], source: [] };
  crystal.frac.forEach((f, i) => {
    let found = 0;
    for (let x = reach[0][0] - 1; x <= reach[0][1] && found < copies; x++)
      for (let y = reach[1][0] - 1; y <= reach[1][1] && found < copies; y++)
        for (let z = reach[2][0] - 1; z <= reach[2][1] && found < copies; z++) {
          const g = rowTimes([f[0] + x, f[1] + y, f[2] + z], toNew);
          if (g.some((v) => v < -1e-6 || v >= 1 - 1e-6)) continue;
          out.frac.push(g);
          out.species.push(crystal.species[i]);
          out.source.push(i);
          found++;
        }
  });
  return out;
}

/** Atoms of the cell plus their images on its faces, edges and corners, in Cartesian coordinates. */
function withFaces(crystal) {
  const atoms = [];
  crystal.frac.forEach((f, i) => {
    const choices = f.map((v) => (Math.abs(v) < 0.02 ? [0, 1] : Math.abs(v - 1) < 0.02 ? [-1, 0] : [0]));
    for (const x of choices[0]) for (const y of choices[1]) for (const z of choices[2]) {
      const g = [f[0] + x, f[1] + y, f[2] + z];
      atoms.push({ position: rowTimes(g, crystal.lattice), frac: g, symbol: crystal.species[i], source: crystal.source ? crystal.source[i] : i, image: x || y || z ? 1 : 0 });
    }
  });
  return atoms;
}

const radiusOf = (symbol) => DATA.elements[symbol].radius;

/** Whether two elements may be drawn bonded: in a compound with non-metals, metals don't bond to each other. */
function bondable(a, b, hasNonmetal) {
  return !(hasNonmetal && DATA.elements[a].metal && DATA.elements[b].metal);
}
const bondLimit = (a, b) => 1.14 * (radiusOf(a) + radiusOf(b));

function bondsOf(atoms, hasNonmetal) {
  const bonds = [];
  for (let i = 0; i < atoms.length; i++)
    for (let j = i + 1; j < atoms.length; j++) {
      if (!bondable(atoms[i].symbol, atoms[j].symbol, hasNonmetal)) continue;
      const limit = bondLimit(atoms[i].symbol, atoms[j].symbol);
      const d = sub(atoms[i].position, atoms[j].position);
      if (Math.abs(d[0]) > limit || Math.abs(d[1]) > limit || Math.abs(d[2]) > limit) continue;
      const length = norm(d);
      if (length > 0.4 && length < limit) bonds.push([i, j]);
    }
  return bonds;
}

/** Add the atoms outside the cell that are bonded to one inside it, so that no coordination looks cut. */
function addBondedImages(atoms, crystal, hasNonmetal) {
  const inside = atoms.slice();
  const spots = new Set(atoms.map((a) => a.position.map((x) => x.toFixed(2)).join()));
  for (const atom of inside) {
    if (atom.image) continue; // only those of the cell itself: images of images would never end
    for (const near of neighbours(crystal, atom.position, 3.6)) {
      const symbol = crystal.species[near.index];
      if (!bondable(atom.symbol, symbol, hasNonmetal) || near.distance > bondLimit(atom.symbol, symbol) || near.distance < 0.4) continue;
      const key = near.position.map((x) => x.toFixed(2)).join();
      if (spots.has(key)) continue;
      spots.add(key);
      atoms.push({ position: near.position, frac: [0, 0, 0], symbol, source: near.index, image: 2 });
    }
  }
}

/** Neighbours of one point within a radius: {species index, distance, position}. */
function neighbours(crystal, point, cutoff) {
  const inv = inverse(crystal.lattice);
  const heights = [0, 1, 2].map((i) => 1 / norm([inv[0][i], inv[1][i], inv[2][i]]));
  const n = heights.map((h) => Math.ceil(cutoff / h) + 1);
  const found = [];
  const home = rowTimes(point, inv); // the point may lie cells away from the origin
  crystal.frac.forEach((f, j) => {
    const base = rowTimes(f.map((x, k) => x + Math.round(home[k] - x)), crystal.lattice);
    for (let x = -n[0]; x <= n[0]; x++) for (let y = -n[1]; y <= n[1]; y++) for (let z = -n[2]; z <= n[2]; z++) {
      const p = add(base, rowTimes([x, y, z], crystal.lattice));
      const d = norm(sub(p, point));
      if (d > 1e-4 && d <= cutoff) found.push({ index: j, distance: d, position: p });
    }
  });
  return found;
}

/** Shortest distance of each pair of elements, and how many neighbours the first has at (within 2 % of) it. */
function pairDistances(crystal) {
  const elements = [...new Set(crystal.species)];
  const best = new Map();
  crystal.frac.forEach((f, i) => {
    const around = neighbours(crystal, rowTimes(f, crystal.lattice), 6.0);
    for (const other of elements) {
      const shell = around.filter((n) => crystal.species[n.index] === other);
      if (!shell.length) continue;
      const nearest = Math.min(...shell.map((n) => n.distance));
      const coordination = shell.filter((n) => n.distance <= nearest * 1.02).length;
      const key = `${crystal.species[i]}–${other}`;
      const old = best.get(key);
      if (!old || nearest < old.distance - 1e-6) best.set(key, { a: crystal.species[i], b: other, distance: nearest, coordination });
    }
  });
  const seen = new Set();
  return [...best.values()].sort((p, q) => p.distance - q.distance).filter((p) => {
    const key = [p.a, p.b].sort().join();
    return seen.has(key) ? false : seen.add(key);
  });
}

/** Coordination polyhedra of metal atoms by non-metals: outward faces as triples of ligand positions. */
function polyhedraOf(atoms, crystal) {
  const out = [];
  const hasNonmetal = crystal.species.some((s) => !DATA.elements[s].metal);
  const hasMetal = crystal.species.some((s) => DATA.elements[s].metal);
  if (!hasNonmetal || !hasMetal) return out;
  const shells = new Map();
  for (const atom of atoms) {
    if (!DATA.elements[atom.symbol].metal) continue;
    const ligands = neighbours(crystal, atom.position, 3.6).filter((n) => {
      const symbol = crystal.species[n.index];
      return !DATA.elements[symbol].metal && n.distance < 1.12 * (radiusOf(atom.symbol) + radiusOf(symbol));
    });
    shells.set(atom.symbol, Math.max(shells.get(atom.symbol) || 0, ligands.length));
    if (ligands.length >= 4 && ligands.length <= 8) {
      const points = ligands.map((n) => n.position);
      out.push({ symbol: atom.symbol, center: atom.position, points, symbols: ligands.map((n) => crystal.species[n.index]), faces: hullFaces(points) });
    }
  }
  return out;
}

/** Triangles of the convex hull of a few points (brute force: at most 8 ligands). */
function hullFaces(points) {
  const faces = [];
  const middle = scale(points.reduce(add, [0, 0, 0]), 1 / points.length);
  for (let i = 0; i < points.length; i++) for (let j = i + 1; j < points.length; j++) for (let k = j + 1; k < points.length; k++) {
    let normal = cross(sub(points[j], points[i]), sub(points[k], points[i]));
    if (norm(normal) < 1e-6) continue;
    normal = unit(normal);
    if (dot(normal, sub(points[i], middle)) < 0) normal = scale(normal, -1);
    if (points.every((p) => dot(normal, sub(p, points[i])) < 0.05)) faces.push({ corners: [i, j, k], normal });
  }
  return faces;
}

/** Cell lengths (angstrom) and angles (degrees). */
function cellParameters(lattice) {
  const lengths = lattice.map(norm);
  const angle = (i, j) => (Math.acos(Math.max(-1, Math.min(1, dot(lattice[i], lattice[j]) / (lengths[i] * lengths[j])))) * 180) / Math.PI;
  return { lengths, angles: [angle(1, 2), angle(0, 2), angle(0, 1)], volume: Math.abs(det3(lattice)) };
}
