// A stack of named clean-ups, carried out in reverse: what was built last goes first.

export interface CleanUps {
  add(name: string, cleanUp: () => Promise<void> | void): void;
  /** Carries out all; one that fails is reported and does not stop the others. Safe twice. */
  run(onError: (name: string, error: unknown) => void): Promise<void>;
}

export function createCleanUps(): CleanUps {
  const stack: { name: string; cleanUp: () => Promise<void> | void }[] = [];
  return {
    add: (name, cleanUp) => void stack.push({ name, cleanUp }),
    async run(onError) {
      for (let top = stack.pop(); top; top = stack.pop()) {
        try {
          await top.cleanUp();
        } catch (error) {
          onError(top.name, error);
        }
      }
    },
  };
}
