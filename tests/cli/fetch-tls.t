#!/bin/sh
# weir fetch and TLS: whom it trusts, what it refuses, and what it keeps to
# itself on a redirect.
#
# A private nginx speaks on six ports, each with its own fault or none:
#
#	$good       a certificate for 127.0.0.1 and localhost; HTTP/2, too
#	$other      another port with the same certificate
#	$expired    a certificate that has expired
#	$stranger   one for another name
#	$old        TLS 1.1 only
#	$plain      no TLS
#
# Their logs tell which credentials have arrived.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"
# shellcheck source=tests/cli/fixture-nginx.sh
. "$(dirname "$0")/fixture-nginx.sh"

skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

# authority NAME: one that signs.
authority() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" \
		-addext 'basicConstraints=critical,CA:TRUE' \
		-keyout "$tmp/$1.key" -out "$tmp/$1.crt" >>"$tmp/openssl.log" 2>&1
}

# certificate NAME SAN [ARGUMENT...]: signed by ca; valid from now, unless the
# arguments say otherwise.
certificate() {
	certificate_name=$1
	printf 'subjectAltName=%s\n' "$2" >"$tmp/$1.ext"
	shift 2
	{
		openssl req -newkey rsa:2048 -nodes -subj /CN=weir-test \
			-keyout "$tmp/$certificate_name.key" \
			-out "$tmp/$certificate_name.csr" &&
			openssl x509 -req -in "$tmp/$certificate_name.csr" \
				-CA "$tmp/ca.crt" -CAkey "$tmp/ca.key" \
				-CAcreateserial -extfile \
				"$tmp/$certificate_name.ext" \
				-out "$tmp/$certificate_name.crt" "$@"
	} >>"$tmp/openssl.log" 2>&1
}

# tls_server PORT CERTIFICATE LOG [LISTEN]; the locations come from stdin.
tls_server() {
	cat <<-END
	server {
		listen 127.0.0.1:$1 ssl${4:+ $4};
		ssl_certificate $tmp/$2.crt;
		ssl_certificate_key $tmp/$2.key;
		access_log $tmp/$3.log credentials;
		location / { return 200 'fine'; }
		$(cat)
	}
	END
}

servers() {
	tls_server $(($1)) good good http2 <<-END
	location = /down { return 302 http://127.0.0.1:$(($1 + 5))/; }
	location = /over { return 302 https://127.0.0.1:$(($1 + 1))/over; }
	location = /name { return 302 https://localhost:$1/named; }
	location = /here { return 302 /stayed; }
	END
	tls_server $(($1 + 1)) good other </dev/null
	tls_server $(($1 + 2)) expired expired </dev/null
	tls_server $(($1 + 3)) stranger stranger </dev/null
	tls_server $(($1 + 4)) good old <<-END
	ssl_protocols TLSv1.1;
	ssl_ciphers DEFAULT@SECLEVEL=0;
	END
	cat <<-END
	server {
		listen 127.0.0.1:$(($1 + 5));
		access_log $tmp/plain.log credentials;
		location / { return 200 'plain'; }
		location = /up {
			return 302 https://127.0.0.1:$1/down;
		}
	}
	END
}

# In place of the fixture's: nginx_start calls it with a folder and a port.
nginx_write_config() {
	cat >"$1/nginx.conf" <<-END
	$(nginx_user_line)
	worker_processes 1;
	pid $1/nginx.pid;
	error_log $1/error.log warn;
	events { }
	http {
		client_body_temp_path $1/tmp-body;
		proxy_temp_path $1/tmp-proxy;
		fastcgi_temp_path $1/tmp-fastcgi;
		uwsgi_temp_path $1/tmp-uwsgi;
		scgi_temp_path $1/tmp-scgi;
		log_format credentials
			'\$request_uri auth=\$http_authorization '
			'cookie=\$http_cookie.';
		$(servers "$2")
	}
	END
}

nginx_program >/dev/null || skip_all 'nginx is not installed'
command -v openssl >/dev/null || skip_all 'openssl is not installed'
nginx_built=$("$(nginx_program)" -V 2>&1)
case $nginx_built in
*http_ssl_module*http_v2_module*) ;;
*) skip_all 'this nginx has no TLS or no HTTP/2' ;;
esac

: >"$tmp/openssl.log"
if ! { authority ca && authority nobody &&
	certificate good IP:127.0.0.1,DNS:localhost -days 2 &&
	certificate stranger DNS:elsewhere.example -days 2 &&
	certificate expired IP:127.0.0.1,DNS:localhost -days -1; }; then
	sed 's/^/# /' "$tmp/openssl.log"
	skip_all 'this openssl makes no such certificates'
fi
if ! nginx_start "$tmp"; then
	sed 's/^/# /' "$tmp/start.log" "$tmp/error.log"
	exit 1
fi
started="$started $(cat "$tmp/nginx.pid")"
good=https://127.0.0.1:$NGINX_PORT
other=https://127.0.0.1:$((NGINX_PORT + 1))
expired=https://127.0.0.1:$((NGINX_PORT + 2))
stranger=https://127.0.0.1:$((NGINX_PORT + 3))
old=https://127.0.0.1:$((NGINX_PORT + 4))
plain=http://127.0.0.1:$((NGINX_PORT + 5))

# fetch URL [OPTION...]: one URL, the record in $out.
fetch() {
	printf '%s\n' "$1" >"$tmp/list"
	shift
	run "$WEIR" fetch --json --retries 0 "$@" "$tmp/list"
}

trusting() {
	fetch "$@" --cacert "$tmp/ca.crt"
}

# refused URL REGEX: it is a failed record with such an error.
refused() {
	expect_status 123
	expect_field "$out" "$1" status '"failed"'
	expect_field "$out" "$1" bytes 0
	match_out "\"error\":\"[^\"]*$2" "and says: $2"
}

# Whom to trust.
fetch "$good/"
refused "$good/" 'certificate'
trusting "$good/"
expect_status 0
expect_field "$out" "$good/" bytes 4
check 'says nothing of certificates when they are checked' \
	sh -c "! grep -q 'certificates are not checked' '$err'"
trusting "https://localhost:$NGINX_PORT/"
expect_status 0 'a second name of the certificate is good, too'
fetch "$good/" --cacert "$tmp/nobody.crt"
refused "$good/" 'certificate'
trusting "$stranger/"
refused "$stranger/" "127.0.0.1"
trusting "$expired/"
refused "$expired/" 'expired'
fetch "$good/" --cacert "$tmp/missing.crt"
refused "$good/" 'certificate'
check 'nothing was asked of those that are not trusted' \
	sh -c "! test -s '$tmp/expired.log' && ! test -s '$tmp/stranger.log'"

for url in "$good/" "$expired/" "$stranger/"; do
	fetch "$url" --insecure --quiet
	expect_status 0
	match_err '^weir fetch: warning: certificates are not checked' \
		'--insecure warns each time, even with --quiet'
done

# TLS 1.1.  OpenSSL's own configuration often forbids it; with one that does
# not, whoever refuses is weir.
cat >"$tmp/lax.cnf" <<'END'
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
MinProtocol = TLSv1
CipherString = DEFAULT@SECLEVEL=0
END
if OPENSSL_CONF=$tmp/lax.cnf openssl s_client -tls1_1 -connect \
	"${old#https://}" </dev/null 2>&1 | grep -q 'Protocol *: TLSv1.1'; then
	OPENSSL_CONF=$tmp/lax.cnf
	export OPENSSL_CONF
	trusting "$old/"
	refused "$old/" 'protocol'
	fetch "$old/" --insecure
	refused "$old/" 'protocol'
	check 'TLS 1.1 is not spoken' sh -c "! test -s '$tmp/old.log'"
	unset OPENSSL_CONF
else
	skip 'TLS 1.1 is refused' 'this OpenSSL does not speak it at all'
fi

# HTTP/2.
trusting "$good/" --http1.1
expect_field "$out" "$good/" http_version '"1.1"'
trusting "$other/" --http2
expect_field "$out" "$other/" http_version '"1.1"'
trusting "$plain/" --http2
expect_field "$out" "$plain/" http_version '"1.1"'
if curl --version 2>/dev/null | grep -q HTTP2; then
	trusting "$good/" --http2
	expect_field "$out" "$good/" http_version '"2"'
	seq 1 200 | sed "s|^|$good/|" >"$tmp/many"
	run "$WEIR" fetch --json --http2 -j 20 --per-host 0 \
		--cacert "$tmp/ca.crt" "$tmp/many"
	expect_status 0
	check 'two hundred over HTTP/2' \
		test "$(grep -c '"http_version":"2"' "$out")" -eq 200
	trusting "$good/down" --http2
	refused "$good/down" 'redirected to a protocol that is not allowed'
else
	skip 'HTTP/2 is recorded' 'this libcurl does not speak it'
fi

# Redirects: never from https back to http, not even after others.
: >"$tmp/plain.log"
trusting "$good/down" --http1.1
refused "$good/down" 'redirected to a protocol that is not allowed'
check 'nothing was asked without TLS' sh -c "! test -s '$tmp/plain.log'"
trusting "$plain/up"
refused "$plain/up" 'redirected to a protocol that is not allowed'
check 'nor after a redirect that led to https' \
	test "$(grep -vc '^/up ' "$tmp/plain.log")" -eq 0

# Credentials go to the host and port they were meant for, and are not shown.
# "sesame" in base 64, as it is sent: am9lOnNlc2FtZQ.
unseen() {
	check "$1" sh -c "! grep -q 'sesame\|am9lOn' '$out' '$err'"
}

# logged FILE PATH REGEX NAME: such a request was logged.
logged() {
	if wait_for 5 grep -q "^$2 $3" "$tmp/$1.log"; then
		ok "$4"
	else
		not_ok "$4" "$(cat "$tmp/$1.log")"
	fi
}

# redirected HOW URL [OPTION...]: with credentials, to all kinds of places.
redirected() {
	redirected_how=$1
	redirected_url=$2
	shift 2
	for log in good other; do
		: >"$tmp/$log.log"
	done
	for place in over name here; do
		trusting "$redirected_url/$place" "$@"
		expect_status 0 "follows /$place, with credentials $redirected_how"
		unseen "credentials $redirected_how are not shown (/$place)"
	done
	logged good /over '.*\(am9lOn\|sesame\)' \
		"credentials $redirected_how are sent"
	logged other /over 'auth=- cookie=-\.' \
		"credentials $redirected_how are not sent to another port"
	logged good /named 'auth=- cookie=-\.' \
		"credentials $redirected_how are not sent to another name"
	logged good /stayed '.*\(am9lOn\|sesame\)' \
		"credentials $redirected_how stay on the same host"
}

redirected 'in the URL' "https://joe:sesame@${good#https://}"
redirected 'in Authorization' "$good" -H 'Authorization: Bearer sesame'
redirected 'in Cookie' "$good" -H 'Cookie: session=sesame'
redirected 'in both' "$good" -H 'authorization: Bearer sesame' \
	-H 'cookie: session=sesame' --http1.1
# One that fails says no more than one that works.
trusting "https://joe:sesame@${good#https://}/down" -H 'Cookie: a=sesame'
expect_status 123
unseen 'nor are those of a failure shown'

nginx_stop "$tmp"
done_testing
