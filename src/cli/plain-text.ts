// Makes foreign text (log lines, messages) safe for a terminal: what would move the cursor or change its colours goes.

// Escape sequences first, whole; then every control character but tab and line feed.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const escapeSequences = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\^_])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** The text without escape sequences, control characters and marks that reverse the direction of writing. */
export function plainText(text: string): string {
  return text.replace(escapeSequences, '').replace(controls, '');
}
