// @ts-check
/** Draws the graph of streams and tables. dagre places the nodes; each node is a link that the keyboard reaches. */

import { svg, visible } from './dom.js';

/** @typedef {import('./lineage.js').Source} Source */

const HEIGHT = 26;
const LETTER = 6.6; // px, of the font in the stylesheet

/** @param {string | null} state */
export const looksBad = (state) => state !== null && state !== 'RUNNING' && state !== 'REBALANCING';

let key = '';

/**
 * @param {SVGSVGElement} picture
 * @param {Source[]} nodes
 * @param {[string, string][]} edges
 * @param {string | null} chosen
 * @param {(name: string) => void} onChoice
 */
export function drawGraph(picture, nodes, edges, chosen, onChoice) {
  const newKey = JSON.stringify([nodes.map((n) => [n.name, n.kind]), edges]);
  if (newKey !== key) {
    key = newKey;
    place(picture, nodes, edges, onChoice);
  }
  const near = new Set(edges.flatMap(([a, b]) => (a === chosen || b === chosen ? [a, b] : [])));
  for (const node of nodes) {
    const link = /** @type {SVGElement | undefined} */ ([...picture.querySelectorAll('a')].find((a) => a.dataset.name === node.name));
    if (!link) continue;
    link.setAttribute('class', [node.kind.toLowerCase(), looksBad(node.state) ? 'bad' : '', node.name === chosen ? 'chosen' : '', near.has(node.name) ? 'near' : ''].join(' '));
    const state = node.state ? `, ${node.state.toLowerCase()}, ${node.lag} records behind` : ', no query writes it';
    link.setAttribute('aria-label', `${visible(node.name)}, ${node.kind.toLowerCase()}${state}`);
    const dot = link.querySelector('circle');
    dot?.setAttribute('class', node.state === null ? 'source' : looksBad(node.state) ? 'bad' : node.lag > 1000 ? 'behind' : 'well');
  }
  for (const path of picture.querySelectorAll('path')) {
    path.classList.toggle('near', path.dataset.from === chosen || path.dataset.to === chosen);
  }
}

/** @param {SVGSVGElement} picture @param {Source[]} nodes @param {[string, string][]} edges @param {(name: string) => void} onChoice */
function place(picture, nodes, edges, onChoice) {
  const { dagre } = /** @type {any} */ (globalThis);
  const graph = new dagre.graphlib.Graph().setGraph({ rankdir: 'LR', nodesep: 8, ranksep: 56, marginx: 8, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) graph.setNode(node.name, { width: Math.min(visible(node.name, 60).length, 60) * LETTER + 36, height: HEIGHT });
  for (const [from, to] of edges) graph.setEdge(from, to);
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph();
  picture.setAttribute('viewBox', `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`);
  picture.setAttribute('width', String(Math.max(1, width)));
  picture.setAttribute('height', String(Math.max(1, height)));
  const lines = graph.edges().map((/** @type {any} */ edge) =>
    svg('path', { d: curve(graph.edge(edge).points), 'data-from': edge.v, 'data-to': edge.w }));
  const boxes = nodes.map((node) => {
    const { x, y, width: w } = graph.node(node.name);
    const link = svg('a', { href: '#detail', 'data-name': node.name, transform: `translate(${x - w / 2} ${y - HEIGHT / 2})` },
      svg('rect', { width: w, height: HEIGHT, rx: node.kind === 'TABLE' ? 4 : HEIGHT / 2 }),
      svg('circle', { cx: 14, cy: HEIGHT / 2, r: 3.5 }),
      svg('text', { x: 25, y: HEIGHT / 2 + 4 }, visible(node.name, 60)));
    link.addEventListener('click', (event) => {
      event.preventDefault();
      onChoice(node.name);
    });
    return link;
  });
  picture.replaceChildren(...lines, ...boxes);
}

/** @param {{x: number, y: number}[]} points */
function curve(points) {
  const [first, ...rest] = points;
  const last = rest[rest.length - 1];
  if (rest.length < 2) return `M${first.x},${first.y}L${last.x},${last.y}`;
  let path = `M${first.x},${first.y}`;
  for (let i = 0; i < rest.length - 1; i += 1) {
    const to = i === rest.length - 2 ? last : { x: (rest[i].x + rest[i + 1].x) / 2, y: (rest[i].y + rest[i + 1].y) / 2 };
    path += `Q${rest[i].x},${rest[i].y} ${to.x},${to.y}`;
  }
  return path;
}
