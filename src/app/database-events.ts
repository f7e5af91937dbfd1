// Passes what the database tells of itself on as events.
import type { DatabaseHooks } from '../db/database-event.ts';
import type { EventBus } from '../observe/events.ts';

export function databaseHooks(events: EventBus): Required<DatabaseHooks> {
  return {
    onQuery: (operation, seconds, ok) => events.emit('db.query', { operation, seconds, ok }),
    onEvent({ type, ...told }) {
      // One name each: `connection_lost` is the event `db.connection_lost`.
      events.emit(`db.${type}`, told as never);
    },
  };
}
