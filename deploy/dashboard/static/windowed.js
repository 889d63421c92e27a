// @ts-check
/** How all pages that show windows handle the events of their streams. */

import { onLag, onLost, onStatus } from './fresh.js';
import { showMissing, showProblem } from './notice.js';
import { showPickers } from './pickers.js';
import { choose } from './view.js';

/**
 * The handlers that these pages share.
 * @param {(catalog: import('./pickers.js').Catalog) => void} onCatalog takes each catalog
 */
export function windowed(onCatalog) {
  let isComplete = true;
  let isKnown = false;
  return {
    lost: onLost,
    /** @param {import('./stream.js').Status} data */
    status: (data) => {
      onStatus(data);
      if (data.error && !isKnown) showProblem({ title: 'The server does not answer', text: data.error, commands: [] });
    },
    lag: onLag,
    problem: showProblem,
    /** @param {{isComplete: boolean}} data */
    hello: (data) => { isComplete = data.isComplete; },
    /** @param {import('./pickers.js').Catalog} data */
    catalog: (data) => {
      if (data.isComplete && !isComplete) choose({}, true); // the server has become complete: begin again
      isKnown = true;
      showPickers(data);
      showMissing(data.missing);
      onCatalog(data);
    },
  };
}
