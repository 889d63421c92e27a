// @ts-check
/** The header's status of freshness: live, quiet, behind, or lost. Each state has its own look and text. */

import { byId, say, visible } from './dom.js';
import { bothTimes, duration } from './format.js';

const QUIET = 60_000; // ms after the newest event

/** @type {import('./stream.js').Status | null} */
let status = null;
let skew = 0;
/** @type {number | null} */
let lostAt = null;
let lag = 0;

/** @param {import('./stream.js').Status} data */
export function onStatus(data) {
  status = data;
  skew = data.now - Date.now();
  lostAt = null;
  show();
}

/** @param {number} heard ms at which the last event came */
export function onLost(heard) {
  lostAt ??= heard;
  show();
}

/** @param {{behind: number}} data how many records the queries have not read */
export function onLag(data) {
  lag = data.behind;
  show();
}

function show() {
  const fresh = byId('fresh');
  const [state, text, title] = line();
  if (fresh.dataset.state === 'results') return;
  fresh.dataset.state = state;
  fresh.title = title;
  say(byId('fresh-text'), text);
}

/** @returns {[string, string, string]} */
function line() {
  if (lostAt !== null) return ['lost', `Lost connection · ${duration(Date.now() - lostAt)}`, 'The dashboard does not answer. The page reconnects by itself.'];
  if (!status) return ['waiting', 'Connecting…', ''];
  if (status.error) return ['lost', 'Lost connection to the server', visible(status.error, 1000)];
  if (!status.hasMarket) return ['live', 'Connected', 'The server has no market tables, so the time of the newest event is unknown.'];
  if (!status.newest) return ['quiet', 'No events yet', 'The dashboard and the server are connected.'];
  const age = Date.now() + skew - status.newest;
  const title = `Newest event: ${bothTimes(status.newest)}. Records that queries have not read: ${lag}.`;
  if (lag > 10_000) return ['behind', `Catching up · ${lag.toLocaleString('en')} records`, title];
  if (age > QUIET) return ['quiet', `Quiet market · ${duration(age)}`, title];
  return ['live', `Live · ${duration(age)}`, title];
}

setInterval(() => {
  show();
  const clock = byId('clock');
  if (clock) say(clock, bothTimes(Date.now() + skew));
}, 1000);
