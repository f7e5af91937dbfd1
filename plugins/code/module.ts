// What is known of one source file: the form of the analysis files that code.analyze leaves in the workspace for docs.generate.

export interface Module {
  /** Relative to the analysed folder, with slashes. */
  path: string;
  /** Unique among modules; `[a-z0-9-]+`; the name of the analysis file. */
  slug: string;
  language: Language;
  lines: number;
  /** What the file says of itself at its top; empty where it says nothing. */
  comment: string;
  /** In the order of the source. */
  symbols: ModuleSymbol[];
  /** Places the parser could not read. */
  syntaxErrors: number;
}

export type Language = 'typescript' | 'javascript';

export interface ModuleSymbol {
  /** As importers know it. */
  name: string;
  kind: SymbolKind;
  /** Source without bodies, one line or more. */
  signature: string;
  /** Its doc comment without the tags. */
  comment: string;
  tags: SymbolTag[];
  exported: boolean;
  /** 1-based. */
  line: number;
  /** Public members of a class. */
  members: SymbolMember[];
}

export type SymbolKind =
  | 'function'
  | 'class'
  | 'interface'
  | 'type'
  | 'enum'
  | 'constant'
  | 'variable'
  | 'namespace'
  | 're-export';

export interface SymbolTag {
  /** `param`, `returns`, `throws`, `deprecated`, `example`, `see`, `remarks`, … */
  tag: string;
  /** Only for `param` and `property`. */
  name: string;
  text: string;
}

export interface SymbolMember {
  name: string;
  signature: string;
  comment: string;
}
