// Passes what the database tells of itself on as events.
import type { DatabaseHooks } from '../db/database-event.ts';
import type { EventBus } from '../observe/events.ts';

export function databaseHooks(events: EventBus): Required<DatabaseHooks> {
  return {
    onQuery: (operation, seconds, ok) => events.emit('db.query', { operation, seconds, ok }),
    onEvent(event) {
      switch (event.type) {
        case 'retry':
          return events.emit('db.retry', { ...event });
        case 'connection_lost':
          return events.emit('db.connection_lost', { ...event });
        case 'lock_taken_over':
          return events.emit('db.lock_taken_over', { ...event });
        case 'initialised':
          return events.emit('db.initialised', { ...event });
        case 'upkeep':
          return events.emit('db.upkeep', { ...event });
        case 'upkeep_failed':
          return events.emit('db.upkeep_failed', { ...event });
      }
    },
  };
}
