// Nouns of texts: singular and plural, names made of them, and which of them name no thing that could be stored.

const irregular: Readonly<Record<string, string>> = {
  people: 'person',
  children: 'child',
  men: 'man',
  women: 'woman',
  mice: 'mouse',
  data: 'data',
  media: 'media',
  news: 'news',
  series: 'series',
  analyses: 'analysis',
};
const plurals = new Map(Object.entries(irregular).map(([plural, one]) => [one, plural]));

export function singular(word: string): string {
  const known = irregular[word];
  if (known !== undefined) return known;
  if (/(?:ss|us|is)$/.test(word) || word.length < 4) return word;
  if (/ies$/.test(word)) return `${word.slice(0, -3)}y`;
  if (/(?:sses|shes|ches|xes|zes)$/.test(word)) return word.slice(0, -2);
  if (/(?:statuses|addresses|buses|viruses)$/.test(word)) return word.slice(0, -2);
  return word.endsWith('s') ? word.slice(0, -1) : word;
}

export function plural(word: string): string {
  const known = plurals.get(word);
  if (known !== undefined) return known;
  if (/[^aeiou]y$/.test(word)) return `${word.slice(0, -1)}ies`;
  return /(?:s|sh|ch|x|z)$/.test(word) ? `${word}es` : `${word}s`;
}

export function isPlural(word: string): boolean {
  return singular(word) !== word;
}

/** `recipe ingredient` → `RecipeIngredient`. */
export function className(words: readonly string[]): string {
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}

export function kebab(words: readonly string[]): string {
  return (
    words
      .join('-')
      .normalize('NFKD')
      .replace(/\p{M}/gu, '')
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'task'
  );
}

const list = (text: string) => new Set(text.split(/\s+/).filter((word) => word !== ''));

/** Parts of every program: not what the program is about. */
export const genericNouns =
  list(`system systems application app apps service services api apis endpoint endpoints backend frontend
  platform website site page pages screen screens interface ui data information detail details feature features functionality ability
  way ways support database databases module modules component components solution project task tasks-list thing things rest crud
  tool dashboard list lists number amount kind kinds type types part parts case cases result results time times day days hour hours
  minute minutes second seconds week weeks month months year years percent access example examples one ones set basis step steps
  coverage tests test management web program software level use end order-of everything something anything`);

/** Properties of things. */
export const attributeNouns =
  list(`status state name title number date price total email password count amount description address
  quantity balance role label code note notes duration size weight color url link phone deadline capacity score rating ratings due text
  body content summary language currency location time timestamp photo image picture tag tags unit units stock reason comment version`);

/** Words before a noun that do not make it another thing. */
export const adjectives =
  list(`new old own overdue pending all each every several multiple existing active inactive public private
  daily weekly monthly yearly simple full short long open closed unpaid available unavailable other another different single many few
  own current past future last next first second third latest recent upcoming due late early personal valid invalid optional basic
  complete whole free small large big total main common shared individual given specific certain own same good best top most more any
  some no automatic automatically manual outstanding online internal external monthly annual real-time favourite favorite`);

export const determiners =
  list(`a an the this that these those their his her its our your my of-the some any all each every both
  no one two three four five several many more most`);

export const pronouns = list('it them they he she him this that these those itself themselves one others');

/** Where a noun phrase ends. */
export const stopWords =
  list(`in on at to from for with by of into onto over under about after before during until within without
  through via per than as and or but nor so if when while where who which that whose because unless once then also not be is are was
  were been being has have had do does did can could may might must shall should will would cannot only up out off back again either
  between against across per etc e.g i.e using based every each whether there here too very just still already instead plus`);
