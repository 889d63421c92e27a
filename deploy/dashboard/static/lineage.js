// @ts-check
/** The page of the lineage, the migrations and the processing log. */

import { byId, el, say, visible } from './dom.js';
import { count } from './format.js';
import { onLag, onLost, onStatus } from './fresh.js';
import { drawGraph, looksBad } from './graph.js';
import { showLog, showMigrations } from './upkeep.js';
import { follow } from './stream.js';
import { choose, onView, view } from './view.js';

/**
 * @typedef {{id: string, state: string, sql: string, lag: number}} Query
 * @typedef {{name: string, kind: string, topic: string, partitions: number, window: string | null, state: string | null, lag: number,
 *   columns: [string, string, boolean][], sql: string, queries: Query[]}} Source
 * @typedef {{nodes: Source[], edges: [string, string][], errors: Record<string, string[]>}} Lineage
 */

/** @type {Lineage | null} */
let lineage = null;

function shownNodes() {
  const find = (view().get('find') ?? '').toUpperCase();
  const nodes = lineage?.nodes ?? [];
  if (!find) return nodes;
  const fits = new Set(nodes.filter((node) => node.name.toUpperCase().includes(find)).map((node) => node.name));
  const beside = new Set((lineage?.edges ?? []).flatMap(([a, b]) => (fits.has(b) ? [a] : [])));
  return nodes.filter((node) => fits.has(node.name) || beside.has(node.name));
}

function show() {
  if (!lineage) return;
  const nodes = shownNodes();
  const names = new Set(nodes.map((node) => node.name));
  const edges = lineage.edges.filter(([a, b]) => names.has(a) && names.has(b));
  drawGraph(/** @type {any} */ (byId('graph')), nodes, edges, view().get('name'), (name) => choose({ name }));
  const queries = nodes.flatMap((node) => node.queries);
  const bad = queries.filter((query) => looksBad(query.state)).length;
  say(byId('graph-count'), `${count(nodes.length)} shown, ${count(queries.length)} queries${bad ? `, ${count(bad)} not running` : ', all running'}`);
  showTable(nodes);
  showDetail();
}

/** @param {Source[]} nodes */
function showTable(nodes) {
  const head = el('tr', {}, ...['Name', 'Kind', 'Topic', 'State', 'Behind'].map((title, i) => el('th', { scope: 'col', class: i === 4 ? 'num' : null }, title)));
  const rows = nodes.map((node) => {
    const button = el('button', { type: 'button', class: 'link' }, visible(node.name));
    button.addEventListener('click', () => choose({ name: node.name }));
    return el('tr', {}, el('th', { scope: 'row' }, button), el('td', {}, node.kind.toLowerCase()), el('td', {}, visible(node.topic)),
      el('td', { class: looksBad(node.state) ? 'down' : null }, node.state ?? 'source'), el('td', { class: 'num' }, node.state ? count(node.lag) : '–'));
  });
  byId('nodes').replaceChildren(el('thead', {}, head), el('tbody', {}, ...rows));
}

let detailKey = '';

function showDetail() {
  const node = lineage?.nodes.find((n) => n.name === view().get('name'));
  const key = JSON.stringify(node ?? null);
  if (key === detailKey) return;
  detailKey = key;
  if (!node) {
    byId('detail').replaceChildren(el('p', { class: 'muted' }, 'Choose a stream or a table to see its queries and its SQL.'));
    return;
  }
  const facts = [['Topic', visible(node.topic)], ['Partitions', count(node.partitions)], ...(node.window ? [['Window', node.window.toLowerCase()]] : [])];
  byId('detail').replaceChildren(
    el('h3', {}, visible(node.name)),
    el('p', { class: 'muted' }, node.kind === 'TABLE' ? 'Table' : 'Stream'),
    el('dl', {}, ...facts.flatMap(([term, text]) => [el('dt', {}, term), el('dd', {}, text)])),
    ...node.queries.flatMap((query) => queryParts(query)),
    el('h4', {}, 'Columns'),
    el('ul', { class: 'columns' }, ...node.columns.map(([name, type, isKey]) =>
      el('li', {}, el('b', {}, visible(name)), ` ${visible(type, 200)}`, isKey ? ' · key' : ''))),
    ...(node.queries.length ? [] : [el('h4', {}, 'SQL'), sqlOf(node.sql)]));
}

/** @param {Query} query */
function queryParts(query) {
  const errors = lineage?.errors[query.id] ?? [];
  return [
    el('h4', {}, 'Query ', el('span', { class: 'mono' }, visible(query.id))),
    el('p', {}, el('span', { class: `state ${looksBad(query.state) ? 'bad' : ''}` }, query.state), ` ${query.lag ? `${count(query.lag)} records behind` : 'has read everything'}`),
    ...errors.map((error) => el('p', { class: 'note' }, visible(error, 2000))),
    sqlOf(query.sql),
  ];
}

/** @param {string} sql */
const sqlOf = (sql) => el('pre', { class: 'sql', tabindex: '0' }, sql ? sql.split('\n').map((line) => visible(line, 5000)).join('\n') : 'The server does not say.');

const filter = /** @type {HTMLInputElement} */ (byId('filter'));
filter.value = view().get('find') ?? '';
filter.addEventListener('input', () => choose({ find: filter.value }, true));
onView(show);
follow('/live/lineage', {
  lost: onLost,
  status: onStatus,
  lag: onLag,
  lineage: (data) => { lineage = data; show(); },
  migrations: showMigrations,
  log: showLog,
}, false);
