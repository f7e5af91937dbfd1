// Which run stands for what another system began: its id follows from the name that it has there.
import { derivedId } from '../base/derived-id.ts';

export function importedRunId(tenant: string, pipeline: string, source: string): string {
  return derivedId(`import/${tenant}/${pipeline}/${source}`);
}
