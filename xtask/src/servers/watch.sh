# Runs a server for as long as standard input is open, then ends it and removes its folder.
# Standard input is a pipe held by xtask alone: the kernel closes it however xtask ends, kill -9 included.
# Arguments: FOLDER INITDB-AND-ARGUMENTS -- SERVER-AND-ARGUMENTS
# A line read is the process id of a child to end as well; an empty line forgets it.
trap '' HUP INT TERM PIPE
folder=$1
shift
set -f
prepare=
while [ "$1" != "--" ]; do
    prepare="$prepare '$1'"
    shift
done
shift
if eval "$prepare" >"$folder/server.log" 2>&1 </dev/null; then
    "$@" >>"$folder/server.log" 2>&1 </dev/null &
    server=$!
    child=
    while read -r line; do child=$line; done
    if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null; fi
    # Immediate shutdown: nothing in this cluster is worth a checkpoint.
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
    ended=0
else
    tail -n 20 "$folder/server.log" >&2
    ended=1
fi
rm -rf "$folder"
exit "$ended"
