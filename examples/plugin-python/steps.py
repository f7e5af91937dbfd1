"""The steps of this plugin. A step is a function of its context and its input; what it returns is its output."""
import hashlib
import hmac
import json
import pathlib
import time

from cronwright_step import Aborted, StepError, main


def greet(ctx, input):
    ctx.log.info("greeting", name=input["name"])
    return {"greeting": f"Hello, {input['name']}!"}


def count_words(ctx, input):
    files = input["files"]
    # What an earlier attempt has counted is not counted again.
    counted = ctx.checkpoint.load() or {}
    try:
        for number, name in enumerate(files, start=1):
            if name not in counted:
                counted[name] = words_of(pathlib.Path(ctx.workspace, name))
                ctx.checkpoint.save(counted)
            ctx.progress(number, len(files), f"counted {name}")
    except Aborted as aborted:
        # There are 2 seconds to clean up in; then the process is killed.
        ctx.log.warn("stopped before the end", reason=aborted.reason, counted=len(counted))
        raise
    report = json.dumps(counted, sort_keys=True)
    if "signed_with" in input:
        secret = ctx.secrets.get(input["signed_with"])
        report = json.dumps({"words": counted, "signature": hmac.new(secret.encode(), report.encode(), hashlib.sha256).hexdigest()})
    artifact = ctx.artifacts.put("words.json", "application/json", report)
    return {"words": sum(counted.values()), "report": artifact["id"]}


def words_of(path):
    # Someone may still be writing it: a failure of the class `transient` is tried again.
    if not path.is_file():
        raise StepError("transient", f"there is no file {path.name} yet", name="FileMissing", details={"file": path.name})
    text = path.read_text(encoding="utf-8")
    time.sleep(len(text) / 100_000)  # stands for work that takes its time
    return len(text.split())


main(greet=greet, count_words=count_words)
