// What the page needs only once it is there. It is loaded in the first quiet moment, so that it costs the start nothing.
import { registerCommands } from "./commands.mjs";
import { showErrors } from "./failures.mjs";
import { followJobs } from "./jobs.mjs";
import { guardPaste } from "./paste.mjs";
import { listen } from "./progress.mjs";

/** Start all of it; once. */
export function start() {
  showErrors();
  guardPaste();
  listen();
  followJobs();
  return registerCommands();
}
