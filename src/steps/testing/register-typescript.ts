// Lets Node import TypeScript in the tests of plugin authors: `node --import cronwright/typescript --test index.test.ts`.
import 'jiti/register';
