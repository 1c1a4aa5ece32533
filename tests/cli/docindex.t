#!/bin/sh
# docindex at work: what is found in what, what is done again and what is not,
# how much at once, trouble that passes, signals, what is shown.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"
# shellcheck source=tests/cli/docindex-lib.sh
. "$(dirname "$0")/docindex-lib.sh"

site_start || exit 1

# Documents of each kind, and questions.  Pages are some chunks long.
mkdir "$docs/deep"
pdf "$docs/mills.pdf" "$(prose turbine 40)" "$(prose sluice 40)" \
	"$(prose millstone 40)"
prose beehive 3 >"$docs/deep/bees.txt"
printf '# Joinery\n\nA *dovetail* holds without glue.\n' >"$docs/joints.md"
echo 'Herons wait, egrets wade.' >"$docs/birds.MARKDOWN"
echo 'Not for us.' >"$docs/birds.html"
api -
add --json "$docs"
expect_status 0
match_err '^indexed 4 in '
expect_json "$out" 'sorted(set(x["status"] for x in r))' "['ok']"
expect_json "$out" 'len(r)' 4 'one record for each document'
expect_json "$out" 'of("mills.pdf")["chunks"] > 2' True
expect_sql 'SELECT kind, count(*) FROM documents GROUP BY kind' 'markdown 2
pdf 1
text 1' 'documents of each kind'
expect_whole
finds 'number 3 turbinea3' mills.pdf 1
finds 'has the sluice sluicea25?' mills.pdf 2
finds 'millstonea25 of millstones' mills.pdf 3
finds 'dovetail without glue' joints.md
finds 'beehives' bees.txt
finds 'the waiting heron' birds.MARKDOWN
ask -n 1 'egrets'
expect_status 0
match_out "^0\.[0-9][0-9]  $docs/birds.MARKDOWN\$"
match_out '^      Herons wait, egrets wade\.$'
ask -n 2 'sluice'
match_out "^0\.[0-9][0-9]  $docs/mills.pdf  page 2\$"
check 'two answers were asked for' test "$(grep -c '^[-0]' "$out")" -eq 2
ask --json -n 100 'sluice'
expect_json "$out" '[x["score"] for x in r] == sorted(
	(x["score"] for x in r), reverse=True)' True
expect_json "$out" 'sorted(r[0])' \
	"['chunk', 'page', 'path', 'score', 'text']"
expect_json "$out" 'len(r)' "$(sql 'SELECT count(*) FROM chunks')"

# A PDF as people make them, of a text that we know.
db=$tmp/real.db
if command -v lowdown >/dev/null && command -v groff >/dev/null &&
	lowdown -Tms -s "${WEIR_SOURCE:?}/docs/durable.md" 2>"$tmp/why" |
	groff -ms -k -Tpdf >"$tmp/durable.pdf" 2>>"$tmp/why" &&
	[ -s "$tmp/durable.pdf" ]; then
	add "$tmp/durable.pdf"
	expect_status 0
	ask --json -n 1 'power loss and fsync'
	expect_json "$out" 'r[0]["page"] > 0 and "power" in r[0]["text"]' True
	expect_sql 'SELECT count(*) > 10 AND max(page) > 5 FROM chunks' 1 \
		'pages of a real PDF'
else
	skip 'a real PDF' 'groff, with its PDFs, or lowdown is missing'
fi
db=$tmp/index.db
ask --json -n 100 'sluice'

# Vectors in base64 are the same.
cp "$out" "$tmp/by-float"
db=$tmp/base64.db
add --encoding base64 "$docs"
ask --encoding base64 --json -n 100 'sluice'
cp "$out" "$tmp/by-base64"
check 'base64 and float give the same answers' \
	cmp -s "$tmp/by-float" "$tmp/by-base64"
db=$tmp/index.db

# What is unchanged costs nothing, what has changed is done anew.
api -
add "$docs"
expect_status 0
expect_asked 0 'nothing has changed'
match_err '^indexed 0 of 4 in .*4 skipped'
touch "$docs"/*.md "$docs"/*.pdf
add "$docs"
expect_asked 0 'a new time and the same contents'
echo 'Ravens hide acorns.' >"$docs/birds.MARKDOWN"
add "$docs"
expect_asked 1 'one has changed'
match_err '^indexed 1 of 4 in .*3 skipped'
finds 'ravens' birds.MARKDOWN
expect_sql "SELECT count(*) FROM chunks WHERE text LIKE '%egret%'" 0
expect_whole
mv "$docs/joints.md" "$docs/renamed.md"
add "$docs"
match_err '1 no longer there'
finds 'dovetail' renamed.md

# What is gone is forgotten, and nothing else is.
mkdir "$tmp/other"
echo 'Otters slide.' >"$tmp/other/otter.txt"
add "$tmp/other"
rm "$docs/renamed.md" "$tmp/other/otter.txt"
add --keep "$docs"
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%renamed%'" 1 \
	'kept with --keep'
add "$docs"
match_err '1 no longer there'
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%renamed%'" 0 \
	'forgotten without'
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%otter%'" 1 \
	'what is gone in another folder'
add "$tmp/other/otter.txt"
expect_status 0 'a file that is named and gone is forgotten'
match_err '1 no longer there'
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%otter%'" 0
add "$tmp/other/otter.txt"
expect_status 123
match_err 'otter.txt .*No such file or directory'
mv "$docs/deep" "$tmp/deep"
echo 'A new file.' >"$docs/deep" # no extension, and no folder any more
add "$docs"
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%/deep/%'" 0 \
	'what was in a folder that is gone'

# A file that is named outright may be called anything.
echo 'Badgers dig setts.' >"$docs/README"
add "$docs/README"
finds 'badger setts' README

# Names are data: whatever a file system takes.
names=$tmp/names
mkdir "$names"
cd "$names" || exit 1
echo 'About walruses.' >"$names/two words.txt"
echo 'About narwhals.' >"$names/it's \"quoted\".txt"
echo 'About manatees.' >"$names/new
line.txt"
echo 'About dugongs.' >"$names/100%d %s%n.txt"
echo 'About belugas.' >"$names/-rf.txt"
echo 'About porpoises.' >"$names/$(printf 'not \377 utf-8').txt"
echo 'About orcas.' >"$names/$(printf 'esc\033[2Jape').txt"
# shellcheck disable=SC2016
pdf "$names/"'$(touch pwned) `id`;&|.pdf' 'About sea lions.'
pdf "$names/-opw.pdf" 'About elephant seals.'
add --json "$names"
expect_status 0 'names with anything in them'
expect_json "$out" 'len(r)' 9
check 'no name was run' test ! -e "$names/pwned"
for question in walruses narwhals manatees dugongs belugas orcas 'sea lions' \
	'elephant seals'; do
	ask -n 1 --json "$question"
	expect_json "$out" "'$question' in r[0]['text']" True
done
ask porpoises
expect_status 0
match_out 'About porpoises'
ask -n 1 orcas
check 'a name cannot write on the terminal' \
	sh -c "! grep -q '$(printf '\033')' '$out'"
add -- -rf.txt
expect_status 0
match_err '1 skipped'
cd / || exit 1

# Hidden ones and links.
links=$tmp/links
mkdir -p "$links/.git" "$tmp/elsewhere"
echo 'Hidden lynx.' >"$links/.git/a.txt"
echo 'Hidden puma.' >"$links/.b.txt"
echo 'Linked ocelot.' >"$tmp/elsewhere/c.txt"
ln -s "$tmp/elsewhere" "$links/folder"
ln -s "$tmp/elsewhere/c.txt" "$links/file.txt"
db=$tmp/links.db
add "$links"
expect_status 0
match_err '^indexed 0 in '
add --hidden "$links"
match_err '^indexed 2 in '
add -L "$links"
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%/c.txt'
	OR path LIKE '%/file.txt'" 2 'what is behind links'
add "$links/folder"
expect_sql "SELECT count(*) FROM documents
	WHERE path = '$tmp/elsewhere/c.txt'" 1 'a root that is a link'
db=$tmp/index.db

# Batches of 64 chunks, whatever the document.
prose estuary 3000 >"$docs/long.txt"
api -
add --json "$docs/long.txt"
chunks=$(sed -n 's/.*"chunks":\([0-9]*\).*/\1/p' "$out")
check "$chunks chunks are more than two batches" test "$chunks" -gt 128
expect_asked $(((chunks + 63) / 64)) 'a request for each 64 chunks'
expect_sql "SELECT count(*) FROM chunks JOIN documents ON
	documents.id = document WHERE path LIKE '%/long.txt'" "$chunks"
expect_sql 'SELECT count(*) FROM chunks WHERE length(CAST(text AS BLOB)) >
	1000' 0 'chunks of more than 1000 bytes'
expect_sql "SELECT min(length(CAST(text AS BLOB))) >= 800 FROM chunks
	WHERE number < $chunks AND document = (SELECT id FROM documents
	WHERE path LIKE '%/long.txt')" 1 'all but the last of 800 bytes or more'

# How much at once.
letters "$tmp/letters" 40
letters=$tmp/letters
db=$tmp/width.db
api latency=100
add --width 8 "$letters"
expect_status 0
check 'width documents are asked about at once' test "$(peak)" -eq 8
db=$tmp/host.db
api latency=50
add --width 8 --per-host 3 "$letters"
check 'and no more than --per-host' test "$(peak)" -eq 3
db=$tmp/rate.db
api -
began=$(date +%s%N)
add --rate 40/s "$letters"
check 'at most --rate documents a second' \
	test $((($(date +%s%N) - began) / 1000000)) -ge 850

# Trouble that passes: each of these servers misbehaves in its own way, and
# each index is whole in the end.  All at the same time, as they mostly wait.
letters "$tmp/six" 6
six=$tmp/six
curl -s -o "$tmp/.stats" "$site/stats?reset"
passing='503=2,retry-after=0 500=3,retry-after=0 down=4 cut=2 garbage=3 short=2 nan=3
	wrong-dims=4 shuffle 429=3,retry-after=0 nan=3,cut=4'
for knobs in $passing; do
	start env "$mark" "$DOCINDEX" add --db "$tmp/$knobs.db" --json \
		--retries 20 --url "$site/model/$knobs/v1" "$six" \
		>"$tmp/$knobs.out" 2>"$tmp/$knobs.err" </dev/null
	eval "pid_$(echo "$knobs" | tr -c '[:alnum:]\n' _)=$pid"
done
for knobs in $passing; do
	eval "wait \$pid_$(echo "$knobs" | tr -c '[:alnum:]\n' _)"
	status=$?
	cp "$tmp/$knobs.out" "$out"
	cp "$tmp/$knobs.err" "$err"
	run_line="docindex add with $knobs"
	expect_status 0
	db=$tmp/$knobs.db
	expect_sql 'SELECT count(*) FROM vectors' 6 "$knobs: vectors"
	OPENAI_BASE_URL=$site/model/-/v1
	finds 'affair4' l4.txt
done
db=$tmp/one-gone.db
api down=2
echo 'Alone.' >"$tmp/alone.txt"
add --json "$tmp/alone.txt"
expect_status 0
expect_asked 3 'two tries and then the one that counts'
match_err '2 retries'

# Retry-After is obeyed, whoever it is said to.
db=$tmp/after.db
api 429=2,retry-after=1
add --json "$six"
expect_status 0
expect_json "$out" 'sum(x["ms"] >= 1000 for x in r) >= 3' True
db=$tmp/date.db
api 429=1,down=1,retry-after=date
add --json --retries 1 "$tmp/alone.txt"
expect_status 123
expect_json "$out" '"429" in r[0]["error"]' True

# A first Ctrl-C finishes what is on its way, and the next run the rest.
db=$tmp/stop.db
api latency=200
start_add --width 2 --channel 4 "$letters"
wait_for 10 some_in 1
kill -USR1 "$pid"
check 'USR1 says how it stands' \
	wait_for 5 grep -q '/[0-9]*+\?  ok [0-9]*  fail 0' "$tmp/add.err"
kill -INT "$pid"
end_add
expect_status 130
match_err '^draining: .*Ctrl-C again'
match_err '^stopped after drain: ok '
in_it=$(sql 'SELECT count(*) FROM documents')
check 'it has not done all' test "$in_it" -lt 40
check 'what is in the index was told' \
	grep -q "^stopped after drain: ok $in_it  failed 0" "$err"
expect_whole
api -
add "$letters"
expect_status 0
expect_asked $((40 - in_it)) 'the next run does the rest'
expect_sql 'SELECT count(*) FROM documents' 40

# A second one waits for nothing.
db=$tmp/now.db
api latency=60000
start_add --width 2 --channel 4 "$letters"
wait_for 10 in_progress 2
kill -INT "$pid"
wait_for 10 grep -q '^draining' "$tmp/add.err"
kill -INT "$pid"
end_add
expect_status 130
match_err '^stopped: ok 0 .*cancelled'
expect_sql 'SELECT count(*) FROM documents' 0
start_add --width 2 --grace 200ms "$letters"
wait_for 10 in_progress 2
kill -TERM "$pid"
end_add
expect_status 143 'SIGTERM, and the grace is over'

# Killed, it goes on where it was.
db=$tmp/kill.db
api latency=50
start_add --width 2 --channel 2 "$letters"
wait_for 10 some_in 3
kill -KILL "$pid"
end_add 2>/dev/null
expect_status 137
expect_whole
in_it=$(sql 'SELECT count(*) FROM documents')
api -
add "$letters"
expect_status 0
expect_asked $((40 - in_it)) 'after a kill the next run does the rest'
expect_whole
gone 'no process is left of all that'

# Backpressure is seen: the channel before the slow stage is full.
db=$tmp/seen.db
api latency=8000
if command -v tmux >/dev/null; then
	server=weir-docindex-$$
	tmux -L "$server" -f /dev/null new-session -d -x 100 -y 24 \
		"OPENAI_BASE_URL=$OPENAI_BASE_URL TERM=screen '$DOCINDEX' add \
		--db '$db' --width 4 --channel 8 '$letters'; sleep 30"
	# shellcheck disable=SC2317 # wait_for calls it
	seen() {
		tmux -L "$server" capture-pane -p >"$out"
		grep -q "$1" "$out"
	}
	check 'a line for the stage that is slow, with all of it busy' \
		wait_for 10 seen '^ embed  *4/4 busy  .* 8/8 queued'
	check 'one for the stage before it, which waits' \
		wait_for 10 seen '^ extract  *0/[0-9]* busy  .* 8/8 queued'
	check 'one for the stage behind it, which has nothing to do' \
		wait_for 10 seen '^ store  *0/[0-9]* busy  .* 0/8 queued'
	check 'and the whole below' seen '^ 0/[0-9]*+  ok 0  fail 0'
	check 'in this order' test "$(sed -n 's/^ \([a-z]*\) .*busy.*/\1/p' \
		"$out" | tr '\n' ' ')" = 'extract embed store '
	tmux -L "$server" send-keys C-c
	check 'Ctrl-C is obeyed on a terminal' wait_for 5 seen '^draining: '
	tmux -L "$server" send-keys C-c
	check 'and leaves no lines of stages behind' wait_for 5 seen '^stopped: '
	check 'none at all' sh -c "! grep -q 'busy' '$out'"
	tmux -L "$server" kill-server 2>/dev/null
else
	skip 'the lines of the stages on a terminal' 'tmux is missing'
fi
api latency=600
add --progress json --width 4 --channel 8 "$letters"
expect_status 0
grep '^{' "$err" >"$tmp/progress"
expect_json "$tmp/progress" '[s["name"] for s in r[0]["stages"]]' \
	"['extract', 'embed', 'store']"
expect_json "$tmp/progress" 'any(s["name"] == "embed" and s["queued"] == 8
	and s["bound"] == 8 and s["busy"] == s["width"] == 4
	for x in r for s in x["stages"])' True

done_testing
