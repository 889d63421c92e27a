// @ts-check
/** The page with the query box. */

import { Chart } from './chart.js';
import { showRows, toCsv } from './answer.js';
import { byId, el, say, visible } from './dom.js';
import { amount, count } from './format.js';
import { onLost, onStatus } from './fresh.js';
import { follow } from './stream.js';

const PAST = 'opensea-metrics-past-queries';
const MOST_PAST = 20;
const EXAMPLES = [
  ['The market, minute by minute', 'SELECT WINDOWSTART, SALES, USD_VOLUME\nFROM GLOBAL_1_MINUTE;'],
  ['The chains of the last half hours', "SELECT NAME, WINDOWSTART, SALES, USD_VOLUME, MEDIAN_USD\nFROM TRADING_30_MINUTES\nWHERE SCOPE = 'chain';"],
  ['The collections with most sales', 'SELECT COLLECTION, SUM(SALES) AS SALES, SUM(USD_VOLUME) AS USD\nFROM COLLECTION_30_MINUTES\nGROUP BY COLLECTION\nORDER BY SALES DESC LIMIT 10;'],
  ['All tables', 'SHOW TABLES;'],
  ['All queries and their states', 'SHOW QUERIES;'],
];

/** @typedef {{columns: [string, string][], rows: any[][], times: string[], note?: string | null}} Answer */

const sql = /** @type {HTMLTextAreaElement} */ (byId('sql'));
const run = /** @type {HTMLButtonElement} */ (byId('run'));
/** @type {Answer | null} */
let answer = null;
/** @type {Chart | null} */
let chart = null;

async function ask() {
  const text = sql.value.trim();
  if (!text || run.disabled) return;
  run.disabled = true;
  byId('answer').hidden = false;
  say(byId('answer-said'), 'Running…');
  const begun = performance.now();
  try {
    const reply = await fetch('/api/ask', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ sql: text }) });
    const data = await reply.json();
    if (!reply.ok || data.error) throw new Error(data.error ?? data.message ?? `HTTP status ${reply.status}`);
    answer = data;
    remember(text);
    show(data, performance.now() - begun);
  } catch (error) {
    answer = null;
    show({ columns: [], rows: [], times: [] }, 0);
    say(byId('answer-said'), '');
    say(byId('answer-error'), visible(error instanceof Error ? error.message : error, 4000));
  } finally {
    run.disabled = false;
  }
}

/** @param {Answer} data @param {number} ms */
function show(data, ms) {
  say(byId('answer-error'), '');
  say(byId('answer-said'), `${count(data.rows.length)} rows, ${(ms / 1000).toFixed(2)} s${data.note ? `; ${visible(data.note)}` : ''}`);
  byId('answer-csv').hidden = !data.rows.length;
  showRows(byId('answer-rows'), data);
  showChart(data);
}

/** @param {Answer} data a chart is shown if a column is a time that no two rows share, and another is a number */
function showChart(data) {
  const names = data.columns.map(([name]) => name);
  const at = names.indexOf(data.times[0]);
  const numbers = data.columns.flatMap(([name, type], i) => (/^(INTEGER|BIGINT|DOUBLE|DECIMAL)/.test(type) && !data.times.includes(name) ? [i] : []));
  const starts = data.rows.map((row) => row[at]);
  const fits = at >= 0 && numbers.length > 0 && data.rows.length > 1 && new Set(starts).size === starts.length;
  byId('answer-chart-box').hidden = !fits;
  if (!fits) return;
  const rows = [...data.rows].sort((a, b) => a[at] - b[at]);
  const shown = numbers.slice(-1);
  chart ??= new Chart(byId('answer-chart'), null);
  chart.show({ starts: rows.map((row) => row[at]), size: 0, format: amount, lines: shown.map((i) => ({ label: names[i], values: rows.map((row) => row[i]), colour: '--accent' })) });
}

/** @returns {string[]} */
function past() {
  try {
    const known = JSON.parse(localStorage.getItem(PAST) ?? '[]');
    return Array.isArray(known) ? known.filter((text) => typeof text === 'string') : [];
  } catch {
    return [];
  }
}

/** @param {string} text */
function remember(text) {
  localStorage.setItem(PAST, JSON.stringify([text, ...past().filter((known) => known !== text)].slice(0, MOST_PAST)));
  showPast();
}

function showPast() {
  const options = past().map((text, i) => el('option', { value: i }, visible(text.replace(/\s+/g, ' '), 70)));
  byId('past').replaceChildren(el('option', { value: '' }, options.length ? 'Earlier queries' : 'No earlier queries'), ...options);
}

function download() {
  if (!answer) return;
  const url = URL.createObjectURL(new Blob([toCsv(answer)], { type: 'text/csv' }));
  el('a', { href: url, download: 'result.csv' }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

byId('ask').addEventListener('submit', (event) => { event.preventDefault(); void ask(); });
sql.addEventListener('keydown', (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void ask(); });
byId('past').addEventListener('change', (event) => {
  const select = /** @type {HTMLSelectElement} */ (event.target);
  if (select.value) sql.value = past()[Number(select.value)] ?? '';
  select.value = '';
  sql.focus();
});
byId('answer-csv').addEventListener('click', download);
byId('examples').append(...EXAMPLES.map(([title, text]) => {
  const button = el('button', { type: 'button', class: 'link' }, title);
  button.addEventListener('click', () => { sql.value = text; void ask(); });
  return el('li', {}, button, el('code', {}, text.replace(/\s+/g, ' ')));
}));
showPast();
follow('/live/status', { lost: onLost, status: onStatus }, false);
