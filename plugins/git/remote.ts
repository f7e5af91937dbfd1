// Says what a `remote` in a pipeline means: a URL git may use, or a path; and keeps its credentials apart from it.
import { isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StepError } from 'cronwright/plugin';

export interface Remote {
  kind: 'url' | 'path';
  /** What git is given: a URL without credentials, or an absolute path. */
  url: string;
  /** Absolute path of a repository on this machine, also for `file:` URLs. */
  path: string | undefined;
  /** From the userinfo of an http(s) URL. */
  credentials: { user: string; password: string } | undefined;
}

const protocols = ['file:', 'git:', 'http:', 'https:', 'ssh:'];

/** Throws a fatal `RemoteNotAllowed` for what git must not be given (`ext::`, options, unknown protocols). Paths are resolved against `base`. */
export function parseRemote(text: string, base: string): Remote {
  if (text === '' || text.startsWith('-') || hasControlCharacter(text) || /^[A-Za-z][\w+.-]*::/.test(text)) {
    throw notAllowed(text);
  }
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text)) return parseUrl(text);
  // git@host:path, as git reads it: a colon before the first slash.
  if (/^(?![A-Za-z]:[\\/])[^/\s:]+:/.test(text)) {
    if (/^-|@-/.test(text)) throw notAllowed(text);
    return { kind: 'url', url: text, path: undefined, credentials: undefined };
  }
  const path = resolve(base, text);
  return { kind: 'path', url: path, path, credentials: undefined };
}

/**
 * The repository that results are kept in: a URL, or a path below the data directory. A plain path that leaves the
 * data directory is a fatal `PathNotAllowed`; a repository elsewhere on the machine is named by a `file:` URL.
 */
export function parseTarget(text: string, dataDir: string): Remote {
  const remote = parseRemote(text, dataDir);
  if (remote.kind === 'path') {
    const inside = relative(dataDir, remote.url);
    if (inside === '' || inside.startsWith('..') || isAbsolute(inside)) {
      throw new StepError(
        'fatal',
        `remote '${text}' lies outside of the data directory: give a path below it (repositories/docs.git) or a URL (file:///srv/git/docs.git)`,
        { name: 'PathNotAllowed' },
      );
    }
  }
  return remote;
}

/** A directory of the workspace, as an absolute path; one that leaves the workspace is a fatal `PathNotAllowed`. */
export function insideWorkspace(workspace: string, path: string): string {
  const absolute = resolve(workspace, path);
  const inside = relative(workspace, absolute);
  if (inside.startsWith('..') || isAbsolute(inside)) {
    throw new StepError('fatal', `path '${path}' leaves the workspace: give one relative to it, such as 'repo'`, {
      name: 'PathNotAllowed',
    });
  }
  return join(workspace, inside);
}

/** The text with user and password taken out of every URL in it. */
export function maskUserinfo(text: string): string {
  return text.replace(/([A-Za-z][A-Za-z0-9+.-]*:\/\/)[^\s/@'"]*(?:@[^\s/@'"]*)*@/g, '$1***@');
}

/** How people call the repository: the last part of its address, without `.git`. */
export function remoteName(remote: Remote): string {
  const address = remote.path ?? remote.url;
  const parts = address.split(/[/\\:]/).filter((part) => part !== '' && part !== '.git');
  const last = parts.at(-1) ?? 'repository';
  const name = last.endsWith('.git') ? last.slice(0, -4) : last;
  // An address of a host alone may still hold a user in front of it.
  return remote.path === undefined ? decode(name.replace(/^.*@/, '')) : name;
}

function parseUrl(text: string): Remote {
  if (!URL.canParse(text)) throw notAllowed(text);
  const url = new URL(text);
  if (!protocols.includes(url.protocol)) throw notAllowed(text);
  if (url.hostname.startsWith('-')) throw notAllowed(text);
  const http = url.protocol === 'http:' || url.protocol === 'https:';
  const credentials =
    http && (url.username !== '' || url.password !== '')
      ? { user: decode(url.username), password: decode(url.password) }
      : undefined;
  // ssh needs its user; a password there is of no use to it and must not show up in a process list.
  url.password = '';
  if (http) url.username = '';
  return { kind: 'url', url: url.href, path: url.protocol === 'file:' ? fileURLToPath(url) : undefined, credentials };
}

function notAllowed(text: string): StepError {
  return new StepError(
    'fatal',
    `remote '${maskUserinfo(text)}' is not allowed: give a path or an https, http, ssh, git or file address`,
    { name: 'RemoteNotAllowed' },
  );
}

function hasControlCharacter(text: string): boolean {
  return [...text].some((character) => (character.codePointAt(0) ?? 0) < 0x20 || character === '\u007f');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
