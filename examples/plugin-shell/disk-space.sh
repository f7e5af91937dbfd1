#!/bin/sh
# A step in POSIX sh. The node's messages come on stdin, a line each; ours go to descriptor 3. What is printed becomes the run's log.
set -eu

say() { printf '%s\n' "$1" >&3; }
fail() {
  say "{\"type\":\"failed\",\"error\":{\"name\":\"$1\",\"message\":\"$2\",\"class\":\"$3\"}}"
  exit 1
}
# TERM comes with the message `abort`. What has to be tidied up goes here; 2 seconds later comes KILL.
trap 'exit 143' TERM

# The first message is `start`. Its input has been checked and has its defaults, and a quote within a text is always
# escaped, so this whole number can be cut out by its key. For more than numbers use jq.
IFS= read -r start
low_below=$(printf '%s\n' "$start" | sed -n 's/.*"input":{"low_below_mb":\([0-9]*\)}.*/\1/p')
[ -n "$low_below" ] || fail UnreadableInput 'low_below_mb is not in the start message' fatal

say '{"type":"log","level":"info","message":"looking at the disk"}'
say '{"type":"progress","done":0,"total":1}'
# The working directory is the run's workspace. It printed a table: the log shows it as it is.
df -Pm . || fail DiskUnreadable 'df cannot read the disk' transient
free=$(df -Pm . | awk 'NR == 2 { print $4 }')
low=false
[ "$free" -ge "$low_below" ] || low=true
say '{"type":"progress","done":1,"total":1}'
say "{\"type\":\"completed\",\"output\":{\"free_mb\":$free,\"low\":$low}}"
