// What counts as a media type: text that can stand in a header as it is.

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const quoted = '"(?:[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]|\\\\[\\x20-\\x7e])*"';
const mediaType = new RegExp(`^${token}/${token}(?: *; *${token}=(?:${token}|${quoted}))*$`);

/** `type/subtype` with parameters or without, in visible ASCII of at most 255 characters; e.g. `text/csv; charset=utf-8`. */
export function isMediaType(text: string): boolean {
  return text.length <= 255 && mediaType.test(text);
}
