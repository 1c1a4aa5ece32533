# A private nginx for tests that want a fast, correct server: source this file.
#
#	nginx_start DIR    start one out of DIR; sets NGINX_PORT
#	nginx_stop DIR     end it, and wait until it has ended
#
# Everything it writes is inside DIR, which must exist.  It listens on
# 127.0.0.1 only, serves DIR/www, and answers every path under /p/ with the
# same 512 bytes.  nginx_start returns 77, which TAP scripts turn into a skip,
# when nginx is not installed, and 1 when it does not start; then DIR/start.log
# and DIR/error.log say why.
#
# nginx cannot be asked for "any free port", so this tries one after another.
# A port that looks free may be taken by the time nginx gets to it: then nginx
# fails, and the next one is tried.

# Administrators' directories are often not on the PATH of other users.
nginx_program() {
	PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx
}

nginx_port_is_used() {
	grep -qi ":$(printf '%04x' "$1") 0*:0000 0A" /proc/net/tcp
}

# The worker of a master that runs as root would change to a user who may not
# enter DIR.  Without root there is no changing, and the line only draws a
# warning.
nginx_user_line() {
	if [ "$(id -u)" -eq 0 ]; then
		echo 'user root;'
	fi
}

nginx_write_config() {
	cat >"$1/nginx.conf" <<-END
	$(nginx_user_line)
	worker_processes 1;
	pid $1/nginx.pid;
	error_log $1/error.log warn;
	events {
		worker_connections 4096;
	}
	http {
		access_log off;
		default_type text/html;
		sendfile on;
		open_file_cache max=16;
		keepalive_requests 1000000000;
		keepalive_timeout 600s;
		client_body_temp_path $1/tmp-body;
		proxy_temp_path $1/tmp-proxy;
		fastcgi_temp_path $1/tmp-fastcgi;
		uwsgi_temp_path $1/tmp-uwsgi;
		scgi_temp_path $1/tmp-scgi;
		server {
			listen 127.0.0.1:$2 backlog=4096;
			root $1/www;
			location / {
			}
			location /p/ {
				try_files /page.html =404;
			}
		}
	}
	END
}

# Lines of 65 bytes, the last one cut: what counts is the size.
nginx_write_page() {
	mkdir -p "$1/www" || return 1
	yes '<p>The river goes on below the weir, and says no more of it.</p>' |
		head -c 512 >"$1/www/page.html"
}

# The port is open when nginx has gone to the background, but its pid file may
# come a moment later, and nginx_stop needs that.
nginx_wait_for_pid() {
	nginx_tries=100
	until [ -s "$1/nginx.pid" ]; do
		nginx_tries=$((nginx_tries - 1))
		[ "$nginx_tries" -gt 0 ] || return 1
		sleep 0.05
	done
}

nginx_try_port() {
	nginx_write_config "$1" "$2" || return 1
	(
		# Each connection takes a file; more than 1024 is welcome,
		# where the shell knows how to ask for it.
		# shellcheck disable=SC3045
		ulimit -S -n 8192 2>/dev/null
		exec "$(nginx_program)" -p "$1" -c "$1/nginx.conf"
	) >>"$1/start.log" 2>&1 </dev/null && nginx_wait_for_pid "$1"
}

nginx_start() {
	nginx_program >/dev/null || return 77
	nginx_dir=$(cd "$1" && pwd) || return 1
	nginx_write_page "$nginx_dir" || return 1
	rm -f "$nginx_dir/nginx.pid"
	# Below 32768, where Linux starts to hand out ports of its own accord.
	nginx_port=$((10000 + $$ * 7 % 22000))
	nginx_left=20
	while [ "$nginx_left" -gt 0 ]; do
		if ! nginx_port_is_used "$nginx_port" &&
			nginx_try_port "$nginx_dir" "$nginx_port"; then
			# shellcheck disable=SC2034 # for whoever sources this
			NGINX_PORT=$nginx_port
			return 0
		fi
		nginx_port=$((10000 + (nginx_port + 1009 - 10000) % 22000))
		nginx_left=$((nginx_left - 1))
	done
	return 1
}

# Ended is when the pid file is gone: nginx takes it away last.  The process
# itself may stay behind as a zombie where nothing reaps orphans.
nginx_stop() {
	[ -s "$1/nginx.pid" ] || return 0
	kill -TERM "$(cat "$1/nginx.pid")" 2>/dev/null || return 0
	nginx_tries=100
	while [ -e "$1/nginx.pid" ]; do
		nginx_tries=$((nginx_tries - 1))
		[ "$nginx_tries" -gt 0 ] || return 1
		sleep 0.05
	done
}
