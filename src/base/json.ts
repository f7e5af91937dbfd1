// What JSON can hold: the form of everything that crosses the database or a process border.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
