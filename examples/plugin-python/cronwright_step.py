"""Speaks Cronwright's step protocol, so that a step is a function. One file, no packages, Python 3.8 or later.

    from cronwright_step import StepError, main

    def greet(ctx, input):
        return {"greeting": "Hello, " + input["name"]}

    main(greet=greet)

Copy it beside your own steps. docs/STEP-PROTOCOL.md of Cronwright describes what it does.
"""
import collections
import errno
import itertools
import json
import os
import queue
import signal
import socket
import sys
import threading
import traceback
import uuid

PROTOCOL = 1
MESSAGES = 3
MAY_PASS = {
    getattr(errno, name)
    for name in "EBUSY EMFILE ENFILE EAGAIN ENOMEM ENOSPC EIO ENETDOWN ENETRESET ENETUNREACH EHOSTDOWN EHOSTUNREACH".split()
}


class StepError(Exception):
    """A failure whose class the step knows: `transient` is tried again, `fatal` is not, `rate_limited` waits
    (`retry_after_ms`), `item` fails one item of a fan-out. Anything else that is raised: failures of network and
    machine that may pass are transient, the rest is fatal. Never put a secret into the message or the details."""

    def __init__(self, error_class, message, name="StepError", retry_after_ms=None, details=None):
        super().__init__(message)
        self.error_class, self.name = error_class, name
        self.retry_after_ms, self.details = retry_after_ms, details


class Aborted(BaseException):
    """Raised wherever the step is when it has to end; `reason` is cancelled, timeout, lease_lost or shutdown.
    Clean up in `finally`, or catch it and raise it again: two seconds later the process is killed."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


Artifact = collections.namedtuple("Artifact", "about content")


class Context:
    """What a step is given. The names are those of the plugin API in TypeScript, spelt as Python does."""

    def __init__(self, node, start):
        known = start["context"]
        self.idempotency_key = known["idempotencyKey"]
        self.token, self.attempt = known["token"], known["attempt"]
        self.tenant, self.run_id = known["tenant"], known["runId"]
        self.pipeline, self.step, self.item = known["pipeline"], known["step"], known["item"]
        self.dry_run, self.workspace = known["dryRun"], known["workspace"]
        self.env, self.traceparent, self.host = known["env"], known["traceparent"], known["host"]
        self.delivery = known.get("delivery")
        # Why the step is undone (failed, timeout, cancelled, rollback); None while it runs.
        self.compensation = (known.get("compensation") or {}).get("reason")
        self.log = _Log(node)
        self.checkpoint = _Checkpoint(node)
        self.secrets = _Secrets(node)
        self.artifacts = _Artifacts(node, start["exchange"])
        self._node = node

    def progress(self, done, total, message=None):
        self._node.send(type="progress", done=done, total=total, **({} if message is None else {"message": message}))

    def event(self, event, data=None):
        self._node.send(type="event", event=event, data=data)

    def put_into_outbox(self):
        """This same call, made apart from the run; returns its id."""
        return self._node.call("outbox.put")["id"]

    def suspend(self, kind, **question):
        """Asks people, or sleeps (`timer`): raises until there is an answer, then the step runs again and it returns it."""
        return self._node.call("suspend", kind=kind, **question)

    def sql(self, name, read_only=False):
        self._node.call("sql.open", name=name, readOnly=read_only)
        return _Sql(self._node, name, read_only)


class _Log:
    def __init__(self, node):
        self._node = node

    def debug(self, message, **fields):
        self._say("debug", message, fields)

    def info(self, message, **fields):
        self._say("info", message, fields)

    def warn(self, message, **fields):
        self._say("warn", message, fields)

    def error(self, message, **fields):
        self._say("error", message, fields)

    def _say(self, level, message, fields):
        self._node.send(type="log", level=level, message=str(message), fields=fields)


class _Checkpoint:
    def __init__(self, node):
        self._node = node

    def load(self):
        """What the last `save` of this step kept, in this attempt or an earlier one; None where there is nothing."""
        return self._node.call("checkpoint.load").get("state")

    def save(self, state):
        self._node.call("checkpoint.save", state=state)


class _Secrets:
    def __init__(self, node):
        self._node = node

    def get(self, name):
        return self._node.call("secrets.get", name=name)


class _Artifacts:
    def __init__(self, node, exchange):
        self._node, self._exchange = node, exchange

    def put(self, name, media_type, content):
        """Keeps text or bytes; returns id, name, mediaType, size and sha256."""
        file = str(uuid.uuid4())
        path = os.path.join(self._exchange, file)
        try:
            with open(path, "wb") as out:
                out.write(content.encode() if isinstance(content, str) else content)
            return self._node.call("artifacts.put", name=name, mediaType=media_type, file=file)
        finally:
            if os.path.exists(path):
                os.remove(path)

    def get(self, id):
        answer = self._node.call("artifacts.get", id=id)
        path = os.path.join(self._exchange, answer["file"])
        with open(path, "rb") as content:
            found = Artifact(answer["artifact"], content.read())
        os.remove(path)
        return found


class _Sql:
    def __init__(self, node, name, read_only):
        self._node, self._connection = node, {"name": name, "readOnly": read_only}

    def query(self, text, params=()):
        """Bound parameters only ($1). Returns `rows` and `rowCount`."""
        return self._node.call("sql.query", text=text, params=list(params), **self._connection)


class _Node:
    """The two pipes: descriptor 3 for what the step says, stdin for what the node says."""

    def __init__(self):
        self.start = queue.Queue()
        self.aborted = threading.Event()
        self.reason = "cancelled"
        self._ids, self._waiting, self._writing = itertools.count(1), {}, threading.RLock()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, **message):
        line = json.dumps(message, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        with self._writing:
            while line:
                line = line[os.write(MESSAGES, line):]

    def call(self, method, **params):
        id, answered = next(self._ids), queue.Queue()
        self._waiting[id] = answered
        self.send(type="call", id=id, method=method, params=params)
        answer = answered.get()
        if "error" not in answer:
            return answer.get("value")
        error = answer["error"]
        raise StepError(error["class"], error["message"], error["name"], error.get("retryAfterMs"), error.get("details"))

    def _read(self):
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if message["type"] == "start":
                self.start.put(message)
            elif message["type"] == "abort":
                self.reason = message["reason"]
                self.aborted.set()
            elif message["type"] == "answer":
                self._waiting.pop(message["id"]).put(message)


def main(compensations=None, **steps):
    """Runs the one attempt that this process was started for. The names are those in plugin.yaml. `compensations` has, by the
    same names, functions of (ctx, input, output) that undo a step; output is None where the step did not finish."""
    node = _Node()
    start = node.start.get()

    def end(_signal, _frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # The message that says why comes with the signal, by another way.
        node.aborted.wait(0.2)
        raise Aborted(node.reason)

    signal.signal(signal.SIGTERM, end)
    try:
        if start["protocol"] != PROTOCOL:
            raise StepError("fatal", f"the step protocol is {start['protocol']}, expected {PROTOCOL}", "ProtocolError")
        if start["step"] not in steps:
            raise StepError("fatal", f"there is no step {start['step']}, only {', '.join(steps)}", "UnknownStep")
        if start.get("compensates"):
            undo = (compensations or {}).get(start["step"])
            if undo is None:
                raise StepError("fatal", f"the step {start['step']} has no compensation", "NoCompensation")
            undo(Context(node, start), start["input"], start.get("output"))
            output = None
        else:
            output = steps[start["step"]](Context(node, start), start["input"])
        result = {"type": "completed", "output": output}
        # Checks that it is JSON while a mistake can still be told.
        json.dumps(result, allow_nan=False)
    except (Exception, Aborted) as error:
        result = {"type": "failed", "error": _describe(error)}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # After the last message the process is killed: what was printed has to be out by then.
    sys.stdout.flush()
    sys.stderr.flush()
    node.send(**result)


def _describe(error):
    if isinstance(error, StepError):
        extra = {"retryAfterMs": error.retry_after_ms, "details": error.details}
        known = {key: value for key, value in extra.items() if value is not None}
        return {"name": error.name, "message": str(error), "class": error.error_class, **known}
    if isinstance(error, Aborted):
        return {"name": "Aborted", "message": f"the step ended because of: {error.reason}", "class": "transient"}
    traceback.print_exc()
    return {
        "name": type(error).__name__,
        "message": str(error) or type(error).__name__,
        "class": "transient" if _may_pass(error) else "fatal",
    }


def _may_pass(error):
    if isinstance(error, (ConnectionError, TimeoutError, socket.timeout, socket.gaierror)):
        return True
    return isinstance(error, OSError) and error.errno in MAY_PASS
