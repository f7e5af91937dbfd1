// The pages for people: the status page, a run, the schedules, the way in, and their style sheet.
import type { HttpAppOptions, Mount } from '../create-http-app.ts';
export function mountPages(_mount: Mount, _options: HttpAppOptions): void {}
