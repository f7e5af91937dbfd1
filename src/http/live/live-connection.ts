// What the hub needs of a client's connection, whatever its transport.
import type { Encoding } from './frames.ts';

/** Why a connection is ended by this side. */
export type EndReason = 'shutdown' | 'too_slow' | 'bad_message' | 'failed';

export interface LiveConnection {
  readonly transport: 'sse' | 'websocket';
  readonly encoding: Encoding;
  readonly isOpen: boolean;
  /** Bytes that are given to it and that the network has not taken. */
  readonly backlogBytes: number;
  /** Frames of its encoding. Does nothing where it is not open. */
  write(frames: Buffer): void;
  /** True once the network takes more, false where the connection ended or it took too long. */
  drained(withinMs: number): Promise<boolean>;
  /** Shows the client, and what lies between, that the connection lives; ends it where the client is gone. */
  beat(): void;
  /** Tells the client why, as far as that can still be written, and closes. */
  end(reason: EndReason): void;
  /** Called once, when it has closed, whoever closed it. */
  onClosed(listener: () => void): void;
}
