// @ts-check
/** The page's one stream of events. It is closed while the page is hidden, because a browser has few connections. */

import { onView, view } from './view.js';

const LATE = 15_000; // ms without an event: the server sends one every 5 seconds
const AGAIN = 1000;

/**
 * @typedef {{now: number, newest: number | null, hasMarket: boolean, error: string | null}} Status
 * @typedef {Record<string, (data: any) => void>} Handlers
 */

/**
 * Open the stream, again after each change of the view and after each loss.
 * @param {string} path
 * @param {Handlers} handlers a function for each event; `begin` is called when a stream is opened anew, and `lost`
 *   with the time (ms) of the last event when it is lost
 * @param {boolean} [ofView] true if the server needs the view: then a change of the view opens a new stream
 */
export function follow(path, handlers, ofView = true) {
  /** @type {EventSource | null} */
  let source = null;
  let heard = Date.now();
  let timer = 0;

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function open() {
    close();
    if (document.hidden) return;
    heard = Date.now();
    handlers.begin?.(null);
    const opened = new EventSource(`${path}?${view()}`);
    source = opened;
    for (const [name, handler] of Object.entries(handlers)) {
      opened.addEventListener(name, (message) => {
        if (source !== opened || !('data' in message)) return;
        heard = Date.now();
        handler(JSON.parse(/** @type {MessageEvent} */ (message).data));
      });
    }
    opened.onerror = () => lost(opened);
  }

  /** @param {EventSource} opened */
  function lost(opened) {
    if (source !== opened) return;
    close();
    handlers.lost?.(heard);
    timer = setTimeout(open, AGAIN);
  }

  let queued = 0;
  if (ofView) {
    onView(() => {
      clearTimeout(queued);
      queued = setTimeout(open, 150);
    });
  }
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => event.persisted && open());
  setInterval(() => source && Date.now() - heard > LATE && lost(source), 1000);
  open();
}
