#!/bin/sh
# Limits of kinds that hold for all workers of a store in PostgreSQL.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/queue-lib.sh
. "$(dirname "$0")/queue-lib.sh"
# shellcheck source=tests/cli/work-lib.sh
. "$(dirname "$0")/work-lib.sh"
# shellcheck source=tests/cli/fleet-lib.sh
. "$(dirname "$0")/fleet-lib.sh"
# shellcheck disable=SC2154 # url is fleet-lib's
cd "$tmp" || exit 1

# In a file there are none.
weir limits --db jobs.db
expect_status 2
expect_err 'weir limits: limits across processes need PostgreSQL (jobs.db)
try: weir work --limit KIND=N, or --rate, for one worker'
check 'nor is a file made' test ! -e jobs.db

fresh
weir db migrate

# Set, listed, changed, removed.
weir limits
expect_status 0
expect_err 'weir limits: no limits'
weir limits set email sms --jobs 3
expect_out 'email limited to 3 at once
sms limited to 3 at once'
weir limits set sms --jobs 2 --rate 90/m
expect_out 'sms limited to 2 at once and 1.5/s'
weir limits set push --rate 100/s --burst 7 --json
expect_out '{"kind":"push","jobs":null,"rate":100.000000,"burst":7}'
weir enqueue mail --kind email --args '{}' -q
weir limits list
expect_out 'KIND   JOBS   RATE  BURST  RUN  WAITING
email     3    any           0  1
push    any  100/s      7    0  0
sms       2  1.5/s      1    0  0'
weir limits --json
expect_json "$out" '[(l["kind"], l["jobs"], l["rate"], l["running"], l["waiting"]) for l in r]' \
	"[('email', 3, None, 0, 1), ('push', None, 100.0, 0, 0), ('sms', 2, 1.5, 0, 0)]"
weir limits remove sms push fax
plain
expect_status 123
expect_out 'sms unlimited
push unlimited'
expect_err "weir limits: the kind 'fax' has no limit (postgres://postgres@SOCKETS/$database)"
weir limits remove email --json
expect_out '{"kind":"email","done":"removed"}'

# What cannot be.
weir limits set email
expect_status 2
expect_err 'weir limits: neither --jobs nor --rate given
try: weir limits set email --jobs 3'
weir limits set email --jobs 1 --burst 3
expect_status 2
expect_err 'weir limits: --burst needs --rate'
weir limits set 'e mail' --jobs 1
expect_status 2
match_err '^weir limits: cannot set a limit: kind "e mail" has something else'
weir limits set email --jobs 0
expect_status 2
weir limits raise email
expect_status 2
match_err "'raise'"

# They are not taken away unasked.
weir limits set render --jobs 3
weir db migrate down --to 6
expect_status 1
expect_err 'weir db: cannot migrate the store: 1 limits would be lost
try: weir limits list'

# Three at once, of two workers with two places each: the first three wait for
# each other, so that there have to be as many, and each looks for a fourth.
cat >together <<'END'
#!/bin/sh
mkdir "running.$$"
set -- running.*
if [ $# -gt 3 ]; then touch too-many; fi
if [ $# -ge 3 ]; then touch reached; fi
until [ -e reached ]; do sleep 0.01; done
rmdir "running.$$"
END
chmod +x together
i=0
while [ $i -lt 20 ]; do
	echo '{}'
	i=$((i + 1))
done >lines
give lines enqueue pages --kind render -q
start env "$mark" "$WEIR" work pages -j 2 --until-empty -- ./together \
	</dev/null >other.out 2>other.err
other=$pid
work pages -j 2 -- ./together
expect_status 0
wait "$other"
check 'three have run at once' test -e reached
check 'never four' test ! -e too-many
weir jobs --queue pages --state completed --json --limit 100
expect_json "$out" 'len(r)' 20

done_testing
