// Our own routes, asked through ComfyUI's client, with one session for the whole page.
import { api } from "../../../scripts/api.js";
import { openSession } from "../lib/session.mjs";

export const server = openSession((path, options) => api.fetchApi(path, options));
