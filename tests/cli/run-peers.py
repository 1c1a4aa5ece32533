"""The same command and the same input through GNU parallel, xargs and weir
run; called by run-peers.t, which see.  Prints TAP: a test for each property,
over all random cases, and of each that differs the first few commands.

Where the three differ on purpose there is no case:
  - several items inside of a word: parallel makes several words of it;
  - a command that a signal ends: xargs stops there, with 125;
  - exit status 255: xargs stops there, with 124.
"""

import argparse
import os
import random
import re
import shlex
import subprocess
import sys

PLACES = ("{}", "{.}", "{/}", "{//}", "{/.}", "{#}")
NAMES = ("a", "b.c", "dir/file.tar.gz", "/abs/x.y", "./rel", "d.e/f", ".hid",
         "dir/.hid", "trail/", "a//b", "x.", "/", "two words", "", "a\tb",
         "$HOME", "$(id)", "`id`", "'", '"', "\\", "a'b\"c", "*", "~", "-n",
         "--", "#x", "a=b", ";", "&", "|", "<", ">", "(", "!", "é", "%s",
         "a:b", "1", "0", " lead", "trail ", "{}", "{1}", "{#}")


class Suite:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.results = {}
        self.environment = dict(os.environ, PARALLEL_SHELL="/bin/bash",
                                HOME=options.folder)

    def path(self, name):
        return os.path.join(self.options.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def run(self, command, stdin=b""):
        """(exit status, standard output)"""
        done = subprocess.run(command, input=stdin, check=False,
                              env=self.environment, stderr=subprocess.PIPE,
                              stdout=subprocess.PIPE, timeout=60)
        return done.returncode, done.stdout

    def weir(self, options, command, stdin=b""):
        return self.run([self.options.weir, "run", "-q"] + options + command,
                        stdin)

    def parallel(self, options, command, stdin=b""):
        return self.run(["parallel", "--will-cite", "-q"] + options + command,
                        stdin)

    def expect(self, name, ours, theirs, how):
        """One case of the test of this name."""
        cases = self.results.setdefault(name, [0, []])
        cases[0] += 1
        if ours != theirs:
            cases[1].append(f"{how}\n  weir:   {ours!r:.400}\n"
                            f"  theirs: {theirs!r:.400}")

    def report(self):
        failed = False
        for at, (name, (count, wrong)) in enumerate(self.results.items()):
            sign = "not ok" if wrong else "ok"
            print(f"{sign} {at + 1} - {name}, {count} cases")
            for text in wrong[:3]:
                print("# " + text.replace("\n", "\n# "))
            failed = failed or bool(wrong)
        print(f"1..{len(self.results)}")
        return 1 if failed else 0

    # What is compared.

    def names(self, most=8, without=""):
        count = self.random.randint(1, most)
        return [name for name in self.random.choices(NAMES, k=count)
                if not set(name) & set(without)]

    def width(self):
        return ["-j", str(self.random.choice((1, 2, 5)))]

    def template(self, indexes=(1,)):
        """argdump, and words with places in them."""
        words = [self.options.argdump]
        places = list(PLACES)
        for index in indexes:
            places += [place.replace("{", "{" + str(index), 1)
                       for place in PLACES[:5]]
        for _ in range(self.random.randint(0, 3)):
            word = self.random.choice(places)
            single = len(indexes) == 1 or word[1] in "#123"
            if single and self.random.random() < 0.4:
                word = self.random.choice(("a", "x=", "'")) + word + \
                    self.random.choice(("", ".o", " z", "$"))
            words.append(word)
        return words

    def places(self):
        items = self.names()
        command, width = self.template(), self.width()
        stdin = "".join(item + "\n" for item in items).encode()
        self.expect("places and order with -k are those of GNU parallel",
                    self.weir(["-k"] + width, command, stdin),
                    self.parallel(["-k"] + width, command, stdin),
                    f"{command} {items}")

    def sources(self):
        marks = [self.random.choice((":::", ":::", ":::+"))
                 for _ in range(self.random.randint(1, 3))]
        marks[0] = ":::"
        words, options = self.template(range(1, len(marks) + 1)), ["-k"]
        if self.random.random() < 0.3:
            options.append("--link")
            marks = [":::"] * len(marks)
        for mark in marks:
            words += [mark] + (self.names(4) or ["x"])
        self.expect("sources are combined as by GNU parallel",
                    self.weir(options, words), self.parallel(options, words),
                    f"{options} {words}")

    def columns(self):
        rows = [":".join(self.names(3, without=":") or ["x"])
                for _ in range(4)]
        command = [self.options.argdump, "<{1}>", "{2}", "{3/}"]
        stdin = "".join(row + "\n" for row in rows).encode()
        # A column that is missing is nothing; theirs may be the place itself.
        # They trim columns unless told not to, and we never do.
        full = all(row.count(":") == 2 for row in rows)
        if full:
            self.expect("columns are those of GNU parallel",
                        self.weir(["-k", "-C", ":"], command, stdin),
                        self.parallel(["-k", "-C", ":", "--trim", "n"],
                                      command, stdin),
                        f"{rows}")

    def several(self):
        items = self.names(12)
        count = str(self.random.choice((1, 2, 3, 5)))
        stdin = "".join(item + "\n" for item in items).encode()
        command = [self.options.argdump, "first"]
        how = f"-n {count} {items}"
        ours = self.weir(["-k", "-n", count], command, stdin)
        self.expect("-n gives the commands of GNU parallel", ours,
                    self.parallel(["-k", "-n", count], command, stdin), how)
        theirs = self.run(["xargs", "-d", "\\n", "-n", count] + command, stdin)
        self.expect("-n gives the commands of xargs", ours, theirs, how)

    def with_nul(self):
        items = self.names(8) + ["a\nb"]
        stdin = "".join(item + "\0" for item in items).encode()
        command, width = [self.options.argdump, "x{}y"], self.width()
        ours = self.weir(["-k", "-0"] + width, command, stdin)
        self.expect("-0 is that of GNU parallel", ours,
                    self.parallel(["-k", "-0"] + width, command, stdin),
                    f"{items}")
        theirs = self.run(["xargs", "-0", "-I{}"] + command, stdin)
        self.expect("-0 and -I{} are those of xargs", ours, theirs,
                    f"{items}")

    def delimiter(self):
        items = self.names(6, without=",")
        stdin = ",".join(items).encode()
        command = [self.options.argdump]
        self.expect("-d is that of GNU parallel",
                    self.weir(["-k", "-d", ","], command, stdin),
                    self.parallel(["-k", "-d", ","], command, stdin),
                    f"{items}")

    def sets(self):
        """Without -k: the same lines, in whatever order."""
        items = [str(n) for n in range(self.random.randint(1, 200))]
        stdin = "".join(item + "\n" for item in items).encode()
        command = [self.options.argdump]
        found = [(status, sorted(out.splitlines())) for status, out in (
            self.weir(["-j4"], command, stdin),
            self.run(["xargs", "-P4", "-n1", "-d", "\\n"] + command, stdin))]
        self.expect("the same outputs as xargs -P", *found, len(items))

    def statuses(self):
        codes = [str(self.random.choice((0, 0, 1, 3, 77, 126, 127)))
                 for _ in range(self.random.randint(1, 6))]
        if self.random.random() < 0.2:
            codes = ["0"] * 5
        if self.random.random() < 0.1:
            codes = ["1"] * 103
        stdin = "".join(code + "\n" for code in codes).encode()
        command = ["sh", "-c", "exit $1", "sh"]
        self.expect("exit status of xargs", self.weir([], command, stdin),
                    self.run(["xargs", "-n1", "-P2"] + command, stdin), codes)
        self.expect("exit status of GNU parallel with --exit-code=count",
                    self.weir(["--exit-code=count"], command, stdin),
                    self.parallel([], command, stdin), codes)

    def missing(self):
        """A program that is not there, or cannot be run."""
        for program in ("/nosuch/program", self.write("text", b"text")):
            self.expect("126 and 127 of xargs",
                        self.weir([], [program], b"a\n"),
                        self.run(["xargs", "-n1", program], b"a\n"), program)

    def joblog(self):
        items = [f"{self.random.choice((0, 0, 1, 9, 42))} {name}"
                 for name in self.names(6) or ["x"]]
        items += self.random.choice(([], ["KILL"], ["TERM"]))
        script = 'case $1 in [A-Z]*) kill -s $1 $$ ;; esac; ' \
            'printf %s "$1"; exit ${1%% *}'
        command = ["sh", "-c", script, "sh"]
        stdin = "".join(item + "\n" for item in items).encode()
        logs = []
        for run, name in ((self.weir, "ours"), (self.parallel, "theirs")):
            run(["-j1", "--joblog", self.path(name)], command, stdin)
            logs.append(self.read(name).decode().splitlines())
        self.expect("the joblog's head is GNU parallel's", logs[0][0],
                    logs[1][0], items)
        rows = [[line.split("\t", 8) for line in log[1:]] for log in logs]
        for at, column in ((0, "Seq"), (5, "Receive"), (6, "Exitval"),
                           (7, "Signal")):
            self.expect(f"the joblog's {column} is GNU parallel's",
                        *([row[at] for row in log] for log in rows), items)
        self.expect("the joblog's Command is the same words",
                    *([self.words(row[8]) for row in log] for log in rows),
                    items)
        self.expect("the joblog's times have GNU parallel's shape",
                    *([self.shape(row) for row in log] for log in rows),
                    items)

    def words(self, line):
        """What a shell makes of it."""
        return self.run(["bash", "-c", shlex.quote(self.options.argdump)
                         + " " + line])

    @staticmethod
    def shape(row):
        """Host, Starttime, JobRuntime, Send; digits are all the same."""
        started = re.sub(r"\d", "9", row[2])
        took = bool(re.fullmatch(r" *\d+\.\d{3}", row[3])) and len(row[3])
        return [row[1], started, took, row[4]]

    def everything(self, cases):
        self.missing()
        kinds = (self.places, self.sources, self.columns, self.several,
                 self.with_nul, self.delimiter, self.sets, self.statuses,
                 self.joblog)
        for number in range(cases):
            kinds[number % len(kinds)]()
        return self.report()


def main():
    parser = argparse.ArgumentParser()
    for name in ("weir", "argdump", "folder"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cases", type=int, default=40)
    options = parser.parse_args()
    sys.exit(Suite(options).everything(options.cases))


if __name__ == "__main__":
    main()
