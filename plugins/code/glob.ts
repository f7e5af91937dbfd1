// Matches relative paths against patterns: `*` and `?` within a name, `**` across folders, `{a,b}`; a pattern without a slash matches at any depth.

/** Whether a path (with slashes) fits one of the patterns. A pattern that names a folder fits everything below it. */
export function createMatcher(patterns: readonly string[]): (path: string) => boolean {
  const expressions = patterns.map(toExpression);
  return (path) => expressions.some((expression) => expression.test(path));
}

function toExpression(pattern: string): RegExp {
  const trimmed = pattern.replace(/^\.?\//, '').replace(/\/$/, '');
  const anywhere = trimmed.includes('/') ? '' : '(?:.*/)?';
  return new RegExp(`^${anywhere}${translate(trimmed)}(?:/.*)?$`, 'u');
}

function translate(pattern: string): string {
  let result = '';
  let depth = 0;
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (pattern.startsWith('**/', at)) {
      result += '(?:[^/]+/)*';
      at += 2;
    } else if (pattern.startsWith('**', at)) {
      result += '.*';
      at += 1;
    } else if (character === '*') result += '[^/]*';
    else if (character === '?') result += '[^/]';
    else if (character === '{' && pattern.includes('}', at)) {
      result += '(?:';
      depth += 1;
    } else if (character === '}' && depth > 0) {
      result += ')';
      depth -= 1;
    } else if (character === ',' && depth > 0) result += '|';
    else result += character.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  }
  return result + ')'.repeat(depth);
}
