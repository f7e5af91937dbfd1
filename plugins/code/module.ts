// What is known of one source file: the form of the analysis files that code.analyze leaves in the workspace for docs.generate.

export interface Module {
  /** Relative to the analysed folder, with slashes. */
  path: string;
  /** Unique among modules; `[a-z0-9-]+`; the name of the analysis file. */
  slug: string;
  language: Language;
  /** What Go and Java say they belong to. */
  package?: string;
  lines: number;
  /** What the file says of itself at its top; empty where it says nothing. */
  comment: string;
  /** In the order of the source. */
  symbols: ModuleSymbol[];
  /** Places the parser could not read. */
  syntaxErrors: number;
}

/** In the order in which documents name them. */
export const languages = ['typescript', 'javascript', 'python', 'go', 'rust', 'java'] as const;
export type Language = (typeof languages)[number];

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
  /** Public members of a class and the like. */
  members: SymbolMember[];
}

/** More are not kept. */
export const maxMembers = 200;

export type SymbolKind =
  | 'function'
  | 'class'
  | 'interface'
  | 'type'
  | 'enum'
  | 'constant'
  | 'variable'
  | 'namespace'
  | 're-export'
  | 'struct'
  | 'union'
  | 'trait'
  | 'record'
  | 'annotation'
  | 'static'
  | 'macro'
  | 'module'
  /** Only of a type that another file declares; else it is a member. */
  | 'method';

export interface SymbolTag {
  /** `param`, `returns`, `throws`, `deprecated`, `example`, `see`, `remarks`, …; `section` for a heading of its own. */
  tag: string;
  /** Of a parameter or property, an exception in Python and Java, a section. */
  name: string;
  text: string;
}

export interface SymbolMember {
  name: string;
  signature: string;
  comment: string;
  /** Absent in TypeScript and JavaScript, where a class is shown in one piece. */
  kind?: MemberKind;
  tags?: SymbolTag[];
}

/** `field`: shown in the type's own code. `implementation`: of a trait, by its signature. */
export type MemberKind = 'field' | 'constant' | 'constructor' | 'property' | 'method' | 'implementation';
