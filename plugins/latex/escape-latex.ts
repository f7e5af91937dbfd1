// Text of any kind as LaTeX that prints it.

const special: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '{': '\\{',
  '}': '\\}',
  $: '\\$',
  '&': '\\&',
  '#': '\\#',
  '%': '\\%',
  _: '\\_',
  '^': '\\textasciicircum{}',
  '~': '\\textasciitilde{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '|': '\\textbar{}',
  '"': '\\textquotedbl{}',
  '−': '$-$',
  '×': '$\\times$',
  '÷': '$\\div$',
  '·': '$\\cdot$',
  '±': '$\\pm$',
  '≤': '$\\le$',
  '≥': '$\\ge$',
  '≠': '$\\ne$',
  '≈': '$\\approx$',
  '√': '$\\surd$',
  π: '$\\pi$',
  '∞': '$\\infty$',
  '→': '$\\rightarrow$',
  '°': '\\textdegree{}',
  '²': '\\textsuperscript{2}',
  '³': '\\textsuperscript{3}',
  '½': '$\\frac{1}{2}$',
  '¼': '$\\frac{1}{4}$',
  '¾': '$\\frac{3}{4}$',
  '€': '\\texteuro{}',
  '…': '\\dots{}',
  '•': '\\textbullet{}',
  '–': '--',
  '—': '---',
  '‘': '`',
  '’': "'",
  '“': '``',
  '”': "''",
  '\u00a0': '~',
  '\t': ' ',
};

/** What the fonts do not have is named by its number: nothing is left out in silence. */
export function escapeLatex(text: string): string {
  let escaped = '';
  for (const character of text.normalize('NFC')) {
    const known = Object.hasOwn(special, character) ? special[character] : undefined;
    if (known !== undefined) escaped += known;
    else if (isPrintable(character.codePointAt(0) ?? 0)) escaped += character;
    else escaped += `[U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`;
  }
  // Two of these in a row are another sign to the fonts.
  return escaped.replace(/([?!])`/g, '$1{}`');
}

/** ASCII, and letters of Latin-1 and Latin Extended-A that T1 fonts have. */
function isPrintable(code: number): boolean {
  if (code === 10 || (code >= 32 && code < 127)) return true;
  const isLatin1 = code >= 0xc0 && code <= 0xff;
  return (
    isLatin1 || code === 0xa1 || code === 0xbf || code === 0xa7 || code === 0xab || code === 0xbb || isExtended(code)
  );
}

/** What inputenc declares for T1 of U+0100 to U+017F; the others are an error there. */
function isExtended(code: number): boolean {
  return (
    (code >= 0x102 && code <= 0x107) ||
    (code >= 0x10c && code <= 0x111) ||
    (code >= 0x118 && code <= 0x11b) ||
    (code >= 0x141 && code <= 0x144) ||
    [0x147, 0x148, 0x150, 0x151, 0x152, 0x153, 0x154, 0x155, 0x158, 0x159, 0x15a, 0x15b, 0x15e, 0x15f].includes(code) ||
    (code >= 0x160 && code <= 0x165) ||
    [0x16e, 0x16f, 0x170, 0x171, 0x178, 0x179, 0x17a, 0x17b, 0x17c, 0x17d, 0x17e].includes(code)
  );
}
